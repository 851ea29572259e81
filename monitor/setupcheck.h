/* setupcheck: may a configuration without the lanes take the place of the one
 * that is there? As postconf(1) reads both: what a value refers to is in it,
 * the last setting of a name counts, and options of master.cf are settings.
 *
 *   nothing else may change but what setup added
 *   nothing may name a lane that is gone: a transport, a table in a value, the
 *   source of a table; or need a setting of it
 *
 * What only a lookup tells (ldap, mysql, tcp ...) cannot be known here, nor a
 * table without its source; of tables of transports that is told.
 */
#ifndef SETUPCHECK_H
#define SETUPCHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/settings/main_cf.h"
#include "common/base/buf.h"
#include "monitor/setupplan.h"
#include "monitor/site.h"

struct setupcheck {
	struct main_cf before, after;
	char *services_before, *services; /* postconf -M */
	char *settings, *options; /* -nx, -Px: as it will be */
	char *unexpanded; /* -P */
};

/* scratch: a folder with main.cf and master.cf as they will be. Always
 * setupcheck_fini(). False: a line in error. */
bool setupcheck_read(struct setupcheck *check, const struct site *site,
    const struct setupplan *plan, const char *scratch, char *error, size_t n);
void setupcheck_fini(struct setupcheck *check);

/* False: error says why not. added: what setup brought into main.cf. */
bool setupcheck_is_well(const struct setupcheck *check,
    const struct setupplan *plan, const char *added, struct buf *told,
    char *error, size_t n);

/* The configuration, as it will be, has the table. */
bool setupcheck_has_path(const struct setupcheck *check, const char *path);

#endif
