#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/vault.h"

/* What the kernel says of the mapping that p is in: its flags. */
static void
flags_of(const void *p, char *out, size_t n)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	unsigned long first, last;
	bool is_it = false;
	char line[512];

	assert_non_null(file);
	out[0] = '\0';
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "%lx-%lx ", &first, &last) == 2)
			is_it = (uintptr_t)p >= first && (uintptr_t)p < last;
		else if (is_it && strncmp(line, "VmFlags:", 8) == 0)
			(void)snprintf(out, n, "%s", line);
	(void)fclose(file);
}

static void
vault_is_locked_and_in_no_core_file(void **state)
{
	struct vault *v = vault_new(20);
	const char *text;
	char flags[512];

	(void)state;
	assert_non_null(v);
	text = vault_put(v, "secret");
	assert_string_equal(text, "secret");
	flags_of(text, flags, sizeof(flags));
	assert_non_null(strstr(flags, " dd"));
	assert_null(strstr(flags, " lo"));
	assert_true(vault_lock(v));
	flags_of(text, flags, sizeof(flags));
	assert_non_null(strstr(flags, " dd"));
	assert_non_null(strstr(flags, " lo"));
	vault_free(&v);
	assert_null(v);
	vault_free(&v);
}

static void
vault_knows_its_own(void **state)
{
	static const char other[] = "a";
	struct vault *v = vault_new(4), *none = NULL;
	const char *first = vault_put(v, "a"), *second = vault_put(v, "b");

	(void)state;
	assert_true(vault_holds(v, first) && vault_holds(v, second));
	assert_string_equal(first, "a");
	assert_string_equal(second, "b");
	assert_false(vault_holds(v, other));
	assert_false(vault_holds(none, first));
	vault_free(&v);
}

static void
vault_of_nothing_is_one(void **state)
{
	struct vault *v = vault_new(0);

	(void)state;
	assert_non_null(v);
	assert_true(vault_lock(v));
	vault_free(&v);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(vault_is_locked_and_in_no_core_file),
	    cmocka_unit_test(vault_knows_its_own),
	    cmocka_unit_test(vault_of_nothing_is_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
