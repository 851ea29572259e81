/* lookahead: asks tables for what a message will want of them, before it goes.
 *
 *   lookahead_begin() -> look through -> ask all that is wanted --.
 *                             ^                                   |
 *                             '------- all is answered -----------'
 *                   nothing is wanted: done
 *
 * smtp_generic_maps of types that only proxymap(8) can ask (ldap, mysql, ...):
 * a session has no time to wait for them in the middle of a message. One look
 * goes through the envelope and the primary headers, which costs no more than
 * reading them; what the next look wants depends on the answers of this one (an
 * address, then the same without extension, then its domain), so that few
 * keys are asked for in vain. Answers stay with the request (req->answers).
 *
 * What was answered is believed for LOOKAHEAD_KEPT_MS at least and twice that
 * at most, for up to LOOKAHEAD_KEPT_COUNT keys: messages of a site have their
 * domains and many addresses in common. Errors are not kept. While proxymap(8)
 * does not answer no message goes on; it is told as failed after the time that
 * one answer may take (maps.h).
 */
#ifndef LOOKAHEAD_H
#define LOOKAHEAD_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/engine/request.h"
#include "agent/io/loop.h"

enum {
	LOOKAHEAD_KEPT_MS = 30000,
	LOOKAHEAD_KEPT_COUNT = 20000,
	LOOKAHEAD_BYTES_MAX = 16 << 20, /* of the answers for one message */
};

struct lookahead;

/* All answers are there, or (logged) there are none to be had. */
typedef void lookahead_fn(void *ctx, struct request *req, bool is_ok);

struct lookahead *lookahead_new(struct loop *loop, lookahead_fn *fn, void *ctx);
/* Without a callback for those under way. */
void lookahead_free(struct lookahead **lookahead);

/* req has rules. fn is called for it, perhaps from inside, unless it is dropped
 * before. */
void lookahead_begin(struct lookahead *lookahead, struct request *req);

/* true: req was under way, and is not any more. */
bool lookahead_drop(struct lookahead *lookahead, const struct request *req);

/* Requests under way. */
size_t lookahead_count(const struct lookahead *lookahead);

#endif
