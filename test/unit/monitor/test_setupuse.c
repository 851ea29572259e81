#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "monitor/setupuse.h"

static void
value_names_a_lane_where_a_transport_may_stand(void **state)
{
	static const char *const yes[][2] = {
	    {"relay_transport", "slow"},
	    {"relay_transport", "slow:[mail.example]"},
	    {"smtp/inet/content_filter", "slow:"},
	    {"transport_maps", "hash:/a, static:slow"},
	    {"sender_dependent_default_transport_maps",
		"inline:{a.example=slow:, {b.example = smtp:}}"},
	    {"fallback_transport_maps", "inline:{ { a = slow } }"},
	    {"transport_maps", "randmap:{smtp:,slow:}"},
	    {"header_checks", "regexp:{{/x/ FILTER slow:}}"},
	    {"mine", "check_client_access static:{filter  slow:x}"},
	};
	static const char *const no[][2] = {
	    {"relay_transport", "slower:"},
	    {"relay_transport", "smtp:slow"},
	    {"relay_transport", ""},
	    {"transport_maps", "hash:/etc/slow, texthash:/a/slow:x"},
	    {"transport_maps", "static:slower"},
	    {"slow_destination_recipient_limit", "slow"},
	    {"alias_maps", "inline:{slow=slow}"},
	    {"header_checks", "regexp:{{/x/ FILTER slower:}}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		assert_true(setupuse_value_names(yes[i][0], yes[i][1], "slow"));
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_false(setupuse_value_names(no[i][0], no[i][1], "slow"));
}

static void
table_names_a_lane_where_something_is_found(void **state)
{
	(void)state;
	assert_true(
	    setupuse_table_names("# x\na.example\tslow:\n", "slow", true));
	assert_true(setupuse_table_names("a.example slow", "slow", true));
	assert_true(
	    setupuse_table_names("a.example\n  slow:b\n", "slow", true));
	assert_true(setupuse_table_names("/a b/ FILTER slow:", "slow", false));
	assert_false(setupuse_table_names("slow smtp:\n", "slow", true));
	assert_false(setupuse_table_names(
	    "#a slow:\n  # b slow:\nx smtp:slow\ny slower:\n", "slow", true));
	assert_false(setupuse_table_names("postmaster slow:\n", "slow", false));
}

static void
tables_are_found_also_within_others(void **state)
{
	const char *value = "proxy:texthash:/a unionmap:{hash:/b, static:x}, "
			    "inline:{c=slow:} ldap:/d.cf regexp:/e";
	static const struct {
		enum setupuse_table kind;
		const char *table, *path;
	} expected[] = {{SETUPUSE_TEXT, "texthash:/a", "/a"},
	    {SETUPUSE_TEXT, "hash:/b", "/b"},
	    {SETUPUSE_OPAQUE, "ldap:/d.cf", "/d.cf"},
	    {SETUPUSE_TEXT, "regexp:/e", "/e"}};
	struct slice table, path;

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		assert_int_equal(setupuse_next_table(&value, &table, &path),
		    expected[i].kind);
		assert_true(slice_eq(table, expected[i].table));
		assert_true(slice_eq(path, expected[i].path));
	}
	assert_int_equal(
	    setupuse_next_table(&value, &table, &path), SETUPUSE_END);
}

static void
path_is_a_word(void **state)
{
	(void)state;
	assert_true(setupuse_has_path("/x", "/x"));
	assert_true(setupuse_has_path("pipemap:{proxy:texthash:/x}", "/x"));
	assert_false(setupuse_has_path("/x2, /y/x", "/x"));
}

static void
parameter_is_needed_unless_it_is_only_asked_for(void **state)
{
	(void)state;
	assert_true(setupuse_refers("$a_b", "a_b"));
	assert_true(setupuse_refers("x${a_b}y", "a_b"));
	assert_true(setupuse_refers("$(a_b)", "a_b"));
	assert_true(setupuse_refers("$a_bc ${{$a_b} == {1} ? {x}}", "a_b"));
	assert_false(setupuse_refers("${a_b?{x}} ${ a_b : y}", "a_b"));
	assert_false(setupuse_refers("a_b $$a_b $a_bc $", "a_b"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(value_names_a_lane_where_a_transport_may_stand),
	    cmocka_unit_test(table_names_a_lane_where_something_is_found),
	    cmocka_unit_test(tables_are_found_also_within_others),
	    cmocka_unit_test(path_is_a_word),
	    cmocka_unit_test(parameter_is_needed_unless_it_is_only_asked_for),
	};

	return cmocka_run_group_tests_name("setupuse", tests, NULL, NULL);
}
