#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "agent/io/resolver_cache.h"

static void
cache_gives_what_is_valid_by_name_and_type(void **state)
{
	struct resolver_cache cache;
	struct resolver_mx mx = {.preference = 10};
	struct resolver_answer answer = {.count = 1, .mx = &mx};
	const struct resolver_answer *found;

	(void)state;
	resolver_cache_init(&cache);
	resolver_cache_add(&cache, "a.example", RESOLVER_MX, &answer, 5, 1000);
	found = resolver_cache_find(&cache, "A.Example", RESOLVER_MX, 5999);
	assert_non_null(found);
	assert_ptr_not_equal(found->mx, &mx); /* a copy */
	assert_int_equal(found->mx[0].preference, 10);
	assert_null(
	    resolver_cache_find(&cache, "a.example", RESOLVER_ADDRS, 1000));
	assert_null(
	    resolver_cache_find(&cache, "b.example", RESOLVER_MX, 1000));
	assert_null(
	    resolver_cache_find(&cache, "a.example", RESOLVER_MX, 6000));
	assert_int_equal(cache.count, 0);
	resolver_cache_fini(&cache);
}

static void
cache_keeps_nothing_without_a_time_and_nothing_for_ever(void **state)
{
	const int64_t most_ms = (int64_t)RESOLVER_TTL_MAX_S * 1000;
	struct resolver_answer answer = {.count = 0};
	struct resolver_cache cache;

	(void)state;
	resolver_cache_init(&cache);
	resolver_cache_add(&cache, "now", RESOLVER_ADDRS, &answer, 0, 0);
	assert_null(resolver_cache_find(&cache, "now", RESOLVER_ADDRS, 0));
	resolver_cache_add(
	    &cache, "long", RESOLVER_ADDRS, &answer, RESOLVER_TTL_MAX_S + 1, 0);
	assert_non_null(
	    resolver_cache_find(&cache, "long", RESOLVER_ADDRS, most_ms - 1));
	assert_null(
	    resolver_cache_find(&cache, "long", RESOLVER_ADDRS, most_ms));
	resolver_cache_fini(&cache);
}

static void
cache_forgets_the_oldest_of_too_many(void **state)
{
	struct resolver_answer answer = {.count = 0};
	struct resolver_cache cache;
	char name[32];

	(void)state;
	resolver_cache_init(&cache);
	for (int i = 0; i <= RESOLVER_CACHE_MAX; i++) {
		(void)snprintf(name, sizeof(name), "n%d", i);
		resolver_cache_add(&cache, name, false, &answer, 60, 0);
	}
	assert_int_equal(cache.count, RESOLVER_CACHE_MAX);
	assert_null(resolver_cache_find(&cache, "n0", false, 1));
	assert_non_null(resolver_cache_find(&cache, "n1", false, 1));
	assert_non_null(resolver_cache_find(&cache, name, false, 1));
	resolver_cache_fini(&cache);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(cache_gives_what_is_valid_by_name_and_type),
	    cmocka_unit_test(
		cache_keeps_nothing_without_a_time_and_nothing_for_ever),
	    cmocka_unit_test(cache_forgets_the_oldest_of_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
