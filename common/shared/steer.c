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
parse_order(struct slice line, struct steer_order *o)
{
	struct slice word;
	char text[256];

	memset(o, 0, sizeof(*o));
	return words_next(&line, &word) &&
	       take(o->lane, sizeof(o->lane), word) &&
	       words_next(&line, &word) && find_verb(word, &o->verb) &&
	       words_next(&line, &word) &&
	       take(o->value, sizeof(o->value), word) &&
	       steer_check(o->verb, o->value, text, sizeof(text)) == NULL &&
	       words_next(&line, &word) && take_number(word, &o->until_s) &&
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

void
steer_print(const struct steer *s, struct buf *out)
{
	(void)buf_addf(out, KIND " 1 %llu\n", (unsigned long long)s->serial);
	for (size_t i = 0; i < s->count; i++) {
		const struct steer_order *o = &s->orders[i];

		(void)buf_addf(out, "%s %s %s %lld %lld %s\n", o->lane,
		    names[o->verb], o->value[0] != '\0' ? o->value : "-",
		    (long long)o->until_s, (long long)o->at_s,
		    o->who[0] != '\0' ? o->who : "-");
	}
}

size_t
steer_clear(struct steer *s, const char *lane, enum steer_verb verb)
{
	size_t kept = 0, before = s->count;

	for (size_t i = 0; i < s->count; i++) {
		const struct steer_order *o = &s->orders[i];

		if (!is_same_kind(o->verb, verb) || strcmp(o->lane, lane) != 0)
			s->orders[kept++] = *o;
	}
	s->count = kept;
	return before - kept;
}

bool
steer_set(struct steer *s, const struct steer_order *order)
{
	(void)steer_clear(s, order->lane, order->verb);
	if (s->count == STEER_ORDERS_MAX)
		return false;
	s->orders[s->count++] = *order;
	return true;
}

static bool
is_over(const struct steer_order *o, int64_t now_s)
{
	return o->until_s != 0 && o->until_s <= now_s;
}

void
steer_expire(struct steer *s, int64_t now_s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->count; i++)
		if (!is_over(&s->orders[i], now_s))
			s->orders[kept++] = s->orders[i];
	s->count = kept;
}

const struct steer_order *
steer_find(const struct steer *s, const char *lane, enum steer_verb verb,
    int64_t now_s)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct steer_order *o = &s->orders[i];

		if (is_same_kind(o->verb, verb) && !is_over(o, now_s) &&
		    strcmp(o->lane, lane) == 0)
			return o;
	}
	return NULL;
}
