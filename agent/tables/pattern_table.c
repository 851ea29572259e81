/* text -> logical lines -> rules, in an array; "if" knows the place of its
 * "endif". A result is cut into pieces, literal text and numbers, once. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "agent/tables/pattern_table.h"

#include <ctype.h>
#include <pcre2.h>
#include <regex.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"

enum { GROUP_MAX = 65535, NESTING_MAX = 1000, WHY_SIZE = 256 };

/* One compiled pattern; what is not there is NULL. */
struct matcher {
	regex_t *regexp;
	pcre2_code *pcre;
	pcre2_match_data *pcre_data;
	bool is_negated;
};

struct piece {
	size_t group; /* 0: text */
	char *text;
};

enum rule_op { OP_RESULT, OP_IF, OP_ENDIF };

struct rule {
	enum rule_op op;
	int line;
	struct matcher first;
	struct matcher second; /* /pattern/!/pattern/ of regexp */
	struct piece *pieces;
	size_t piece_count;
	size_t group_max; /* largest $n */
	size_t endif; /* index of the matching one */
};

struct pattern_table {
	enum pattern_kind kind;
	char *path;
	struct rule *rules;
	size_t count;
	regmatch_t *groups; /* of regexp; group_max + 1 */
	size_t group_max;
	pcre2_match_context *limits;
};

/* A table being read. */
struct reader {
	struct pattern_table *table;
	int line; /* the first one of the logical line */
	size_t ifs[NESTING_MAX]; /* indices of those still open */
	size_t nesting;
	char *error;
	size_t error_size;
};

/* A pattern as written. */
struct source {
	char *text;
	uint32_t flags; /* of regcomp() or pcre2_compile() */
	bool is_negated;
};

static bool complain(struct reader *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool
complain(struct reader *r, const char *format, ...)
{
	char what[WHY_SIZE];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(what, sizeof(what), format, ap);
	va_end(ap);
	(void)snprintf(r->error, r->error_size, "%s, line %d: %s",
	    r->table->path, r->line, what);
	return false;
}

/* As in the C locale, whatever the character's sign. */
static bool
is_blank(char c)
{
	return isspace((unsigned char)c) != 0;
}

static bool
is_word(char c)
{
	return isalnum((unsigned char)c) != 0;
}

static void
skip_blanks(char **p)
{
	while (is_blank(**p))
		(*p)++;
}

/* ---- patterns ---------------------------------------------------------- */

static bool
toggle_regexp(char flag, uint32_t *flags)
{
	switch (flag) {
	case 'i':
		*flags ^= REG_ICASE;
		return true;
	case 'm':
		*flags ^= REG_NEWLINE;
		return true;
	case 'x':
		*flags ^= REG_EXTENDED;
		return true;
	default:
		return false;
	}
}

static bool
toggle_pcre(char flag, uint32_t *flags)
{
	static const struct {
		char letter;
		uint32_t flag;
	} known[] = {
	    {'i', PCRE2_CASELESS}, {'m', PCRE2_MULTILINE}, {'s', PCRE2_DOTALL},
	    {'x', PCRE2_EXTENDED}, {'A', PCRE2_ANCHORED},
	    {'E', PCRE2_DOLLAR_ENDONLY}, {'U', PCRE2_UNGREEDY},
	    {'X', 0}, /* had a meaning in the first PCRE, has none now */
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].letter == flag) {
			*flags ^= known[i].flag;
			return true;
		}
	return false;
}

static bool
read_flags(struct reader *r, char **at, struct source *out)
{
	bool is_regexp = r->table->kind == PATTERN_REGEXP;
	char *p = *at;

	out->flags = is_regexp ? (uint32_t)(REG_EXTENDED | REG_ICASE)
			       : PCRE2_CASELESS | PCRE2_DOTALL;
	for (; *p != '\0' && !is_blank(*p); p++) {
		if (is_regexp && *p == '!')
			break;
		if (!(is_regexp ? toggle_regexp(*p, &out->flags)
				: toggle_pcre(*p, &out->flags)))
			return complain(r, "unknown flag behind a pattern");
	}
	*at = p;
	return true;
}

/* Cuts "!/pattern/flags" out of the line. Any character may stand for the
 * slash; a backslash protects the next one and stays. */
static bool
read_source(struct reader *r, char **at, struct source *out)
{
	char *p = *at;
	char delimiter;

	out->is_negated = false;
	for (; *p == '!' || is_blank(*p); p++)
		if (*p == '!')
			out->is_negated = !out->is_negated;
	if (*p == '\0')
		return complain(r, "there is no pattern");
	delimiter = *p++;
	out->text = p;
	for (; *p != '\0' && *p != delimiter; p++)
		if (*p == '\\' && *++p == '\0')
			break;
	if (*p == '\0')
		return complain(r, "the pattern has no end");
	*p++ = '\0';
	*at = p;
	return read_flags(r, at, out);
}

static bool
compile_regexp(struct reader *r, const struct source *s, struct matcher *out)
{
	regex_t *compiled = mem_zalloc(sizeof(*compiled));
	char why[WHY_SIZE];
	int rc = regcomp(compiled, s->text, (int)s->flags);

	if (rc == 0) {
		out->regexp = compiled;
		return true;
	}
	(void)regerror(rc, compiled, why, sizeof(why));
	mem_free(compiled);
	return complain(r, "%s", why);
}

static bool
compile_pcre(struct reader *r, const struct source *s, struct matcher *out)
{
	char why[WHY_SIZE];
	size_t offset = 0;
	int code = 0;

	out->pcre = pcre2_compile((PCRE2_SPTR)s->text, PCRE2_ZERO_TERMINATED,
	    s->flags, &code, &offset, NULL);
	if (out->pcre == NULL) {
		(void)pcre2_get_error_message(
		    code, (PCRE2_UCHAR *)why, sizeof(why));
		return complain(
		    r, "%s (at offset %zu of the pattern)", why, offset);
	}
	out->pcre_data = pcre2_match_data_create_from_pattern(out->pcre, NULL);
	return out->pcre_data != NULL || complain(r, "out of memory");
}

static bool
compile(struct reader *r, const struct source *s, struct matcher *out)
{
	out->is_negated = s->is_negated;
	return r->table->kind == PATTERN_REGEXP ? compile_regexp(r, s, out)
						: compile_pcre(r, s, out);
}

/* Pairs of parentheses. */
static size_t
group_count(const struct matcher *m)
{
	uint32_t count = 0;

	if (m->regexp != NULL)
		return m->regexp->re_nsub;
	(void)pcre2_pattern_info(m->pcre, PCRE2_INFO_CAPTURECOUNT, &count);
	return count;
}

static void
matcher_fini(struct matcher *m)
{
	if (m->regexp != NULL)
		regfree(m->regexp);
	mem_free(m->regexp);
	pcre2_match_data_free(m->pcre_data);
	pcre2_code_free(m->pcre);
}

/* ---- results ----------------------------------------------------------- */

static void
add_piece(struct rule *rule, size_t group, char *text)
{
	rule->pieces = mem_realloc(
	    rule->pieces, (rule->piece_count + 1) * sizeof(rule->pieces[0]));
	rule->pieces[rule->piece_count++] = (struct piece){group, text};
	if (group > rule->group_max)
		rule->group_max = group;
}

static void
end_text(struct rule *rule, struct buf *text)
{
	if (buf_len(text) > 0)
		add_piece(rule, 0, mem_strdup(buf_str(text)));
	buf_wipe(text);
}

/* The name behind a dollar sign, "n", "{n}" or "(n)", and what is behind it;
 * false when its bracket is not closed. */
static bool
read_name(const char **at, struct slice *out)
{
	const char *p = *at;
	char open = *p, close = open == '{' ? '}' : ')';
	int level = 1;

	if (open != '{' && open != '(') {
		while (is_word(*p) || *p == '_')
			p++;
		*out = slice_of(*at, (size_t)(p - *at));
		*at = p;
		return true;
	}
	for (p++; *p != '\0' && level > 0; p++) {
		level += *p == open;
		level -= *p == close;
	}
	if (level > 0)
		return false;
	*out = slice_of(*at + 1, (size_t)(p - *at) - 2);
	*at = p;
	return true;
}

/* 0 when it is no number or not a good one. */
static size_t
group_of(struct slice name)
{
	size_t n = 0;

	for (size_t i = 0; i < name.n; i++) {
		if (!isdigit((unsigned char)name.p[i]))
			return 0;
		n = n * 10 + (size_t)(name.p[i] - '0');
		if (n > GROUP_MAX)
			return 0;
	}
	return n;
}

/* The text is not repeated: it may be a password with a dollar sign. */
static bool
read_result(struct reader *r, struct rule *rule, const char *p)
{
	struct buf text;
	struct slice name;
	bool is_good = true;

	buf_init(&text, PATTERN_TEXT_MAX);
	while (*p != '\0' && is_good) {
		if (*p != '$' || p[1] == '$') {
			(void)buf_add_char(&text, *p);
			p += *p == '$' ? 2 : 1;
			continue;
		}
		end_text(rule, &text);
		p++;
		is_good = read_name(&p, &name) && group_of(name) > 0;
		if (is_good)
			add_piece(rule, group_of(name), NULL);
	}
	end_text(rule, &text);
	buf_fini_secret(&text);
	return is_good ||
	       complain(r, "bad $ in the result: must be $$, or $ and the "
			   "number of a subexpression, as in $1 or ${1}");
}

static void
rule_fini(struct rule *rule)
{
	matcher_fini(&rule->first);
	matcher_fini(&rule->second);
	for (size_t i = 0; i < rule->piece_count; i++) {
		char *text = rule->pieces[i].text;

		if (text != NULL)
			mem_wipe(text, strlen(text));
		mem_free(text);
	}
	mem_free(rule->pieces);
}

/* ---- rules ------------------------------------------------------------- */

static struct rule *
add_rule(struct reader *r, enum rule_op op)
{
	struct pattern_table *t = r->table;

	/* Doubling: a copy for each rule would be slow with large tables. */
	if ((t->count & (t->count - 1)) == 0)
		t->rules = mem_realloc(t->rules,
		    (t->count > 0 ? t->count * 2 : 1) * sizeof(t->rules[0]));
	t->rules[t->count] = (struct rule){.op = op, .line = r->line};
	return &t->rules[t->count++];
}

static bool
check_groups(struct reader *r, const struct rule *rule)
{
	if (rule->group_max == 0)
		return true;
	if (rule->first.is_negated)
		return complain(r,
		    "$%zu in the result of a pattern that must "
		    "not match",
		    rule->group_max);
	if (rule->group_max > group_count(&rule->first))
		return complain(r,
		    "$%zu in the result, but the pattern has "
		    "only %zu subexpressions",
		    rule->group_max, group_count(&rule->first));
	if (rule->group_max > r->table->group_max)
		r->table->group_max = rule->group_max;
	return true;
}

static bool
read_rule(struct reader *r, char *p)
{
	struct rule *rule = add_rule(r, OP_RESULT);
	struct source first, second = {.text = NULL};

	if (!read_source(r, &p, &first))
		return false;
	if (*p == '!' && !read_source(r, &p, &second))
		return false;
	skip_blanks(&p);
	if (!read_result(r, rule, p))
		return false;
	if (r->table->kind == PATTERN_REGEXP) {
		second.flags |= REG_NOSUB;
		if (rule->group_max == 0)
			first.flags |= REG_NOSUB;
	}
	return compile(r, &first, &rule->first) &&
	       (second.text == NULL || compile(r, &second, &rule->second)) &&
	       check_groups(r, rule);
}

/* A line that begins with a blank belongs to the one before, so that an
 * indented rule behind "if" or "endif" is no rule. */
static bool
is_end(struct reader *r, char *p, const char *what)
{
	skip_blanks(&p);
	return *p == '\0' ||
	       complain(r,
		   "text behind \"%s\": the lines between \"if\" and "
		   "\"endif\" must not begin with a blank",
		   what);
}

static bool
read_if(struct reader *r, char *p)
{
	struct rule *rule = add_rule(r, OP_IF);
	struct source source;

	skip_blanks(&p);
	if (r->nesting == NESTING_MAX)
		return complain(r, "\"if\" inside of too many others");
	if (!read_source(r, &p, &source) || !is_end(r, p, "if"))
		return false;
	r->ifs[r->nesting++] = r->table->count - 1;
	if (r->table->kind == PATTERN_REGEXP)
		source.flags |= REG_NOSUB;
	return compile(r, &source, &rule->first);
}

static bool
read_endif(struct reader *r, char *p)
{
	if (r->nesting == 0)
		return complain(r, "\"endif\" without \"if\"");
	(void)add_rule(r, OP_ENDIF);
	r->table->rules[r->ifs[--r->nesting]].endif = r->table->count - 1;
	return is_end(r, p, "endif");
}

static bool
read_logical_line(void *ctx, char *p)
{
	struct reader *r = ctx;

	if (!is_word(*p))
		return read_rule(r, p);
	if (strncasecmp(p, "if", 2) == 0 && !is_word(p[2]))
		return read_if(r, p + 2);
	if (strncasecmp(p, "endif", 5) == 0 && !is_word(p[5]))
		return read_endif(r, p + 5);
	return complain(r, "must be /pattern/flags result, \"if\" or "
			   "\"endif\"");
}

static bool
read_table(struct reader *r, struct slice text)
{
	const char *why = NULL;

	if (!logical_lines_read(text, read_logical_line, r, &r->line, &why))
		return why != NULL ? complain(r, "%s", why) : false;
	if (r->nesting == 0)
		return true;
	r->line = r->table->rules[r->ifs[r->nesting - 1]].line;
	return complain(r, "\"if\" without \"endif\"");
}

static void
set_limits(struct pattern_table *t)
{
	t->limits = pcre2_match_context_create(NULL);
	if (t->limits == NULL)
		return; /* libpcre2's own limits */
	(void)pcre2_set_match_limit(t->limits, PATTERN_MATCH_MAX);
	(void)pcre2_set_heap_limit(t->limits, PATTERN_HEAP_KIB_MAX);
}

struct pattern_table *
pattern_table_new(enum pattern_kind kind, const char *path, struct slice text,
    char *error, size_t error_size)
{
	struct pattern_table *t = mem_zalloc(sizeof(*t));
	struct reader *r = mem_zalloc(sizeof(*r));

	t->kind = kind;
	t->path = mem_strdup(path);
	r->table = t;
	r->error = error;
	r->error_size = error_size;
	if (read_table(r, text)) {
		t->groups = mem_zarray(t->group_max + 1, sizeof(t->groups[0]));
		if (kind == PATTERN_PCRE)
			set_limits(t);
	} else {
		pattern_table_free(&t);
	}
	mem_free(r);
	return t;
}

void
pattern_table_free(struct pattern_table **table)
{
	struct pattern_table *t = *table;

	*table = NULL;
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->count; i++)
		rule_fini(&t->rules[i]);
	mem_free(t->rules);
	mem_free(t->groups);
	pcre2_match_context_free(t->limits);
	mem_free(t->path);
	mem_free(t);
}

/* ---- look-up ----------------------------------------------------------- */

/* A look-up under way. */
struct look {
	struct pattern_table *table;
	const char *key;
	size_t key_n;
	int line;
	char *error;
	size_t error_size;
};

static enum pattern_result
fail(struct look *l, const char *why)
{
	(void)snprintf(l->error, l->error_size, "%s, line %d: %s",
	    l->table->path, l->line, why);
	return PATTERN_ERROR;
}

static enum pattern_result
match_regexp(struct look *l, const struct matcher *m, size_t groups)
{
	char why[WHY_SIZE];
	int rc = regexec(m->regexp, l->key, groups > 0 ? groups + 1 : 0,
	    l->table->groups, 0);

	if (rc == 0)
		return PATTERN_FOUND;
	if (rc == REG_NOMATCH)
		return PATTERN_NONE;
	(void)regerror(rc, m->regexp, why, sizeof(why));
	return fail(l, why);
}

static enum pattern_result
match_pcre(struct look *l, const struct matcher *m)
{
	char why[WHY_SIZE];
	int rc = pcre2_match(m->pcre, (PCRE2_SPTR)l->key, l->key_n, 0, 0,
	    m->pcre_data, l->table->limits);

	if (rc > 0)
		return PATTERN_FOUND;
	if (rc == PCRE2_ERROR_NOMATCH)
		return PATTERN_NONE;
	(void)pcre2_get_error_message(rc, (PCRE2_UCHAR *)why, sizeof(why));
	return fail(l, why);
}

/* PATTERN_FOUND: it matches, or does not where it must not. */
static enum pattern_result
holds(struct look *l, const struct matcher *m, size_t groups)
{
	enum pattern_result result =
	    m->regexp != NULL ? match_regexp(l, m, groups) : match_pcre(l, m);

	if (result == PATTERN_ERROR || !m->is_negated)
		return result;
	return result == PATTERN_FOUND ? PATTERN_NONE : PATTERN_FOUND;
}

static struct slice
group_text(const struct look *l, const struct matcher *m, size_t n)
{
	const regmatch_t *group = &l->table->groups[n];
	const PCRE2_SIZE *ovector;

	if (m->regexp != NULL) {
		if (group->rm_so < 0)
			return slice_of("", 0);
		return slice_of(l->key + group->rm_so,
		    (size_t)(group->rm_eo - group->rm_so));
	}
	/* Those that took no part are PCRE2_UNSET at both ends. */
	ovector = pcre2_get_ovector_pointer(m->pcre_data) + 2 * n;
	if (ovector[0] == PCRE2_UNSET || ovector[1] < ovector[0])
		return slice_of("", 0);
	return slice_of(l->key + ovector[0], ovector[1] - ovector[0]);
}

static enum pattern_result
give(struct look *l, const struct rule *rule, struct buf *out)
{
	for (size_t i = 0; i < rule->piece_count; i++) {
		const struct piece *piece = &rule->pieces[i];
		struct slice s = piece->group > 0
				     ? group_text(l, &rule->first, piece->group)
				     : slice_str(piece->text);

		if (buf_len(out) + s.n > PATTERN_RESULT_MAX ||
		    !buf_add_slice(out, s))
			return fail(l, "the result is too long");
	}
	return PATTERN_FOUND;
}

static enum pattern_result
try_rule(struct look *l, const struct rule *rule, struct buf *out)
{
	enum pattern_result result = holds(l, &rule->first, rule->group_max);

	if (result == PATTERN_FOUND &&
	    (rule->second.regexp != NULL || rule->second.pcre != NULL))
		result = holds(l, &rule->second, 0);
	return result == PATTERN_FOUND ? give(l, rule, out) : result;
}

enum pattern_result
pattern_table_find(struct pattern_table *t, const char *key, struct buf *out,
    char *error, size_t error_size)
{
	struct look l = {t, key, strlen(key), 0, error, error_size};
	enum pattern_result result;

	if (l.key_n > PATTERN_KEY_MAX) {
		(void)snprintf(
		    error, error_size, "%s: the key is too long", t->path);
		return PATTERN_ERROR;
	}
	for (size_t i = 0; i < t->count; i++) {
		const struct rule *rule = &t->rules[i];

		l.line = rule->line;
		switch (rule->op) {
		case OP_RESULT:
			result = try_rule(&l, rule, out);
			if (result != PATTERN_NONE)
				return result;
			break;
		case OP_IF:
			result = holds(&l, &rule->first, 0);
			if (result == PATTERN_ERROR)
				return result;
			CHECK(rule->endif > i && rule->endif < t->count);
			if (result == PATTERN_NONE)
				i = rule->endif;
			break;
		case OP_ENDIF:
			break;
		}
	}
	return PATTERN_NONE;
}
