#include "tools/smarthost/script.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum { COND_MAX = 8, WORD_MAX = 8192, SCRIPT_MAX = 4 << 20 };

enum key {
	KEY_SENDER,
	KEY_RCPT,
	KEY_SUBJECT,
	KEY_XID,
	KEY_LOGIN,
	KEY_CONN_NR,
	KEY_MSG_NR,
	KEY_RCPT_NR,
	KEY_COUNT
};

static const char *const key_names[KEY_COUNT] = {"sender", "rcpt", "subject",
    "xid", "login", "conn-nr", "msg-nr", "rcpt-nr"};

static const char *const stage_names[STAGE_COUNT] = {
#define STAGE_NAME(id, name) name,
    STAGES(STAGE_NAME)
#undef STAGE_NAME
};

struct cond {
	enum key key;
	char *text;
	uint64_t lo, hi, step; /* for numbers */
};

struct entry {
	struct list link;
	struct cond cond[COND_MAX];
	size_t cond_count;
	uint64_t nth, every, times, seen, used;
	double prob; /* negative: always */
	struct rule rule;
};

struct script {
	struct list by_stage[STAGE_COUNT];
	uint64_t random;
};

/* A rule of stage "any" sits in every list; each list has its own copy of the
 * entry, so counts are per stage. */

struct lexer {
	const char *p;
	struct buf word; /* the last word */
	bool was_quoted;
	const char *why; /* NULL: no error so far */
};

const char *
stage_name(enum stage stage)
{
	return stage_names[stage];
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* After a backslash: \r \n \t \\ \" \xHH. */
static void
lex_escape(struct lexer *l)
{
	char c = *l->p;

	if (c == '\0') {
		l->why = "backslash at the end";
		return;
	}
	l->p++;
	if (c == 'x' && hex_value(l->p[0]) >= 0 && hex_value(l->p[1]) >= 0) {
		c = (char)(hex_value(l->p[0]) * 16 + hex_value(l->p[1]));
		l->p += 2;
	} else if (c == 'n') {
		c = '\n';
	} else if (c == 'r') {
		c = '\r';
	} else if (c == 't') {
		c = '\t';
	}
	buf_add_char(&l->word, c);
}

/* Next word into l->word; false at the end of the line or on error. */
static bool
lex_next(struct lexer *l)
{
	buf_reset(&l->word);
	l->was_quoted = false;
	while (*l->p == ' ' || *l->p == '\t' || *l->p == '\r')
		l->p++;
	if (*l->p == '\0' || *l->p == '#' || l->why != NULL)
		return false;
	if (*l->p == '"') {
		l->was_quoted = true;
		for (l->p++; *l->p != '"' && l->why == NULL;) {
			if (*l->p == '\0')
				l->why = "quote not closed";
			else if (*l->p == '\\')
				l->p++, lex_escape(l);
			else
				buf_add_char(&l->word, *l->p++);
		}
		if (l->why == NULL)
			l->p++;
	} else {
		while (*l->p != '\0' && !isspace((unsigned char)*l->p))
			buf_add_char(&l->word, *l->p++);
	}
	if (!buf_ok(&l->word))
		l->why = "word too long";
	return l->why == NULL;
}

static bool
word_is(struct lexer *l, const char *s)
{
	return !l->was_quoted && slice_eq(buf_slice(&l->word), s);
}

static uint64_t
lex_number(struct lexer *l)
{
	char *end;
	unsigned long long v;

	if (!lex_next(l)) {
		l->why = l->why ? l->why : "number missing";
		return 0;
	}
	errno = 0;
	v = strtoull(buf_str(&l->word), &end, 10);
	if (errno != 0 || *end != '\0' || buf_len(&l->word) == 0)
		l->why = "not a number";
	return v;
}

/* N, N-M, >=N, <=N, %N (every Nth). */
static bool
parse_range(struct cond *c, const char *s)
{
	char *end;

	c->lo = 0;
	c->hi = UINT64_MAX;
	c->step = 1;
	if (strncmp(s, ">=", 2) == 0) {
		c->lo = strtoull(s + 2, &end, 10);
	} else if (strncmp(s, "<=", 2) == 0) {
		c->hi = strtoull(s + 2, &end, 10);
	} else if (*s == '%') {
		c->step = strtoull(s + 1, &end, 10);
		if (c->step == 0)
			return false;
	} else {
		c->lo = c->hi = strtoull(s, &end, 10);
		if (end != s && *end == '-')
			c->hi = strtoull(end + 1, &end, 10);
	}
	return *s != '\0' && *end == '\0';
}

static void
parse_cond(struct lexer *l, struct entry *e)
{
	struct cond *c = &e->cond[e->cond_count];
	size_t key;

	if (e->cond_count == COND_MAX) {
		l->why = "too many conditions";
		return;
	}
	if (!lex_next(l)) {
		l->why = l->why ? l->why : "condition missing";
		return;
	}
	for (key = 0; key < KEY_COUNT; key++)
		if (word_is(l, key_names[key]))
			break;
	if (key == KEY_COUNT) {
		l->why = "unknown condition";
		return;
	}
	c->key = (enum key)key;
	if (!lex_next(l)) {
		l->why = l->why ? l->why : "text to match missing";
		return;
	}
	c->text = mem_strdup(buf_str(&l->word));
	e->cond_count++;
	if (c->key >= KEY_CONN_NR && !parse_range(c, c->text))
		l->why = "not a number or range";
}

static void
take_text(struct lexer *l, struct rule *r, bool is_raw)
{
	struct slice s;

	if (!lex_next(l)) {
		l->why = l->why ? l->why : "text missing";
		return;
	}
	s = buf_slice(&l->word);
	if (!is_raw && (s.n < 3 || !isdigit((unsigned char)s.p[0]))) {
		l->why = "a reply begins with a code of three digits";
		return;
	}
	mem_free(r->reply);
	r->reply = mem_alloc(s.n + 1); /* raw text may hold NUL */
	memcpy(r->reply, s.p, s.n);
	r->reply[s.n] = '\0';
	r->reply_n = s.n;
	r->has_reply = true;
	r->is_raw = is_raw;
}

static const char garbage[] =
    "\x80\xff\x00\x01 this is no reply \xfe\r\n*** 99999 ***\r\n";

static void
take_garbage(struct rule *r)
{
	mem_free(r->reply);
	r->reply_n = sizeof(garbage) - 1;
	r->reply = mem_alloc(sizeof(garbage));
	memcpy(r->reply, garbage, sizeof(garbage));
	r->has_reply = r->is_raw = true;
}

static bool
parse_end(struct lexer *l, struct rule *r)
{
	static const struct {
		const char *word;
		enum rule_end end;
	} ends[] = {{"close", RULE_CLOSE}, {"reset", RULE_RESET},
	    {"half-close", RULE_HALF_CLOSE}, {"stall", RULE_STALL},
	    {"freeze", RULE_FREEZE}};

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		if (!word_is(l, ends[i].word))
			continue;
		r->end = ends[i].end;
		return true;
	}
	return false;
}

/* KIND N, or N with M behind it: a million. */
static void
take_flood(struct lexer *l, struct rule *r)
{
	char *end = NULL;

	if (!lex_next(l) ||
	    !flood_kind_of(buf_slice(&l->word), &r->flood.kind)) {
		l->why = l->why ? l->why : "unknown kind of flood";
		return;
	}
	if (lex_next(l))
		r->flood.octets = strtoull(buf_str(&l->word), &end, 10);
	if (end != NULL && *end == 'M') {
		r->flood.octets *= 1000000;
		end++;
	}
	if (end == NULL || *end != '\0' || r->flood.octets == 0)
		l->why = l->why ? l->why : "not a number of octets";
	r->end = RULE_FLOOD;
}

static void
parse_action(struct lexer *l, struct rule *r)
{
	if (word_is(l, "reply")) {
		take_text(l, r, false);
	} else if (word_is(l, "raw")) {
		take_text(l, r, true);
	} else if (word_is(l, "garbage")) {
		take_garbage(r);
	} else if (word_is(l, "delay")) {
		r->delay_ms = (unsigned)lex_number(l);
	} else if (word_is(l, "drip")) {
		r->drip_ms = (unsigned)lex_number(l);
	} else if (word_is(l, "cut") || word_is(l, "cut-hard")) {
		r->is_cut_hard = word_is(l, "cut-hard");
		r->cut_after = (int64_t)(lex_number(l) & INT64_MAX);
	} else if (word_is(l, "accept")) {
		r->is_accept = true;
	} else if (word_is(l, "silent") || word_is(l, "missing")) {
		r->is_silent = true;
	} else if (word_is(l, "extra")) {
		r->is_extra = true;
	} else if (word_is(l, "drop-input")) {
		r->drops_input = true;
	} else if (word_is(l, "merged")) {
		r->is_merged = true;
	} else if (word_is(l, "accept-then-close")) {
		r->is_accept = r->is_silent = true;
		r->end = RULE_CLOSE;
	} else if (word_is(l, "flood")) {
		take_flood(l, r);
	} else if (word_is(l, "as-commands")) {
		r->is_as_commands = true;
	} else if (word_is(l, "go-ahead")) {
		r->is_go_ahead = true;
	} else if (!word_is(l, "normal") && !parse_end(l, r)) {
		l->why = "unknown word";
	}
}

static void
entry_free(struct entry *e)
{
	for (size_t i = 0; i < e->cond_count; i++)
		mem_free(e->cond[i].text);
	mem_free(e->rule.reply);
	mem_free(e);
}

/* What follows the stage. */
static struct entry *
parse_entry(struct lexer *l)
{
	struct entry *e = mem_zalloc(sizeof(*e));
	bool has_action = false;

	list_init(&e->link);
	e->prob = -1;
	e->rule.cut_after = -1;
	while (l->why == NULL && lex_next(l)) {
		if (!has_action && (word_is(l, "if") || word_is(l, "and"))) {
			parse_cond(l, e);
		} else if (word_is(l, "nth")) {
			e->nth = lex_number(l);
		} else if (word_is(l, "every")) {
			e->every = lex_number(l);
		} else if (word_is(l, "times")) {
			e->times = lex_number(l);
		} else if (word_is(l, "prob")) {
			char *end = NULL;

			if (lex_next(l))
				e->prob = strtod(buf_str(&l->word), &end);
			if (end == NULL || *end != '\0')
				l->why = "not a probability";
		} else {
			parse_action(l, &e->rule);
			has_action = true;
		}
	}
	if (l->why == NULL && !has_action)
		l->why = "action missing";
	if (l->why == NULL)
		return e;
	entry_free(e);
	return NULL;
}

static void
parse_line(struct script *s, struct lexer *l)
{
	const char *rest;
	bool known = false, any;
	char *word;

	if (!lex_next(l))
		return;
	rest = l->p;
	any = word_is(l, "any");
	word = mem_strdup(buf_str(&l->word));
	for (size_t i = 0; i < STAGE_COUNT && l->why == NULL; i++) {
		struct entry *e;

		/* "any" means every stage at which a command is answered. */
		if (any ? i == STAGE_CONNECT || i == STAGE_TLS
			: strcmp(word, stage_names[i]) != 0)
			continue;
		known = true;
		l->p = rest;
		e = parse_entry(l);
		if (e != NULL)
			list_push(&s->by_stage[i], &e->link);
	}
	mem_free(word);
	if (!known && l->why == NULL)
		l->why = "unknown stage";
}

struct script *
script_parse(const char *text, uint64_t seed, struct buf *error)
{
	struct script *s = mem_zalloc(sizeof(*s));
	struct lexer l = {0};
	unsigned line_nr = 0;

	for (size_t i = 0; i < STAGE_COUNT; i++)
		list_init(&s->by_stage[i]);
	s->random = seed * 2 + 1;
	buf_init(&l.word, WORD_MAX);
	while (*text != '\0' && l.why == NULL) {
		size_t n = strcspn(text, "\n");
		char *line = mem_strndup(text, n);

		line_nr++;
		l.p = line;
		parse_line(s, &l);
		mem_free(line);
		text += n + (text[n] == '\n');
	}
	buf_fini(&l.word);
	if (l.why == NULL)
		return s;
	buf_addf(error, "line %u: %s", line_nr, l.why);
	script_free(s);
	return NULL;
}

struct script *
script_read(const char *path, uint64_t seed, struct buf *error)
{
	FILE *f = fopen(path, "re");
	struct script *s = NULL;
	struct buf text;
	char part[4096];
	size_t n;

	if (f == NULL) {
		buf_addf(error, "%s: %s", path, strerror(errno));
		return NULL;
	}
	buf_init(&text, SCRIPT_MAX);
	while ((n = fread(part, 1, sizeof(part), f)) > 0)
		buf_add(&text, part, n);
	fclose(f);
	if (buf_ok(&text))
		s = script_parse(buf_str(&text), seed, error);
	else
		buf_add_str(error, "script too long");
	buf_fini(&text);
	return s;
}

void
script_free(struct script *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < STAGE_COUNT; i++)
		list_each_safe (it, &s->by_stage[i])
			entry_free(list_entry(it, struct entry, link));
	mem_free(s);
}

static bool
text_matches(const char *pattern, struct slice s)
{
	char *text;
	bool yes;

	if (strpbrk(pattern, "*?[") == NULL)
		return memmem(s.n ? s.p : "", s.n, pattern, strlen(pattern)) !=
		       NULL;
	text = mem_strndup(s.n ? s.p : "", s.n);
	yes = fnmatch(pattern, text, 0) == 0;
	mem_free(text);
	return yes;
}

static bool
cond_holds(const struct cond *c, const struct script_facts *f)
{
	uint64_t v = 0;

	switch (c->key) {
	case KEY_SENDER:
		return text_matches(c->text, f->sender);
	case KEY_RCPT:
		return text_matches(c->text, f->rcpt);
	case KEY_SUBJECT:
		return text_matches(c->text, f->subject);
	case KEY_XID:
		return text_matches(c->text, f->xid);
	case KEY_LOGIN:
		return text_matches(c->text, f->login);
	case KEY_CONN_NR:
		v = f->conn_nr;
		break;
	case KEY_MSG_NR:
		v = f->msg_nr;
		break;
	case KEY_RCPT_NR:
		v = f->rcpt_nr;
		break;
	case KEY_COUNT:
		return false;
	}
	return v >= c->lo && v <= c->hi && v % c->step == 0;
}

/* splitmix64: good enough to spread faults, and repeatable by --seed. */
static double
next_random(struct script *s)
{
	uint64_t z = s->random += 0x9e3779b97f4a7c15U;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
	z ^= z >> 31;
	return (double)(z >> 11) / 9007199254740992.0;
}

static bool
entry_applies(struct script *s, struct entry *e, const struct script_facts *f)
{
	for (size_t i = 0; i < e->cond_count; i++)
		if (!cond_holds(&e->cond[i], f))
			return false;
	e->seen++;
	if (e->nth != 0 && e->seen != e->nth)
		return false;
	if (e->every != 0 && e->seen % e->every != 0)
		return false;
	if (e->prob >= 0 && next_random(s) >= e->prob)
		return false;
	if (e->times != 0 && e->used >= e->times)
		return false;
	e->used++;
	return true;
}

const struct rule *
script_match(struct script *s, enum stage stage,
    const struct script_facts *facts, bool go_ahead_only)
{
	if (s == NULL)
		return NULL;
	list_each (it, &s->by_stage[stage]) {
		struct entry *e = list_entry(it, struct entry, link);

		if (go_ahead_only && !e->rule.is_go_ahead)
			continue;
		if (entry_applies(s, e, facts))
			return &e->rule;
	}
	return NULL;
}
