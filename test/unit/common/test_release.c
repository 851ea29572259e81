#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/release.h"

static void
test_version_is_that_of_the_file(void **state)
{
	char line[64] = "";
	FILE *f = fopen("VERSION", "r");

	(void)state;
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	(void)fclose(f);
	line[strcspn(line, "\n")] = '\0';
	assert_string_equal(release_version(), line);
	assert_int_equal(strspn(line, "0123456789."), strlen(line));
	/* The same text each time. */
	assert_ptr_equal(release_version(), release_version());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_version_is_that_of_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
