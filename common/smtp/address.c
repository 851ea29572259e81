#include "common/smtp/address.h"

#include <string.h>

/* Characters that no dot-string may hold, besides blanks and controls: the
 * specials of RFC 5321 and RFC 5322 are the same ones. */
static const char specials[] = "<>()[]\\,;:@\"";

static bool
is_control(char c)
{
	unsigned char u = (unsigned char)c;

	return u < 0x20 || u == 0x7f;
}

bool
address_is_ascii(struct slice text)
{
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] >= 0x80)
			return false;
	return true;
}

/* Offset of the last "@", n when there is none. */
static size_t
at_sign(struct slice address)
{
	const char *at =
	    address.n > 0 ? memrchr(address.p, '@', address.n) : NULL;

	return at ? (size_t)(at - address.p) : address.n;
}

struct slice
address_domain(struct slice internal)
{
	size_t at = at_sign(internal);

	if (at == internal.n)
		return slice_of(internal.p, 0);
	return slice_of(internal.p + at + 1, internal.n - at - 1);
}

static bool
is_dot_string(struct slice local)
{
	if (local.n == 0 || local.p[0] == '.' || local.p[local.n - 1] == '.')
		return false;
	for (size_t i = 0; i < local.n; i++) {
		char c = local.p[i];

		if (c == ' ' || is_control(c) || strchr(specials, c) != NULL)
			return false;
		if (c == '.' && local.p[i + 1] == '.')
			return false;
	}
	return true;
}

/* Appends local as it is or as a quoted-string, then the rest. Both forms
 * allow a "\" before '"' and "\", and a log line needs no more. */
static bool
add_quoted(struct buf *out, struct slice local, struct slice rest)
{
	size_t mark = buf_len(out);
	bool overflow = out->overflow, ok;

	if (is_dot_string(local)) {
		ok = buf_add_slice(out, local);
	} else {
		ok = buf_add_char(out, '"');
		for (size_t i = 0; ok && i < local.n; i++) {
			char c = local.p[i];

			if (c == '"' || c == '\\')
				ok = buf_add_char(out, '\\');
			ok = ok && buf_add_char(out, c);
		}
		ok = ok && buf_add_char(out, '"');
	}
	if (ok && buf_add_slice(out, rest))
		return true;
	out->len = out->off + mark;
	out->overflow = overflow;
	return false;
}

bool
address_is_sendable(struct slice internal, bool allow_utf8)
{
	size_t at = at_sign(internal);

	if (!allow_utf8 && !address_is_ascii(internal))
		return false;
	for (size_t i = 0; i < internal.n; i++) {
		char c = internal.p[i];

		if (c == '\r' || c == '\n' || c == '\0')
			return false;
		/* The domain is not quoted: it must not end the path. */
		if (i > at &&
		    (is_control(c) || c == ' ' || c == '<' || c == '>'))
			return false;
	}
	return true;
}

bool
address_to_smtp(struct buf *out, struct slice internal, bool allow_utf8)
{
	size_t at = at_sign(internal);

	if (!address_is_sendable(internal, allow_utf8))
		return false;
	if (internal.n == 0)
		return true;
	return add_quoted(out, slice_of(internal.p, at),
	    slice_of(internal.p + at, internal.n - at));
}

bool
address_to_log(struct buf *out, struct slice internal)
{
	size_t start = 0, at = at_sign(internal);
	const char *colon = NULL;
	bool overflow = out->overflow;
	size_t mark = buf_len(out);

	if (internal.n == 0)
		return true;
	/* A source route, "@a,@b:user@c", is no part of the local part. */
	if (internal.p[0] == '@')
		colon = memchr(internal.p, ':', internal.n);
	if (colon != NULL)
		start = (size_t)(colon - internal.p) + 1;
	if (at < start)
		at = internal.n;
	if (buf_add(out, internal.p, start) &&
	    add_quoted(out, slice_of(internal.p + start, at - start),
		slice_of(internal.p + at, internal.n - at)))
		return true;
	out->len = out->off + mark;
	out->overflow = overflow;
	return false;
}
