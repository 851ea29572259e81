#include "common/postfix/attr.h"

#include <stdint.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"

/* Offsets, not pointers: the octets move while their buffer grows. */
struct attr_span {
	size_t name_at, name_len, value_at, value_len;
};

enum { SPANS_FIRST = 32 };

void
attr_reader_init(struct attr_reader *r, size_t max_bytes, size_t max_pairs)
{
	*r = (struct attr_reader){.max_pairs = max_pairs, .result = ATTR_MORE};
	buf_init(&r->octets, max_bytes);
}

void
attr_reader_fini(struct attr_reader *r)
{
	mem_free(r->spans);
	buf_fini(&r->octets);
	attr_reader_init(r, r->octets.max, r->max_pairs);
}

void
attr_reader_reset(struct attr_reader *r)
{
	buf_reset(&r->octets);
	r->count = r->field_at = r->name_at = 0;
	r->in_value = r->in_hash = false;
	r->result = ATTR_MORE;
}

void
attr_reader_wipe(struct attr_reader *r)
{
	buf_wipe(&r->octets);
	attr_reader_reset(r);
}

static bool
keep_pair(struct attr_reader *r, size_t value_len)
{
	struct attr_span *span;

	if (r->count >= r->max_pairs)
		return false;
	if (r->count == r->span_cap) {
		r->span_cap = r->span_cap ? r->span_cap * 2 : SPANS_FIRST;
		r->spans =
		    mem_realloc(r->spans, r->span_cap * sizeof(*r->spans));
	}
	span = &r->spans[r->count++];
	span->name_at = r->name_at;
	span->name_len = r->field_at - r->name_at - 1;
	span->value_at = r->field_at;
	span->value_len = value_len;
	return true;
}

static enum attr_result
end_name(struct attr_reader *r, struct slice name)
{
	if (name.n == 0)
		return r->in_hash ? ATTR_BAD : ATTR_LIST;
	if (slice_eq(name, r->in_hash ? "}" : "{")) {
		r->in_hash = !r->in_hash;
		return ATTR_MORE;
	}
	if (slice_eq(name, "{") || slice_eq(name, "}"))
		return ATTR_BAD;
	r->name_at = r->field_at;
	r->in_value = true;
	return ATTR_MORE;
}

/* The octets now end with the NUL of a name or of a value. */
static enum attr_result
end_field(struct attr_reader *r)
{
	struct slice all = buf_slice(&r->octets);
	struct slice field =
	    slice_of(all.p + r->field_at, all.n - r->field_at - 1);
	enum attr_result result = ATTR_MORE;

	if (!r->in_value) {
		result = end_name(r, field);
	} else {
		r->in_value = false;
		if (!r->in_hash && !keep_pair(r, field.n))
			result = ATTR_BAD;
	}
	r->field_at = all.n;
	return result;
}

enum attr_result
attr_reader_feed(
    struct attr_reader *r, const char *p, size_t n, size_t *used_out)
{
	size_t used = 0;

	*used_out = 0;
	if (r->result == ATTR_LIST && n > 0)
		attr_reader_reset(r);
	while (r->result == ATTR_MORE && used < n) {
		const char *nul = memchr(p + used, '\0', n - used);
		size_t piece = nul ? (size_t)(nul - p) + 1 - used : n - used;

		if (!buf_add(&r->octets, p + used, piece)) {
			r->result = ATTR_BAD;
			break;
		}
		used += piece;
		if (nul != NULL)
			r->result = end_field(r);
	}
	*used_out = used;
	return n > 0 || r->result == ATTR_BAD ? r->result : ATTR_MORE;
}

bool
attr_at(const struct attr_reader *r, size_t i, struct attr_pair *out)
{
	const char *base = buf_slice(&r->octets).p;
	const struct attr_span *span;

	if (i >= r->count)
		return false;
	span = &r->spans[i];
	out->name = slice_of(base + span->name_at, span->name_len);
	out->value = slice_of(base + span->value_at, span->value_len);
	return true;
}

bool
attr_find(
    const struct attr_reader *r, const char *name, struct slice *value_out)
{
	const char *base = buf_slice(&r->octets).p;
	size_t n = strlen(name);

	for (size_t i = 0; i < r->count; i++) {
		const struct attr_span *span = &r->spans[i];

		if (span->name_len == n &&
		    memcmp(base + span->name_at, name, n) == 0) {
			*value_out =
			    slice_of(base + span->value_at, span->value_len);
			return true;
		}
	}
	return false;
}

static bool
parse_unsigned(struct slice text, uint64_t max, uint64_t *out)
{
	uint64_t sum = 0;

	if (text.n == 0)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		uint64_t digit = (uint64_t)(unsigned char)text.p[i] - '0';

		if (digit > 9 || sum > (max - digit) / 10)
			return false;
		sum = sum * 10 + digit;
	}
	*out = sum;
	return true;
}

bool
attr_parse_int(struct slice value, int32_t *out)
{
	uint64_t wire;

	if (!parse_unsigned(value, UINT32_MAX, &wire))
		return false;
	*out = (int32_t)(uint32_t)wire;
	return true;
}

bool
attr_parse_long(struct slice value, int64_t *out)
{
	uint64_t wire;

	if (!parse_unsigned(value, UINT64_MAX, &wire))
		return false;
	*out = (int64_t)wire;
	return true;
}

bool
attr_get_int(const struct attr_reader *r, const char *name, int32_t *out)
{
	struct slice value;

	return attr_find(r, name, &value) && attr_parse_int(value, out);
}

bool
attr_get_long(const struct attr_reader *r, const char *name, int64_t *out)
{
	struct slice value;

	return attr_find(r, name, &value) && attr_parse_long(value, out);
}

/* 0..63, or -1 for what is no base64 digit (RFC 4648 section 4). */
static int
base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Four digits, the last `pad` of which are '=', into 3 - pad octets. */
static bool
base64_group(const char *p, size_t pad, struct buf *out)
{
	uint32_t bits = 0;
	char octets[3];

	for (size_t i = 0; i < 4; i++) {
		int digit = i < 4 - pad ? base64_digit(p[i]) : 0;

		if (digit < 0)
			return false;
		bits = bits << 6 | (uint32_t)digit;
	}
	for (size_t i = 0; i < 3; i++)
		octets[i] = (char)(unsigned char)(bits >> (16 - 8 * i));
	return buf_add(out, octets, 3 - pad);
}

bool
attr_get_data(const struct attr_reader *r, const char *name, struct buf *out)
{
	struct slice text;
	size_t pad = 0;

	if (!attr_find(r, name, &text) || text.n % 4 != 0)
		return false;
	while (pad < 2 && pad < text.n && text.p[text.n - 1 - pad] == '=')
		pad++;
	for (size_t at = 0; at < text.n; at += 4)
		if (!base64_group(text.p + at, at + 4 == text.n ? pad : 0, out))
			return false;
	return true;
}

static void
put_name(struct buf *out, const char *name)
{
	CHECK(*name != '\0');
	(void)buf_add(out, name, strlen(name) + 1);
}

void
attr_put_str(struct buf *out, const char *name, struct slice value)
{
	const char *nul = value.n ? memchr(value.p, '\0', value.n) : NULL;

	put_name(out, name);
	(void)buf_add(out, value.p, nul ? (size_t)(nul - value.p) : value.n);
	(void)buf_add_char(out, '\0');
}

void
attr_put_int(struct buf *out, const char *name, int32_t value)
{
	put_name(out, name);
	(void)buf_add_number(out, (uint32_t)value);
	(void)buf_add_char(out, '\0');
}

void
attr_put_long(struct buf *out, const char *name, int64_t value)
{
	put_name(out, name);
	(void)buf_add_number(out, (uint64_t)value);
	(void)buf_add_char(out, '\0');
}

void
attr_put_end(struct buf *out)
{
	(void)buf_add_char(out, '\0');
}
