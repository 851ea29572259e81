/* Limits by recipient domain: what may be written, who falls under what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/domains.h"
#include "common/base/mem.h"

enum { SECOND_US = 1000000 };

static const struct pacer_cost one = {.units = {1, 1, 1000}};

static struct domains *
make(const char *text)
{
	struct domains *d = domains_new();
	char error[256];

	if (!domains_add_list(d, text, NULL, error, sizeof(error)))
		fail_msg("%s: %s", text, error);
	return d;
}

static struct domain *
find(struct domains *d, const char *name)
{
	return domains_find(d, slice_str(name));
}

static void
longest_match_counts(void **state)
{
	static const struct {
		const char *domain, *found;
	} cases[] = {
	    {"example.com", "example.com"},
	    {"EXAMPLE.Com", "example.com"},
	    {"sub.example.com", NULL},
	    {"xexample.com", NULL},
	    {"gmx.de", NULL},
	    {"a.gmx.de", ".gmx.de"},
	    {"A.B.gmx.DE", ".gmx.de"},
	    {"mail.gmx.de", "mail.gmx.de"},
	    {"x.mail.gmx.de", ".gmx.de"},
	    {"free.gmx.de", NULL},
	    {"x.free.gmx.de", ".gmx.de"},
	    {"163.com", "163.com"},
	    {"de", NULL},
	    {".gmx.de", ".gmx.de"},
	    {".", NULL},
	    {"..", NULL},
	    {"", NULL},
	    {"[192.0.2.1]", "[192.0.2.1]"},
	};
	struct domains *d = make("Example.com=5/1m .gmx.de=10/1s, "
				 "mail.gmx.de=1/1s free.gmx.de=none "
				 "163.com=5/1m:2 [192.0.2.1]=1/1s");

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct domain *dom = find(d, cases[i].domain);

		if (cases[i].found == NULL)
			assert_null(dom);
		else
			assert_string_equal(domain_name(dom), cases[i].found);
	}
	domains_free(&d);
}

static void
name_that_is_too_long_has_no_limit(void **state)
{
	struct domains *d = make(".test=1/1s");
	char name[DOMAIN_NAME_MAX + 6];

	(void)state;
	memset(name, 'a', sizeof(name));
	(void)snprintf(name + DOMAIN_NAME_MAX - 5, 6, ".test");
	assert_non_null(find(d, name));
	(void)snprintf(name + DOMAIN_NAME_MAX - 5, 11, "a.test");
	assert_null(find(d, name));
	domains_free(&d);
}

static void
many_domains_are_found(void **state)
{
	struct domains *d = domains_new();
	char name[32], error[128];

	(void)state;
	for (int i = 0; i < 5000; i++) {
		(void)snprintf(name, sizeof(name), "d%d.test", i);
		assert_true(domains_add(d, name, "1/1s", error, sizeof(error)));
	}
	for (int i = 0; i < 5000; i++) {
		(void)snprintf(name, sizeof(name), "d%d.test", i);
		assert_string_equal(domain_name(find(d, name)), name);
	}
	assert_null(find(d, "d5000.test"));
	domains_free(&d);
}

static void
tables_are_told_apart_from_limits(void **state)
{
	static const struct {
		const char *text, *tables;
	} cases[] = {
	    {"", ""},
	    {"none", ""},
	    {"a.test=5/1m:2", ""},
	    {"hash:/etc/x", "hash:/etc/x "},
	    {"a.test=5/1m:2 recipients:9/1s, hash:/etc/x b.test=1/1s",
		"hash:/etc/x "},
	    {"inline:{a.test=1/1s, b.test=2/1s} texthash:/y",
		"inline:{a.test=1/1s, b.test=2/1s} texthash:/y "},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct domains *d = domains_new();
		struct buf tables;
		char error[256];

		buf_init(&tables, 1000);
		assert_true(domains_add_list(
		    d, cases[i].text, &tables, error, sizeof(error)));
		assert_string_equal(buf_str(&tables), cases[i].tables);
		buf_fini(&tables);
		domains_free(&d);
	}
}

static void
wrong_values_are_refused_with_reason(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
	    {"a.test", "bad word \"a.test\": must be DOMAIN=RATE, "},
	    {"5/1m", "bad word \"5/1m\": must be DOMAIN=RATE, "},
	    {"=5/1m", "bad name \"\": must be DOMAIN or .PARENT"},
	    {".=5/1m", "bad name \".\": must be DOMAIN or .PARENT"},
	    {"u@a.test=5/1m",
		"bad name \"u@a.test\": must be DOMAIN or .PARENT"},
	    {"a.test=5/1m A.test=1/1s", "A.test is there twice: "},
	    {"a.test=1/1s 2/1s 3/1s 4/1s 5/1s",
		"a.test has too many limits: must be at most 4"},
	    {"a.test=fast", NULL},
	    {"a.test=", NULL},
	    {"a.test=pounds:5/1s", NULL},
	    {":x", NULL},
	};
	char error[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct domains *d = domains_new();

		error[0] = '\0';
		assert_false(domains_add_list(
		    d, cases[i].text, NULL, error, sizeof(error)));
		if (cases[i].why != NULL)
			assert_ptr_equal(strstr(error, cases[i].why), error);
		else
			assert_true(error[0] != '\0');
		domains_free(&d);
	}
}

static void
first_table_wins_and_its_errors_are_told(void **state)
{
	struct domains *d = make("a.test=1/1s");
	char error[256], text[DOMAIN_TEXT_SIZE];

	(void)state;
	assert_true(domains_add(d, "A.TEST", "9/1s", error, sizeof(error)));
	assert_false(domains_add(d, "b.test", "", error, sizeof(error)));
	assert_string_equal(
	    error, "no limit is given: must be a rate, or none");
	assert_false(domains_add(d, "b.test", "x", error, sizeof(error)));
	assert_null(find(d, "b.test"));
	assert_true(
	    domains_add(d, "b.test", "2/1s, 5/1d!", error, sizeof(error)));
	domain_hold(find(d, "a.test"), 0);
	domain_explain(find(d, "a.test"), &one, 0, text, sizeof(text));
	assert_string_equal(text, "lane_domain_rate_limits: a.test=1/1s:1");
	domain_release(find(d, "a.test"));
	domains_free(&d);
}

static void
all_limits_hold_and_the_one_that_holds_longest_is_named(void **state)
{
	struct domains *d = make("a.test=10/1s:2 recipients:4/1m:4 6/1d!");
	struct domain *dom = find(d, "a.test");
	struct pacer_cost two = {.units = {1, 2, 1000}};
	struct pacer_cost seven = {.units = {7, 1, 1000}};
	char text[DOMAIN_TEXT_SIZE];

	(void)state;
	domain_hold(dom, 0);
	assert_int_equal(domain_ready(dom, &two, 10, 0), 2);
	assert_int_equal(domain_ready(dom, &two, 1, 0), 1);
	assert_int_equal(domain_wait_us(dom, &two, 0), 0);
	domain_take(dom, &two, 0);
	domain_take(dom, &two, 0);
	assert_int_equal(domain_wait_us(dom, &one, 0), 15 * SECOND_US);
	domain_explain(dom, &one, 0, text, sizeof(text));
	assert_string_equal(
	    text, "lane_domain_rate_limits: a.test=recipients:4/1m:4");
	assert_int_equal(
	    domain_wait_us(dom, &one, 15 * SECOND_US - 1000), 1000);
	domain_give_back(dom, &two, 0);
	assert_int_equal(domain_wait_us(dom, &one, 0), 0);
	assert_true(domain_wait_us(dom, &seven, 0) == RATE_NEVER);
	domain_release(dom);
	domains_free(&d);
}

/* A timer is late by a moment each time; that must not add up. */
static void
lateness_does_not_slow_down(void **state)
{
	struct domains *d = make("a.test=14/1s:1");
	struct domain *dom = find(d, "a.test");
	int64_t now = 0;

	(void)state;
	domain_hold(dom, 0);
	for (int i = 0; i < 1400; i++) {
		int64_t wait = domain_wait_us(dom, &one, now);

		now += wait + (wait > 0 ? 900 : 0);
		assert_int_equal(domain_wait_us(dom, &one, now), 0);
		domain_take(dom, &one, now);
	}
	assert_in_range(now, 1399 * SECOND_US / 14, 1401 * SECOND_US / 14);
	domain_release(dom);
	domains_free(&d);
}

static void
state_is_forgotten_once_full_and_unused(void **state)
{
	struct domains *d = make("a.test=1/1m b.test=5/1d! c.test=1/1s");
	struct domain *a = find(d, "a.test"), *b = find(d, "b.test");
	struct domain *c = find(d, "c.test");
	int64_t now = 1000 * (int64_t)SECOND_US;

	(void)state;
	assert_int_equal(domains_live(d), 0);
	domain_hold(a, now);
	domain_hold(b, now);
	domain_hold(c, now);
	domain_take(a, &one, now);
	domain_take(b, &one, now);
	domain_release(a);
	domain_release(b);
	assert_int_equal(domains_live(d), 3);
	domains_sweep(d, now + 1);
	assert_int_equal(domains_live(d), 3);
	domains_sweep(d, now + 61 * (int64_t)SECOND_US);
	assert_int_equal(domains_live(d), 2); /* a is full again */
	domain_hold(a, now);
	domain_release(c);
	domains_sweep(d, now + 62 * (int64_t)SECOND_US);
	assert_int_equal(domains_live(d), 3); /* not looked at yet */
	domain_release(a);
	domains_sweep(d, now + 200 * (int64_t)SECOND_US);
	assert_int_equal(domains_live(d), 1);
	domains_sweep(d, now + 90000 * (int64_t)SECOND_US);
	assert_int_equal(domains_live(d), 0);
	domains_free(&d);
}

static size_t stored;

static void
store(void *ctx, const struct domains_kept *kept)
{
	struct domains_kept *file = ctx;

	stored++;
	*file = *kept;
}

/* The wait after count messages in one process, in the next one. */
static int64_t
wait_in_next_process(struct domains_kept *file, const char *limits,
    int64_t shift_us, int64_t now_us)
{
	struct domains *d = make(limits);
	struct domain *dom = find(d, "a.test");
	int64_t wait_us;

	domains_keep(d, file, shift_us, now_us, store, file);
	domain_hold(dom, now_us);
	wait_us = domain_wait_us(dom, &one, now_us);
	domain_release(dom);
	domains_free(&d);
	return wait_us;
}

static void
what_was_taken_outlives_the_process(void **state)
{
	static const char limits[] = "a.test=1/1m:1 2/1d! b.test=1/1s";
	struct domains_kept *file = mem_zalloc(sizeof(*file));
	struct domains *d = make(limits);
	struct domain *dom = find(d, "a.test");
	int64_t now = 5000 * (int64_t)SECOND_US;
	int64_t minute = 60 * (int64_t)SECOND_US;

	(void)state;
	domains_keep(d, file, 0, now, store, file);
	domain_hold(dom, now);
	stored = 0;
	domain_take(dom, &one, now);
	assert_int_equal(stored, 1);
	domain_release(dom);
	domains_free(&d); /* as when it is killed: nothing is written */
	assert_int_equal(stored, 1);
	assert_int_equal(wait_in_next_process(file, limits, 0, now), minute);
	/* The rate was changed: the quota counts on, the bucket too. */
	assert_int_equal(
	    wait_in_next_process(file, "a.test=1/1s:1 1/1d!", 0, now) / minute,
	    1464); /* a day and a slot */
	/* A reboot: the clock began anew a minute ago. */
	assert_int_equal(
	    wait_in_next_process(file, limits, minute - now, minute), minute);
	/* A clock that is behind must not stop the domain for long. */
	assert_int_equal(wait_in_next_process(file, limits, 0, 0), minute);
	memset(file, 0xff, sizeof(*file));
	assert_int_equal(wait_in_next_process(file, limits, 0, now), 0);
	mem_free(file);
}

static void
more_limits_than_can_be_kept_are_still_limits(void **state)
{
	struct domains_kept *file = mem_zalloc(sizeof(*file));
	struct domains *d = domains_new();
	char name[32], error[128];
	int64_t now = SECOND_US;

	(void)state;
	domains_keep(d, file, 0, now, store, file);
	for (int i = 0; i < 2 * DOMAINS_KEPT; i++) {
		struct domain *dom;

		(void)snprintf(name, sizeof(name), "d%d.test", i);
		assert_true(domains_add(d, name, "1/1m", error, sizeof(error)));
		dom = find(d, name);
		domain_hold(dom, now);
		domain_take(dom, &one, now);
		assert_true(domain_wait_us(dom, &one, now) > 0);
		domain_release(dom);
	}
	now += 100 * (int64_t)SECOND_US;
	domains_sweep(d, now);
	assert_int_equal(domains_live(d), 0);
	/* There is room again. */
	stored = 0;
	domain_hold(find(d, "d511.test"), now);
	domain_take(find(d, "d511.test"), &one, now);
	domains_keep_no_more(d);
	domain_give_back(find(d, "d511.test"), &one, now);
	domain_release(find(d, "d511.test"));
	assert_int_equal(stored, 1);
	domains_free(&d);
	d = domains_new();
	assert_true(domains_add(d, name, "1/1m", error, sizeof(error)));
	domains_keep(d, file, 0, now, store, file);
	domain_hold(find(d, name), now);
	assert_true(domain_wait_us(find(d, name), &one, now) > 0);
	domains_free(&d);
	mem_free(file);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(longest_match_counts),
	    cmocka_unit_test(name_that_is_too_long_has_no_limit),
	    cmocka_unit_test(many_domains_are_found),
	    cmocka_unit_test(tables_are_told_apart_from_limits),
	    cmocka_unit_test(wrong_values_are_refused_with_reason),
	    cmocka_unit_test(first_table_wins_and_its_errors_are_told),
	    cmocka_unit_test(
		all_limits_hold_and_the_one_that_holds_longest_is_named),
	    cmocka_unit_test(lateness_does_not_slow_down),
	    cmocka_unit_test(state_is_forgotten_once_full_and_unused),
	    cmocka_unit_test(what_was_taken_outlives_the_process),
	    cmocka_unit_test(more_limits_than_can_be_kept_are_still_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
