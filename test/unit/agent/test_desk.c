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
#include "agent/engine/lane_steer.h"
#include "agent/postfix/report.h"
#include "common/shared/askproto.h"
#include "common/shared/board.h"
#include "test/support/lane_world.h"
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
	d = desk_open(loop, NULL, NULL, NULL, &env);
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

static void
write_orders(const char *dir, const char *text)
{
	char path[200];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%.150s/steer", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* The answer to a question to a lane of this name. */
static void
ask(struct loop *loop, const char *dir, const char *lane, const char *question,
    char *text, size_t n)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ssize_t got;

	(void)snprintf(to.sun_path, sizeof(to.sun_path),
	    "%.80s/" ASKPROTO_PREFIX "%016llx", dir,
	    (unsigned long long)board_hash(lane));
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(
	    send(fd, question, strlen(question), 0), strlen(question));
	while ((got = recv(fd, text, n - 1, MSG_DONTWAIT)) <= 0)
		loop_once(loop);
	text[got] = '\0';
	(void)close(fd);
}

static bool
no_greeting(void *ctx, int64_t now_ms, int64_t *until_ms_out)
{
	(void)ctx;
	(void)now_ms;
	*until_ms_out = 0;
	return false;
}

static void
no_request(void *ctx, struct request *req)
{
	(void)ctx;
	(void)req;
	fail();
}

static bool
no_hangup(void *ctx, struct request *req)
{
	(void)ctx;
	(void)req;
	return false;
}

static void
no_accept(void *ctx)
{
	(void)ctx;
	fail();
}

static const struct intake_ops nobody = {
    .may_greet = no_greeting,
    .on_request = no_request,
    .on_hangup = no_hangup,
    .on_first_accept = no_accept,
};

/* What was set aside for requests is not a session's when somebody asks for
 * many of them. */
static void
desk_gives_no_more_sessions_than_there_are_descriptors(void **state)
{
	struct loop *loop = loop_new();
	struct dialogue *dialogue = dialogue_new(loop);
	struct statefile_dir dir;
	struct agent_env env = {.state = &dir, .lane_name = "fast"};
	struct descriptors plan = {.limit = 200, .in_use = 40};
	int needed, pair[2];
	struct intake *intake;
	struct world w;
	struct desk *d;
	char text[400];

	assert_true(statefile_dir_open(&dir, *state, text, sizeof(text)));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	world_init(&w);
	w.set.lane_connection_limit = 4;
	world_open(&w, 10);
	env.set = &w.set;
	assert_true(descriptors_plan(&plan, 4, REPORT_PARALLEL, &needed));
	env.descriptors = plan;
	intake = intake_new(loop, &w.set, pair[0], &nobody, NULL);
	d = desk_open(loop, w.lane, intake, dialogue, &env);
	write_orders(*state, "postlane-steer 1 5\n"
			     "fast connections 20 0 1 root\n");
	ask(loop, *state, "fast", "steer\n", text, sizeof(text));
	assert_string_equal(text, "ok 5 \n");
	assert_int_equal(lane_connection_limit(w.lane), 20);
	write_orders(*state, "postlane-steer 1 6\n"
			     "fast connections 1000 0 1 root\n");
	ask(loop, *state, "fast", "steer\n", text, sizeof(text));
	assert_true(descriptors_plan(&plan, 1000, REPORT_PARALLEL, &needed));
	assert_in_range(plan.sessions, 21, 60);
	assert_int_equal(lane_connection_limit(w.lane), plan.sessions);
	assert_non_null(
	    strstr(text, " of 1000: the limit of open files allows"));
	write_orders(*state, "postlane-steer 1 7\n");
	ask(loop, *state, "fast", "steer\n", text, sizeof(text));
	assert_int_equal(lane_connection_limit(w.lane), 4);
	desk_close(&d);
	intake_free(&intake);
	dialogue_free(&dialogue);
	loop_free(&loop);
	world_fini(&w);
	(void)close(pair[0]);
	(void)close(pair[1]);
	statefile_dir_close(&dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_STATEDIR(desk_answers_by_the_name_on_the_board),
	    IN_STATEDIR(desk_gives_no_more_sessions_than_there_are_descriptors),
	};

	return cmocka_run_group_tests_name("desk", tests, NULL, NULL);
}
