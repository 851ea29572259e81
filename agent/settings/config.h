/* config: fills struct settings, once, from main.cf and our own -o.
 *
 * What is set is asked of postconf(1) (postconf.h); what is not has our default
 * or the provider's. A name lane_... that is none of ours, a value that is not
 * allowed, and one that refers to a name which is nowhere defined is a problem,
 * so that no setting is passed over in silence.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>

#include "agent/engine/settings.h"
#include "agent/settings/options.h"
#include "agent/settings/problems.h"
#include "agent/settings/provider_set.h"

/* Fills *set and *provider (may be NULL), always completely (every string
 * non-NULL). What is wrong is added to problems; the parameter concerned keeps
 * its default then.
 *
 * False when main.cf could not be read to its end: a problem says why, and
 * everything has its built-in default. Not even the queue directory is known
 * then, and none may be touched. Environment: MAIL_CONFIG. settings_free() and
 * provider_set_fini() afterwards in any case. */
bool config_load(struct settings *set, struct provider_set *provider,
    const struct options *opt, struct problems *problems);

/* Absolute path of a Postfix command ("postconf"), without PATH; the caller
 * frees. command_directory may be NULL or "". */
char *config_command(const char *command_directory, const char *name);

#endif
