/* dialogue: the live dialogue of a lane's sessions, for operators who listen.
 *
 *   session --trace.h--> [256 kB for each listener] --> socket --> postlane
 *
 * Lines of the answer to "trace" (common/shared/askproto.h):
 *
 *   MICROSECONDS SESSION QUEUEID WAY TEXT
 *
 * since the epoch; SESSION as in the log; QUEUEID of the message whose command
 * or reply it is, "-" for none; WAY ">" sent, "<" received, "=" what became of
 * a recipient, "!" about this answer itself. Content is only counted and logins
 * are hidden, and addresses shown, as in the log (debug_peer_list,
 * lane_log_anonymize).
 *
 * Delivery never waits for a listener: what does not fit in its buffer is left
 * out, and a line says how many were. Listeners are few and end with their
 * connection.
 */
#ifndef DIALOGUE_H
#define DIALOGUE_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/engine/request.h"
#include "agent/engine/trace.h"
#include "agent/io/loop.h"
#include "common/base/slice.h"

enum {
	DIALOGUE_LISTENERS_MAX = 3,
	DIALOGUE_BUFFER_SIZE = 256 * 1024,
};

struct dialogue;

/* Never NULL. Sessions hear of it by dialogue_tracer() as long as it lives. */
struct dialogue *dialogue_new(struct loop *loop);
void dialogue_free(struct dialogue **dialogue);
const struct tracer *dialogue_tracer(const struct dialogue *dialogue);

/* Somebody listens at fd, a stream socket, which is the dialogue's from now on:
 * to what concerns messages for that recipient, in any case of letters; empty:
 * to all. False: there are too many, fd is left alone. */
bool dialogue_listen(struct dialogue *dialogue, int fd, struct slice to);

/* Recipient i has its verdict. */
void dialogue_decided(
    struct dialogue *dialogue, const struct request *req, size_t i);

/* Another process goes on: all are told so, and listen no more. */
void dialogue_end(struct dialogue *dialogue);

#endif
