#include "common/smtp/xtext.h"

#include <stdint.h>

#include "common/base/utf8.h"

/* Takes back what was appended since the content was n octets long. */
static bool
undo(struct buf *out, size_t n, bool overflow)
{
	out->len = out->off + n;
	out->overflow = overflow;
	return false;
}

/* Stands for itself in either encoding, but for the escape character. */
static bool
is_plain(char c)
{
	return c > ' ' && c < 0x7f && c != '+' && c != '=';
}

static bool
encode(struct buf *out, struct slice raw, bool keeps_equals)
{
	size_t mark = buf_len(out);
	bool overflow = out->overflow;

	for (size_t i = 0; i < raw.n; i++) {
		char c = raw.p[i];
		bool keeps = is_plain(c) || (keeps_equals && c == '=');
		bool ok =
		    keeps ? buf_add_char(out, c)
			  : buf_addf(out, "+%02X", (unsigned)(unsigned char)c);

		if (!ok)
			return undo(out, mark, overflow);
	}
	return true;
}

bool
xtext_encode(struct buf *out, struct slice raw)
{
	return encode(out, raw, false);
}

bool
xtext_encode_value(struct buf *out, struct slice raw)
{
	return encode(out, raw, true);
}

/* The character at p, a well-formed sequence of n octets. */
static uint32_t
code_point(const char *p, size_t n)
{
	static const unsigned char mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	uint32_t value = (unsigned char)p[0] & mask[n];

	for (size_t i = 1; i < n; i++)
		value = value << 6 | ((unsigned char)p[i] & 0x3f);
	return value;
}

bool
unitext_encode(struct buf *out, struct slice raw)
{
	size_t mark = buf_len(out);
	bool overflow = out->overflow;

	for (size_t i = 0; i < raw.n;) {
		const char *p = raw.p + i;
		size_t len = 1;
		bool ok;

		if ((unsigned char)*p >= 0x80)
			len = utf8_length(p, raw.n - i);
		if (len == 0)
			return undo(out, mark, overflow);
		if (len == 1 && is_plain(*p) && *p != '\\')
			ok = buf_add_char(out, *p);
		else
			ok = buf_addf(
			    out, "\\x{%02X}", (unsigned)code_point(p, len));
		if (!ok)
			return undo(out, mark, overflow);
		i += len;
	}
	return true;
}
