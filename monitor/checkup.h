/* checkup: does the pair Postfix and lane fit together, before a reload?
 *
 *   checkup_open -> the groups, in the order below -> findings -> checkup_close
 *
 * Nothing is changed. Values are asked of postconf(1) once; what a group looks
 * at beside them (master.cf, files, the smarthost) is said with it. A fix is
 * written for the lane alone (postconf -P), since what main.cf says of smtp_...
 * is other transports' too.
 *
 * No fix takes a limit, a level of TLS or another protection away that somebody
 * has set: what was meant by it is set in its place, where the lane obeys it.
 * Where nobody but a person can tell what was meant there is no command, but a
 * sentence (findings_advise()).
 */
#ifndef CHECKUP_H
#define CHECKUP_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/settings/main_cf.h"
#include "agent/settings/postconf.h"
#include "monitor/edits.h"
#include "monitor/findings.h"
#include "monitor/prober.h"
#include "monitor/site.h"

struct json_t;

struct checkup {
	const struct site *site;
	struct findings findings;
	struct main_cf cf; /* as written */
	struct postconf values;
	struct prober prober;
	char *conf; /* "-c DIR " for a command, or "" */
};

/* False: error has one line. checkup_close() in any case. */
bool checkup_open(
    struct checkup *c, const struct site *site, char *error, size_t n);
void checkup_close(struct checkup *c);

/* Parameters: wrong, unknown, misplaced, refused. */
void checkup_settings(struct checkup *c);

/* Entries of master.cf: fields, order of options, the program, the chroot. */
void checkup_services(struct checkup *c);

/* Files: tables with passwords, the state directory. */
void checkup_files(struct checkup *c);

/* What was written for the queue manager's deliveries to the lane: windows,
 * delays, recipients, room in the active queue. */
void checkup_limits(struct checkup *c);

/* Does a transport lead to the lane, and is there what transports name. */
void checkup_queue(struct checkup *c);

/* Lanes of one account: connections and reserves; access tokens, as their
 * service finds them. */
void checkup_accounts(struct checkup *c);

/* Hosts that share an account: their engine, what it may be asked, and whether
 * all go by the same. */
void checkup_fleet(struct checkup *c);

/* The resolver that is trusted with DNSSEC: does it validate. */
void checkup_dane(struct checkup *c);

/* The smarthost, by a dial for each lane: names, TLS, certificates, login, and
 * what the kernel does with idle connections over that distance. */
void checkup_wire(struct checkup *c);

/* What the lanes have from main.cf together with smtp(8), but for what another
 * finding sets: the last but one. */
void checkup_shared(struct checkup *c);

/* What processes that run have not read yet. A note, since doctor is asked
 * before a reload as a rule; the last of all, since its command is wrong while
 * an error stands. */
void checkup_reload(struct checkup *c);

/* What stands behind the program of a lane's entry: words that were cut, and
 * their order. Of checkup_services(). */
void checkup_words(struct checkup *c, const struct site_lane *lane);

/* ---- for the groups ------------------------------------------------------ */

/* What postconf says of a name; "" when it is not set. */
const char *checkup_value(const struct checkup *c, const char *name);

/* Of "LANE_SUFFIX", else of "default_SUFFIX". */
const char *checkup_transport_value(
    const struct checkup *c, const struct site_lane *lane, const char *suffix);

/* The finding added last is repaired by these, which are freed. */
void checkup_fix(struct checkup *c, struct edits *edits);

/* A finding of the lane says this already. */
bool checkup_is_told(
    const struct checkup *c, const struct site_lane *lane, const char *text);

/* A fix that was printed sets the name for the lane. */
bool checkup_is_set_by_fix(
    const struct checkup *c, const struct site_lane *lane, const char *name);

/* What somebody meant by a limit of the lane, also where it is written in a way
 * that is refused; the caller's. NULL: that is not known. */
char *checkup_meant(const struct site_lane *lane, const char *name);

/* What the lane's connections were to be limited to by all that is written; 0:
 * that is not known. */
long checkup_connections_meant(
    const struct checkup *c, const struct site_lane *lane);

/* Where the lane (NULL: whoever has main.cf's) is to have so many connections,
 * it reserves no more. */
void checkup_fit_reserve(const struct checkup *c, const struct site_lane *lane,
    long connections, struct edits *edits);

/* The finding added last is repaired by -o NAME=VALUE for this lane alone. */
void checkup_fix_lane(struct checkup *c, const struct site_lane *lane,
    const char *name, const char *value);

/* ... by a field of its entry: process_limit, chroot ... */
void checkup_fix_field(struct checkup *c, const struct site_lane *lane,
    const char *field, const char *value);

/* The tables of a list that are files, "type:path", without those in proxy: or
 * other tables; fn for each. */
typedef void checkup_table_fn(
    struct checkup *c, void *ctx, const char *type, const char *path);
void checkup_each_file(
    struct checkup *c, const char *tables, checkup_table_fn *fn, void *ctx);

/* The type is one that postmap(1) makes a file of its own for; its ending
 * (".db"), else NULL. */
const char *checkup_ending(const char *type);

/* Its tables are files that doctor can look at. */
bool checkup_is_file_type(const char *type);

/* Where the lane goes: lane_smarthost, else relayhost. */
const char *checkup_nexthop(const struct site_lane *lane);

#endif
