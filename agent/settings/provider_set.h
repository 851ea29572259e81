/* provider_set: reads what is known about the lane's provider.
 *
 *   lane_reply_rules                    own rules, a file
 *   lane_provider_directory/NAME.conf   lane_provider = NAME
 *   lane_provider_directory/general.conf, or the copy inside the program
 *
 * in this order, which is that of the rules. A file that is named and cannot
 * be read, or is wrong, is a problem of the configuration; general.conf may be
 * missing.
 */
#ifndef PROVIDER_SET_H
#define PROVIDER_SET_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/engine/rules.h"
#include "agent/engine/settings.h"
#include "agent/settings/problems.h"
#include "agent/settings/provider.h"

struct provider_set {
	struct provider chosen; /* name "" without lane_provider */
	struct rules *rules;
	size_t own_rules, provider_rules, general_rules; /* how many */
};

/* One that knows nothing, for provider_set_fini(). */
void provider_set_init(struct provider_set *provider);

/* Always fills *provider. */
void provider_set_load(struct provider_set *provider,
    const struct settings *set, struct problems *problems);
void provider_set_fini(struct provider_set *provider);

/* Adds a file of at most RULES_FILE_MAX octets to out: 0, or an errno value. */
int provider_read_file(const char *path, struct buf *out);

/* The names that lane_provider may have, in order; each, and the array, is the
 * caller's. The count; -1: errno says why directory cannot be read. */
int provider_set_names(const char *directory, char ***names_out);

/* The value the provider has for one of our parameters; false: none. A count
 * above what the parameter takes is cut to that. */
bool provider_set_value(const struct provider_set *provider,
    const char *parameter, char *out, size_t n,
    const struct provider_limit **from_out);

#endif
