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

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
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

bool
xtext_decode(struct buf *out, struct slice encoded)
{
	size_t mark = buf_len(out);
	bool overflow = out->overflow;

	for (size_t i = 0; i < encoded.n; i++) {
		char c = encoded.p[i];

		if (c == '+') {
			int high, low;

			if (encoded.n - i < 3)
				return undo(out, mark, overflow);
			high = hex_digit(encoded.p[i + 1]);
			low = hex_digit(encoded.p[i + 2]);
			if (high < 0 || low < 0)
				return undo(out, mark, overflow);
			c = (char)(high * 16 + low);
			i += 2;
		} else if (!is_plain(c)) {
			return undo(out, mark, overflow);
		}
		if (!buf_add_char(out, c))
			return undo(out, mark, overflow);
	}
	return true;
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

static bool
add_code_point(struct buf *out, uint32_t c)
{
	char p[4];
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};

	if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return false;
	for (size_t i = n - 1; i > 0; i--) {
		p[i] = (char)(0x80 | (c & 0x3f));
		c >>= 6;
	}
	p[0] = (char)(lead[n] | c);
	return buf_add(out, p, n);
}

/* "\x{HEX}" at p: its length, 0 when malformed. At most six digits. */
static size_t
escaped_code_point(const char *p, size_t n, uint32_t *value_out)
{
	uint32_t value = 0;
	size_t i = 3;

	if (n < 5 || p[1] != 'x' || p[2] != '{')
		return 0;
	for (; i < n && i < 9 && hex_digit(p[i]) >= 0; i++)
		value = value << 4 | (uint32_t)hex_digit(p[i]);
	if (i == 3 || i == n || p[i] != '}')
		return 0;
	*value_out = value;
	return i + 1;
}

bool
unitext_decode(struct buf *out, struct slice encoded)
{
	size_t mark = buf_len(out);
	bool overflow = out->overflow;

	for (size_t i = 0; i < encoded.n;) {
		const char *p = encoded.p + i;
		size_t len = 1;
		uint32_t value = 0;
		bool ok;

		if (*p == '\\')
			len = escaped_code_point(p, encoded.n - i, &value);
		else if ((unsigned char)*p >= 0x80)
			len = utf8_length(p, encoded.n - i);
		else if (!is_plain(*p))
			len = 0;
		if (len == 0)
			return undo(out, mark, overflow);
		if (*p == '\\')
			ok = add_code_point(out, value);
		else
			ok = buf_add(out, p, len);
		if (!ok)
			return undo(out, mark, overflow);
		i += len;
	}
	return true;
}
