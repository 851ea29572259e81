/* conn: one accepted connection: socket, TLS, and replies on their way out.
 *
 *   socket/TLS -> in -> session_input() -> out (segments) -> socket/TLS
 *
 * A segment leaves when its time has come and the one before it has left;
 * that is how latency, scripted delays and slow drips work without blocking
 * anyone else. While the kernel refuses octets of a due segment, nothing more
 * is read: like a server that writes before it reads, which is what makes a
 * careless client deadlock.
 *
 * The session may call any function here from session_input(); nothing is
 * freed before that has returned.
 */
#ifndef SMARTHOST_CONN_H
#define SMARTHOST_CONN_H

#include "common/base/buf.h"
#include "tools/smarthost/session.h"
#include "tools/smarthost/sim.h"

enum conn_end {
	CONN_OPEN,
	CONN_CLOSE, /* when all before it was sent */
	CONN_RESET, /* the same, with RST */
	CONN_HALF_CLOSE, /* the same for what we send; reads on in silence */
	CONN_TLS, /* start the handshake */
	CONN_FLOOD, /* another process takes it over */
};

struct conn {
	struct sim *sim;
	struct list link;
	int fd;
	SSL *ssl;
	enum { CONN_CLEAR, CONN_TLS_WAIT, CONN_SHAKING, CONN_SECURE } tls;
	struct event *on_read, *on_write, *on_time, *on_hangup;
	uint64_t nr; /* from 1, over all connections */
	unsigned peer_port;
	struct buf in;
	struct list out; /* struct segment */
	bool is_blocked; /* the kernel took less than was due */
	bool is_stalled, is_frozen, is_ending, is_dead, is_counted, saw_end;
	int64_t hold_until_ms; /* no input is looked at before */
	int64_t not_before_ms; /* of the next segment */
	int64_t cut_left; /* octets until the cut; -1: none */
	bool is_cut_hard;
	struct flood flood; /* of the last rule that had one */
	struct session session;
};

/* Takes over fd. */
void conn_new(struct sim *sim, int fd, unsigned peer_port, bool is_tls);

/* Ends it at once and frees it; not from within session_input(). */
void conn_free(struct conn *c);

/* Queues octets to send; drip_ms > 0: one octet at a time, that far apart. */
void conn_send(struct conn *c, const char *p, size_t n, unsigned drip_ms);

/* Ends the connection, or starts TLS, after all queued so far. */
void conn_then(struct conn *c, enum conn_end end);

/* Nothing is read from now on, nor sent, until ms have passed. */
void conn_hold(struct conn *c, unsigned ms);

/* Is the session to look at input at all? */
bool conn_is_listening(const struct conn *c);

/* Never answers again; frozen: does not even read. */
void conn_stall(struct conn *c, bool is_frozen);

/* Cuts after n more octets of input; hard: unsent replies are dropped. */
void conn_cut(struct conn *c, int64_t n, bool is_hard);

#endif
