/* trace: the dialogue with one peer in the log, as smtp(8) has it for those of
 * debug_peer_list:
 *
 *   > mx.example[192.0.2.1]:25: MAIL FROM:<a@b>
 *   < mx.example[192.0.2.1]:25: 250 2.1.0 Ok
 *
 * Nothing is logged of a peer that is not traced. What may be secret is the
 * caller's to leave out; content is only counted.
 */
#ifndef TRACE_H
#define TRACE_H

#include "agent/engine/peer.h"
#include "common/base/slice.h"
#include "common/smtp/reply.h"

/* Whole commands. */
void trace_sent(const struct peer *peer, struct slice lines);

/* octets of content, or of something that is not to be shown. */
void trace_sent_octets(
    const struct peer *peer, size_t octets, const char *what);

void trace_received(const struct peer *peer, const struct reply *reply);

/* A reply, or a part of it, that is not to be shown. */
void trace_received_hidden(const struct peer *peer, int code);

#endif
