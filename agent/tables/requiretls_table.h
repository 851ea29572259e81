/* requiretls_table: smtp_requiretls_policy, by nexthop.
 *
 *   inline:{...} cidr:{...} hash:/etc/x opportunistic+starttls
 *
 * Words and tables, the first that knows the nexthop decides; where none does
 * it is enforced. In tables other than those of patterns a domain is looked
 * for, then .parent, .grandparent. They must be such as answer at once
 * (rewrite_table.h); a word that is not understood is a problem. What a table
 * gives must be such a word, too, else mail waits. Source: postconf(5); Postfix
 * src/smtp/smtp_reqtls_policy.c.
 */
#ifndef REQUIRETLS_TABLE_H
#define REQUIRETLS_TABLE_H

#include "agent/engine/requiretls.h"
#include "agent/tables/maps.h"
#include "agent/tables/mapwatch.h"

struct requiretls_table;

/* Never NULL. Blocks. */
struct requiretls_table *requiretls_table_open(const struct maps_env *env,
    const char *list, struct mapwatch *watch, struct problems *problems);
void requiretls_table_close(struct requiretls_table **table);

/* domain: a nexthop without brackets and port. */
enum requiretls requiretls_table_find(
    const struct requiretls_table *table, const char *domain);

#endif
