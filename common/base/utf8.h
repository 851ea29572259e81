/* utf8: well-formedness of UTF-8 (RFC 3629). */
#ifndef UTF8_H
#define UTF8_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/slice.h"

/* Length, 2 to 4, of the well-formed sequence of a character above U+007F
 * that p[0..n) begins with (n > 0); 0 when there is none: overlong forms,
 * surrogates and what is above U+10FFFF are refused. */
size_t utf8_length(const char *p, size_t n);

/* ASCII and well-formed sequences only. */
bool utf8_is_valid(struct slice text);

#endif
