#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/base/mem.h"
#include "monitor/setupmarks.h"

enum { MAIN_CF, MASTER_CF };

#define TABLE "texthash:/etc/pf/lane_transport"
#define BEGIN "# --- lanes: begin (and more)\n"
#define END "# --- lanes: end\n"
#define SETTINGS                                                               \
	"# why\nlane_smarthost = [a.example]:25\n"                             \
	"slow_destination_rate_delay = 0s\n\n"                                 \
	"default_transport = slow\n"
#define FAST "fast unix - - n - 1 lane\n    -o x=1\n    class=fast\n"
#define SLOW "slow unix - - n - 1 lane\n    class=slow\n"

/* As the script keeps them: main.cf had a list of its own, and no end. */
static char main_before[] =
    "a = 1\ntransport_maps = hash:/a,\n\thash:/b\nz = 9";
static char main_made[] = "a = 1\ntransport_maps = hash:/a, hash:/b " TABLE
			  "\nz = 9\n" BEGIN SETTINGS END;
static char master_before[] = "smtp unix - - n - - smtp\n";
static char master_made[] =
    "smtp unix - - n - - smtp\n" BEGIN "# each\n" FAST SLOW END;
static char kept[] = "/etc/pf/lanes.kept";
static const struct setupmarks marks = {.directory = kept,

    .before = {main_before, master_before},
    .made = {main_made, master_made}};

/* told: what has to be in it; NULL: nothing may be. */
static void
becomes(int file, const char *text, const char *expected, const char *told)
{
	struct setupplan plan;
	struct buf said;
	char error[200], *now;

	buf_init(&said, 4096);
	assert_true(
	    setupmarks_plan(&marks, &plan, "/etc/pf", error, sizeof(error)));
	now = setupmarks_take(&marks, file, &plan, mem_strdup(text), &said);
	assert_string_equal(now, expected);
	if (told == NULL)
		assert_string_equal(buf_str(&said), "");
	else
		assert_non_null(strstr(buf_str(&said), told));
	mem_free(now);
	buf_fini(&said);
	setupplan_fini(&plan);
}

static void
plan_is_what_stands_between_the_marks(void **state)
{
	static char one[] = BEGIN FAST END;
	const struct setupmarks fewer = {.directory = kept,
	    .before = {main_before, master_before},
	    .made = {main_made, one}};
	struct setupplan plan;
	char error[400];

	(void)state;
	assert_true(
	    setupmarks_plan(&marks, &plan, "/etc/pf", error, sizeof(error)));
	assert_string_equal(plan.fast, "fast");
	assert_string_equal(plan.slow, "slow");
	assert_string_equal(plan.nexthop, "[a.example]:25");
	assert_string_equal(plan.login, "/etc/pf/lane_login");
	setupplan_fini(&plan);
	assert_false(
	    setupmarks_plan(&fewer, &plan, "/etc/pf", error, sizeof(error)));
	assert_non_null(strstr(error, "has 1 lanes between its marks"));
}

static void
files_are_what_they_were(void **state)
{
	(void)state;
	becomes(MAIN_CF, main_made, main_before, NULL);
	becomes(MASTER_CF, master_made, master_before, NULL);
	/* one that has no lanes yet, or any more */
	becomes(MAIN_CF, main_before, main_before, NULL);
	becomes(MASTER_CF, master_before, master_before, NULL);
}

static void
what_changed_elsewhere_stays(void **state)
{
	(void)state;
	becomes(MAIN_CF,
	    "a = 2\ntransport_maps = hash:/a, hash:/b " TABLE
	    "\nz = 9\n" BEGIN SETTINGS END "y = 8\n",
	    "a = 2\ntransport_maps = hash:/a,\n\thash:/b\nz = 9\ny = 8\n",
	    NULL);
	/* postconf(1) moves what it edits */
	becomes(MASTER_CF,
	    "smtp unix - - n - - smtp\n" BEGIN "# each\n" FAST END
	    "fast2 unix - - n - 1 lane\n" SLOW "# mine\n",
	    "smtp unix - - n - - smtp\nfast2 unix - - n - 1 lane\n# mine\n",
	    NULL);
}

static void
what_was_changed_of_the_lanes_is_told(void **state)
{
	(void)state;
	becomes(MASTER_CF,
	    "smtp unix - - n - - smtp\n" BEGIN FAST
	    "slow unix - - n - 1 lane\n  -o y=2\n" END,
	    master_before,
	    "/etc/pf/master.cf: was changed by hand since, and goes with the "
	    "lanes:\nslow unix - - n - 1 lane\n  -o y=2\n");
	becomes(MAIN_CF,
	    "a = 1\ntransport_maps = hash:/a, hash:/b " TABLE "\nz = 9\n" BEGIN
	    "slow_destination_rate_delay = 5s\n" END,
	    main_before, "slow_destination_rate_delay = 5s\n");
}

static void
what_is_somebodys_stays_and_is_told(void **state)
{
	(void)state;
	becomes(MASTER_CF,
	    "smtp unix - - n - - smtp\n" BEGIN "# each\n# mine\n"
	    "mine unix - - n - - pipe\n  flags=DR\n" FAST
	    "slow unix - - n - - smtp\n" END,
	    "smtp unix - - n - - smtp\n# mine\n"
	    "mine unix - - n - - pipe\n  flags=DR\n"
	    "slow unix - - n - - smtp\n",
	    "/etc/pf/master.cf: was changed by hand since, and stays:\n"
	    "mine unix - - n - - pipe\n");
	becomes(MAIN_CF,
	    "a = 1\ntransport_maps = hash:/a, hash:/b " TABLE " hash:/c\n"
	    "z = 9\n" BEGIN "# why\ndefault_transport = smtp:[b]\n" END,
	    "a = 1\ntransport_maps = hash:/a, hash:/b hash:/c\nz = 9\n"
	    "default_transport = smtp:[b]\n",
	    "and stays:\ndefault_transport = smtp:[b]\n");
}

static void
added_has_each_setting(void **state)
{
	char *added = setupmarks_added(&marks);

	(void)state;
	assert_non_null(strstr(added, "\nlane_smarthost = "));
	assert_non_null(strstr(added, "\ndefault_transport = slow\n"));
	assert_non_null(strstr(added, "\ntransport_maps = hash:/a, hash:/b "));
	mem_free(added);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(plan_is_what_stands_between_the_marks),
	    cmocka_unit_test(files_are_what_they_were),
	    cmocka_unit_test(what_changed_elsewhere_stays),
	    cmocka_unit_test(what_was_changed_of_the_lanes_is_told),
	    cmocka_unit_test(what_is_somebodys_stays_and_is_told),
	    cmocka_unit_test(added_has_each_setting),
	};

	return cmocka_run_group_tests_name("setupmarks", tests, NULL, NULL);
}
