#include "common/shared/steer.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/words.h"
#include "common/limits/rate.h"

#define KIND "postlane-steer"

enum { NUMBER_DIGITS = 12 };

static const char *const names[STEER_VERBS] = {
    [STEER_PAUSE] = "pause",
    [STEER_DRAIN] = "drain",
    [STEER_RATE] = "rate",
    [STEER_CONNECTIONS] = "connections",
};

const char *
steer_verb_name(enum steer_verb verb)
{
	return names[verb];
}

static bool
find_verb(struct slice word, enum steer_verb *out)
{
	for (int i = 0; i < STEER_VERBS; i++)
		if (slice_eq(word, names[i])) {
			*out = (enum steer_verb)i;
			return true;
		}
	return false;
}

static bool
is_same_kind(enum steer_verb a, enum steer_verb b)
{
	return (a <= STEER_DRAIN) == (b <= STEER_DRAIN) &&
	       (a <= STEER_DRAIN || a == b);
}

static bool
is_of(const struct steer_order *o, const char *lane, enum steer_verb verb,
    const char *domain)
{
	return is_same_kind(o->verb, verb) && strcmp(o->lane, lane) == 0 &&
	       strcmp(o->domain, domain) == 0;
}

/* A word of a line that is read back as it was. */
static bool
is_word(const char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0; i < n; i++)
		if (!isgraph((unsigned char)text[i]))
			return false;
	return n > 0;
}

bool
steer_domain(const char *text, char out[STEER_DOMAIN_SIZE])
{
	size_t n = strlen(text);

	if (n == 0 || n >= STEER_DOMAIN_SIZE || strcmp(text, ".") == 0)
		return false;
	for (size_t i = 0; i <= n; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c != '\0' && (!isgraph(c) || strchr("@:/=,", c) != NULL))
			return false;
		out[i] = (char)tolower(c);
	}
	/* Such as "-", which is no domain of an order. */
	return isalnum((unsigned char)out[0]) ||
	       (out[0] == '.' && isalnum((unsigned char)out[1])) ||
	       out[0] == '[' || out[0] == '_';
}

const char *
steer_check(enum steer_verb verb, const char *value, char *text, size_t n)
{
	struct rate rates[RATE_LIST_MAX];
	size_t count;
	char *end;
	long limit;

	switch (verb) {
	case STEER_PAUSE:
	case STEER_DRAIN:
	case STEER_VERBS:
		return NULL;
	case STEER_RATE:
		if (!is_word(value)) {
			(void)snprintf(
			    text, n, "must be one word, such as 5/1s or none");
			return text;
		}
		return rate_list_parse(slice_str(value), rates, RATE_LIST_MAX,
			   &count, text, n)
			   ? NULL
			   : text;
	case STEER_CONNECTIONS:
		limit = strtol(value, &end, 10);
		if (isdigit((unsigned char)value[0]) && *end == '\0' &&
		    limit >= 1 && limit <= STEER_CONNECTIONS_MAX)
			return NULL;
		(void)snprintf(
		    text, n, "must be 1 to %d", STEER_CONNECTIONS_MAX);
		return text;
	}
	return NULL;
}

static bool
take(char *to, size_t size, struct slice word)
{
	if (word.n >= size)
		return false;
	memcpy(to, word.p, word.n);
	to[word.n] = '\0';
	/* It is shown on terminals and as JSON. */
	log_safe(to, word.n);
	return true;
}

/* Microseconds of it fit in 64 bits, too. */
static bool
take_number(struct slice word, int64_t *out)
{
	*out = 0;
	for (size_t i = 0; i < word.n; i++) {
		if (!isdigit((unsigned char)word.p[i]) || i == NUMBER_DIGITS)
			return false;
		*out = *out * 10 + (word.p[i] - '0');
	}
	return word.n > 0;
}

static bool
take_boot(struct slice word, uint64_t *out)
{
	char text[17], *end;

	if (word.n == 0 || word.n >= sizeof(text) ||
	    !isxdigit((unsigned char)word.p[0]))
		return false;
	memcpy(text, word.p, word.n);
	text[word.n] = '\0';
	*out = strtoull(text, &end, 16);
	return *end == '\0' && *out != 0;
}

/* S or S@BOOT.MS */
static bool
take_until(struct slice word, struct steer_order *o)
{
	const char *at = memchr(word.p, '@', word.n), *dot;
	size_t n = at != NULL ? (size_t)(at - word.p) : word.n;
	struct slice rest = slice_of(word.p + n, word.n - n);

	if (!take_number(slice_of(word.p, n), &o->until_s))
		return false;
	if (at == NULL)
		return true;
	dot = memchr(rest.p, '.', rest.n);
	if (dot == NULL || o->until_s == 0)
		return false;
	n = (size_t)(dot + 1 - rest.p);
	return take_boot(slice_of(rest.p + 1, n - 2), &o->boot) &&
	       take_number(slice_of(rest.p + n, rest.n - n), &o->until_ms);
}

/* What stands behind the verb: a domain for a pause, or the value. */
static bool
take_value(struct slice word, struct steer_order *o)
{
	char domain[STEER_DOMAIN_SIZE], text[256];

	if (o->verb != STEER_PAUSE || slice_eq(word, "-"))
		return take(o->value, sizeof(o->value), word) &&
		       steer_check(o->verb, o->value, text, sizeof(text)) ==
			   NULL;
	return take(domain, sizeof(domain), word) &&
	       steer_domain(domain, o->domain);
}

static bool
parse_order(struct slice line, struct steer_order *o)
{
	struct slice word;

	memset(o, 0, sizeof(*o));
	return words_next(&line, &word) &&
	       take(o->lane, sizeof(o->lane), word) &&
	       words_next(&line, &word) && find_verb(word, &o->verb) &&
	       words_next(&line, &word) && take_value(word, o) &&
	       words_next(&line, &word) && take_until(word, o) &&
	       words_next(&line, &word) && take_number(word, &o->at_s) &&
	       take(o->who, sizeof(o->who), words_trim(line));
}

static bool
parse_head(struct slice line, struct steer *out)
{
	struct slice word;
	int64_t version, serial;

	if (!words_next(&line, &word) || !slice_eq(word, KIND) ||
	    !words_next(&line, &word) || !take_number(word, &version) ||
	    version != 1 || !words_next(&line, &word) ||
	    !take_number(word, &serial))
		return false;
	out->serial = (uint64_t)serial;
	return true;
}

bool
steer_parse(struct slice text, struct steer *out, char *error, size_t n)
{
	struct lines lines = lines_of(text);
	struct slice line;
	bool is_good;

	memset(out, 0, sizeof(*out));
	is_good = lines_next(&lines, &line) && parse_head(line, out);
	while (is_good && lines_next(&lines, &line)) {
		is_good = out->count < STEER_ORDERS_MAX &&
			  parse_order(line, &out->orders[out->count]);
		out->count += is_good;
	}
	if (is_good)
		return true;
	(void)snprintf(error, n, "line %d is not understood", lines.number);
	memset(out, 0, sizeof(*out));
	return false;
}

static const char *
value_of(const struct steer_order *o)
{
	if (o->domain[0] != '\0')
		return o->domain;
	return o->value[0] != '\0' ? o->value : "-";
}

void
steer_print(const struct steer *s, struct buf *out)
{
	(void)buf_addf(out, KIND " 1 %llu\n", (unsigned long long)s->serial);
	for (size_t i = 0; i < s->count; i++) {
		const struct steer_order *o = &s->orders[i];

		(void)buf_addf(out, "%s %s %s %lld", o->lane, names[o->verb],
		    value_of(o), (long long)o->until_s);
		if (o->boot != 0)
			(void)buf_addf(out, "@%llx.%lld",
			    (unsigned long long)o->boot,
			    (long long)o->until_ms);
		(void)buf_addf(out, " %lld %s\n", (long long)o->at_s,
		    o->who[0] != '\0' ? o->who : "-");
	}
}

size_t
steer_clear(
    struct steer *s, const char *lane, enum steer_verb verb, const char *domain)
{
	size_t kept = 0, before = s->count;

	for (size_t i = 0; i < s->count; i++)
		if (!is_of(&s->orders[i], lane, verb, domain))
			s->orders[kept++] = s->orders[i];
	s->count = kept;
	return before - kept;
}

bool
steer_set(struct steer *s, const struct steer_order *order)
{
	(void)steer_clear(s, order->lane, order->verb, order->domain);
	if (s->count == STEER_ORDERS_MAX)
		return false;
	s->orders[s->count++] = *order;
	return true;
}

/* ---- their ends -----------------------------------------------------------
 */

void
steer_order_ends(struct steer_order *o, int64_t for_s, struct steer_now now)
{
	o->until_s = for_s > 0 ? now.wall_s + for_s : 0;
	o->boot = for_s > 0 ? now.boot : 0;
	o->until_ms = o->boot != 0 ? now.mono_ms + for_s * 1000 : 0;
}

int64_t
steer_left_ms(const struct steer_order *o, struct steer_now now)
{
	int64_t left_ms = (o->until_s - now.wall_s) * 1000;

	if (o->until_s == 0)
		return INT64_MAX;
	if (o->boot != 0 && o->boot == now.boot)
		left_ms = o->until_ms - now.mono_ms;
	return left_ms > 0 ? left_ms : 0;
}

int64_t
steer_until_s(const struct steer_order *o, struct steer_now now)
{
	int64_t left_ms = steer_left_ms(o, now);
	int64_t until_s;

	if (left_ms == INT64_MAX)
		return 0;
	until_s = now.wall_s + (left_ms + 999) / 1000;
	/* No step of the clock: the moment of which everybody was told. */
	return until_s >= o->until_s - 1 && until_s <= o->until_s + 1
		   ? o->until_s
		   : until_s;
}

void
steer_expire(struct steer *s, struct steer_now now)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->count; i++)
		if (steer_left_ms(&s->orders[i], now) > 0)
			s->orders[kept++] = s->orders[i];
	s->count = kept;
}

const struct steer_order *
steer_find(const struct steer *s, const char *lane, enum steer_verb verb,
    struct steer_now now)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct steer_order *o = &s->orders[i];

		if (is_of(o, lane, verb, "") && steer_left_ms(o, now) > 0)
			return o;
	}
	return NULL;
}
