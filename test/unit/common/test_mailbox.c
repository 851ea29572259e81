#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/smtp/mailbox.h"

enum { OUT_MAX = 4 << 20 };

static struct buf out;

static bool
add_x(void *ctx, const char *internal, struct buf *to)
{
	(void)ctx;
	if (strncmp(internal, "keep", 4) == 0)
		return false;
	(void)buf_add_str(to, internal);
	(void)buf_add_char(to, 'x');
	return true;
}

/* With an "x" behind each address; NULL: none was changed. */
static const char *
mapped(const char *text)
{
	struct mailbox_list *list = mailbox_list_parse(text);
	bool is_changed = mailbox_list_map(list, add_x, NULL);

	buf_reset(&out);
	mailbox_list_write(list, &out);
	mailbox_list_free(&list);
	assert_true(buf_ok(&out));
	return is_changed ? buf_str(&out) : NULL;
}

static void
mailbox_list_keeps_all_but_the_addresses(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
	    {" a@b", "a@bx"},
	    {"a@b, c@d", "a@bx,\nc@dx"},
	    {"\"N, M\" <a@b> (c)", "\"N, M\" <a@bx>(c)"},
	    {"(c \\) d) A. B <a@b>", "(c \\) d) A.B <a@bx>"},
	    {"g: a@b, c@d;, e@f", "g: a@bx,\nc@dx;,\ne@fx"},
	    {"g:;", NULL},
	    {"a@b c@d", "a@bx,\nc@dx"},
	    {"two words", "twox,\nwordsx"},
	    {"<@r:a@b>", "<@r:a@bx>"},
	    {"a@b (c), d", "a@bx (c),\ndx"},
	    {"\"a b\"@c", "\"a b\"@cx"},
	    {"a@[1.2.3.4]", "a@[1.2.3.4] x"},
	    {"keep@b", NULL},
	    {"keep@b,\n a@b", "keep@b,\na@bx"},
	    {"<>", NULL},
	    {"", NULL},
	    {",,", NULL},
	    {"J\xc3\xb6rg <a@b>", "J\xc3\xb6rg <a@bx>"},
	    {"a\\ b@c", "\"a b\"@cx"},
	    {"\"a", "ax"},
	    {"<a@b", "\"<a\"@bx"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *got = mapped(cases[i].text);

		if (cases[i].want == NULL)
			assert_null(got);
		else
			assert_string_equal(got, cases[i].want);
	}
}

static void
mailbox_list_keeps_names_short(void **state)
{
	char text[600], want[600];

	(void)state;
	memset(text, 'n', 250);
	(void)snprintf(text + 248, sizeof(text) - 248, " <a@b>");
	memcpy(want, text, sizeof(text));
	(void)snprintf(want + 248, sizeof(want) - 248, " <a@bx>");
	assert_string_equal(mapped(text), "<a@bx>");
	(void)snprintf(text + 247, sizeof(text) - 247, " <a@b>");
	(void)snprintf(want + 247, sizeof(want) - 247, " <a@bx>");
	assert_string_equal(mapped(text), want);
}

static void
mailbox_list_is_linear(void **state)
{
	size_t n = 100000;
	char *text = mem_zalloc(n + 1);

	(void)state;
	for (const char *c = "(<,;:@\"\\a "; *c != '\0'; c++) {
		memset(text, *c, n);
		(void)mapped(text);
	}
	for (size_t i = 0; i + 1 < n; i += 2)
		memcpy(text + i, "a,", 2);
	assert_non_null(mapped(text));
	mem_free(text);
}

static void
mailbox_has_two_forms(void **state)
{
	static const struct {
		const char *internal, *external;
	} cases[] = {
	    {"a@b", "a@b"},
	    {"a b@c", "\"a b\"@c"},
	    {"a@b@c", "\"a@b\"@c"},
	    {"a\"b@c", "\"a\\\"b\"@c"},
	    {"a..b@c", "\"a..b\"@c"},
	    {".a@c", "\".a\"@c"},
	    {"a", "a"},
	    {"", "\"\""},
	    {"@r:a b@c", "@r:\"a b\"@c"},
	    {"\xc3\xb6@c", "\xc3\xb6@c"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_reset(&out);
		mailbox_quote(&out, cases[i].internal);
		assert_string_equal(buf_str(&out), cases[i].external);
		buf_reset(&out);
		mailbox_unquote(&out, cases[i].external);
		assert_string_equal(buf_str(&out), cases[i].internal);
	}
	buf_reset(&out);
	mailbox_quote_local(&out, "a@b");
	assert_string_equal(buf_str(&out), "\"a@b\"");
}

static void
mailbox_is_completed(void **state)
{
	static const struct mailbox_manner all = {"o.example", "d", true, true};
	static const struct mailbox_manner none = {"", "", false, false};
	static const struct {
		const char *external, *want, *plain;
	} cases[] = {
	    {"u", "u@o.example", "u"},
	    {"u@h", "u@h.d", "u@h"},
	    {"u@h.e", "u@h.e", "u@h.e"},
	    {"u@h.e.", "u@h.e", "u@h.e"},
	    {"h!u", "u@h.d", "h!u"},
	    {"h!i!u", "i!u@h.d", "h!i!u"},
	    {"u%h", "u@h.d", "u%h"},
	    {"@r:u@h", "u@h.d", "u@h"},
	    {"@", "\"\"", "\"\""},
	    {"\"\"", "\"\"", "\"\""},
	    {"u@[1.2]", "u@[1.2]", "u@[1.2]"},
	    {"u@", "u@", "u@"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_reset(&out);
		mailbox_complete(&out, cases[i].external, &all);
		assert_string_equal(buf_str(&out), cases[i].want);
		buf_reset(&out);
		mailbox_complete(&out, cases[i].external, &none);
		assert_string_equal(buf_str(&out), cases[i].plain);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(mailbox_list_keeps_all_but_the_addresses),
	    cmocka_unit_test(mailbox_list_keeps_names_short),
	    cmocka_unit_test(mailbox_list_is_linear),
	    cmocka_unit_test(mailbox_has_two_forms),
	    cmocka_unit_test(mailbox_is_completed),
	};
	int failed;

	buf_init(&out, OUT_MAX);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	buf_fini(&out);
	return failed;
}
