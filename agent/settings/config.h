/* config: fills struct settings, once, from main.cf and our own -o.
 *
 * Values are resolved by Postfix's own postconf(1), so $name and
 * ${a?{b}:{c}} mean what they mean everywhere. One run of it is enough; it
 * blocks some milliseconds, at start only.
 *
 * lane_* names are unknown to postconf, which prints nothing for them. They
 * ride in the value of a parameter that is free text and not ours:
 *
 *   -o 'empty_address_recipient=^A${lane_a?{=$lane_a}}^A${lane_b?{=$lane_b}}'
 *
 * and its stderr tells the rest: "undefined parameter: lane_b" (unset, not
 * empty), "unused parameter: lane_typo=5" (set, but nothing of ours).
 */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>

#include "agent/settings/options.h"
#include "agent/settings/problems.h"
#include "agent/engine/settings.h"

/* Fills *set, always completely (every string non-NULL). What is wrong is
 * added to problems; the parameter concerned keeps its default then. When
 * postconf itself fails everything keeps its default. Environment:
 * MAIL_CONFIG. settings_free() afterwards in any case. */
void config_load(
    struct settings *set, const struct options *opt, struct problems *problems);

/* Absolute path of a Postfix command ("postconf"), without PATH; the caller
 * frees. command_directory may be NULL or "". */
char *config_command(const char *command_directory, const char *name);

#endif
