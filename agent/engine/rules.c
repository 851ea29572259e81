#include "agent/engine/rules.h"

#include <ctype.h>
#include <regex.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/words.h"
#include "common/smtp/dsn.h"

enum {
	GROUPS = 3, /* the whole, \1 and \2 */
	ANY_NUMBER = -1,
	STATUS_PARTS = 3,
	PATTERN_MAX = 1000,
	FILES_MAX = 16,
	DAY_S = 86400,
	/* A rule that reads its time from the text, and found none there. */
	WAIT_UNREAD_US = 60000000,
};

enum when { WHEN_UNSAID, WHEN_GIVEN, WHEN_READ, WHEN_READ_UNIT, WHEN_UNTIL };

struct rule {
	const char *file; /* in rules->files */
	int line;
	unsigned stages; /* bit per enum rule_stage */
	char code[4]; /* digits, 'x' for any */
	int status[STATUS_PARTS]; /* ANY_NUMBER */
	bool has_status, has_regex;
	regex_t regex;
	enum rule_outcome outcome;
	enum rule_witness witness;
	enum when when;
	int64_t wait_us; /* GIVEN: the wait; READ: of one unit */
	int64_t until_s; /* second of the day, UTC */
	char *why;
};

struct rules {
	struct rule **v; /* each stays where it is: regex_t must not move */
	size_t count, room;
	char *files[FILES_MAX];
	size_t file_count;
	bool has_lacked_memory;
};

static const char *const stage_names[RULE_STAGES] = {
    [RULE_CONNECT] = "connect",
    [RULE_EHLO] = "ehlo",
    [RULE_STARTTLS] = "starttls",
    [RULE_AUTH] = "auth",
    [RULE_MAIL] = "mail",
    [RULE_RCPT] = "rcpt",
    [RULE_DATA] = "data",
    [RULE_EOD] = "eod",
    [RULE_RSET] = "rset",
    [RULE_IDLE] = "idle",
};

static const struct {
	const char *name, *words;
	bool may_wait;
} outcomes[] = {
    [RULE_OK] = {"ok", "as the code says", false},
    [RULE_RECONNECT] = {"reconnect", "session used up: a fresh one goes on",
	false},
    [RULE_SLOW] = {"slow", "too fast: the lane slows down", true},
    [RULE_PAUSE] = {"pause", "nothing goes for some time", true},
    [RULE_CONNECTIONS] = {"connections", "too many connections: fewer are used",
	true},
    [RULE_ALARM] = {"alarm", "nothing goes until somebody has looked", false},
    [RULE_DEFER] = {"defer", "this mail is tried again later", false},
    [RULE_BOUNCE] = {"bounce", "this mail is returned", false},
    [RULE_SPLIT] = {"split",
	"too many recipients: the rest go in another transaction", false},
};

enum { OUTCOMES = sizeof(outcomes) / sizeof(outcomes[0]) };

static const char outcomes_allowed[] =
    "ok, reconnect, slow, pause, connections, alarm, defer, bounce or split";

struct rules *
rules_new(void)
{
	return mem_zalloc(sizeof(struct rules));
}

static void
rule_free(struct rule *r)
{
	if (r->has_regex)
		regfree(&r->regex);
	mem_free(r->why);
	mem_free(r);
}

void
rules_free(struct rules **rules)
{
	struct rules *old = *rules;

	*rules = NULL;
	if (old == NULL)
		return;
	for (size_t i = 0; i < old->count; i++)
		rule_free(old->v[i]);
	for (size_t i = 0; i < old->file_count; i++)
		mem_free(old->files[i]);
	mem_free(old->v);
	mem_free(old);
}

size_t
rules_count(const struct rules *rules)
{
	return rules->count;
}

bool
rules_have_lacked_memory(const struct rules *rules)
{
	return rules->has_lacked_memory;
}

const char *
rule_outcome_name(enum rule_outcome outcome)
{
	return outcomes[outcome].name;
}

const char *
rule_outcome_words(enum rule_outcome outcome)
{
	return outcomes[outcome].words;
}

const char *
rule_stage_name(enum rule_stage stage)
{
	return stage_names[stage];
}

void
rule_stage_names(char *out, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < RULE_STAGES && at < n; i++)
		at += (size_t)snprintf(out + at, n - at, "%s%s",
		    i > 0 ? ", " : "", stage_names[i]);
}

bool
rule_stage_find(struct slice name, enum rule_stage *out)
{
	if (slice_eq_nocase(name, "greeting"))
		name = slice_str("connect");
	for (size_t i = 0; i < RULE_STAGES; i++)
		if (slice_eq_nocase(name, stage_names[i])) {
			*out = (enum rule_stage)i;
			return true;
		}
	return false;
}

/* ---- reading a line ---------------------------------------------------- */

/* The line being read, and where to complain. */
struct reader {
	struct rule *rule;
	struct slice rest;
	char *error;
	size_t error_size;
	bool has_lacked_memory;
};

static bool complain(struct reader *in, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool
complain(struct reader *in, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(in->error, in->error_size, format, ap);
	va_end(ap);
	return false;
}

static int
shown(struct slice s)
{
	return s.n > 60 ? 60 : (int)s.n;
}

static bool
read_stages(struct reader *in)
{
	struct slice word, all;

	if (!words_next(&in->rest, &all))
		return complain(in, "the stage is missing");
	while (all.n > 0) {
		const char *comma = memchr(all.p, ',', all.n);
		enum rule_stage stage;
		char names[128];

		word = slice_of(
		    all.p, comma != NULL ? (size_t)(comma - all.p) : all.n);
		all = comma != NULL ? slice_of(comma + 1, all.n - word.n - 1)
				    : slice_of(NULL, 0);
		if (slice_eq_nocase(word, "any")) {
			in->rule->stages = (1U << RULE_STAGES) - 1;
		} else if (rule_stage_find(word, &stage)) {
			in->rule->stages |= 1U << stage;
		} else {
			rule_stage_names(names, sizeof(names));
			return complain(in,
			    "bad stage \"%.*s\": must be any, %s, several "
			    "with commas between",
			    shown(word), word.p, names);
		}
	}
	return true;
}

static bool
read_code(struct reader *in)
{
	struct slice word;
	char *code = in->rule->code;

	if (!words_next(&in->rest, &word))
		return complain(in, "the reply code is missing");
	(void)snprintf(code, sizeof(in->rule->code), "xxx");
	if (slice_eq(word, "*"))
		return true;
	for (size_t i = 0; i < word.n && i < 3; i++) {
		code[i] = (char)tolower((unsigned char)word.p[i]);
		if (code[i] != 'x' && !isdigit((unsigned char)code[i]))
			code[i] = '?';
	}
	if (word.n != 3 || strchr(code, '?') != NULL || code[0] < '2' ||
	    (code[0] > '5' && code[0] != 'x'))
		return complain(in,
		    "bad reply code \"%.*s\": must be * or three digits, x "
		    "for any digit (421, 45x, 5xx)",
		    shown(word), word.p);
	return true;
}

/* One to three digits, or a star, and then a dot or the end. */
static bool
read_part(struct slice *rest, int *out, bool is_last)
{
	size_t n = 0;
	int value = 0;

	if (rest->n > 0 && rest->p[0] == '*') {
		value = ANY_NUMBER;
		n = 1;
	} else {
		for (;
		     n < rest->n && n < 3 && isdigit((unsigned char)rest->p[n]);
		     n++)
			value = value * 10 + (rest->p[n] - '0');
	}
	*out = value;
	if (n == 0 || (n == rest->n) != is_last ||
	    (!is_last && rest->p[n] != '.'))
		return false;
	if (!is_last)
		n++;
	*rest = slice_of(rest->p + n, rest->n - n);
	return true;
}

static bool
read_status(struct reader *in)
{
	struct slice word, rest;

	if (!words_next(&in->rest, &word))
		return complain(in, "the enhanced code is missing");
	if (slice_eq(word, "*"))
		return true;
	in->rule->has_status = true;
	rest = word;
	for (int i = 0; i < STATUS_PARTS; i++)
		if (!read_part(
			&rest, &in->rule->status[i], i == STATUS_PARTS - 1))
			return complain(in,
			    "bad enhanced code \"%.*s\": must be * or three "
			    "numbers, * for any number (4.7.0, 4.7.*)",
			    shown(word), word.p);
	return true;
}

/* The expression between slashes, with \/ made a slash. */
static bool
cut_pattern(struct reader *in, char *out)
{
	struct slice all = in->rest;
	size_t n = 0;

	for (size_t i = 1; i < all.n && n < PATTERN_MAX; i++) {
		if (all.p[i] == '/') {
			out[n] = '\0';
			in->rest = slice_of(all.p + i + 1, all.n - i - 1);
			return n > 0;
		}
		if (all.p[i] == '\\' && i + 1 < all.n && all.p[i + 1] == '/')
			i++;
		out[n++] = all.p[i];
	}
	return false;
}

static bool
read_pattern(struct reader *in)
{
	char text[PATTERN_MAX + 1], why[128];
	struct slice word;
	int status;

	if (in->rest.n == 0 || in->rest.p[0] != '/') {
		if (words_next(&in->rest, &word) && slice_eq(word, "*"))
			return true;
		return complain(in,
		    "bad pattern \"%.*s\": must be * or /extended regular "
		    "expression/",
		    shown(word), word.p);
	}
	if (!cut_pattern(in, text))
		return complain(in,
		    "the pattern is empty, has no second \"/\" or more than "
		    "%d octets",
		    PATTERN_MAX);
	status = regcomp(&in->rule->regex, text, REG_EXTENDED | REG_ICASE);
	if (status == REG_ESPACE) {
		in->has_lacked_memory = true;
		return complain(in, "no memory for the pattern /%.60s/", text);
	}
	if (status != 0) {
		(void)regerror(status, &in->rule->regex, why, sizeof(why));
		return complain(in, "bad pattern /%.60s/: %s", text, why);
	}
	in->rule->has_regex = true;
	return true;
}

static bool
read_outcome(struct reader *in)
{
	struct slice word;

	if (!words_next(&in->rest, &word))
		return complain(
		    in, "the outcome is missing: must be %s", outcomes_allowed);
	for (size_t i = 0; i < OUTCOMES; i++)
		if (slice_eq_nocase(word, outcomes[i].name)) {
			in->rule->outcome = (enum rule_outcome)i;
			return true;
		}
	return complain(in, "bad outcome \"%.*s\": must be %s", shown(word),
	    word.p, outcomes_allowed);
}

/* Microseconds of one s, m, h or d; 0 for another letter. */
static int64_t
us_of(char letter)
{
	switch (letter) {
	case 's':
	case 'S':
		return US_PER_S;
	case 'm':
	case 'M':
		return 60 * US_PER_S;
	case 'h':
	case 'H':
		return 3600 * US_PER_S;
	case 'd':
	case 'D':
		return 86400 * US_PER_S;
	default:
		return 0;
	}
}

/* Digits at the front of s; a number too big to be meant is cut off. */
static size_t
read_number(struct slice s, int64_t *out)
{
	size_t n = 0;

	*out = 0;
	for (; n < s.n && isdigit((unsigned char)s.p[n]); n++)
		if (*out < 100000000)
			*out = *out * 10 + (s.p[n] - '0');
	return n;
}

static int64_t
clamp_wait(int64_t count, int64_t unit)
{
	if (unit > 0 && count > RULES_WAIT_MAX_US / unit)
		return RULES_WAIT_MAX_US;
	return count * unit;
}

/* Groups are what the pattern must have for \1 and \2. */
static bool
has_groups(const struct rule *r, size_t count)
{
	return r->has_regex && r->regex.re_nsub >= count;
}

static bool
read_time(struct reader *in)
{
	struct rule *r = in->rule;
	struct slice word = {NULL, 0};
	int64_t count;
	size_t n;

	(void)words_next(&in->rest, &word);
	if (slice_eq(word, "\\1\\2") && has_groups(r, 2)) {
		r->when = WHEN_READ_UNIT;
		return true;
	}
	if (word.n == 3 && memcmp(word.p, "\\1", 2) == 0 && has_groups(r, 1)) {
		r->when = WHEN_READ;
		r->wait_us = us_of(word.p[2]);
		if (r->wait_us > 0)
			return true;
	}
	n = read_number(word, &count);
	r->when = WHEN_GIVEN;
	if (n > 0 && n + 1 == word.n)
		r->wait_us = clamp_wait(count, us_of(word.p[n]));
	else
		r->wait_us = 0;
	if (r->wait_us > 0)
		return true;
	return complain(in,
	    "bad time \"%.*s\": must be a number and s, m, h or d (90s), "
	    "\\1s when group 1 of the pattern finds seconds, or \\1\\2 when "
	    "group 2 finds the unit",
	    shown(word), word.p);
}

static bool
read_until(struct reader *in)
{
	struct slice word = {NULL, 0};
	int64_t hour = 0, minute = 0;
	size_t n;

	(void)words_next(&in->rest, &word);
	in->rule->when = WHEN_UNTIL;
	if (slice_eq_nocase(word, "midnight"))
		return true;
	n = read_number(word, &hour);
	if (n > 0 && n <= 2 && word.n == n + 3 && word.p[n] == ':' &&
	    read_number(slice_of(word.p + n + 1, 2), &minute) == 2 &&
	    hour < 24 && minute < 60) {
		in->rule->until_s = hour * 3600 + minute * 60;
		return true;
	}
	return complain(in,
	    "bad time of day \"%.*s\": must be midnight or HH:MM, UTC",
	    shown(word), word.p);
}

/* [by WITNESS] */
static bool
read_witness(struct reader *in)
{
	struct rule *r = in->rule;
	struct slice word = {NULL, 0}, rest = in->rest;

	if (!words_next(&rest, &word) || !slice_eq_nocase(word, "by"))
		return true;
	word = slice_of(NULL, 0);
	(void)words_next(&rest, &word);
	in->rest = rest;
	if (slice_eq_nocase(word, "sender"))
		r->witness = RULE_BY_SENDER;
	else if (slice_eq_nocase(word, "session"))
		r->witness = RULE_BY_SESSION;
	else
		return complain(in,
		    "bad witness \"%.*s\": must be sender or session",
		    shown(word), word.p);
	if (r->outcome != RULE_ALARM)
		return complain(in, "%s needs no witness: by is for alarm",
		    outcomes[r->outcome].name);
	return true;
}

/* [for TIME | until HH:MM] [# why] */
static bool
read_when(struct reader *in)
{
	struct rule *r = in->rule;
	struct slice word = {NULL, 0}, rest = in->rest;

	if (rest.n > 0 && rest.p[0] != '#' && words_next(&rest, &word)) {
		in->rest = rest;
		if (slice_eq_nocase(word, "for")) {
			if (!read_time(in))
				return false;
		} else if (slice_eq_nocase(word, "until")) {
			if (!read_until(in))
				return false;
		} else {
			return complain(in,
			    "bad word \"%.*s\": must be by WITNESS, for "
			    "TIME, until HH:MM, or # and a remark",
			    shown(word), word.p);
		}
	}
	if (r->when == WHEN_UNSAID && r->outcome == RULE_PAUSE)
		return complain(in, "pause needs for TIME or until HH:MM");
	if (r->when != WHEN_UNSAID && !outcomes[r->outcome].may_wait)
		return complain(in,
		    "%s has no time: allowed with slow, pause and connections",
		    outcomes[r->outcome].name);
	return true;
}

static bool
read_why(struct reader *in)
{
	struct slice rest = words_trim(in->rest);

	if (rest.n > 0 && rest.p[0] != '#')
		return complain(in,
		    "nothing but # and a remark may follow "
		    "the outcome: \"%.*s\"",
		    shown(rest), rest.p);
	while (rest.n > 0 && rest.p[0] == '#')
		rest = words_trim(slice_of(rest.p + 1, rest.n - 1));
	in->rule->why = rest.n > 0
			    ? mem_strndup(rest.p, rest.n)
			    : mem_strdup(outcomes[in->rule->outcome].words);
	return true;
}

static bool
read_rule(struct reader *in)
{
	return read_stages(in) && read_code(in) && read_status(in) &&
	       read_pattern(in) && read_outcome(in) && read_witness(in) &&
	       read_when(in) && read_why(in);
}

/* One copy of each file's name; NULL when there are too many. */
static const char *
keep_file(struct rules *rules, const char *file)
{
	for (size_t i = 0; i < rules->file_count; i++)
		if (strcmp(rules->files[i], file) == 0)
			return rules->files[i];
	if (rules->file_count == FILES_MAX)
		return NULL;
	rules->files[rules->file_count] = mem_strdup(file);
	return rules->files[rules->file_count++];
}

bool
rules_add_line(struct rules *rules, const char *file, int line,
    struct slice rest, char *error, size_t error_size)
{
	struct rule *r = mem_zalloc(sizeof(*r));
	struct reader in = {.rule = r,
	    .rest = words_trim(rest),
	    .error = error,
	    .error_size = error_size};

	error[0] = '\0';
	r->line = line;
	r->file = keep_file(rules, file);
	if (r->file == NULL || rules->count == RULES_MAX) {
		rule_free(r);
		return complain(
		    &in, "too many rules or files: at most %d", RULES_MAX);
	}
	if (memchr(rest.p, '\0', rest.n) != NULL || !read_rule(&in)) {
		if (error[0] == '\0')
			(void)complain(&in, "the line contains a NUL octet");
		rules->has_lacked_memory |= in.has_lacked_memory;
		rule_free(r);
		return false;
	}
	if (rules->count == rules->room) {
		rules->room = rules->room > 0 ? rules->room * 2 : 32;
		rules->v =
		    mem_realloc(rules->v, rules->room * sizeof(rules->v[0]));
	}
	rules->v[rules->count++] = r;
	return true;
}

bool
rules_add_text(struct rules *rules, const char *file, struct slice text,
    struct buf *errors)
{
	struct lines lines = lines_of(text);
	struct slice line, word;
	bool is_good = true;

	while (lines_next(&lines, &line)) {
		char error[RULES_ERROR_SIZE] = "";

		(void)words_next(&line, &word);
		if (!slice_eq_nocase(word, "reply"))
			(void)snprintf(error, sizeof(error),
			    "bad word \"%.*s\": must be reply", shown(word),
			    word.p);
		else if (rules_add_line(rules, file, lines.number, line, error,
			     sizeof(error)))
			continue;
		is_good = false;
		(void)buf_addf(
		    errors, "%s:%d: %s\n", file, lines.number, error);
	}
	return is_good;
}

/* ---- matching ---------------------------------------------------------- */

static bool
code_matches(const struct rule *r, int code)
{
	char digits[16];

	if (code < 0 || code > 999)
		return false;
	(void)snprintf(digits, sizeof(digits), "%03d", code);
	for (int i = 0; i < 3; i++)
		if (r->code[i] != 'x' && r->code[i] != digits[i])
			return false;
	return true;
}

static bool
status_matches(const struct rule *r, const char *status)
{
	struct slice rest = slice_str(status);

	if (!r->has_status)
		return true;
	for (int i = 0; i < STATUS_PARTS; i++) {
		int part;

		if (!read_part(&rest, &part, i == STATUS_PARTS - 1) ||
		    (r->status[i] != ANY_NUMBER && r->status[i] != part))
			return false;
	}
	return true;
}

static int64_t
until_us(int64_t until_s, int64_t wall_s)
{
	int64_t left = until_s - wall_s % DAY_S;

	return (left > 0 ? left : left + DAY_S) * US_PER_S;
}

static struct slice
group_of(const char *text, const regmatch_t *m)
{
	if (m->rm_so < 0)
		return slice_of(NULL, 0);
	return slice_of(text + m->rm_so, (size_t)(m->rm_eo - m->rm_so));
}

/* What the text says, never nothing at all. */
static int64_t
read_wait(const struct rule *r, const char *text, const regmatch_t *groups)
{
	struct slice number = group_of(text, &groups[1]);
	struct slice unit = group_of(text, &groups[2]);
	int64_t unit_us = r->wait_us, count, wait;

	if (r->when == WHEN_READ_UNIT)
		unit_us = unit.n > 0 ? us_of(unit.p[0]) : US_PER_S;
	if (read_number(words_trim(number), &count) == 0)
		return WAIT_UNREAD_US;
	wait = clamp_wait(count, unit_us);
	return wait > 0 ? wait : US_PER_S;
}

static int64_t
wait_of(const struct rule *r, const struct rules_query *q, const char *text,
    const regmatch_t *groups)
{
	switch (r->when) {
	case WHEN_UNSAID:
		break;
	case WHEN_GIVEN:
		return r->wait_us;
	case WHEN_READ:
	case WHEN_READ_UNIT:
		return read_wait(r, text, groups);
	case WHEN_UNTIL:
		return until_us(r->until_s, q->wall_s);
	}
	return 0;
}

bool
rules_match(const struct rules *rules, const struct rules_query *q,
    struct rule_hit *hit)
{
	char text[DSN_TEXT_MAX + 1];

	(void)snprintf(text, sizeof(text), "%s", q->text);
	*hit = (struct rule_hit){.outcome = RULE_OK};
	for (size_t i = 0; i < rules->count; i++) {
		const struct rule *r = rules->v[i];
		regmatch_t groups[GROUPS] = {{-1, -1}, {-1, -1}, {-1, -1}};

		if ((r->stages & 1U << q->stage) == 0 ||
		    !code_matches(r, q->code) ||
		    !status_matches(r, q->status) ||
		    (r->has_regex &&
			regexec(&r->regex, text, GROUPS, groups, 0) != 0))
			continue;
		hit->outcome = r->outcome;
		hit->witness = r->witness;
		hit->wait_us = wait_of(r, q, text, groups);
		hit->file = r->file;
		hit->line = r->line;
		hit->why = r->why;
		return true;
	}
	return false;
}
