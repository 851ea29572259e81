/* redis: a connection to the engine of a fleet, Redis or Valkey (RESP2).
 *
 *   IDLE -> RESOLVING -> CONNECTING -> SECURING (TLS) -> GREETING -> READY
 *     ^_______________________________________________________________|
 *
 *   GREETING: AUTH, SCRIPT LOAD
 *
 * hiredis writes commands and reads replies; the socket is the loop's, so that
 * nothing blocks, each step has its time, and a connection that failed is
 * followed by another one when redis_look() is called again. Replies come in
 * the order of their commands; what an engine says is a peer's: bounded in size
 * and depth, and the connection ends at the first octet that is no reply. What
 * it says of an error may have our own words in it: the password is left out of
 * it before anybody sees it.
 *
 * Times are monotonic milliseconds.
 */
#ifndef REDIS_H
#define REDIS_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/io/loop.h"
#include "agent/io/resolver.h"
#include "agent/settings/fleet_access.h"

enum {
	REDIS_STEP_MS = 3000, /* for a connection, for a reply */
	REDIS_WHY_SIZE = 256,
	REDIS_ELEMENTS_MAX = 16, /* of an array */
	REDIS_DEPTH_MAX = 2, /* of arrays in arrays */
	REDIS_REPLY_MAX = 65536, /* octets of one reply */
	REDIS_OUT_MAX = 262144, /* octets that it does not take */
};

struct redis;

struct redis_ops {
	/* A reply to the first command that has none yet; valid during the
	 * call, in which redis_free() may not be called. */
	void (*on_reply)(void *ctx, const redisReply *reply);
	/* The connection is over, or could not be had; printable. Commands
	 * without reply never get one. */
	void (*on_lost)(void *ctx, const char *why);
	/* Commands may be sent. */
	void (*on_ready)(void *ctx);
};

/* All borrowed; resolver may be NULL for an address that needs none. script is
 * what redis_sha() names once it is ready. */
struct redis *redis_new(struct loop *loop, struct resolver *resolver,
    const struct fleet_access *access, const char *script,
    const struct redis_ops *ops, void *ctx);
void redis_free(struct redis **redis);

/* Begins a connection when there is none, and ends one that takes too long;
 * call it once a second. May call on_lost(). */
void redis_look(struct redis *redis, int64_t now_ms);

bool redis_is_ready(const struct redis *redis);

/* Its name for EVALSHA. */
const char *redis_sha(const struct redis *redis);

/* To be written with others by redis_flush(). Only when it is ready. */
void redis_send(struct redis *redis, int argc, const char **argv);
void redis_flush(struct redis *redis);

/* What was sent last fails for want of the script: load it anew. */
void redis_reload(struct redis *redis);

/* Ends the connection, for what an answer says. */
void redis_give_up(struct redis *redis, const char *why);

#endif
