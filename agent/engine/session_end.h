/* session_end: how transactions leave a session, and how it ends.
 *
 * Every way out of a session is here: a transaction is believed, given back, or
 * in doubt; the session ends by QUIT, by a 421, by a loss, or because we hang
 * up. session_finish(), session_abort(): session.h.
 */
#ifndef SESSION_END_H
#define SESSION_END_H

#include "agent/engine/session.h"

/* Tells who keeps notes, if anybody does. */
void session_note_rendering(
    struct session *s, struct transaction *t, bool begins);

/* Nothing more is rendered for t, the current transaction. */
void session_stop_rendering(struct session *s, struct transaction *t);

/* Takes t off what is inside, with all that the session had for it. */
void session_detach(struct session *s, struct transaction *t, int64_t now_us);

/* t leaves the session: done if all is decided, else returned because of why,
 * which is not NULL then unless it was put off. */
void session_give_back(struct session *s, struct transaction *t,
    bool is_its_fault, const struct dsn *why, int64_t now_us);

/* t leaves: all of it is decided, or what is left was put off. */
void session_complete(struct session *s, struct transaction *t, int64_t now_us);

/* t leaves: what its replies said is believed. */
void session_let_go(struct session *s, struct transaction *t, int64_t now_us);

/* The stream is at its end: those held are believed, or in doubt. */
void session_let_go_held(
    struct session *s, enum verdict_loss loss, struct moment now);

/* The same when QUIT was refused. One reply too many before, and this is the
 * refusal of the last message: nobody has taken it then, either. */
void session_let_go_at_quit(struct session *s, struct moment now);

/* The stream broke. */
void session_lose(struct session *s, enum session_end how,
    enum verdict_loss loss, const char *why, struct moment now);

/* Hangs up on a server that did nothing wrong. */
void session_hang_up(struct session *s, const char *why, struct moment now);

/* Ends without transactions inside / by a 421 to the oldest command. */
void session_end(struct session *s, enum session_end how, bool is_clean,
    const char *why, struct moment now);
void session_close_by_421(struct session *s, enum command_kind kind,
    const struct reply *reply, bool is_clean, struct moment now);

/* Keeps a 421 to the oldest command until it is known what it means: nothing
 * is rendered meanwhile. / It was the last word; false: there is none. / The
 * server went on: gives the reply, which is now the caller's. */
void session_hold_421(
    struct session *s, const struct reply *reply, struct moment now);
bool session_close_by_held_421(
    struct session *s, bool is_clean, struct moment now);
struct reply *session_take_held_421(struct session *s);
void session_free_held_421(struct reply **reply);

#endif
