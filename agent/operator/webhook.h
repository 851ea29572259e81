/* webhook: tells a web server something, without waiting for it.
 *
 *   post -> queue -> [look-up] -> POST -> 2xx: done
 *                       ^          | other
 *                       '-- wait --'   at most WEBHOOK_TRIES, then dropped
 *
 * One POST of application/json at a time, in the order given; libcurl's multi
 * interface on the loop. Names are looked up by our own resolver, as libcurl
 * would start a thread for each, which neither fork() nor chroot() likes.
 * Redirects and proxies are not followed. With https the certificate must be
 * valid by the system's authorities, which are read once, at the beginning.
 * What a URL has behind the host may be a secret, so no log line has it.
 */
#ifndef WEBHOOK_H
#define WEBHOOK_H

#include <stddef.h>
#include <stdint.h>

#include "agent/engine/settings.h"
#include "agent/io/loop.h"

enum {
	WEBHOOK_TRIES = 5,
	WEBHOOK_QUEUE_MAX = 32, /* the oldest that waits is dropped */
	WEBHOOK_CA_MAX = 8 << 20, /* octets of the file of authorities */
};

struct webhook_config {
	const char *url; /* http or https */
	const char *ca_file; /* NULL: the system's */
	int64_t retry_ms; /* before the second try; then four times that, ... */
	int64_t timeout_ms; /* of one try, look-up excluded */
	/* The oldest was delivered or given up. Not called for what is let go
	 * at the end. May be NULL. */
	loop_fn *on_done;
	void *ctx;
};

struct webhook;

/* As root and before chroot: reads files. Copies the texts. NULL, and a
 * warning in the log, when libcurl cannot use the URL. */
struct webhook *webhook_new(struct loop *loop, const struct settings *set,
    const struct webhook_config *config);

/* Not from inside on_done. */
void webhook_free(struct webhook **hook);

/* Copies body. */
void webhook_post(struct webhook *hook, const char *body);

/* In a forked child: lets go of what is under way, says nothing any more. */
void webhook_drain(struct webhook *hook);

/* Bodies not yet delivered or given up. */
size_t webhook_pending(const struct webhook *hook);

#endif
