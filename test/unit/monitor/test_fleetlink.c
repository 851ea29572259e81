/* A question to an engine, whatever it is that answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "agent/settings/config.h"
#include "common/base/mem.h"
#include "monitor/fleetlink.h"
#include "test/support/fakeserver.h"
#include "test/support/scratch.h"

#define PASSWORD "open.sesame.now"

/* fake_start() has the server; what it refused is in out, by a link that was
 * closed. False: it would not let us in. */
static bool
ask_server(const char *const *script, char out[FLEETLINK_WHY_SIZE])
{
	const char *ping[] = {"PING"};
	struct fake *fake = fake_start(script, NULL);
	char *where = mem_printf("127.0.0.1:%d", fake_port(fake));
	char *file = mem_printf("%s/password", scratch_dir());
	struct settings set = {
	    .lane_fleet = where, .lane_fleet_password_file = file};
	struct fleetlink l;
	bool is_open;

	scratch_write("password", PASSWORD "\n");
	assert_int_equal(chmod(file, 0600), 0);
	is_open = fleetlink_open(&l, &set);
	if (is_open)
		freeReplyObject(fleetlink_ask(&l, "PING", 1, ping));
	(void)snprintf(
	    out, FLEETLINK_WHY_SIZE, "%s", is_open ? l.refused : l.why);
	assert_null(strstr(l.why, "sesame"));
	assert_null(strstr(l.refused, "sesame"));
	fleetlink_close(&l);
	assert_string_equal(l.access.password, "");
	assert_null(fake_finish(fake));
	fake_free(&fake);
	mem_free(where);
	mem_free(file);
	return is_open;
}

static void
password_is_not_in_what_an_engine_says(void **state)
{
	static const char *const at_once[] = {"<*2", "<$4", "<AUTH", "<$15",
	    "<" PASSWORD,
	    ">-ERR unknown command 'AUTH', with args beginning with: '" PASSWORD
	    "' ",
	    "hang", NULL};
	static const char *const later[] = {"<*2", "<$4", "<AUTH", "<$15",
	    "<" PASSWORD, ">+OK", "<*1", "<$4", "<PING",
	    ">-ERR " PASSWORD " is what you said", "hang", NULL};
	char said[FLEETLINK_WHY_SIZE];

	(void)state;
	assert_false(ask_server(at_once, said));
	assert_string_equal(said,
	    "AUTH: ERR unknown command 'AUTH', with args beginning with: '");
	assert_true(ask_server(later, said));
	assert_string_equal(said, "PING: ERR ");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(password_is_not_in_what_an_engine_says),
	};

	return cmocka_run_group_tests_name("fleetlink", tests, NULL, NULL);
}
