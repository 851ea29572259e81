#include "common/base/words.h"
#include "common/smtp/ehlo.h"
#include "common/smtp/xforward.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *word; /* as in smtp_discard_ehlo_keywords */
	unsigned bit;
} discard_words[] = {
    {"8bitmime", EHLO_DISCARD_8BITMIME},
    {"auth", EHLO_DISCARD_AUTH},
    {"etrn", EHLO_DISCARD_ETRN},
    {"pipelining", EHLO_DISCARD_PIPELINING},
    {"size", EHLO_DISCARD_SIZE},
    {"verp", EHLO_DISCARD_VERP},
    {"vrfy", EHLO_DISCARD_VRFY},
    {"xclient", EHLO_DISCARD_XCLIENT},
    {"xforward", EHLO_DISCARD_XFORWARD},
    {"starttls", EHLO_DISCARD_STARTTLS},
    {"enhancedstatuscodes", EHLO_DISCARD_ENHANCEDSTATUSCODES},
    {"dsn", EHLO_DISCARD_DSN},
    {"smtputf8", EHLO_DISCARD_SMTPUTF8},
    {"chunking", EHLO_DISCARD_CHUNKING},
    {"requiretls", EHLO_DISCARD_REQUIRETLS},
    {"mt-priority", EHLO_DISCARD_MT_PRIORITY},
    {"silent-discard", EHLO_DISCARD_SILENT},
};
enum { DISCARD_WORDS = sizeof discard_words / sizeof discard_words[0] };

static unsigned
discard_bit(struct slice word)
{
	for (size_t i = 0; i < DISCARD_WORDS; i++)
		if (slice_eq_nocase(word, discard_words[i].word))
			return discard_words[i].bit;
	return 0;
}

bool
ehlo_discard_mask(
    const char *words, unsigned *mask_out, char *bad, size_t bad_size)
{
	struct slice rest = slice_str(words), word;
	bool ok = true;

	*mask_out = 0;
	while (words_cut(&rest, WORDS_SEPARATORS, &word)) {
		unsigned bit = discard_bit(word);

		*mask_out |= bit;
		if (bit != 0 || !ok)
			continue;
		ok = false;
		(void)snprintf(bad, bad_size, "%.*s",
		    word.n > 100 ? 100 : (int)word.n, word.p);
	}
	return ok;
}

void
ehlo_discard_text(unsigned mask, char *out, size_t n)
{
	size_t at = 0;

	if (n > 0)
		out[0] = '\0';
	for (size_t i = 0; i < DISCARD_WORDS; i++) {
		const char *word = discard_words[i].word;
		size_t len = strlen(word) + (at > 0);

		if ((mask & discard_words[i].bit) == 0 || len >= n - at)
			continue;
		(void)snprintf(
		    out + at, n - at, "%s%s", at > 0 ? " " : "", word);
		at += len;
	}
}

/* Decimal number up to max; false when it is none. */
static bool
parse_number(struct slice word, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;

	if (word.n == 0)
		return false;
	for (size_t i = 0; i < word.n; i++) {
		unsigned digit = (unsigned)(unsigned char)word.p[i] - '0';

		if (digit > 9 || value > (max - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*out = value;
	return true;
}

static bool
has_mech(const char *mechs, struct slice mech)
{
	struct slice rest = slice_str(mechs), word;

	while (words_cut(&rest, " ", &word))
		if (word.n == mech.n && memcmp(word.p, mech.p, mech.n) == 0)
			return true;
	return false;
}

/* RFC 4422: 1 to 20 of A-Z, 0-9, "-" and "_". Longer ones exist nowhere, but
 * are not ours to refuse. */
static void
add_mech(char *mechs, struct slice word)
{
	char upper[64];
	size_t at = strlen(mechs);
	struct slice mech = slice_of(upper, word.n);

	if (word.n > sizeof upper)
		return;
	for (size_t i = 0; i < word.n; i++) {
		char c = word.p[i];

		if (c >= 'a' && c <= 'z')
			c = (char)(c - 'a' + 'A');
		if (!(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    c != '-' && c != '_')
			return;
		upper[i] = c;
	}
	if (has_mech(mechs, mech) || at + 1 + mech.n >= EHLO_AUTH_SIZE)
		return;
	if (at > 0)
		mechs[at++] = ' ';
	memcpy(mechs + at, mech.p, mech.n);
	mechs[at + mech.n] = '\0';
}

static void
parse_auth(struct ehlo *out, struct slice rest)
{
	struct slice word;

	out->auth = true;
	/* "AUTH=LOGIN" and "AUTH LOGIN,PLAIN" are old, and still said. */
	while (words_cut(&rest, " \t=,;", &word))
		add_mech(out->auth_mechs, word);
}

static void
parse_size(struct ehlo *out, struct slice rest)
{
	struct slice word;

	out->size_offered = true;
	(void)words_cut(&rest, " \t=", &word);
	if (!parse_number(word, UINT64_MAX, &out->size_limit))
		out->size_limit = 0;
}

/* "LIMITS MAILMAX=50 RCPTMAX=100" */
static void
parse_limits(struct ehlo *out, struct slice rest)
{
	struct slice word;

	while (words_cut(&rest, " \t", &word)) {
		struct slice name, text;
		uint64_t value;

		(void)words_cut(&word, "=", &name);
		(void)words_cut(&word, "=", &text);
		if (!parse_number(text, 1000000000, &value))
			continue;
		if (slice_eq_nocase(name, "MAILMAX"))
			out->limits_mailmax = (unsigned)value;
		else if (slice_eq_nocase(name, "RCPTMAX"))
			out->limits_rcptmax = (unsigned)value;
		else if (slice_eq_nocase(name, "RCPTDOMAINMAX"))
			out->limits_rcptdomainmax = (unsigned)value;
	}
}

static void
parse_xforward(struct ehlo *out, struct slice rest)
{
	struct slice word;

	while (words_cut(&rest, " \t", &word))
		out->xforward |= xforward_bit(word);
}

/* "MT-PRIORITY MIXER"; a name that does not fit is none. */
static void
parse_mt_priority(struct ehlo *out, struct slice rest)
{
	struct slice word;

	out->mt_priority = true;
	memset(out->mt_profile, 0, sizeof out->mt_profile);
	if (words_cut(&rest, " \t", &word) && word.n < sizeof out->mt_profile)
		memcpy(out->mt_profile, word.p, word.n);
}

/* Keywords that say all by being there. */
static void
set_flag(struct ehlo *out, struct slice word)
{
	const struct {
		const char *word;
		bool *flag;
	} flags[] = {
	    {"PIPELINING", &out->pipelining},
	    {"CHUNKING", &out->chunking},
	    {"8BITMIME", &out->eightbitmime},
	    {"SMTPUTF8", &out->smtputf8},
	    {"DSN", &out->dsn},
	    {"STARTTLS", &out->starttls},
	    {"REQUIRETLS", &out->requiretls},
	    {"ENHANCEDSTATUSCODES", &out->enhancedstatuscodes},
	};

	for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
		if (slice_eq_nocase(word, flags[i].word))
			*flags[i].flag = true;
}

static void
parse_keyword(struct ehlo *out, struct slice rest, unsigned discard_mask)
{
	struct slice word;

	(void)words_cut(&rest, " \t=", &word);
	if ((discard_bit(word) & discard_mask) != 0)
		return;
	if (slice_eq_nocase(word, "AUTH"))
		parse_auth(out, rest);
	else if (slice_eq_nocase(word, "SIZE"))
		parse_size(out, rest);
	else if (slice_eq_nocase(word, "LIMITS"))
		parse_limits(out, rest);
	else if (slice_eq_nocase(word, "XFORWARD"))
		parse_xforward(out, rest);
	else if (slice_eq_nocase(word, "MT-PRIORITY"))
		parse_mt_priority(out, rest);
	else
		set_flag(out, word);
}

/* "250-rest": true and rest. Garbage lines are in the text too. */
static bool
strip_code(struct slice *line)
{
	if (line->n < 4 || (line->p[3] != '-' && line->p[3] != ' '))
		return false;
	for (size_t i = 0; i < 3; i++)
		if (line->p[i] < '0' || line->p[i] > '9')
			return false;
	*line = slice_of(line->p + 4, line->n - 4);
	return true;
}

void
ehlo_parse(const struct reply *reply, unsigned discard_mask, struct ehlo *out)
{
	struct slice rest = buf_slice(&reply->text), line;
	bool is_first = true;

	memset(out, 0, sizeof *out);
	out->is_esmtp = reply->code / 100 == 2;
	if (!out->is_esmtp)
		return;
	while (words_cut(&rest, "\n", &line)) {
		/* Half a line must not become another keyword or number. */
		if (reply->is_cut && rest.n == 0)
			break;
		if (!strip_code(&line))
			continue;
		if (is_first) {
			struct slice name;

			(void)words_cut(&line, " \t", &name);
			if (name.n < sizeof out->domain)
				memcpy(out->domain, name.p, name.n);
			is_first = false;
		} else {
			parse_keyword(out, line, discard_mask);
		}
	}
	/* RFC 6531 3.1: who offers the one has the other, said or not; as
	 * smtp(8) has it. */
	if (out->smtputf8)
		out->eightbitmime = true;
}
