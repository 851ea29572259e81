/* confinement: what is left to a lane once it has started.
 *
 *   files   read and write what is in active/; make and remove in the state
 *           directory; read what agent/confine lets every program read,
 *           certificates of authorities (also those that a TLS policy names as
 *           it was read at start), Kerberos tickets
 *   calls   those of an SMTP client that forks when it drains; no programs
 */
#ifndef CONFINEMENT_H
#define CONFINEMENT_H

#include "agent/dialing.h"
#include "agent/engine/settings.h"
#include "agent/io/loop.h"
#include "agent/state/statefile.h"

/* Privileges are dropped, all that is made once is made, nothing a stranger
 * says was read yet. */
void confinement_enter(struct loop *loop, const struct settings *set,
    const struct dialing *dialing, const struct statefile_dir *state);

#endif
