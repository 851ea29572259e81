/* Settings in a few words: which of them differ. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/settings/fingerprint.h"
#include "agent/settings/params.h"

static void
fingerprint_tells_each_setting_that_differs(void **state)
{
	uint64_t a[FINGERPRINT_WORDS], b[FINGERPRINT_WORDS];
	struct settings set;
	size_t differ = 0;

	(void)state;
	params_init(&set);
	fingerprint_take(a, &set);
	set.lane_connection_limit++;
	set.lane_wait_limit_us += 1000000;
	fingerprint_take(b, &set);
	assert_true(fingerprint_is_known(a));
	for (size_t i = 0; i < params_count(); i++) {
		const char *name = params_get(i)->name;

		if (!fingerprint_differs(a, b, i))
			continue;
		differ++;
		assert_true(strcmp(name, "lane_connection_limit") == 0 ||
			    strcmp(name, "lane_wait_limit") == 0);
	}
	assert_int_equal(differ, 2);
	/* Each has a place of its own. */
	assert_in_range(params_count(), 1, (FINGERPRINT_WORDS - 1) * 4);
	a[0]++;
	assert_false(fingerprint_is_known(a));
	memset(a, 0, sizeof(a));
	assert_false(fingerprint_is_known(a));
	settings_free(&set);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fingerprint_tells_each_setting_that_differs),
	};

	return cmocka_run_group_tests_name("fingerprint", tests, NULL, NULL);
}
