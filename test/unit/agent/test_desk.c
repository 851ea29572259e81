#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/desk.h"
#include "common/shared/askproto.h"
#include "common/shared/board.h"
#include "test/support/statedir.h"

/* Longer than a name on the board. */
#define LONG_NAME                                                              \
	"postfix-for-newsletters-of-the-second-customer-in-the-north/"         \
	"newsletters"

/* postlane knows a lane by its name there. */
static void
desk_answers_by_the_name_on_the_board(void **state)
{
	struct loop *loop = loop_new();
	struct statefile_dir dir;
	struct agent_env env = {
	    .state = &dir, .lane_name = LONG_NAME, .problem = "bad parameter"};
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char name[BOARD_NAME], text[200] = "";
	struct desk *d;

	assert_true(statefile_dir_open(&dir, *state, text, sizeof(text)));
	d = desk_open(loop, NULL, NULL, &env);
	board_text(LONG_NAME, strlen(LONG_NAME), name, sizeof(name));
	(void)snprintf(to.sun_path, sizeof(to.sun_path),
	    "%.80s/" ASKPROTO_PREFIX "%016llx", (const char *)*state,
	    (unsigned long long)board_hash(name));
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(send(fd, "steer\n", 6, 0), 6);
	while (recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT) <= 0)
		loop_once(loop);
	assert_string_equal(text, "error mail is deferred: bad parameter\n");
	(void)close(fd);
	desk_close(&d);
	loop_free(&loop);
	statefile_dir_close(&dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_STATEDIR(desk_answers_by_the_name_on_the_board),
	};

	return cmocka_run_group_tests_name("desk", tests, NULL, NULL);
}
