/* A question to an engine, whatever it is that answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* A process that talks without end to whoever comes. */
static pid_t
start_talker(const char *path)
{
	static const char begin[] = "$500000000\r\n";
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), peer;
	pid_t pid;

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		peer = accept(fd, NULL, NULL);
		for (ssize_t n = send(peer, begin, sizeof(begin) - 1, 0);
		     n > 0;)
			n = send(peer, begin, sizeof(begin) - 1, MSG_NOSIGNAL);
		_exit(0);
	}
	assert_int_equal(close(fd), 0);
	return pid;
}

static void
reply_without_end_is_none(void **state)
{
	const char *ping[] = {"PING"};
	char *path = mem_printf("%s/socket", scratch_dir());
	char *where = mem_printf("unix:%s", path), nothing[] = "";
	struct settings set = {
	    .lane_fleet = where, .lane_fleet_password_file = nothing};
	pid_t pid = start_talker(path);
	struct fleetlink l;
	int status;

	(void)state;
	assert_true(fleetlink_open(&l, &set));
	assert_null(fleetlink_ask(&l, "PING", 1, ping));
	assert_false(fleetlink_is_open(&l));
	assert_string_equal(l.why, "PING: a reply without end");
	fleetlink_close(&l);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	mem_free(where);
	mem_free(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(password_is_not_in_what_an_engine_says),
	    cmocka_unit_test(reply_without_end_is_none),
	};

	return cmocka_run_group_tests_name("fleetlink", tests, NULL, NULL);
}
