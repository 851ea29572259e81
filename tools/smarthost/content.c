#include "tools/smarthost/content.h"

#include <string.h>

#include "common/base/log.h"

enum { BODY_MAX = 256 << 20 };

void
content_init(struct content *c)
{
	*c = (struct content){0};
	buf_init(&c->header, CONTENT_HEADER_MAX);
	buf_init(&c->body, BODY_MAX);
}

void
content_fini(struct content *c)
{
	EVP_MD_CTX_free(c->md);
	c->md = NULL;
	buf_fini(&c->header);
	buf_fini(&c->body);
}

void
content_start(struct content *c, bool is_kept)
{
	int ok;

	buf_reset(&c->header);
	buf_reset(&c->body);
	c->octets = 0;
	c->line_len = 0;
	c->prev_cr = c->has_8bit = c->has_bare = c->has_long = false;
	c->has_no_end = false;
	c->in_header = true;
	c->is_kept = is_kept;
	/* Naming the algorithm again would look it up again, which costs more
	 * than digesting a small message. */
	if (c->md == NULL) {
		c->md = EVP_MD_CTX_new();
		CHECK(c->md != NULL);
		ok = EVP_DigestInit_ex2(c->md, EVP_sha256(), NULL);
	} else {
		ok = EVP_DigestInit_ex2(c->md, NULL, NULL);
	}
	CHECK(ok == 1);
}

static bool
has_high_bit(const char *p, size_t n)
{
	uint64_t all = 0, word;

	for (; n >= sizeof(word); n -= sizeof(word), p += sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		all |= word;
	}
	for (; n > 0; n--, p++)
		all |= (unsigned char)*p;
	return (all & 0x8080808080808080U) != 0;
}

static void
check_lines(struct content *c, const char *p, size_t n)
{
	while (n > 0) {
		const char *nl = memchr(p, '\n', n);
		size_t seg = nl ? (size_t)(nl - p) : n;
		bool ends_cr = seg > 0 ? p[seg - 1] == '\r' : c->prev_cr;
		size_t inner = seg > 0 && ends_cr ? seg - 1 : seg;

		if (c->prev_cr && (seg > 0 || nl == NULL))
			c->has_bare = true;
		if (memchr(p, '\r', inner) != NULL || (nl && !ends_cr))
			c->has_bare = true;
		c->line_len += seg;
		if (c->line_len > CONTENT_LINE_MAX + (ends_cr ? 1 : 0))
			c->has_long = true;
		c->prev_cr = nl == NULL && ends_cr;
		if (nl == NULL)
			return;
		c->line_len = 0;
		p += seg + 1;
		n -= seg + 1;
	}
}

static void
keep_header(struct content *c, const char *p, size_t n)
{
	size_t room = CONTENT_HEADER_MAX - buf_len(&c->header);
	size_t from = buf_len(&c->header), take = n < room ? n : room;
	struct slice all;

	buf_add(&c->header, p, take);
	all = buf_slice(&c->header);
	from = from < 3 ? 0 : from - 3;
	if (take == room ||
	    memmem(all.p + from, all.n - from, "\r\n\r\n", 4) != NULL)
		c->in_header = false;
}

void
content_add(struct content *c, const char *p, size_t n)
{
	if (n == 0)
		return;
	c->octets += n;
	CHECK(EVP_DigestUpdate(c->md, p, n) == 1);
	if (!c->has_8bit)
		c->has_8bit = has_high_bit(p, n);
	check_lines(c, p, n);
	if (c->in_header)
		keep_header(c, p, n);
	if (c->is_kept)
		buf_add(&c->body, p, n);
}

void
content_end(struct content *c, char hex_out[2 * CONTENT_DIGEST + 1])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char md[CONTENT_DIGEST];

	CHECK(EVP_DigestFinal_ex(c->md, md, NULL) == 1);
	for (size_t i = 0; i < CONTENT_DIGEST; i++) {
		hex_out[2 * i] = digits[md[i] >> 4];
		hex_out[2 * i + 1] = digits[md[i] & 15];
	}
	hex_out[2 * CONTENT_DIGEST] = '\0';
	c->has_bare = c->has_bare || c->prev_cr;
	c->has_no_end = c->line_len > 0;
}

struct slice
content_header(const struct content *c, const char *name)
{
	struct slice all = buf_slice(&c->header), value;
	size_t name_len = strlen(name);

	while (all.n > 0 && all.p[0] != '\r') {
		const char *nl = memchr(all.p, '\n', all.n);
		size_t len = nl ? (size_t)(nl - all.p) + 1 : all.n;

		if (len > name_len && all.p[name_len] == ':' &&
		    strncasecmp(all.p, name, name_len) == 0) {
			value =
			    slice_of(all.p + name_len + 1, len - name_len - 1);
			while (value.n > 0 && strchr(" \t", value.p[0]))
				value = slice_of(value.p + 1, value.n - 1);
			while (value.n > 0 &&
			       strchr(" \t\r\n", value.p[value.n - 1]))
				value.n--;
			return value;
		}
		all = slice_of(all.p + len, all.n - len);
	}
	return slice_of("", 0);
}

void
dot_start(struct dot *d)
{
	*d = (struct dot){.state = DOT_LINE_START};
}

/* Uses octets to the end of a run of lines that need no change: up to a dot
 * at the start of a line, or to the end of the octets. */
static size_t
plain_run(struct dot *d, const char *p, size_t n)
{
	size_t i = 0;

	while (i < n) {
		const char *nl = memchr(p + i, '\n', n - i);
		size_t end;
		bool crlf;

		if (nl == NULL) {
			d->prev_cr = p[n - 1] == '\r';
			return n;
		}
		end = (size_t)(nl - p);
		crlf = end > i ? p[end - 1] == '\r' : d->prev_cr;
		d->prev_cr = false;
		i = end + 1;
		if (crlf && i == n)
			d->state = DOT_LINE_START;
		if (crlf && i < n && p[i] == '.') {
			d->state = DOT_LINE_START;
			return i;
		}
	}
	return n;
}

size_t
dot_feed(
    struct dot *d, struct content *c, const char *p, size_t n, bool *is_end_out)
{
	size_t i = 0, run;

	*is_end_out = false;
	while (i < n) {
		switch (d->state) {
		case DOT_LINE_START:
			d->state = p[i] == '.' ? DOT_DOT : DOT_INSIDE;
			if (d->state == DOT_DOT)
				i++;
			break;
		case DOT_DOT:
			if (p[i] == '\r') {
				d->state = DOT_DOT_CR;
				i++;
				break;
			}
			if (p[i] != '.')
				d->has_unstuffed = true;
			d->state = DOT_INSIDE;
			break;
		case DOT_DOT_CR:
			if (p[i] == '\n') {
				*is_end_out = true;
				return i + 1;
			}
			d->has_unstuffed = true;
			content_add(c, "\r", 1);
			d->prev_cr = true;
			d->state = DOT_INSIDE;
			break;
		case DOT_INSIDE:
			run = plain_run(d, p + i, n - i);
			content_add(c, p + i, run);
			i += run;
			break;
		}
	}
	return i;
}
