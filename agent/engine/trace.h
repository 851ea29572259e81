/* trace: the dialogue with a peer, for the log and for an operator who listens.
 *
 *   > mx.example[192.0.2.1]:25: MAIL FROM:<a@b>
 *   < mx.example[192.0.2.1]:25: 250 2.1.0 Ok
 *
 * In the log, as smtp(8) has it, are the peers of debug_peer_list; a tracer
 * hears all whose peers have it, while it is wanted. Of others nothing is told.
 * What may be secret is the caller's to leave out; content is only counted.
 */
#ifndef TRACE_H
#define TRACE_H

#include <stdbool.h>

#include "agent/engine/peer.h"
#include "common/base/slice.h"
#include "common/smtp/reply.h"

struct transaction;

/* Who hears the dialogue as it happens, a line at a time: way is '>', '<', or
 * '!' (a remark), text is printable; about: whose command or reply it is, or
 * NULL. Called from within the session: nothing may be done to it. */
struct tracer {
	bool is_wanted;
	void (*hear)(void *ctx, const struct peer *peer,
	    const struct transaction *about, char way, const char *text);
	void *ctx;
};

/* Somebody wants it told. */
bool trace_is_on(const struct peer *peer);

/* Whole commands. */
void trace_sent(const struct peer *peer, const struct transaction *about,
    struct slice lines);

/* octets of content, or of something that is not to be shown. */
void trace_sent_octets(const struct peer *peer, const struct transaction *about,
    size_t octets, const char *what);

void trace_received(const struct peer *peer, const struct transaction *about,
    const struct reply *reply);

/* A reply, printable, in one line, without what may be secret. */
void trace_received_text(const struct peer *peer, const char *text);

/* What happens to the connection beside the dialogue: for who listens alone,
 * since the log has it in its own words. */
void trace_remark(const struct peer *peer, const char *text);

/* A reply, or a part of it, that is not to be shown. */
void trace_received_hidden(const struct peer *peer, int code);

#endif
