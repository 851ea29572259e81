#include "common/base/words.h"
#include "common/postfix/queueid.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
	LONG_TIME_MIN = 10, /* sec and usec of a long id, at least */
	LONG_USEC = 4,
	SHORT_USEC = 5,
	SECOND_US = 1000000,
};

static bool
is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
	       (c >= 'a' && c <= 'z');
}

bool
queueid_is_valid(struct slice id)
{
	for (size_t i = 0; i < id.n; i++)
		if (!is_alnum(id.p[i]) && id.p[i] != '_')
			return false;
	return id.n > 0 && id.n <= QUEUEID_MAX;
}

bool
queueid_queue_name_is_valid(struct slice name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!is_alnum(name.p[i]))
			return false;
	return name.n > 0 && name.n <= QUEUEID_QUEUE_NAME_MAX;
}

/* Where the separator of a long id is; 0 when there is none. */
static size_t
long_separator(struct slice id)
{
	const char *z = id.n ? memrchr(id.p, 'z', id.n) : NULL;

	return z && z - id.p >= LONG_TIME_MIN ? (size_t)(z - id.p) : 0;
}

static const char long_digits[] =
    "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";
static const char hex_digits[] = "0123456789ABCDEF";

/* n digits as a number; false: one is none. */
static bool
read_digits(const char *p, size_t n, const char *digits, uint32_t *out)
{
	size_t base = strlen(digits);
	uint32_t value = 0;

	for (size_t i = 0; i < n; i++) {
		const char *digit = memchr(digits, p[i], base);

		if (digit == NULL)
			return false;
		value = value * (uint32_t)base + (uint32_t)(digit - digits);
	}
	*out = value;
	return true;
}

bool
queueid_usec(const char *id, uint32_t *usec)
{
	size_t length = strlen(id), z = long_separator(slice_str(id));
	bool is_read;

	if (z != 0)
		is_read = id[z + 1] != '\0' &&
			  strspn(id, long_digits) == length &&
			  read_digits(
			      id + z - LONG_USEC, LONG_USEC, long_digits, usec);
	else
		is_read = length > SHORT_USEC &&
			  strspn(id, hex_digits) == length &&
			  read_digits(id, SHORT_USEC, hex_digits, usec);
	return is_read && *usec < SECOND_US;
}

static bool
is_named(const char *list, const char *name)
{
	struct slice rest = slice_str(list), word;

	while (words_cut(&rest, WORDS_SEPARATORS, &word))
		if (slice_eq_nocase(word, name))
			return true;
	return false;
}

static void
put_directories(struct buf *out, const char *id, int depth)
{
	size_t z = long_separator(slice_str(id));
	uint32_t usec = 0; /* as Postfix, when they are no number */
	char hex[16];

	if (z != 0) {
		(void)read_digits(
		    id + z - LONG_USEC, LONG_USEC, long_digits, &usec);
		(void)snprintf(hex, sizeof(hex), "%05X", usec);
		id = hex;
	}
	for (; depth > 0; depth--) {
		(void)buf_add_char(out, *id ? *id++ : '_');
		(void)buf_add_char(out, '/');
	}
}

bool
queueid_path(struct buf *out, const char *queue_name, const char *id,
    const char *hash_queue_names, int hash_queue_depth)
{
	if (!queueid_queue_name_is_valid(slice_str(queue_name)) ||
	    !queueid_is_valid(slice_str(id)) || hash_queue_depth < 1 ||
	    hash_queue_depth > QUEUEID_DEPTH_MAX)
		return false;
	(void)buf_add_str(out, queue_name);
	(void)buf_add_char(out, '/');
	if (is_named(hash_queue_names, queue_name))
		put_directories(out, id, hash_queue_depth);
	(void)buf_add_str(out, id);
	return buf_ok(out);
}
