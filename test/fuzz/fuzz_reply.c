/* Replies and EHLO: any octets, whole and in two portions, give the same
 * replies, and each is a valid value. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/smtp/ehlo.h"
#include "common/smtp/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is told of a stream of replies, for comparison. */
struct digest {
	uint64_t hash;
	size_t replies;
	bool is_bad;
};

static void
add(struct digest *d, const void *p, size_t n)
{
	const unsigned char *octet = p;

	for (size_t i = 0; i < n; i++)
		d->hash = (d->hash ^ octet[i]) * UINT64_C(1099511628211);
}

static void
take_reply(struct digest *d, const struct reply *r)
{
	struct slice text = buf_slice(&r->text);
	char line[300];
	struct ehlo ehlo;

	CHECK(r->code >= 0 && r->code <= 999);
	CHECK(dsn_status_is_valid(r->status));
	CHECK(text.n <= REPLY_TEXT_MAX);
	CHECK(!r->has_status || r->status[0] - '0' == r->code / 100);
	add(d, &r->code, sizeof r->code);
	add(d, r->status, strlen(r->status));
	add(d, text.p, text.n);
	d->replies++;
	reply_text(r, line, sizeof line);
	CHECK(strlen(line) < sizeof line && strchr(line, '\n') == NULL);
	ehlo_parse(r, (unsigned)text.n & 0xffff, &ehlo);
	CHECK(strlen(ehlo.auth_mechs) < sizeof ehlo.auth_mechs);
	CHECK(strlen(ehlo.domain) < sizeof ehlo.domain);
	CHECK(ehlo.size_offered || ehlo.size_limit == 0);
}

static void
feed(struct reply_parser *parser, struct digest *d, const char *p, size_t n)
{
	while (n > 0 && !d->is_bad) {
		size_t used;

		switch (reply_feed(parser, p, n, &used)) {
		case REPLY_MORE:
			CHECK(used == n);
			break;
		case REPLY_DONE:
			CHECK(used > 0 && !reply_is_partial(parser));
			take_reply(d, reply_get(parser));
			break;
		case REPLY_BAD:
			d->is_bad = true;
			break;
		}
		p += used;
		n -= used;
	}
}

static struct digest
parse(const char *p, size_t n, size_t portion)
{
	struct reply_parser parser;
	struct digest d = {.hash = UINT64_C(14695981039346656037)};

	reply_parser_init(&parser);
	for (size_t at = 0; at < n; at += portion)
		feed(&parser, &d, p + at, n - at < portion ? n - at : portion);
	reply_parser_fini(&parser);
	return d;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;
	struct digest whole = parse(p, size, size + 1);
	struct digest octets = parse(p, size, 1);
	struct digest parts = parse(p, size, 1 + size % 7);

	CHECK(whole.hash == octets.hash && whole.hash == parts.hash);
	CHECK(whole.replies == octets.replies);
	CHECK(whole.is_bad == octets.is_bad && whole.is_bad == parts.is_bad);
	return 0;
}
