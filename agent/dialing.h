/* dialing: a dialer with the tables that it looks things up in, as the settings
 * want them: logins, TLS policies, what is done to replies and offers.
 *
 * Opened as root, before privileges go: password tables are root's alone.
 */
#ifndef DIALING_H
#define DIALING_H

#include "agent/engine/settings.h"
#include "agent/io/loop.h"
#include "agent/settings/problems.h"
#include "agent/smarthost/credentials.h"
#include "agent/smarthost/dialer.h"
#include "agent/tables/maps.h"
#include "agent/tables/mapwatch.h"
#include "agent/tables/requiretls_table.h"
#include "agent/tables/rewrite_table.h"

struct dialing {
	struct mapwatch *tables; /* others may add theirs */
	struct maps *passwords, *policies;
	struct rewrite_table *replies, *ehlo_words, *records;
	struct requiretls_table *requiretls;
	struct credentials *credentials;
	struct dialer *dialer;
};

/* Blocks. loop and set are borrowed. Logins and policies that cannot be read
 * are logged and become the trouble of the dials that need them; what may
 * change the meaning of a server's words is added to problems. */
void dialing_open(struct dialing *d, struct loop *loop,
    const struct settings *set, struct problems *problems);

/* After those who watch its tables. */
void dialing_close(struct dialing *d);

#endif
