/* domain_tables: lane_domain_rate_limits, its tables included, as domains.
 *
 * Tables are read whole at start (postmap -s), as root; a change of their files
 * makes the lane start anew (mapwatch.h). Only types that can be listed will
 * do, so that every limit is checked at start and none has to be asked for
 * while mail waits.
 */
#ifndef DOMAIN_TABLES_H
#define DOMAIN_TABLES_H

#include "agent/engine/domains.h"
#include "agent/engine/settings.h"
#include "agent/settings/problems.h"
#include "agent/tables/maps.h"

/* Never NULL. What is wrong with a table is a new problem, also logged; what is
 * wrong with the rest params_check() has told. Blocks. */
struct domains *domain_tables_open(const struct maps_env *env,
    const struct settings *set, struct problems *problems);

#endif
