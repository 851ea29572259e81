/* login: AUTH (RFC 4954), when the server was greeted and, if so wanted, TLS is
 * there. Ends with dial->is_ready, or with a failure and QUIT. A login that may
 * lead the first mail (lead.h) is left to the session, as dial->login.
 */
#ifndef LOGIN_H
#define LOGIN_H

#include "agent/smarthost/dial.h"

/* Ready at once where there are no credentials. */
void login_start(struct dial *dial);

/* In DIAL_STATE_AUTH, DIAL_STATE_RSET. dial->wants_steps: this connection is of
 * no use, another one is, with nothing behind the login. */
void login_on_reply(struct dial *dial, const struct reply *reply);

/* The connection ended, or nothing came: true when that was for want of an
 * answer to AUTH and what stood behind it, as above. */
bool login_is_trial_over(struct dial *dial);

#endif
