#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/base/mem.h"
#include "monitor/setupmerge.h"

static char directory[] = "/etc/pf", fast[] = "fast", slow[] = "slow",
	    transport[] = "/etc/pf/lane_transport";
static const struct setupplan plan = {
    .directory = directory, .fast = fast, .slow = slow, .transport = transport};

typedef char *merge_f(const struct setupplan *plan, const char *added,
    char *text, struct buf *told);

/* told: what has to be in it; NULL: nothing may be. */
static void
becomes(merge_f *merge, const char *added, const char *text,
    const char *expected, const char *told)
{
	struct buf said;
	char *now;

	buf_init(&said, 4096);
	now = merge(&plan, added, mem_strdup(text), &said);
	assert_string_equal(now, expected);
	if (told == NULL)
		assert_string_equal(buf_str(&said), "");
	else
		assert_non_null(strstr(buf_str(&said), told));
	mem_free(now);
	buf_fini(&said);
}

#define SETTINGS                                                               \
	"slow_destination_rate_delay = 0s\n"                                   \
	"default_transport = slow\n"

static void
settings_go_where_they_are_as_they_were(void **state)
{
	(void)state;
	becomes(setupmerge_main_cf, SETTINGS,
	    "a = 1\ndefault_transport =\tslow\nb = 2\n"
	    "slow_destination_rate_delay = 0s\n",
	    "a = 1\nb = 2\n", NULL);
	becomes(setupmerge_main_cf, SETTINGS, "a = 1\n", "a = 1\n", NULL);
}

static void
setting_of_postfix_that_was_changed_stays(void **state)
{
	(void)state;
	becomes(setupmerge_main_cf, SETTINGS,
	    "default_transport = smtp\nslow_destination_rate_delay = 0s\n",
	    "default_transport = smtp\n",
	    "/etc/pf/main.cf: default_transport = smtp: was changed by hand "
	    "since, and stays\n");
}

/* A line of Postfix's that counts no more would count again one day. */
static void
setting_that_does_not_count_goes_too(void **state)
{
	(void)state;
	becomes(setupmerge_main_cf, SETTINGS,
	    "default_transport = slow\nslow_destination_rate_delay = 0s\nx = "
	    "1\n"
	    "default_transport = smtp\nslow_destination_rate_delay = 1s\n",
	    "x = 1\ndefault_transport = smtp\n", "= smtp: was changed");
}

static void
setting_of_a_lane_goes_with_it_and_is_told(void **state)
{
	(void)state;
	becomes(setupmerge_main_cf, SETTINGS,
	    "slow_destination_rate_delay =\n# why\n\t1s\nb = 2\n", "b = 2\n",
	    "slow_destination_rate_delay = 1s: was changed by hand since, and "
	    "goes with its lane\n");
}

#define TABLE "texthash:/etc/pf/lane_transport"

static void
table_goes_out_of_its_list(void **state)
{
	static const char *const lists[][2] = {
	    {"transport_maps = hash:/a, " TABLE ", hash:/b\n",
		"transport_maps = hash:/a, hash:/b\n"},
	    {"transport_maps = " TABLE ", hash:/b\n",
		"transport_maps = hash:/b\n"},
	    {"transport_maps = hash:/b\n# c\n  " TABLE "\nx = 1\n",
		"transport_maps = hash:/b\n# c\nx = 1\n"},
	    {"transport_maps=" TABLE "\n", "transport_maps=\n"},
	    /* what stands behind it does not go into the comment */
	    {"transport_maps = hash:/b\n# c\n  " TABLE " hash:/d\n",
		"transport_maps = hash:/b\n# c\n  hash:/d\n"},
	    {"transport_maps =\n# c\n  " TABLE ", hash:/d\n",
		"transport_maps =\n# c\n  hash:/d\n"},
	    {"transport_maps =\n# " TABLE " x\n  hash:/d,\n  " TABLE ",\n"
	     "\thash:/e\n",
		"transport_maps =\n# " TABLE " x\n  hash:/d,\n"
		"\thash:/e\n"},
	    {"transport_maps = hash:/a " TABLE ",\n# c\n hash:/b\n",
		"transport_maps = hash:/a\n# c\n hash:/b\n"},
	    {"transport_maps = " TABLE "\ntransport_maps = x:/y " TABLE "\n",
		"transport_maps =\ntransport_maps = x:/y\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		becomes(setupmerge_main_cf, " " TABLE, lists[i][0], lists[i][1],
		    "transport_maps was changed by hand since; without the "
		    "lanes: ");
	becomes(setupmerge_main_cf, "transport_maps = " TABLE "\n",
	    "transport_maps = hash:/b " TABLE "\n",
	    "transport_maps = hash:/b\n", "lanes: transport_maps = hash:/b\n");
	/* another table, whose name begins as ours does */
	becomes(setupmerge_main_cf, " " TABLE, "transport_maps = " TABLE "2\n",
	    "transport_maps = " TABLE "2\n", NULL);
}

static void
relays_of_senders_go_out_of_theirs(void **state)
{
#define SENDERS "sender_dependent_default_transport_maps ="
#define RELAYS "pipemap:{unionmap:{hash:/r}, static:smtp}"
	(void)state;
	becomes(setupmerge_main_cf, SENDERS " " RELAYS "\n",
	    SENDERS " hash:/mine " RELAYS "\n", SENDERS " hash:/mine\n",
	    "lanes: " SENDERS " hash:/mine\n");
}

static void
entry_of_a_lane_goes_whole_and_is_told(void **state)
{
	(void)state;
	becomes(setupmerge_master_cf, "slow unix - - n - 1 lane\n",
	    "a unix - - n - - smtp\n"
	    "slow unix - - n - 1 lane\n  -o x=1\n# mine\n\n  -o y=2\n# b\n"
	    "b unix - - n - - smtp\n",
	    "a unix - - n - - smtp\n# b\nb unix - - n - - smtp\n",
	    "slow was changed by hand since; it is taken out, and was:\n"
	    "slow unix - - n - 1 lane\n  -o x=1\n# mine\n\n  -o y=2\n");
}

static void
entry_that_is_none_of_a_lane_stays(void **state)
{
	(void)state;
	becomes(setupmerge_master_cf, "slow unix - - n - 1 lane\n",
	    "slow unix - - n - - smtp\nslower unix - - n - 1 lane\n",
	    "slow unix - - n - - smtp\nslower unix - - n - 1 lane\n",
	    "/etc/pf/master.cf: slow is not a lane any more, and stays\n");
	becomes(setupmerge_master_cf, "slow unix - - n - 1 lane\n",
	    "#slow unix - - n - 1 lane\n", "#slow unix - - n - 1 lane\n", NULL);
}

static void
path_is_named_where_a_line_counts(void **state)
{
	(void)state;
	assert_true(setupmerge_names("a = hash:/b texthash:/x\n", "/x"));
	assert_true(setupmerge_names("a = { hash:/b, {texthash:/x} }", "/x"));
	assert_true(setupmerge_names("a = /x2, /x\n", "/x"));
	assert_true(setupmerge_names("s unix lane\n  -o m=hash:/x\n", "/x"));
	assert_false(setupmerge_names("# a = hash:/x\na = /x2 /y/x\n", "/x"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(settings_go_where_they_are_as_they_were),
	    cmocka_unit_test(setting_of_postfix_that_was_changed_stays),
	    cmocka_unit_test(setting_that_does_not_count_goes_too),
	    cmocka_unit_test(setting_of_a_lane_goes_with_it_and_is_told),
	    cmocka_unit_test(table_goes_out_of_its_list),
	    cmocka_unit_test(relays_of_senders_go_out_of_theirs),
	    cmocka_unit_test(entry_of_a_lane_goes_whole_and_is_told),
	    cmocka_unit_test(entry_that_is_none_of_a_lane_stays),
	    cmocka_unit_test(path_is_named_where_a_line_counts),
	};

	return cmocka_run_group_tests_name("setupmerge", tests, NULL, NULL);
}
