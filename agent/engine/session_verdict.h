/* session_verdict: what a session decides of the recipients it carries.
 *
 * A verdict notes the place of the command that it follows from, so that it can
 * be taken back while that place is not proven (session_place.h).
 */
#ifndef SESSION_VERDICT_H
#define SESSION_VERDICT_H

#include "agent/engine/session.h"

struct verdict_source session_source(
    const struct session *s, const struct transaction *t, struct moment now);

/* What a reply means: verdict_judge(), and what the lane says of it. */
enum meaning session_judge(struct session *s, struct transaction *t,
    enum command_kind kind, const struct reply *reply, struct moment now);

/* Recipient i is to be tried again: it stays undecided when t leaves. */
void session_put_off(struct session *s, struct transaction *t, size_t i,
    enum command_kind kind, const struct reply *reply, struct moment now);

/* ... because of why, which is no reply to it. / All that are in flight. */
void session_put_off_for(
    struct session *s, struct transaction *t, size_t i, const struct dsn *why);
void session_put_off_all(
    struct session *s, struct transaction *t, const struct dsn *why);

/* Verdicts for recipients in flight, those put off excepted. */
void session_decide_by_reply(struct session *s, struct transaction *t, size_t i,
    enum outcome outcome, enum command_kind kind, const struct reply *reply,
    struct moment now);
void session_decide_all_by_reply(struct session *s, struct transaction *t,
    enum outcome outcome, enum command_kind kind, const struct reply *reply,
    struct moment now);
void session_decide_all(struct session *s, struct transaction *t,
    enum outcome outcome, const struct dsn *dsn, struct moment now);

/* One reply too many or too few before it, or a refusal said twice, and one
 * that t has is another's: that of one among several recipients, or of MAIL
 * where the command before it was refused as well. Shifted by one, a refusal of
 * the only recipient is still its own, and so is MAIL's that of all. */
bool session_bounces_unproven(
    const struct session *s, const struct transaction *t);

/* Verdicts of replies that are not proven are taken back. */
void session_take_back(struct session *s, struct transaction *t);

/* The verdict when so many octets are too many for the server; else NULL. */
struct verdict *session_refuse_size(const struct session *s, uint64_t octets,
    const struct verdict_source *from);

#endif
