#include "common/postfix/record.h"

#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	LENGTH_GROUPS_MAX = 4,
	HEAD_MAX = 1 + LENGTH_GROUPS_MAX, /* type and length */
};

/* Type and length, before the data is looked at. */
struct head {
	char type;
	size_t len; /* of the data */
	size_t size; /* of type and length themselves */
};

void
record_reader_init(
    struct record_reader *r, struct record_source source, int64_t off)
{
	*r = (struct record_reader){.source = source, .off = off};
	buf_init(&r->large, RECORD_DATA_MAX);
	if (off < 0 || source.size < 0 || off > source.size)
		r->result = RECORD_CORRUPT;
}

void
record_reader_release(struct record_reader *r)
{
	mem_free(r->window);
	r->window = NULL;
	r->window_len = 0;
	buf_fini(&r->large);
}

void
record_reader_fini(struct record_reader *r)
{
	record_reader_release(r);
}

/* Reads exactly n octets; the caller saw to it that they are in the file, so
 * an early end means that the file shrank. */
static enum record_result
read_all(struct record_reader *r, char *p, size_t n, int64_t off)
{
	while (n > 0) {
		ssize_t got = r->source.read_at(r->source.ctx, p, n, off);

		if (got < 0)
			return RECORD_IO_ERROR;
		if (got == 0 || (size_t)got > n)
			return RECORD_CORRUPT;
		p += got;
		n -= (size_t)got;
		off += got;
	}
	return RECORD_OK;
}

/* The octets at off that are in the window, as many as there are. */
static struct slice
window_at(const struct record_reader *r, int64_t off)
{
	int64_t skip = off - r->window_off;

	if (skip < 0 || skip >= (int64_t)r->window_len)
		return slice_of("", 0);
	return slice_of(r->window + skip, r->window_len - (size_t)skip);
}

/* Makes octets at off available: n <= RECORD_WINDOW of them, or what the file
 * still has. */
static enum record_result
fill_window(struct record_reader *r, int64_t off, size_t n, struct slice *out)
{
	int64_t left = r->source.size - off;
	size_t want = RECORD_WINDOW;
	enum record_result result;

	if (left < (int64_t)n)
		n = (size_t)left;
	*out = window_at(r, off);
	if (out->n >= n)
		return RECORD_OK;
	if (r->window == NULL)
		r->window = mem_alloc(RECORD_WINDOW);
	if (left < (int64_t)want)
		want = (size_t)left;
	r->window_len = 0;
	result = read_all(r, r->window, want, off);
	if (result != RECORD_OK)
		return result;
	r->window_off = off;
	r->window_len = want;
	*out = window_at(r, off);
	return RECORD_OK;
}

static enum record_result
parse_head(struct slice s, struct head *out)
{
	size_t len = 0;

	for (size_t i = 0; i < LENGTH_GROUPS_MAX && i + 1 < s.n; i++) {
		unsigned char group = (unsigned char)s.p[i + 1];

		len |= (size_t)(group & 0x7f) << (7 * i);
		if ((group & 0x80) == 0) {
			*out = (struct head){s.p[0], len, i + 2};
			return len > RECORD_DATA_MAX ? RECORD_CORRUPT
						     : RECORD_OK;
		}
	}
	return RECORD_CORRUPT;
}

static enum record_result
read_large(struct record_reader *r, int64_t off, size_t n, struct slice *out)
{
	enum record_result result;
	char *p;

	buf_reset(&r->large);
	p = buf_reserve(&r->large, n);
	CHECK(p != NULL); /* n <= RECORD_DATA_MAX */
	result = read_all(r, p, n, off);
	if (result == RECORD_OK)
		buf_commit(&r->large, n);
	*out = buf_slice(&r->large);
	return result;
}

/* The record at r->off, whatever its type. */
static enum record_result
read_raw(struct record_reader *r, struct record *out)
{
	enum record_result result;
	struct slice s;
	struct head head;
	int64_t data_off;

	if (r->large.data != NULL)
		buf_fini(&r->large);
	result = fill_window(r, r->off, HEAD_MAX, &s);
	if (result == RECORD_OK)
		result = parse_head(s, &head);
	if (result != RECORD_OK)
		return result;
	data_off = r->off + (int64_t)head.size;
	if ((int64_t)head.len > r->source.size - data_off)
		return RECORD_CORRUPT;
	*out = (struct record){.type = head.type, .off = r->off};
	if (head.len > RECORD_WINDOW)
		result = read_large(r, data_off, head.len, &s);
	else
		result = fill_window(r, data_off, head.len, &s);
	if (result != RECORD_OK)
		return result;
	out->data = slice_of(s.p, head.len);
	r->off = data_off + (int64_t)head.len;
	r->walked += (int64_t)(head.size + head.len);
	return r->walked > r->source.size ? RECORD_CORRUPT : RECORD_OK;
}

/* Blanks, then a decimal offset that lies in the file. */
static bool
parse_pointer(const struct record_reader *r, struct slice data, int64_t *out)
{
	int64_t sum = 0;
	size_t i = 0;

	while (i < data.n && data.p[i] == ' ')
		i++;
	if (i == data.n)
		return false;
	for (; i < data.n; i++) {
		if (data.p[i] < '0' || data.p[i] > '9')
			return false;
		if (sum > r->source.size / 10)
			return false;
		sum = sum * 10 + (data.p[i] - '0');
	}
	*out = sum;
	return sum < r->source.size;
}

static enum record_result
follow(struct record_reader *r, struct slice data)
{
	int64_t to;

	if (!parse_pointer(r, data, &to))
		return RECORD_CORRUPT;
	if (to == 0)
		return RECORD_OK;
	/* Compared with the target of the jump before, not with where we are:
	 * that is what Postfix counts. */
	if (to <= r->jump_to && ++r->backward_count > RECORD_BACKWARD_MAX)
		return RECORD_CORRUPT;
	r->jump_to = to;
	r->off = to;
	return RECORD_OK;
}

enum record_result
record_reader_next(struct record_reader *r, struct record *out)
{
	int64_t walked = r->walked;

	while (r->result == RECORD_OK) {
		if (r->is_ended || r->off == r->source.size) {
			r->result = RECORD_EOF;
			break;
		}
		r->result = read_raw(r, out);
		if (r->result != RECORD_OK)
			break;
		if (out->type == RECORD_TYPE_PTR) {
			r->result = follow(r, out->data);
			walked = r->walked;
			continue;
		}
		if (out->type == RECORD_TYPE_DTXT) {
			walked = r->walked;
			continue;
		}
		r->is_ended = out->type == RECORD_TYPE_END;
		r->last_off = out->off;
		r->last_walked = walked;
		return RECORD_OK;
	}
	return r->result;
}

void
record_reader_again(struct record_reader *r)
{
	CHECK(r->result == RECORD_OK);
	r->off = r->last_off;
	r->walked = r->last_walked;
	r->is_ended = false;
}
