#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/settings/params.h"
#include "test/support/owner.h"

void
set_by_name(struct settings *set, const char *name, const char *text)
{
	assert_true(params_set(set, params_find(name), text, NULL));
}

const struct passwd *
set_owner(struct settings *set)
{
	const struct passwd *pw = getpwnam("nobody");

	assert_non_null(pw);
	set_by_name(set, "mail_owner", "nobody");
	return pw;
}
