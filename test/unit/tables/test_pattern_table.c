/* The judge is postmap -q: the same files, the same keys, the same answers. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/io/command_output.h"
#include "agent/tables/pattern_table.h"
#include "common/base/mem.h"
#include "test/support/scratch.h"

enum { TABLES = 50, KEYS = 12, TEXT_SIZE = 4096 };

static const char *const type_names[] = {"regexp", "pcre"};
static char error[PATTERN_ERROR_SIZE];

static struct pattern_table *
make(enum pattern_kind kind, const char *text)
{
	error[0] = '\0';
	return pattern_table_new(
	    kind, "/etc/x", slice_str(text), error, sizeof(error));
}

/* "VALUE", or "-" for none, or "error". */
static const char *
look_up(struct pattern_table *t, const char *key)
{
	static char got[512];
	struct buf out;

	buf_init(&out, PATTERN_RESULT_MAX);
	switch (pattern_table_find(t, key, &out, error, sizeof(error))) {
	case PATTERN_FOUND:
		(void)snprintf(got, sizeof(got), "%s", buf_str(&out));
		break;
	case PATTERN_NONE:
		(void)snprintf(got, sizeof(got), "-");
		break;
	case PATTERN_ERROR:
		(void)snprintf(got, sizeof(got), "error");
		break;
	}
	buf_fini(&out);
	return got;
}

static void
expect(enum pattern_kind kind, const char *text, const char *key,
    const char *wanted)
{
	struct pattern_table *t = make(kind, text);

	if (t == NULL)
		fail_msg("%s", error);
	assert_string_equal(look_up(t, key), wanted);
	pattern_table_free(&t);
}

static void
refuse(enum pattern_kind kind, const char *text, const char *wanted)
{
	struct pattern_table *t = make(kind, text);

	assert_null(t);
	if (strstr(error, wanted) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", wanted, error);
}

/* ---- beside postmap ---------------------------------------------------- */

/* Where nobody may install or fetch one, as in the build of a package. */
static bool
is_without_pcre(void)
{
	return getenv("POSTLANE_WITHOUT_PCRE") != NULL;
}

/* Where scripts/setup put it, unless it is installed. */
static const char *
pcre_module(void)
{
	static char path[PATH_MAX];

	if (access("/usr/lib/postfix/postfix-pcre.so", R_OK) == 0)
		return "/usr/lib/postfix/postfix-pcre.so";
	assert_non_null(
	    realpath("build/pcre/usr/lib/postfix/postfix-pcre.so", path));
	return path;
}

static int
setup(void **state)
{
	char lines[PATH_MAX + 100];

	(void)state;
	(void)snprintf(lines, sizeof(lines), "meta_directory = %s\n",
	    scratch_path("config"));
	scratch_config(lines);
	if (is_without_pcre())
		return 0;
	(void)snprintf(
	    lines, sizeof(lines), "pcre %s dict_pcre_open\n", pcre_module());
	scratch_write("config/dynamicmaps.cf", lines);
	return 0;
}

/* What postmap says of all keys, "key\tvalue\n" for those it finds. */
static void
ask_postmap(enum pattern_kind kind, const char *text, const char *keys,
    struct command_output_result *run)
{
	char command[1024];
	const char *argv[] = {"/bin/sh", "-c", command, NULL};

	scratch_write("table", text);
	scratch_write("keys", keys);
	(void)snprintf(command, sizeof(command),
	    "exec /usr/sbin/postmap -q - %s:%s <%s", type_names[kind],
	    scratch_path("table"), scratch_path("keys"));
	command_output_run(run, argv);
	assert_in_range(run->status, 0, 1);
}

/* postmap takes an empty result for a mistake of the look-up, which is said
 * apart from what is wrong with the table. */
#define EMPTY "empty string result is not allowed"
#define EMPTY_TOO "should return NO RESULT in case of NOT FOUND"

/* Ours in the same form, with the same words about empty results. */
static void
ask_ours(struct pattern_table *t, const char *keys, struct buf *out,
    size_t *empty_out)
{
	*empty_out = 0;
	while (*keys != '\0') {
		char *key = mem_strndup(keys, strcspn(keys, "\n"));
		const char *got = look_up(t, key);

		assert_string_not_equal(got, "error");
		*empty_out += *got == '\0';
		if (strcmp(got, "-") != 0)
			(void)buf_addf(out, "%s\t%s\n", key, got);
		keys += strlen(key) + 1;
		mem_free(key);
	}
}

/* Counts empty results; true when there are other complaints. */
static bool
has_complaints(const char *err, size_t *empty_out)
{
	bool has_other = false;

	*empty_out = 0;
	while (*err != '\0') {
		size_t n = strcspn(err, "\n");
		char *line = mem_strndup(err, n);

		if (strstr(line, EMPTY) != NULL)
			(*empty_out)++;
		else if (strstr(line, EMPTY_TOO) == NULL)
			has_other = true;
		mem_free(line);
		err += n + (err[n] == '\n');
	}
	return has_other;
}

static uint32_t seed;

static uint32_t
pick(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

#define PICK(list) (list)[pick(sizeof(list) / sizeof((list)[0]))]

static void
add(char *text, const char *more)
{
	assert_true(strlen(text) + strlen(more) < TEXT_SIZE);
	memcpy(text + strlen(text), more, strlen(more) + 1);
}

static void
add_pattern(enum pattern_kind kind, char *text, bool may_be_negated)
{
	static const char *const patterns[] = {"^(mail|mx)([0-9]*)\\.",
	    "(example)\\.(com|org)$", "^\\[?([a-z]+)\\]?(:(25|587))?$", "@",
	    "^(.*)@(.*)$", "(a)|(b)|(c)", "^$", ".", "[[:digit:]]+", "x*(y*)",
	    "^[^@]*$", "\\/", "Mail", "(example).*\\1"};
	static const char *const more[] = {"^(?=mail)(\\w+)", "(?i)MX(\\d)?",
	    "^\\S+\\s?$", "(?:mail|mx)(.+?)\\.", "(?<n>com)\\z"};
	static const char *const flags[2][5] = {
	    {"", "i", "x", "m", "ii"}, {"", "i", "x", "sU", "AE"}};
	static const char *const slashes[] = {"/", "/", "/", "%", "|"};
	const char *slash = PICK(slashes);
	const char *pattern =
	    kind == PATTERN_PCRE && pick(3) == 0 ? PICK(more) : PICK(patterns);

	/* A delimiter cannot stand for itself in its pattern. */
	if (strpbrk(pattern, slash) != NULL)
		slash = strchr(pattern, '/') != NULL ? "%" : "/";
	if (may_be_negated && pick(4) == 0)
		add(text, pick(3) == 0 ? "! !! " : "!");
	add(text, slash);
	add(text, pattern);
	add(text, slash);
	add(text, PICK(flags[kind]));
}

/* With numbers that are mostly good for what stands in front. */
static void
add_result(char *text, const char *rule)
{
	static const char *const literal[] = {"login:pa$$word", "one two",
	    "a\n b\n# no\n  c", "trailing  ", "joe:%/|!x"};
	static const char *const numbered[] = {
	    "$1", "$(1)-$$1", "$1:${2}", "user-$1:secret$2", "${3}"};
	size_t groups = 0;

	for (const char *p = rule; *p != '\0'; p++)
		groups += *p == '(' && p[1] != '?';
	if (pick(12) == 0)
		add(text, PICK(numbered));
	else if (groups == 0 || *rule == '!' || pick(3) == 0)
		add(text, PICK(literal));
	else
		add(text,
		    numbered[pick(groups > 2 ? 5 : (uint32_t)groups * 2)]);
}

static void
add_line(enum pattern_kind kind, char *text, int *depth)
{
	static const char *const comments[] = {
	    "# comment\n", "\n", "   \n", "\t# comment\n"};

	const char *rule;

	switch (pick(9)) {
	case 0:
		add(text, PICK(comments));
		break;
	case 1:
		add(text, pick(2) == 0 ? "if " : "IF");
		add_pattern(kind, text, true);
		add(text, "\n");
		(*depth)++;
		break;
	case 2:
		add(text, pick(12) == 0 || *depth > 0 ? "endif\n" : "");
		*depth -= *depth > 0;
		break;
	default:
		rule = text + strlen(text);
		add_pattern(kind, text, true);
		if (kind == PATTERN_REGEXP && pick(8) == 0) {
			add(text, "!");
			add_pattern(kind, text, false);
		}
		add(text, pick(2) == 0 ? " " : "\t");
		add_result(text, rule);
		add(text, "\n");
	}
}

static void
generate(enum pattern_kind kind, char *text, char *keys)
{
	static const char *const names[] = {"mail.example.com", "MX1.example.",
	    "[mail.example.com]:587", "joe@example.com", "Joe+x@Example.ORG",
	    "@example.com", "localhost", "b", "xyz", "mail25.", "a/b", "x y",
	    "mx", "[relay]:25", "example.example.com", "1234"};
	int depth = 0;

	text[0] = keys[0] = '\0';
	for (uint32_t n = 1 + pick(9); n > 0; n--)
		add_line(kind, text, &depth);
	/* Most of the time. */
	for (; depth > 0 && pick(20) > 0; depth--)
		add(text, "endif\n");
	for (int i = 0; i < KEYS; i++) {
		add(keys, PICK(names));
		add(keys, "\n");
	}
}

/* A table is refused exactly when postmap has something to complain about,
 * and otherwise every answer is the same. Counts the answers of both kinds. */
static void
compare_one(enum pattern_kind kind, size_t *refused, size_t *found)
{
	char text[TEXT_SIZE], keys[TEXT_SIZE];
	uint32_t used = seed;
	struct pattern_table *t;
	struct command_output_result run;
	struct buf ours;
	size_t empty, our_empty;

	generate(kind, text, keys);
	ask_postmap(kind, text, keys, &run);
	t = make(kind, text);
	if ((t == NULL) != has_complaints(buf_str(&run.err), &empty))
		fail_msg("seed %u: \"%s\", but postmap: \"%s\"\n%s", used,
		    error, buf_str(&run.err), text);
	buf_init(&ours, TEXT_SIZE * 4);
	if (t != NULL) {
		ask_ours(t, keys, &ours, &our_empty);
		assert_int_equal(our_empty, empty);
		if (strcmp(buf_str(&ours), buf_str(&run.out)) != 0)
			fail_msg("seed %u: \"%s\", but postmap: \"%s\"\n%s",
			    used, buf_str(&ours), buf_str(&run.out), text);
		*found += buf_len(&ours) > 0;
	} else {
		(*refused)++;
	}
	buf_fini(&ours);
	command_output_fini(&run);
	pattern_table_free(&t);
}

static void
compare_many(enum pattern_kind kind)
{
	size_t refused = 0, found = 0;

	for (int i = 0; i < TABLES; i++)
		compare_one(kind, &refused, &found);
	/* The generator makes both kinds. */
	assert_in_range(refused, TABLES / 20, TABLES * 3 / 4);
	assert_in_range(found, TABLES / 5, TABLES);
}

static void
pattern_table_answers_as_postmap_for_regexp(void **state)
{
	(void)state;
	seed = 1;
	compare_many(PATTERN_REGEXP);
}

static void
pattern_table_answers_as_postmap_for_pcre(void **state)
{
	(void)state;
	if (is_without_pcre())
		skip();
	seed = 2;
	compare_many(PATTERN_PCRE);
}

/* ---- by hand ----------------------------------------------------------- */

static void
pattern_table_first_match_decides(void **state)
{
	(void)state;
	for (int kind = 0; kind < 2; kind++) {
		enum pattern_kind k = (enum pattern_kind)kind;

		expect(k, "/^a/ 1\n/b/ 2\n/./ 3\n", "ab", "1");
		expect(k, "/^a/ 1\n/b/ 2\n/./ 3\n", "b", "2");
		expect(k, "/^a/ 1\n/b/ 2\n/./ 3\n", "c", "3");
		expect(k, "/^a/ 1\n", "b", "-");
		expect(k, "", "b", "-");
		expect(k, "/a/\n", "a", "");
	}
}

static void
pattern_table_letters_match_without_case_unless_told(void **state)
{
	(void)state;
	for (int kind = 0; kind < 2; kind++) {
		enum pattern_kind k = (enum pattern_kind)kind;

		expect(k, "/MAIL/ x", "mail", "x");
		expect(k, "/MAIL/i x", "mail", "-");
		expect(k, "/MAIL/i x", "MAIL", "x");
	}
}

static void
pattern_table_if_skips_to_its_own_endif(void **state)
{
	static const char text[] = "if /@/\n"
				   "if !/^joe/\n"
				   "/./ other\n"
				   "endif\n"
				   "/./ joe\n"
				   "endif\n"
				   "/./ host\n";

	(void)state;
	for (int kind = 0; kind < 2; kind++) {
		enum pattern_kind k = (enum pattern_kind)kind;

		expect(k, text, "jim@x", "other");
		expect(k, text, "joe@x", "joe");
		expect(k, text, "mail", "host");
	}
}

static void
pattern_table_refuses_what_postfix_would_skip(void **state)
{
	static const struct {
		const char *text, *wanted;
	} cases[] = {
	    {"/a/ 1\n\n/(/ 2\n", "/etc/x, line 3: "},
	    {"/a/ 1\n/b 2\n", "line 2: the pattern has no end"},
	    {"/a/ 1\n/b/q 2\n", "line 2: unknown flag"},
	    {"# x\n!\n", "line 2: there is no pattern"},
	    {"/a/ pass$word\n", "line 1: bad $ in the result"},
	    {"/(a)/ $2\n", "line 1: $2 in the result, but"},
	    {"/(a)/ ${1\n", "line 1: bad $"},
	    {"/a/ x$\n", "line 1: bad $"},
	    {"!/(a)/ $1\n", "line 1: $1 in the result of a pattern that"},
	    {"/a/ 1\nmail.example user:pass\n", "line 2: must be"},
	    {"/a/ 1\nendif\n", "line 2: \"endif\" without"},
	    {"/a/ 1\nif /b/\n/c/ 2\n", "line 2: \"if\" without"},
	    {"if /b/\n  /c/ 2\nendif\n", "line 1: text behind \"if\""},
	    {"if /b/\nendif\n\t/c/ 2\n", "line 2: text behind \"endif\""},
	    {"  /a/ 1\n", "line 1: the first line begins with a blank"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		refuse(PATTERN_REGEXP, cases[i].text, cases[i].wanted);
		refuse(PATTERN_PCRE, cases[i].text, cases[i].wanted);
		/* What stands behind the pattern may be a password. */
		assert_null(strstr(error, "word"));
		assert_null(strstr(error, "pass"));
	}
	refuse(PATTERN_PCRE, "/a/!/b/ x\n", "line 1: unknown flag");
}

static void
pattern_table_with_a_nul_is_refused(void **state)
{
	static const char text[] = "/a/ 1\n/b/ \0 2\n";
	struct pattern_table *t;

	(void)state;
	t = pattern_table_new(PATTERN_REGEXP, "/etc/x",
	    slice_of(text, sizeof(text) - 1), error, sizeof(error));
	assert_null(t);
	assert_string_equal(error, "/etc/x, line 2: there is a NUL");
}

/* Postfix would go on with the next rule, whose result is somebody else's. */
static void
pattern_table_gives_up_where_matching_has_no_end(void **state)
{
	struct pattern_table *t = make(PATTERN_PCRE, "/^(a+)+$/ 1\n/./ 2\n");
	char key[61];

	(void)state;
	memset(key, 'a', sizeof(key) - 2);
	memcpy(key + sizeof(key) - 2, "!", 2);
	assert_non_null(t);
	assert_string_equal(look_up(t, key), "error");
	assert_string_equal(error, "/etc/x, line 1: match limit exceeded");
	assert_string_equal(look_up(t, "aaa"), "1");
	assert_string_equal(look_up(t, "!"), "2");
	pattern_table_free(&t);
}

static void
pattern_table_bounds_keys_and_results(void **state)
{
	struct pattern_table *t = make(PATTERN_REGEXP, "/^(.*)$/ $1$1$1$1\n");
	size_t n = PATTERN_KEY_MAX + 1;
	char *key = mem_zalloc(n + 1);

	(void)state;
	memset(key, 'k', n);
	assert_string_equal(look_up(t, key), "error");
	assert_string_equal(error, "/etc/x: the key is too long");
	key[PATTERN_KEY_MAX - 1] = '\0';
	assert_string_equal(look_up(t, key), "error");
	assert_string_equal(error, "/etc/x, line 1: the result is too long");
	mem_free(key);
	pattern_table_free(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pattern_table_first_match_decides),
	    cmocka_unit_test(
		pattern_table_letters_match_without_case_unless_told),
	    cmocka_unit_test(pattern_table_if_skips_to_its_own_endif),
	    cmocka_unit_test(pattern_table_refuses_what_postfix_would_skip),
	    cmocka_unit_test(pattern_table_with_a_nul_is_refused),
	    cmocka_unit_test(pattern_table_gives_up_where_matching_has_no_end),
	    cmocka_unit_test(pattern_table_bounds_keys_and_results),
	    cmocka_unit_test(pattern_table_answers_as_postmap_for_regexp),
	    cmocka_unit_test(pattern_table_answers_as_postmap_for_pcre),
	};

	return cmocka_run_group_tests_name("pattern_table", tests, setup, NULL);
}
