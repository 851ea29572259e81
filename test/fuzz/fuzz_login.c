/* What a server says before there is mail: its offers in the reply to EHLO, and
 * its challenges to a login. What is made of them is bounded, and each line
 * that would be sent is Base64 and nothing else.
 *
 * The first octet is the keywords that are discarded, and the login; the reply
 * to EHLO follows, then further replies: 334 with a challenge, or the end.
 */
#include <stdint.h>
#include <string.h>

#include "agent/smarthost/sasl.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/smtp/ehlo.h"
#include "common/smtp/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WHY_SIZE = 200, GO_ON = 334, MASKED = 16 };

static void
check_line(const struct buf *line)
{
	static const char base64[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	    "0123456789+/=";
	struct slice s = buf_slice(line);

	CHECK(buf_ok(line) && s.n <= SASL_LINE_MAX);
	for (size_t i = 0; i < s.n; i++)
		CHECK(s.p[i] != '\0' && strchr(base64, s.p[i]) != NULL);
}

static void
check_offers(const struct ehlo *e, unsigned mask)
{
	char chosen[EHLO_AUTH_SIZE];
	const char *error = NULL;

	CHECK(memchr(e->domain, '\0', sizeof(e->domain)) != NULL);
	CHECK(memchr(e->auth_mechs, '\0', sizeof(e->auth_mechs)) != NULL);
	CHECK(e->is_esmtp || (!e->auth && !e->starttls && !e->chunking));
	CHECK((mask & EHLO_DISCARD_AUTH) == 0 || !e->auth);
	for (const char *c = e->auth_mechs; *c != '\0'; c++)
		CHECK((unsigned char)*c > 0x1f && *c != 0x7f);
	CHECK(sasl_filter("!external, static:all", e->auth_mechs, chosen,
		  sizeof(chosen), &error) ||
	      error != NULL);
	CHECK(strlen(chosen) <= strlen(e->auth_mechs));
}

/* The next reply; false: there is none. */
static bool
next_reply(struct reply_parser *parser, const char **p, size_t *n)
{
	enum reply_result result = REPLY_MORE;
	size_t used;

	while (*n > 0 && result == REPLY_MORE) {
		result = reply_feed(parser, *p, *n, &used);
		CHECK(used <= *n);
		*p += used;
		*n -= used;
	}
	return result == REPLY_DONE;
}

static void
talk(struct sasl *sasl, struct reply_parser *parser, const char *p, size_t n)
{
	char why[WHY_SIZE], text[SASL_CHALLENGE_MAX * 2];
	bool goes_on = true;
	struct buf line;

	buf_init(&line, SASL_LINE_MAX);
	while (goes_on && next_reply(parser, &p, &n)) {
		const struct reply *reply = reply_get(parser);

		reply_text(reply, text, sizeof(text));
		if (reply->code != GO_ON || strlen(text) < 4)
			break;
		buf_wipe(&line);
		goes_on = sasl_next(
		    sasl, slice_str(text + 4), &line, why, sizeof(why));
		if (goes_on)
			check_line(&line);
		(void)sasl_is_done(sasl);
	}
	CHECK(strpbrk(sasl_refusal(sasl), "\r\n\033") == NULL);
	buf_fini_secret(&line);
}

static void
log_in(const struct ehlo *e, unsigned how, struct reply_parser *parser,
    const char *p, size_t n)
{
	struct sasl_login login = {.host = "smtp.example",
	    .user = "user",
	    .password = "secret",
	    .options = (how & 1) != 0 ? "noanonymous" : "",
	    .has_authzid = (how & 2) != 0,
	    .token = (how & 4) != 0 ? "token" : NULL,
	    .port = 587};
	char why[WHY_SIZE] = "";
	struct sasl *sasl = sasl_new(&login, why, sizeof(why));
	const char *mechanism;
	bool has_initial;
	struct buf line;

	if (sasl == NULL)
		return;
	buf_init(&line, SASL_LINE_MAX);
	if (sasl_start(sasl, e->auth_mechs, &mechanism, &line, &has_initial,
		why, sizeof(why))) {
		CHECK(mechanism != NULL && strpbrk(mechanism, " \r\n") == NULL);
		check_line(&line);
		talk(sasl, parser, p, n);
	}
	buf_fini_secret(&line);
	sasl_free(&sasl);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool is_open;
	const char *p = (const char *)data + 1, *why;
	struct reply_parser parser;
	struct ehlo ehlo;
	unsigned mask;
	size_t n;

	if (!is_open)
		CHECK(sasl_open(&why));
	is_open = true;
	if (size < 2)
		return 0;
	n = size - 1;
	mask = data[0] % MASKED == 0 ? EHLO_DISCARD_AUTH : 0;
	reply_parser_init(&parser);
	if (next_reply(&parser, &p, &n)) {
		ehlo_parse(reply_get(&parser), mask, &ehlo);
		check_offers(&ehlo, mask);
		if (ehlo.auth)
			log_in(&ehlo, data[0] / MASKED, &parser, p, n);
	}
	reply_parser_fini(&parser);
	return 0;
}
