/* postconf: asks postconf(1) what parameters are set to.
 *
 * $name and ${a?{b}:{c}} are expanded there, so that they mean what they mean
 * everywhere. One run tells all; it blocks some milliseconds, at start only.
 *
 * postconf prints "name = value" of the names it is asked for when it knows
 * them, and it knows those of Postfix, and any other that is both set (in
 * main.cf or by its own -o) and referred to in a value. So each name is
 * referred to in the value of a parameter which is free text and not ours:
 *
 *   -o 'empty_address_recipient=${lane_a?{}}${lane_b?{}}' -x lane_a lane_b
 *
 * A line for lane_b then means that it is set, if only to nothing, and no line
 * that it is not. What the entries of master.cf set does not count for that,
 * in no release from 3.4 to 3.12 (src/postconf/postconf_user.c,
 * pcf_flag_user_parameter()). The warnings are not looked at. That it is so is
 * proven at each run: the last name asked for is one that was just set, and
 * the one before it is one that nobody can have set.
 */
#ifndef POSTCONF_H
#define POSTCONF_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/settings/main_cf.h"
#include "agent/settings/options.h"

struct postconf_value {
	char *name, *value; /* NULL: not set */
};

struct postconf {
	struct postconf_value *asked;
	size_t count;
	char **defined; /* "name=value", for -o */
	size_t defined_count;
};

/* Asks for a name of letters, digits and "_"; once is enough. */
void postconf_want(struct postconf *pc, const char *name);

/* Sets a name for this run. */
void postconf_define(struct postconf *pc, const char *name, const char *value);

/* Runs program (a path) for the configuration in directory (NULL: postconf's
 * own default; else it is what config_directory is) with the -o of opt and what
 * cf says about $service_name and its like. False when not everything was told:
 * then nothing may be concluded from what was, and *error_out (caller frees)
 * says why. */
bool postconf_run(struct postconf *pc, const char *program,
    const char *directory, const struct options *opt, const struct main_cf *cf,
    char **error_out);

/* What was told; NULL when the name is not set. */
const char *postconf_value(const struct postconf *pc, const char *name);

/* $service_name, $process_name and $process_id are known to the process. */
bool postconf_is_pseudo(const char *name, size_t n);

void postconf_fini(struct postconf *pc);

#endif
