/* why: answers "why does this message wait" of common/shared/askproto.h.
 *
 *   ok {"parts": [{"state": "waiting", "waits": "rate", "because": ...,
 *       "place": 3, "of": 40, "expected_s": 12, "recipients": [...], ...}]}
 *
 * A part for each group of recipients of the message that goes its own way;
 * none: the lane does not have it.
 */
#ifndef WHY_H
#define WHY_H

#include "agent/engine/lane.h"
#include "agent/postfix/intake.h"
#include "common/base/buf.h"

/* rcpt empty: all of its recipients. */
void why_answer(const struct lane *lane, const struct intake *intake,
    struct slice queue_id, struct slice rcpt, struct buf *out);

#endif
