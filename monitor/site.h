/* site: where a Postfix is, and the lanes that its master.cf has.
 *
 * Asked of postconf(1) and read by the lane's own code (agent/settings), so
 * that every name means what it means to the lane. What is here is what the
 * files say now: a lane that runs has what they said when it started. Blocks
 * for some 20 ms a lane; who looks often keeps the site and asks
 * site_has_changed() before each look.
 */
#ifndef SITE_H
#define SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "agent/settings/config.h"
#include "monitor/mastercf.h"

struct site_lane {
	char *name; /* as on the board: with the instance in front of it */
	struct mastercf_entry entry;
	struct options opt; /* service_name, class, overrides */
	struct settings set; /* lane_state_directory, limits ... */
	struct config_origins origins; /* where each comes from */
	struct provider_set provider;
	struct problems problems; /* for which the lane would defer its mail */
};

struct site {
	struct settings set; /* as a lane without options would have it */
	struct site_lane *lanes; /* in the order of master.cf */
	size_t lane_count;
	struct mastercf_entry *entries; /* all of master.cf */
	size_t entry_count;
	struct stat main_cf, master_cf; /* as they were read */
};

/* directory: config_directory, NULL: MAIL_CONFIG, else Postfix's own. False:
 * error holds one line; nothing is to be freed. */
bool site_open(struct site *site, const char *directory, char *error, size_t n);
void site_close(struct site *site);

/* main.cf or master.cf is another than when it was read. */
bool site_has_changed(const struct site *site);

/* NULL: no such service. */
const struct site_lane *site_find(const struct site *site, const char *service);

/* Of lanes: how often lane_state_directory differs; each once, with i from 0
 * on. NULL at the end. Without lanes it is the site's. */
const char *site_state_directory(const struct site *site, size_t i);

#endif
