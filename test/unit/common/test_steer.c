#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/shared/steer.h"

enum { NOW_S = 1700000000 };

static struct steer_order
order(
    const char *lane, enum steer_verb verb, const char *value, int64_t until_s)
{
	struct steer_order o = {
	    .verb = verb, .until_s = until_s, .at_s = NOW_S};

	(void)snprintf(o.lane, sizeof(o.lane), "%s", lane);
	(void)snprintf(o.value, sizeof(o.value), "%s", value);
	(void)snprintf(o.who, sizeof(o.who), "root on pts/3");
	return o;
}

static struct steer_now
at(int64_t wall_s)
{
	return (struct steer_now){.wall_s = wall_s, .mono_ms = 5000, .boot = 7};
}

static void
set(struct steer *s, struct steer_order o)
{
	assert_true(steer_set(s, &o));
}

static void
steer_is_read_back_as_it_was_printed(void **state)
{
	struct steer *s = mem_zalloc(sizeof(*s)), *t = mem_zalloc(sizeof(*t));
	char error[200] = "";
	struct steer_order o;
	struct buf text;

	(void)state;
	buf_init(&text, STEER_FILE_MAX);
	s->serial = 41;
	set(s, order("fast", STEER_PAUSE, "-", 0));
	set(s, order("out/slow", STEER_RATE, "5/1s,100/1d!", NOW_S + 60));
	set(s, order("fast", STEER_CONNECTIONS, "3", 0));
	o = order("fast", STEER_PAUSE, "", 0);
	(void)snprintf(o.domain, sizeof(o.domain), ".example.com");
	steer_order_ends(&o, 60, at(NOW_S));
	set(s, o);
	steer_print(s, &text);
	assert_string_equal(buf_str(&text),
	    "postlane-steer 1 41\n"
	    "fast pause - 0 1700000000 root on pts/3\n"
	    "out/slow rate 5/1s,100/1d! 1700000060 1700000000 root on pts/3\n"
	    "fast connections 3 0 1700000000 root on pts/3\n"
	    "fast pause .example.com 1700000060@7.65000 1700000000 root on "
	    "pts/3\n");
	assert_true(steer_parse(buf_slice(&text), t, error, sizeof(error)));
	assert_int_equal(t->serial, 41);
	assert_int_equal(t->count, 4);
	assert_int_equal(t->orders[3].boot, 7);
	assert_int_equal(t->orders[3].until_ms, 65000);
	for (size_t i = 0; i < 4; i++) {
		assert_string_equal(t->orders[i].lane, s->orders[i].lane);
		assert_string_equal(t->orders[i].value, s->orders[i].value);
		assert_string_equal(t->orders[i].who, s->orders[i].who);
		assert_string_equal(t->orders[i].domain, s->orders[i].domain);
		assert_int_equal(t->orders[i].verb, s->orders[i].verb);
		assert_int_equal(t->orders[i].until_s, s->orders[i].until_s);
	}
	buf_fini(&text);
	mem_free(s);
	mem_free(t);
}

static void
steer_that_is_not_understood_is_nothing(void **state)
{
	static const struct {
		const char *text, *error;
	} rows[] = {
	    {"", "line 0 is not understood"},
	    {"postlane-steer 2 1\n", "line 1 is not understood"},
	    {"postlane-steer 1\n", "line 1 is not understood"},
	    {"postlane-steer 1 x\n", "line 1 is not understood"},
	    {"postlane-steer 1 1\nfast pause - 0 1 me\nfast stop - 0 1 me\n",
		"line 3 is not understood"},
	    {"postlane-steer 1 1\nfast rate 5 0 1 me\n",
		"line 2 is not understood"},
	    {"postlane-steer 1 1\nfast connections 1001 0 1 me\n",
		"line 2 is not understood"},
	    {"postlane-steer 1 1\nfast pause - -5 1 me\n",
		"line 2 is not understood"},
	    {"postlane-steer 1 1\nfast pause -\n", "line 2 is not understood"},
	    {"postlane-steer 1 1\nfast pause - 1234567890123 1 me\n",
		"line 2 is not understood"},
	    {"postlane-steer 1 1\nfast pause a@b 0 1 me\n",
		"line 2 is not understood"},
	    {"postlane-steer 1 1\nfast drain a.b 5@1 1 me\n",
		"line 2 is not understood"},
	    {"postlane-steer 1 1\nfast pause a.b 5@x.1 1 me\n",
		"line 2 is not understood"},
	    {"postlane-steer 1 1\nfast pause a.b 5@0.1 1 me\n",
		"line 2 is not understood"},
	};
	struct steer *s = mem_zalloc(sizeof(*s));
	char error[200];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_false(steer_parse(
		    slice_str(rows[i].text), s, error, sizeof(error)));
		assert_string_equal(error, rows[i].error);
		assert_int_equal(s->count, 0);
	}
	mem_free(s);
}

static void
steer_shows_nothing_that_steers_a_terminal(void **state)
{
	static const char file[] = "postlane-steer 1 1\n"
				   "fa\x1bst pause - 0 1 \x1b]0;me\a \xfc\n";
	struct steer *s = mem_zalloc(sizeof(*s));
	char error[200];

	(void)state;
	assert_true(steer_parse(slice_str(file), s, error, sizeof(error)));
	assert_string_equal(s->orders[0].lane, "fa?st");
	assert_string_equal(s->orders[0].who, "?]0;me? ?");
	mem_free(s);
}

static void
steer_has_one_order_of_each_kind_for_a_lane(void **state)
{
	struct steer *s = mem_zalloc(sizeof(*s));
	struct steer_order o;

	(void)state;
	set(s, order("fast", STEER_PAUSE, "-", 0));
	set(s, order("slow", STEER_PAUSE, "-", 0));
	set(s, order("fast", STEER_DRAIN, "-", 0));
	assert_int_equal(s->count, 2);
	assert_int_equal(
	    steer_find(s, "fast", STEER_PAUSE, at(NOW_S))->verb, STEER_DRAIN);
	set(s, order("fast", STEER_RATE, "5/1s", 0));
	set(s, order("fast", STEER_RATE, "6/1s", 0));
	assert_string_equal(
	    steer_find(s, "fast", STEER_RATE, at(NOW_S))->value, "6/1s");
	assert_null(steer_find(s, "fast", STEER_CONNECTIONS, at(NOW_S)));
	assert_int_equal(steer_clear(s, "fast", STEER_PAUSE, ""), 1);
	assert_int_equal(steer_clear(s, "fast", STEER_PAUSE, ""), 0);
	assert_non_null(steer_find(s, "slow", STEER_DRAIN, at(NOW_S)));
	for (int i = 0; i < STEER_ORDERS_MAX; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "l%d", i);
		o = order(name, STEER_PAUSE, "-", 0);
		(void)steer_set(s, &o);
	}
	assert_int_equal(s->count, STEER_ORDERS_MAX);
	o = order("more", STEER_PAUSE, "-", 0);
	assert_false(steer_set(s, &o));
	o = order("slow", STEER_DRAIN, "-", 0);
	assert_true(steer_set(s, &o));
	mem_free(s);
}

static void
steer_orders_are_over_at_their_time(void **state)
{
	struct steer *s = mem_zalloc(sizeof(*s));

	(void)state;
	set(s, order("fast", STEER_PAUSE, "-", NOW_S + 1));
	set(s, order("fast", STEER_CONNECTIONS, "2", 0));
	assert_non_null(steer_find(s, "fast", STEER_PAUSE, at(NOW_S)));
	assert_null(steer_find(s, "fast", STEER_PAUSE, at(NOW_S + 1)));
	steer_expire(s, at(NOW_S));
	assert_int_equal(s->count, 2);
	steer_expire(s, at(NOW_S + 1));
	assert_int_equal(s->count, 1);
	assert_int_equal(s->orders[0].verb, STEER_CONNECTIONS);
	mem_free(s);
}

/* An hour is one whatever somebody does to the clock; in another boot there is
 * nothing but the clock. */
static void
steer_orders_last_as_long_as_they_are_to(void **state)
{
	struct steer_order o = order("fast", STEER_PAUSE, "-", 0);
	struct steer_now now = at(NOW_S);

	(void)state;
	assert_int_equal(steer_left_ms(&o, now), INT64_MAX);
	assert_int_equal(steer_until_s(&o, now), 0);
	steer_order_ends(&o, 3600, now);
	assert_int_equal(steer_until_s(&o, now), NOW_S + 3600);
	/* The clocks do not begin a second together. */
	for (int64_t ms = 0; ms < 3000; ms += 100) {
		struct steer_now later = {
		    NOW_S + (ms + 700) / 1000, now.mono_ms + ms, now.boot};

		assert_int_equal(steer_until_s(&o, later), NOW_S + 3600);
	}
	now.mono_ms += 600000;
	now.wall_s += 600 - 7200; /* set back by two hours */
	assert_int_equal(steer_left_ms(&o, now), 3000000);
	assert_int_equal(steer_until_s(&o, now), now.wall_s + 3000);
	now.wall_s += 86400; /* and forward */
	assert_int_equal(steer_left_ms(&o, now), 3000000);
	now.mono_ms += 3000000;
	assert_int_equal(steer_left_ms(&o, now), 0);
	now = (struct steer_now){NOW_S + 3599, 1, 8};
	assert_int_equal(steer_left_ms(&o, now), 1000);
	now.wall_s++;
	assert_int_equal(steer_left_ms(&o, now), 0);
}

static void
steer_has_orders_for_domains_beside_those_of_the_lane(void **state)
{
	struct steer *s = mem_zalloc(sizeof(*s));
	struct steer_order o = order("fast", STEER_PAUSE, "", 0);
	char domain[STEER_DOMAIN_SIZE];

	(void)state;
	assert_true(steer_domain(".Example.COM", o.domain));
	assert_string_equal(o.domain, ".example.com");
	set(s, o);
	assert_null(steer_find(s, "fast", STEER_PAUSE, at(NOW_S)));
	set(s, order("fast", STEER_DRAIN, "-", 0));
	assert_int_equal(s->count, 2);
	set(s, o);
	assert_int_equal(s->count, 2);
	assert_int_equal(steer_clear(s, "fast", STEER_PAUSE, "example.com"), 0);
	assert_int_equal(
	    steer_clear(s, "fast", STEER_PAUSE, ".example.com"), 1);
	assert_non_null(steer_find(s, "fast", STEER_PAUSE, at(NOW_S)));
	assert_true(steer_domain("localhost", domain));
	assert_true(steer_domain("[192.0.2.1]", domain));
	assert_false(steer_domain("", domain));
	assert_false(steer_domain("-", domain));
	assert_false(steer_domain(".", domain));
	assert_false(steer_domain("joe@example.com", domain));
	assert_false(steer_domain("a b.example", domain));
	mem_free(s);
}

static void
steer_values_are_checked_with_a_reason(void **state)
{
	char text[256];

	(void)state;
	assert_null(steer_check(STEER_RATE, "5/1s", text, sizeof(text)));
	assert_null(steer_check(STEER_RATE, "none", text, sizeof(text)));
	assert_non_null(steer_check(STEER_RATE, "often", text, sizeof(text)));
	/* Such as would be another line when it is read back. */
	assert_string_equal(steer_check(STEER_RATE, "", text, sizeof(text)),
	    "must be one word, such as 5/1s or none");
	assert_non_null(
	    steer_check(STEER_RATE, "5/1s,\r6/1s", text, sizeof(text)));
	assert_null(steer_check(STEER_CONNECTIONS, "20", text, sizeof(text)));
	assert_string_equal(
	    steer_check(STEER_CONNECTIONS, "0", text, sizeof(text)),
	    "must be 1 to 1000");
	assert_non_null(
	    steer_check(STEER_CONNECTIONS, "-1", text, sizeof(text)));
	assert_non_null(
	    steer_check(STEER_CONNECTIONS, "3x", text, sizeof(text)));
	assert_null(steer_check(STEER_PAUSE, "-", text, sizeof(text)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(steer_is_read_back_as_it_was_printed),
	    cmocka_unit_test(steer_that_is_not_understood_is_nothing),
	    cmocka_unit_test(steer_shows_nothing_that_steers_a_terminal),
	    cmocka_unit_test(steer_has_one_order_of_each_kind_for_a_lane),
	    cmocka_unit_test(steer_orders_are_over_at_their_time),
	    cmocka_unit_test(steer_orders_last_as_long_as_they_are_to),
	    cmocka_unit_test(
		steer_has_orders_for_domains_beside_those_of_the_lane),
	    cmocka_unit_test(steer_values_are_checked_with_a_reason),
	};

	return cmocka_run_group_tests_name("steer", tests, NULL, NULL);
}
