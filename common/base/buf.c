#include "common/base/buf.h"

#include <stdio.h>

#include "common/base/log.h"
#include "common/base/mem.h"

enum { BUF_FIRST = 256, NUMBER_MAX = 20 };

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

static void
forget_secret(struct buf *b)
{
	if (b->has_secret)
		mem_wipe(b->data, b->cap);
	b->has_secret = false;
}

void
buf_fini(struct buf *b)
{
	forget_secret(b);
	mem_free(b->data);
	buf_init(b, b->max);
}

void
buf_fini_secret(struct buf *b)
{
	mem_wipe(b->data, b->cap);
	buf_fini(b);
}

void
buf_wipe(struct buf *b)
{
	mem_wipe(b->data, b->cap);
	buf_reset(b);
}

void
buf_reset(struct buf *b)
{
	forget_secret(b);
	b->off = b->len = 0;
	b->overflow = false;
}

static void
grow(struct buf *b, size_t cap)
{
	char *old = b->data;

	if (!b->has_secret) {
		b->data = mem_realloc(old, cap);
	} else {
		b->data = mem_alloc(cap);
		memcpy(b->data, old, b->len);
		mem_wipe(old, b->cap);
		mem_free(old);
	}
	b->cap = cap;
}

static bool
may_hold(const struct buf *b, size_t n)
{
	return n <= b->max && buf_len(b) <= b->max - n;
}

static bool
make_room_anew(struct buf *b, size_t n)
{
	size_t held = buf_len(b);
	size_t want, cap;

	if (!may_hold(b, n)) {
		b->overflow = true;
		return false;
	}
	/* Moving what is held is cheap once most of the storage was consumed;
	 * otherwise growing keeps the cost of appends linear. */
	if (b->off > 0 && b->off >= held) {
		memmove(b->data, b->data + b->off, held);
		b->off = 0;
		b->len = held;
		if (b->cap - b->len > n)
			return true;
	}
	want = b->len + n + 1;
	cap = b->cap ? b->cap : BUF_FIRST;
	while (cap < want)
		cap *= 2;
	grow(b, cap);
	return true;
}

/* Room for n more octets after len, plus one for buf_str()'s NUL. Most often
 * there is. */
static inline bool
make_room(struct buf *b, size_t n)
{
	return (b->cap - b->len > n && may_hold(b, n)) || make_room_anew(b, n);
}

const char *
buf_str(struct buf *b)
{
	if (b->data == NULL)
		return "";
	CHECK(b->len < b->cap);
	b->data[b->len] = '\0';
	return b->data + b->off;
}

bool
buf_add(struct buf *b, const void *p, size_t n)
{
	if (!make_room(b, n))
		return false;
	if (n > 0)
		memcpy(b->data + b->len, p, n);
	b->len += n;
	return true;
}

bool
buf_add_str(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

bool
buf_add_slice(struct buf *b, struct slice s)
{
	return buf_add(b, s.p, s.n);
}

bool
buf_add_secret(struct buf *b, struct slice s)
{
	bool is_added = buf_add(b, s.p, s.n);

	b->has_secret = b->has_secret || is_added;
	return is_added;
}

bool
buf_add_char(struct buf *b, char c)
{
	return buf_add(b, &c, 1);
}

bool
buf_add_number(struct buf *b, uint64_t number)
{
	char digits[NUMBER_MAX];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	return buf_add(b, digits + at, sizeof(digits) - at);
}

__attribute__((format(printf, 2, 0))) static bool
add_formatted(struct buf *b, const char *format, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	CHECK(n >= 0);
	if (!make_room(b, (size_t)n))
		return false;
	(void)vsnprintf(b->data + b->len, (size_t)n + 1, format, ap);
	b->len += (size_t)n;
	return true;
}

bool
buf_addf(struct buf *b, const char *format, ...)
{
	va_list ap;
	bool ok;

	va_start(ap, format);
	ok = add_formatted(b, format, ap);
	va_end(ap);
	return ok;
}

char *
buf_reserve(struct buf *b, size_t n)
{
	return make_room(b, n) ? b->data + b->len : NULL;
}

void
buf_commit(struct buf *b, size_t n)
{
	CHECK(b->cap - b->len > n);
	b->len += n;
}

void
buf_consume(struct buf *b, size_t n)
{
	CHECK(n <= buf_len(b));
	b->off += n;
	if (b->off == b->len) {
		forget_secret(b);
		b->off = b->len = 0;
	}
}
