#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/settings/params.h"
#include "agent/state/anonymizer.h"
#include "common/base/log.h"
#include "test/support/statedir.h"

static char last_line[LOG_LINE_MAX + 1];
static int warnings;

static void
keep(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	if (level == LOG_LEVEL_WARN)
		warnings++;
	(void)snprintf(last_line, sizeof(last_line), "%s", line);
}

static struct settings set;

static void
begin(const char *word)
{
	struct problems problems = {0};

	params_init(&set);
	(void)params_set(
	    &set, params_find("lane_log_anonymize"), word, &problems);
	problems_fini(&problems);
	warnings = 0;
	log_set_sink(keep, NULL);
}

static void
end(void)
{
	log_set_sink(NULL, NULL);
	settings_free(&set);
}

/* What a process logs for the address, with the key of dir (NULL: none). */
static const char *
logged(const char *dir, const char *address)
{
	struct anonymizer *a = anonymizer_new(&set);
	struct statefile_dir d = {.fd = -1};
	char why[512];

	if (dir != NULL)
		assert_true(statefile_dir_open(&d, dir, why, sizeof(why)));
	anonymizer_use_key(a, dir != NULL ? &d : NULL);
	log_info("to=<%s>, x", address);
	statefile_dir_close(&d);
	anonymizer_free(&a);
	return last_line;
}

static void
the_log_shows_what_the_parameter_says(void **state)
{
	begin("none");
	assert_string_equal(logged(*state, "john@x.y"), "to=<john@x.y>, x");
	end();
	begin("smart");
	assert_string_equal(logged(*state, "john@x.y"), "to=<j***@x.y>, x");
	log_info("to=<john@x.y>, x");
	assert_string_equal(last_line, "to=<john@x.y>, x");
	end();
	begin("hash");
	assert_null(strstr(logged(*state, "john@x.y"), "john"));
	assert_non_null(strstr(last_line, ".invalid>, x"));
	end();
}

/* The line is filtered as it was before it was cut. */
static void
what_is_cut_off_a_line_shows_no_piece_of_an_address(void **state)
{
	struct anonymizer *a;
	char text[LOG_LINE_MAX + 1];

	(void)state;
	begin("smart");
	a = anonymizer_new(&set);
	memset(text, 'x', sizeof(text) - 1);
	memset(text + LOG_LINE_MAX - 10, ' ', 1);
	text[LOG_LINE_MAX] = '\0';
	memcpy(text + LOG_LINE_MAX - 9, "john.doe.", 9);
	log_info("%ssomebody@example.com", text);
	assert_int_equal(strlen(last_line), LOG_LINE_MAX);
	assert_string_equal(last_line + LOG_LINE_MAX - 10, " j***@exam");
	anonymizer_free(&a);
	end();
}

static void
processes_of_a_directory_show_the_same(void **state)
{
	char first[LOG_LINE_MAX + 1], path[512];
	struct stat st;

	begin("hash");
	(void)snprintf(first, sizeof(first), "%s", logged(*state, "john@x.y"));
	assert_string_equal(logged(*state, "John@X.Y"), first);
	assert_string_not_equal(logged(*state, "jane@x.y"), first);
	assert_int_equal(warnings, 0);
	(void)snprintf(
	    path, sizeof(path), "%s/anonymize.key", (const char *)*state);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* with another key it is another */
	assert_int_equal(unlink(path), 0);
	assert_string_not_equal(logged(*state, "john@x.y"), first);
	end();
}

static void
a_key_that_is_damaged_is_made_anew_and_told(void **state)
{
	char path[512], first[LOG_LINE_MAX + 1];

	begin("hash");
	(void)logged(*state, "john@x.y");
	(void)snprintf(
	    path, sizeof(path), "%s/anonymize.key", (const char *)*state);
	assert_int_equal(truncate(path, 20), 0);
	(void)snprintf(first, sizeof(first), "%s", logged(*state, "john@x.y"));
	assert_int_equal(warnings, 1);
	assert_string_equal(logged(*state, "john@x.y"), first);
	assert_int_equal(warnings, 1);
	end();
}

static void
without_a_directory_nothing_is_shown_either(void **state)
{
	char first[LOG_LINE_MAX + 1];

	(void)state;
	begin("hash");
	(void)snprintf(first, sizeof(first), "%s", logged(NULL, "john@x.y"));
	assert_null(strstr(first, "john"));
	assert_string_not_equal(logged(NULL, "john@x.y"), first);
	assert_int_equal(warnings, 2);
	end();
}

static void
an_operator_is_shown_what_the_log_has(void **state)
{
	struct statefile_dir d;
	struct buf out;
	char why[512] = "", line[512];

	begin("hash");
	assert_true(statefile_dir_open(&d, *state, why, sizeof(why)));
	buf_init(&out, 512);
	assert_false(
	    anonymizer_show(&set, &d, "john@x.y", &out, why, sizeof(why)));
	assert_string_equal(why, "no lane made its anonymize.key yet");
	(void)logged(*state, "john@x.y");
	assert_true(
	    anonymizer_show(&set, &d, "JOHN@x.y", &out, why, sizeof(why)));
	(void)snprintf(line, sizeof(line), "to=<%s>, x", buf_str(&out));
	assert_string_equal(last_line, line);
	buf_fini(&out);
	statefile_dir_close(&d);
	end();
}

/* Mail waits then, and is logged. */
static void
a_word_that_is_wrong_hides_all_the_same(void **state)
{
	begin("hashed");
	assert_string_equal(logged(*state, "john@x.y"), "to=<j***@x.y>, x");
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_STATEDIR(the_log_shows_what_the_parameter_says),
	    cmocka_unit_test(
		what_is_cut_off_a_line_shows_no_piece_of_an_address),
	    IN_STATEDIR(processes_of_a_directory_show_the_same),
	    IN_STATEDIR(a_key_that_is_damaged_is_made_anew_and_told),
	    cmocka_unit_test(without_a_directory_nothing_is_shown_either),
	    IN_STATEDIR(an_operator_is_shown_what_the_log_has),
	    IN_STATEDIR(a_word_that_is_wrong_hides_all_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
