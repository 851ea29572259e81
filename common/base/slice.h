/* slice: a borrowed view of octets, pointer and length; may contain NUL.
 *
 * A slice never owns what it points to and is not NUL-terminated. The empty
 * slice has n == 0 and any p, NULL included.
 */
#ifndef SLICE_H
#define SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct slice {
	const char *p;
	size_t n;
};

static inline struct slice
slice_of(const char *p, size_t n)
{
	return (struct slice){p, n};
}

static inline struct slice
slice_str(const char *s)
{
	return (struct slice){s, strlen(s)};
}

static inline bool
slice_eq(struct slice a, const char *s)
{
	size_t n = strlen(s);

	return a.n == n && (n == 0 || memcmp(a.p, s, n) == 0);
}

/* Equality without regard to ASCII case (keywords, host names). */
static inline bool
slice_eq_nocase(struct slice a, const char *s)
{
	size_t n = strlen(s);

	return a.n == n && (n == 0 || strncasecmp(a.p, s, n) == 0);
}

#endif
