#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "agent/settings/assignment.h"
#include "agent/settings/options.h"
#include "common/base/mem.h"

enum { ARGS_MAX = 16 };

static struct options opt;
static struct problems problems;

/* Splits line at '|' (words of master.cf may hold blanks) and parses it. */
static void
parse(const char *line)
{
	static char text[512];
	char *argv[ARGS_MAX];
	int argc = 0;

	options_fini(&opt);
	problems_fini(&problems);
	memcpy(text, line, strlen(line) + 1);
	for (char *p = text; p != NULL && argc < ARGS_MAX;) {
		char *bar = strchr(p, '|');

		if (bar != NULL)
			*bar++ = '\0';
		argv[argc++] = p;
		p = bar;
	}
	options_parse(&opt, argc, argv, &problems);
}

static void
options_of_master_are_understood(void **state)
{
	(void)state;
	parse("../x/lane|-l|-n|agentx|-t|unix|-c|-u|-d|-v|-v|-V|-s|2");
	assert_int_equal(problems.count, 0);
	assert_string_equal(opt.process_name, "lane");
	assert_string_equal(opt.service_name, "agentx");
	assert_string_equal(opt.service_type, "unix");
	assert_true(opt.alone && opt.chroot && opt.unprivileged);
	assert_true(opt.log_to_stderr && !opt.unlimited);
	assert_int_equal(opt.verbose, 2);
	assert_int_equal(opt.socket_count, 2);
}

static void
options_without_n_take_the_process_name(void **state)
{
	(void)state;
	parse("fast|-z|-t|unix");
	assert_string_equal(opt.service_name, "fast");
	assert_true(opt.unlimited);
	assert_int_equal(opt.socket_count, 1);
}

static void
options_stand_before_and_behind_words(void **state)
{
	(void)state;
	parse("lane|-o|a=1|class=slow|-vv|-ob=2|-o|{ c = three words }");
	assert_int_equal(problems.count, 0);
	assert_string_equal(opt.class, "slow");
	assert_int_equal(opt.verbose, 2);
	assert_int_equal(opt.override_count, 3);
	assert_string_equal(opt.overrides[0].name, "a");
	assert_string_equal(opt.overrides[1].name, "b");
	assert_string_equal(opt.overrides[1].value, "2");
	assert_string_equal(opt.overrides[2].name, "c");
	assert_string_equal(opt.overrides[2].value, "three words");
}

static void
options_given_twice_are_told(void **state)
{
	(void)state;
	parse("lane|-o|a=1|class=slow|-o|b=2|-o|{ a = 3 }|class=fast|-o|b=2");
	assert_int_equal(problems.count, 3);
	assert_string_equal(problems.text[0],
	    "bad parameter: -o a = 3: it is given twice, first as 1: must "
	    "be there once in an entry of master.cf");
	assert_string_equal(problems.text[1],
	    "bad word: class=fast: it is given twice, first as class=slow");
	assert_string_equal(opt.class, "slow");
	assert_non_null(strstr(problems.text[2], "-o b = 2: it is given"));
}

static void
assignments_are_split_as_postfix_does(void **state)
{
	static const struct {
		const char *text, *name, *value;
	} good[] = {
	    {"a=b", "a", "b"},
	    {" a = b ", "a", "b"},
	    {"{a = b c}", "a", "b c"},
	    {"  { a=b }  ", "a", "b"},
	    {"a=", "a", ""},
	    {"a=b=c", "a", "b=c"},
	    {"x = ${y?{a}:{b}}", "x", "${y?{a}:{b}}"},
	};
	static const char *const bad[] = {
	    "", "a", "=b", " = b", "{}", "{a}", "a b = c"};
	char *name, *value;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(assignment_split(good[i].text, &name, &value));
		assert_string_equal(name, good[i].name);
		assert_string_equal(value, good[i].value);
		mem_free(name);
		mem_free(value);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(assignment_split(bad[i], &name, &value));
}

static void
options_that_were_cut_are_told_as_one(void **state)
{
	static const struct {
		const char *line, *told;
	} cases[] = {
	    {"lane|-o|a|=|2|class=slow",
		"bad option: -o a = 2: must be -o a=2, with no blanks round "
		"=, or -o { a = 2 }"},
	    {"lane|-oa|=|2|class=slow",
		"bad option: -o a = 2: must be -o a=2, with no blanks round "
		"=, or -o { a = 2 }"},
	    {"lane|-o|a|=2|class=slow",
		"bad option: -o a =2: must be -o a=2, with no blanks round =, "
		"or -o { a = 2 }"},
	    {"lane|-o|a=|2|class=slow",
		"bad option: -o a= 2: must be -o a=2, with no blanks round =, "
		"or -o { a = 2 }"},
	    {"lane|-o|a|=|class=slow",
		"bad option: -o a =: must be -o a=, with no blanks round =, "
		"or -o { a = }"},
	    {"lane|-o|a|=|x,|y|class=slow",
		"bad option: -o a = x, y: must be -o { a = x, y }: with "
		"blanks only within braces"},
	    {"lane|class=slow|-o|a=x,|y",
		"bad option: -o a=x, y: must be -o { a = x, y }: with "
		"blanks only within braces"},
	    {"lane|-o|\"a|=|2\"|class=slow",
		"bad option: -o \"a = 2\": must be -o a=2, without quotes"},
	    {"lane|-o|'a=2'|class=slow",
		"bad option: -o 'a=2': must be -o a=2, without quotes"},
	    {"lane|-o|a=\"x|y\"|class=slow",
		"bad option: -o a=\"x y\": must be -o { a = x y }, without "
		"quotes"},
	    {"lane|-o|{a=2},|class=slow",
		"bad option: -o {a=2},: must be -o a=2, with nothing behind "
		"a }"},
	    {"lane|-o|{a=2|class=slow",
		"bad option: -o {a=2: must be -o name=value"},
	    {"lane|class|=|slow", "bad word: class = slow: must be "
				  "class=slow, without blanks"},
	    {"lane|-o|b=1|#|only|two|class=slow",
		"bad word: # only two: must not be there: a comment has lines "
		"of its own in master.cf"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		parse(cases[i].line);
		assert_int_equal(problems.count, 1);
		assert_string_equal(problems.text[0], cases[i].told);
		assert_string_equal(
		    opt.class, strstr(cases[i].line, "class=") ? "slow" : "");
		assert_null(options_override(&opt, "a"));
	}
	/* An empty value is one */
	parse("lane|-o|a=|class=slow|-o|b=|-o|c=");
	assert_int_equal(problems.count, 0);
	assert_string_equal(options_override(&opt, "a"), "");
}

static void
options_errors_are_told_and_the_rest_is_read(void **state)
{
	static const struct {
		const char *line, *told;
	} cases[] = {
	    {"lane|-x|-v", "bad option: -x: must be one of "
			   "master(8)'s: -c -d -D -l -n name -o name=value -s "
			   "count -t type -u -v -V -z"},
	    {"lane|-v|-o", "bad option: -o: a value is missing after it"},
	    {"lane|-v|-o|novalue",
		"bad option: -o novalue: must be -o name=value"},
	    {"lane|-v|-s|none", "bad option: -s none: must be 1 to 100"},
	    {"lane|-v|word", "bad word: word: must be class=name"},
	    {"lane|-v|class=quick", "bad word: class=quick: must be "
				    "class=fast or class=slow"},
	    {"lane|-v|lane_log_name=x",
		"bad word: lane_log_name=x: must be class=name; a "
		"parameter is set with -o lane_log_name=x"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		parse(cases[i].line);
		assert_int_equal(problems.count, 1);
		assert_string_equal(problems.text[0], cases[i].told);
		assert_int_equal(opt.verbose, 1);
	}
}

static int
teardown(void **state)
{
	(void)state;
	options_fini(&opt);
	problems_fini(&problems);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(options_of_master_are_understood),
	    cmocka_unit_test(options_without_n_take_the_process_name),
	    cmocka_unit_test(options_stand_before_and_behind_words),
	    cmocka_unit_test(options_given_twice_are_told),
	    cmocka_unit_test(assignments_are_split_as_postfix_does),
	    cmocka_unit_test(options_that_were_cut_are_told_as_one),
	    cmocka_unit_test(options_errors_are_told_and_the_rest_is_read),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, teardown);
}
