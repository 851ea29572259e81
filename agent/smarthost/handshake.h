/* handshake: one connection from its first octet until it is ready for MAIL:
 * TLS, greeting, EHLO, STARTTLS, login; or to its QUIT.
 */
#ifndef HANDSHAKE_H
#define HANDSHAKE_H

#include "agent/smarthost/dial.h"

/* Talks on dial->link. Ends in on_end(), called once and as the last thing that
 * is done here, unless the dial is cancelled before. */
void handshake_start(struct dial *dial, handshake_end_fn *on_end);

/* The timer fired in a state of the handshake. */
void handshake_on_timeout(struct dial *dial);

#endif
