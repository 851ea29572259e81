/* config: fills struct settings, once, from main.cf and our own -o.
 *
 * What is set is asked of postconf(1) (postconf.h); what is not has our default
 * or the provider's. A name lane_... that is none of ours, a value that is not
 * allowed, and one that refers to a name which is nowhere defined is a problem,
 * and so is what smtp(8) would obey and lane does not (foreign.h), and a name
 * given with -o that neither of them reads nor any value refers to: no setting
 * is passed over in silence.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>

#include "agent/engine/settings.h"
#include "agent/settings/options.h"
#include "agent/settings/params.h"
#include "agent/settings/problems.h"
#include "agent/settings/provider_set.h"

/* Where a value comes from. */
enum config_origin {
	CONFIG_BUILT_IN,
	CONFIG_CLASS, /* what class=NAME makes of the default */
	CONFIG_PROVIDER, /* lane_provider's file */
	CONFIG_MAIN_CF,
	CONFIG_COMMAND_LINE, /* -o */
};

struct config_origins {
	enum config_origin *params; /* of each parameter, params_count() */
	/* values of parameters that are not ours and written in main.cf or with
	 * -o, foreign_count(); NULL: not written */
	char **foreign;
};

void config_origins_init(struct config_origins *origins);
void config_origins_fini(struct config_origins *origins);

/* Fills *set and *provider (may be NULL), always completely (every string
 * non-NULL), and *origins (initialised; may be NULL).
 * What is wrong is added to problems; the parameter concerned keeps its default
 * then.
 *
 * False when main.cf could not be read to its end: a problem says why, and
 * everything has its built-in default. Not even the queue directory is known
 * then, and none may be touched. Environment: MAIL_CONFIG. settings_free() and
 * provider_set_fini() afterwards in any case. */
bool config_load(struct settings *set, struct provider_set *provider,
    const struct options *opt, struct problems *problems,
    struct config_origins *origins);

/* Absolute path of a Postfix command ("postconf"), without PATH; the caller
 * frees. command_directory may be NULL or "". */
char *config_command(const char *command_directory, const char *name);

#endif
