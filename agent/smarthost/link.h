/* link: one TCP connection to a smarthost, in plain text or TLS.
 *
 * Moves octets and knows no SMTP. The dialer owns a link through greeting,
 * TLS and login with handlers of its own, then gives it to the session's
 * driver, which sets other handlers. Output is pulled: on_output appends what
 * is to be sent when the socket takes some, so that nothing is rendered
 * earlier than it can go. Reads continue whatever the state of the writes
 * (a peer that answers while we send must never block us), and until "again",
 * since TLS hides octets that poll cannot see. TCP_NODELAY is on and
 * TCP_QUICKACK is armed again after every read: Nagle's algorithm at the peer
 * against our delayed ACK costs 40 ms per small window otherwise.
 *
 * A callback may call link_free() on the link that called it.
 */
#ifndef LINK_H
#define LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/io/loop.h"
#include "common/base/buf.h"

struct link;
struct ssl_st;

enum { LINK_PULL_MAX = 65536 }; /* on_output is asked for about this much */

enum link_end {
	LINK_EOF, /* the peer closed in order */
	LINK_RESET, /* connection reset, or another socket error */
	LINK_TLS_ERROR,
};

struct link_ops {
	/* n octets came in. */
	void (*on_input)(void *ctx, const char *p, size_t n);
	/* Append what is to be sent now, about LINK_PULL_MAX at most; nothing
	 * when there is nothing. */
	void (*on_output)(void *ctx, struct buf *out);
	/* n more octets of what on_output gave were taken by the kernel (with
	 * TLS: their record was written whole). */
	void (*on_written)(void *ctx, size_t n);
	/* The connection is over; what had arrived was given to on_input
	 * before, even after a write error. No callback follows. text is one
	 * line, e.g. "Connection reset by peer". */
	void (*on_closed)(void *ctx, enum link_end end, const char *text);
};

/* Takes over a connected (or connecting-and-writable) non-blocking socket. */
struct link *link_new(struct loop *loop, int fd);

/* Closes socket and TLS at once, without a word to the peer. */
void link_free(struct link **link);

/* Sets the handlers and starts reading; with ops NULL reading and writing
 * stop until there are handlers again. Octets that had arrived before and
 * were not consumed are given to on_input from the loop, never from here. */
void link_set_ops(struct link *link, const struct link_ops *ops, void *ctx);

/* Gives octets back that on_input was handed but that belong to the next
 * handlers (they followed the last reply of the login, say): they are given
 * to on_input again before anything newer, from the loop. Call it from inside
 * on_input, at most once, with the tail of what was given. */
void link_unread(struct link *link, const char *p, size_t n);

/* There may be output: on_output is called when the socket takes some. */
void link_kick(struct link *link);

/* Turns the connection into TLS with ssl (owned from now on; connect state
 * set). on_done comes from the loop; when it is not ok, end and text say why:
 * LINK_TLS_ERROR, or the connection broke in the middle. Plain-text octets
 * already received are an error: they were not protected (CVE-2021-38371). */
typedef void link_tls_fn(
    void *ctx, bool ok, enum link_end end, const char *text);
void link_start_tls(
    struct link *link, struct ssl_st *ssl, link_tls_fn *on_done, void *ctx);

/* The TLS object, NULL in plain text. Borrowed. */
struct ssl_st *link_ssl(const struct link *link);

/* Octets accepted from on_output and not yet taken by the kernel. */
size_t link_unsent(const struct link *link);

/* Kernel's smoothed round-trip time, microseconds; 0 unknown. */
int64_t link_rtt_us(const struct link *link);

/* What TCP may have on its way now, in octets, and a full segment; 0: the
 * kernel does not tell. */
int64_t link_window(const struct link *link, int64_t *segment_out);

#endif
