/* session_login: a login that leads, in front of the first mail of a session.
 *
 *   AUTH PLAIN ... MAIL RCPT BDAT n LAST <octets> RSET MAIL ...   one write
 *
 *   NONE --> LEADS --235--> TAKEN --mail is taken--> PROVEN
 *              |___any other reply___> REFUSED
 *
 * Behind a refused login servers answer MAIL with 250 or 530, RCPT with 550 or
 * 554, the content with 503: for want of the login, and nothing of that is a
 * verdict. Nothing more is rendered then but QUIT. What was not sent is
 * returned at once, what was sent when its replies were read, but for what the
 * server takes without a login: a 2xx to the end of data, in its place, is a
 * delivery, to those whose RCPT had one, too. 354 is answered by hanging up,
 * since no content goes to a server that has just refused us.
 *
 * Nobody here is told the words of a refusal, which may hold the secret: the
 * next login goes alone, and its refusal is what the operator hears of.
 */
#ifndef SESSION_LOGIN_H
#define SESSION_LOGIN_H

#include "agent/engine/session.h"

/* Appends AUTH if it is due; false: it is not. */
bool session_render_login(struct session *s, struct buf *out, int64_t now_us);

/* The reply to AUTH, which is the oldest command. */
void session_take_login(
    struct session *s, const struct reply *reply, struct moment now);

/* The reply to a command of t is no verdict: the login was refused, or the
 * server says (530) that it had not seen it yet. */
bool session_is_unwelcome(const struct session *s, const struct transaction *t,
    const struct reply *reply);

/* ... and what becomes of t then; rcpt: which recipient, for RCPT. */
void session_take_unwelcome(struct session *s, struct transaction *t,
    enum command_kind kind, size_t rcpt, const struct reply *reply,
    struct moment now);

#endif
