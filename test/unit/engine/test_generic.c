#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "agent/engine/generic.h"
#include "agent/engine/settings.h"
#include "test/support/word_table.h"

enum { OUT_MAX = 65536 };

static char asked[1024];

/* What is asked is noted. */
static enum rewriter_result
look_up(void *ctx, const char *text, struct buf *to)
{
	size_t n = strlen(asked);

	(void)snprintf(asked + n, sizeof(asked) - n, "%s ", text);
	return word_table_ask(ctx, text, to);
}

static struct settings set = {
    .recipient_delimiter = (char[]){"+-"},
    .myorigin = (char[]){"my.example"},
    .mydomain = (char[]){"domain.example"},
    .mydestination = (char[]){"one.example, !two.example two.example"},
    .double_bounce_sender = (char[]){"double-bounce"},
    .propagate_unmatched_extensions = (char[]){"canonical, generic"},
    .append_at_myorigin = true,
    .append_dot_mydomain = true,
    .swap_bangpath = true,
    .allow_percent_hack = true,
    .owner_request_special = true,
};

static const char *
mapped(const char *table, const char *address)
{
	static char text[1000];
	char copy[1000];
	struct generic generic = {.set = &set};
	struct buf out;

	(void)snprintf(copy, sizeof(copy), "%s", table);
	generic.maps = generic.partial = (struct rewriter){look_up, copy};
	asked[0] = '\0';
	buf_init(&out, OUT_MAX);
	switch (generic_map(&generic, NULL, address, &out)) {
	case REWRITER_KEPT:
		(void)snprintf(text, sizeof(text), "%s", "kept");
		break;
	case REWRITER_UNKNOWN:
	case REWRITER_FAILED:
		(void)snprintf(text, sizeof(text), "%s", "failed");
		break;
	case REWRITER_DONE:
		(void)snprintf(text, sizeof(text), "%s", buf_str(&out));
		break;
	}
	buf_fini(&out);
	return text;
}

static void
generic_map_asks_in_smtps_order(void **state)
{
	static const struct {
		const char *address, *asked;
	} cases[] = {
	    {"u@x.example", "u@x.example @x.example "},
	    {"u+e@x.example", "u+e@x.example u@x.example @x.example "},
	    {"u+e@one.example",
		"u+e@one.example u@one.example u+e u @one.example "},
	    {"u@MY.example.", "u@MY.example. @MY.example. "},
	    {"u@my.EXAMPLE", "u@my.EXAMPLE u @my.EXAMPLE "},
	    {"u@One.example.", "u@One.example. u @One.example. "},
	    {"u@two.example", "u@two.example @two.example "},
	    {"a b@x.example", "\"a b\"@x.example @x.example "},
	    {"a@b@one.example", "\"a@b\"@one.example \"a@b\" @one.example "},
	    {"u", "u "},
	    {"", "\"\" "},
	    {"postmaster+x@x.example",
		"postmaster+x@x.example postmaster@x.example @x.example "},
	    {"owner-l@x.example", "owner-l@x.example @x.example "},
	    {"l-request@x.example", "l-request@x.example @x.example "},
	    {"double-bounce@x.example", "double-bounce@x.example @x.example "},
	    {"+x@x.example", "+x@x.example @x.example "},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_string_equal(mapped("", cases[i].address), "kept");
		assert_string_equal(asked, cases[i].asked);
	}
}

static void
generic_map_completes_results(void **state)
{
	static const struct {
		const char *table, *address, *want;
	} cases[] = {
	    {"u@x=a@b.example", "u@x", "a@b.example"},
	    {"u@x=N <a@b.example>", "u@x", "a@b.example"},
	    {"u@x=a", "u@x", "a@my.example"},
	    {"u@x=a@b", "u@x", "a@b.domain.example"},
	    {"u@x=b!a", "u@x", "a@b.domain.example"},
	    {"u@x=\"a b\"@c.example", "u@x", "a b@c.example"},
	    {"u@x=@b.example", "u+e@x", "u+e@b.example"},
	    {"@x=@b.example", "u+e@x", "u+e@b.example"},
	    {"u@x=a@b.example", "u+e@x", "a+e@b.example"},
	    {"u+e@x=a@b.example", "u+e@x", "a@b.example"},
	    {"u=a@b.example", "u-e@my.example", "a-e@b.example"},
	    {"u@x=<>", "u@x", ""},
	    {"u@x=", "u@x", ""},
	    {"\"\"=a@b.example", "", "a@b.example"},
	    {"u@x=,", "u@x", "failed"},
	    {"u@x=!", "u@x", "failed"},
	    {"@x=!", "u@x", "failed"},
	    {"u@x=a@b.example, c@d.example", "u@x", "a@b.example"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(
		    mapped(cases[i].table, cases[i].address), cases[i].want);
	set.propagate_unmatched_extensions[0] = '\0';
	assert_string_equal(mapped("u@x=a@b.example", "u+e@x"), "a@b.example");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(generic_map_asks_in_smtps_order),
	    cmocka_unit_test(generic_map_completes_results),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
