#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "monitor/site.h"
#include "test/support/scratch.h"

#define FIELDS "unix - - n - 1 "

static void
open_or_fail(struct site *site)
{
	char error[512] = "";

	if (!site_open(site, scratch_path("config"), error, sizeof(error)))
		fail_msg("%s", error);
}

static void
site_finds_the_lanes_of_master_cf_with_their_options(void **state)
{
	struct site site;
	const struct site_lane *slow;

	(void)state;
	scratch_config("multi_instance_name = postfix-out\n"
		       "lane_connection_limit = 7\n");
	scratch_write("config/master.cf",
	    "smtp inet n - n - - smtpd\n"
	    "fast " FIELDS "lane class=fast\n"
	    "slow " FIELDS "/usr/local/sbin/lane\n"
	    "  -o { lane_message_rate_limit = 5/1s, 100/1m }\n"
	    "  class=slow\n"
	    "lane-token unix - n n - 1 lane token\n"
	    "relay " FIELDS "smtp -o lane=1\n");
	open_or_fail(&site);
	assert_int_equal(site.lane_count, 2);
	assert_string_equal(site.lanes[0].name, "postfix-out/fast");
	assert_null(site_find(&site, "relay"));
	slow = site_find(&site, "slow");
	assert_ptr_equal(slow, &site.lanes[1]);
	assert_string_equal(slow->name, "postfix-out/slow");
	assert_string_equal(slow->opt.class, "slow");
	assert_string_equal(slow->set.lane_message_rate_limit, "5/1s, 100/1m");
	assert_int_equal(slow->set.lane_connection_limit, 7);
	assert_int_equal(slow->problems.count, 0);
	site_close(&site);
}

static void
site_lists_each_state_directory_once(void **state)
{
	struct site site;

	(void)state;
	scratch_config("lane_state_directory = /state/a\n");
	open_or_fail(&site);
	assert_string_equal(site_state_directory(&site, 0), "/state/a");
	assert_null(site_state_directory(&site, 1));
	site_close(&site);
	scratch_write("config/master.cf",
	    "a " FIELDS "lane\nb " FIELDS "lane\n"
	    "c " FIELDS "lane -o lane_state_directory=/state/c\n");
	open_or_fail(&site);
	assert_string_equal(site_state_directory(&site, 0), "/state/a");
	assert_string_equal(site_state_directory(&site, 1), "/state/c");
	assert_null(site_state_directory(&site, 2));
	site_close(&site);
}

static void
site_has_a_problem_where_the_lane_would_have_one(void **state)
{
	struct site site;

	(void)state;
	scratch_config("");
	scratch_write("config/master.cf",
	    "a " FIELDS "lane -o lane_pipeline_depth=0\n"
	    "b " FIELDS "lane -o lane_typo=1\n");
	open_or_fail(&site);
	assert_int_equal(site.lanes[0].problems.count, 1);
	assert_non_null(strstr(site.lanes[0].problems.text[0],
	    "bad parameter: lane_pipeline_depth = 0: must be"));
	assert_int_equal(site.lanes[1].problems.count, 1);
	site_close(&site);
}

static void
site_changes_with_its_files(void **state)
{
	struct site site;

	(void)state;
	scratch_config("");
	open_or_fail(&site);
	assert_false(site_has_changed(&site));
	scratch_write("config/master.cf", "a " FIELDS "lane\n");
	assert_true(site_has_changed(&site));
	site_close(&site);
	open_or_fail(&site);
	assert_false(site_has_changed(&site));
	scratch_config("lane_pipeline_depth = 3\n");
	assert_true(site_has_changed(&site));
	site_close(&site);
}

static void
site_that_cannot_be_read_says_why(void **state)
{
	struct site site;
	char error[512] = "";

	(void)state;
	assert_false(site_open(&site, "/nonexistent", error, sizeof(error)));
	assert_string_equal(error,
	    "cannot read the configuration: open /nonexistent/main.cf: "
	    "No such file or directory");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		site_finds_the_lanes_of_master_cf_with_their_options),
	    cmocka_unit_test(site_lists_each_state_directory_once),
	    cmocka_unit_test(site_has_a_problem_where_the_lane_would_have_one),
	    cmocka_unit_test(site_changes_with_its_files),
	    cmocka_unit_test(site_that_cannot_be_read_says_why),
	};

	return cmocka_run_group_tests_name("site", tests, NULL, NULL);
}
