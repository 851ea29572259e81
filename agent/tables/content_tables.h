/* content_tables: the tables that say how messages are changed on their way
 * out.
 *
 * smtp_generic_maps, with the tables of mydestination that it goes by: those
 * that only proxymap(8) can ask are asked before a message goes out
 * (lookahead.h). smtp_header_checks and its like would have to be asked for
 * each line: what cannot be read at start is a problem there.
 */
#ifndef CONTENT_TABLES_H
#define CONTENT_TABLES_H

#include "agent/engine/rewriting.h"
#include "agent/engine/settings.h"
#include "agent/tables/maps.h"
#include "agent/tables/mapwatch.h"

struct content_tables;

/* Never NULL. set is borrowed. Blocks. */
struct content_tables *content_tables_open(const struct maps_env *env,
    const struct settings *set, struct mapwatch *watch,
    struct problems *problems);
void content_tables_close(struct content_tables **tables);

/* Borrowed; live as long as the tables. */
const struct rewriting_rules *content_tables_rules(
    const struct content_tables *tables);

/* Some addresses have to be asked for. */
bool content_tables_must_ask(const struct content_tables *tables);

#endif
