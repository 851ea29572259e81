/* params: the one table of every parameter in struct settings.
 *
 * Postfix's own parameters get their defaults from postconf(1); the fallback
 * is for releases that do not know the name. Ours (lane_*) are known to
 * nobody else: type, default, bounds and meaning stand here and only here.
 */
#ifndef PARAMS_H
#define PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/settings.h"
#include "agent/settings/problems.h"

enum param_type {
	PARAM_STRING, /* char * */
	PARAM_BOOL, /* bool: yes, no */
	PARAM_INT, /* int */
	PARAM_TIME, /* int64_t in us: N with s, m, h, d or w; bare N: s */
	PARAM_BYTES, /* int64_t: octets */
	PARAM_WORD, /* char *: one of words, in lower case */
	PARAM_WORDS, /* char *: any of words, blanks or commas between */
	PARAM_RATE, /* char *: a list of rates (common/limits/rate.h) */
};

#define PARAM_YEAR INT64_C(31536000) /* seconds: no limit in practice */

struct param {
	const char *name;
	enum param_type type;
	size_t offset; /* in struct settings */
	const char *fallback; /* default; may contain $name for postconf */
	int64_t min, max; /* of numbers, in the unit of the type */
	const char *words; /* allowed, with blanks between; "-" is empty */
	const char *about; /* one line */
};

/* In the order of struct settings. */
const struct param *params_get(size_t i);
size_t params_count(void);

/* NULL when the name is not in the table. */
const struct param *params_find(const char *name);

/* What a parameter was called before, which is accepted with a warning; NULL:
 * nothing else. / The parameter that was called so; NULL: none. */
const char *params_old_name(const struct param *param);
const struct param *params_find_old(const char *name);

/* Sets one parameter from its text (expanded). When it is bad the old value
 * stays, and problems gets "bad parameter: NAME = VALUE: must be ...". */
bool params_set(struct settings *set, const struct param *param,
    const char *text, struct problems *problems);

/* lane_*: known to us alone. */
bool params_is_ours(const struct param *param);

/* Every string "", every number 0, then every fallback that needs no
 * expansion: usable, if only to defer mail. */
void params_init(struct settings *set);

/* Default of one of our parameters for class ("" is "fast"), unexpanded. */
const char *params_default(const struct param *param, const char *class);

/* Known class names, "fast, slow"; whether class is one ("" is). */
const char *params_classes(void);
bool params_is_class(const char *class);

/* What one value alone cannot show: rules between parameters. */
void params_check(const struct settings *set, struct problems *problems);

/* The value as text (yes, 30s, ...); the caller frees. */
char *params_text(const struct settings *set, const struct param *param);

/* Frees the strings. */
void settings_free(struct settings *set);

#endif
