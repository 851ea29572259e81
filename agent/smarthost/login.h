/* login: AUTH (RFC 4954), when the server was greeted and, if so wanted, TLS is
 * there. Ends with dial->is_ready, or with a failure and QUIT.
 */
#ifndef LOGIN_H
#define LOGIN_H

#include "agent/smarthost/dial.h"

/* Ready at once where there are no credentials. */
void login_start(struct dial *dial);

/* In DIAL_STATE_AUTH. */
void login_on_reply(struct dial *dial, const struct reply *reply);

#endif
