/* references: the names that the value of a parameter cannot do without.
 *
 *   $name  ${name}  $(name)      refer to name
 *   ${name?text}  ${name:text}   ask whether it is set, and whatever stands
 *                                in text may depend on that: no reference
 *   $$                           a dollar sign
 *
 * As mac_parse() of Postfix reads them. Postfix puts nothing in the place of a
 * name that is not defined, so that a slip becomes an empty value.
 */
#ifndef REFERENCES_H
#define REFERENCES_H

#include <stdbool.h>

#include "common/base/slice.h"

/* The next name at or after *at, which is moved behind it. False: no more. */
bool references_next(const char **at, struct slice *name);

/* Whether text names it behind a "$" in any of these forms, conditional or
 * not. */
bool references_mention(const char *text, const char *name);

#endif
