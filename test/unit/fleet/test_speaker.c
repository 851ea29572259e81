/* A host that speaks with a real redis-server, which is killed, forgets its
 * scripts, has no memory left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "agent/fleet/speaker.h"
#include "agent/settings/params.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "test/support/await.h"
#include "test/support/redis_server.h"
#include "test/support/statedir.h"

static const char account[] = "smtp.example.com joe";

enum { LIMIT = 20, BASE = 10 };

static struct world {
	struct loop *loop;
	struct redis_server server;
	struct settings set;
	struct fleet_access access;
	struct statefile_dir dir;
	struct board_writer *board;
	struct fleet_store *store;
	struct fleet_account *a;
	struct speaker *speaker;
	char warning[512], info[512];
} w;

static void
note_line(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)snprintf(level >= LOG_LEVEL_WARN ? w.warning : w.info,
	    sizeof(w.warning), "%s", line);
}

static int64_t
in_use(void *ctx, const struct fleet_limit *limit, int64_t now_us)
{
	(void)ctx;
	(void)limit;
	(void)now_us;
	return 0;
}

static void
on_share(void *ctx)
{
	(void)ctx;
}

static const struct fleet_account_ops ops = {
    .in_use = in_use, .on_share = on_share};

static void
put(const char *name, const char *value)
{
	struct problems problems = {0};

	assert_true(params_set(&w.set, params_find(name), value, &problems));
	problems_fini(&problems);
}

static void
begin(const char *dir, bool has_engine)
{
	char error[256];

	w.loop = loop_new();
	log_set_sink(note_line, NULL);
	params_init(&w.set);
	put("lane_fleet", "the engine");
	put("lane_fleet_name", "h1");
	put("lane_account_message_rate_limit", "100/1s");
	(void)snprintf(
	    w.access.path, sizeof(w.access.path), "%s", w.server.socket);
	assert_true(statefile_dir_open(&w.dir, dir, error, sizeof(error)));
	w.board = board_writer_open(dir, "fast", "", error, sizeof(error));
	assert_non_null(w.board);
	assert_true(board_writer_set_account(w.board, account));
	w.store = fleet_store_open(&w.set, &w.dir, "fast");
	w.a = fleet_store_account(w.store, account, clock_mono_us());
	fleet_account_set_ops(w.a, &ops, NULL);
	w.speaker = speaker_new(w.loop, &w.set, has_engine ? &w.access : NULL);
	speaker_begin(w.speaker, w.store, w.board);
}

static void
finish(void)
{
	speaker_free(&w.speaker);
	fleet_account_close(&w.a);
	fleet_store_close(&w.store);
	board_writer_close(&w.board);
	statefile_dir_close(&w.dir);
	settings_free(&w.set);
	loop_free(&w.loop);
}

static const struct board_fleet *
fleet(void)
{
	return &board_writer_account(w.board)->fleet;
}

static uint64_t
renewals(size_t i)
{
	return fleet()->limits[i].renewals;
}

static int
setup(void **state)
{
	w = (struct world){.loop = NULL};
	redis_server_start(&w.server);
	return statedir_setup(state);
}

static int
teardown(void **state)
{
	if (w.server.redis != NULL)
		redis_server_kill(&w.server);
	return statedir_teardown(state);
}

static void
speaker_asks_each_limit_each_second(void **state)
{
	const struct board_fleet *f;
	redisReply *reply;

	begin(*state, true);
	fleet_account_connections(w.a, 1, 3, clock_mono_us());
	AWAIT(w.loop, renewals(0) >= 2 && renewals(1) >= 2);
	f = fleet();
	assert_int_equal(f->is_up, 1);
	assert_int_equal(f->size, 2);
	assert_string_equal(f->name, "h1");
	assert_string_equal(f->engine, "the engine");
	assert_string_equal(f->limits[0].unit, "connections");
	assert_int_equal(f->limits[0].word, BOARD_FLEET_OK);
	assert_int_equal(f->limits[0].limit, LIMIT);
	assert_int_equal(f->limits[0].base, BASE);
	assert_int_equal(f->limits[0].want, 4);
	assert_int_equal(f->limits[0].known, 1);
	assert_true(f->limits[0].until_wall_ms > f->limits[0].answered_wall_ms);
	assert_string_equal(f->limits[1].unit, "messages/1s");
	assert_true(
	    board_writer_lane(w.board)->hists[BOARD_HIST_fleet_renew].count >=
	    4);
	assert_string_equal(w.info,
	    "fleet the engine: account smtp.example.com: shared as "
	    "h1, one of 2 hosts");
	reply = redisCommand(w.server.redis, "HGET pl:{%llx}:%s h1",
	    (unsigned long long)board_hash(account), "connections:terms");
	assert_non_null(reply);
	assert_string_equal(reply->str, "2 20 1 30000000 0 0");
	freeReplyObject(reply);
	finish();
}

static void
speaker_loads_its_script_again(void **state)
{
	uint64_t before;

	begin(*state, true);
	AWAIT(w.loop, renewals(0) >= 1);
	redis_server_do(&w.server, "SCRIPT FLUSH");
	before = renewals(0);
	AWAIT(w.loop, renewals(0) >= before + 3);
	assert_int_equal(fleet()->is_up, 1);
	finish();
}

static void
speaker_says_what_is_wrong_and_that_it_is_over(void **state)
{
	begin(*state, true);
	AWAIT(w.loop, renewals(0) >= 1);
	redis_server_do(&w.server, "CONFIG SET maxmemory 1");
	AWAIT(w.loop, fleet()->is_up == 0 && w.warning[0] != '\0');
	assert_non_null(strstr(w.warning, "fleet the engine: no answer: OOM"));
	assert_non_null(strstr(fleet()->trouble, "OOM"));
	AWAIT(w.loop, fleet()->limits[0].failures > 0 && fleet()->alone_ms > 0);
	redis_server_do(&w.server, "CONFIG SET maxmemory 0");
	AWAIT(w.loop, fleet()->is_up == 1);
	assert_non_null(strstr(w.info, "answers again after"));
	assert_string_equal(fleet()->trouble, "");
	finish();
}

static void
speaker_finds_an_engine_that_began_anew(void **state)
{
	uint64_t before;

	begin(*state, true);
	AWAIT(w.loop, renewals(0) >= 1);
	redis_server_kill(&w.server);
	AWAIT(w.loop, fleet()->is_up == 0);
	redis_server_start(&w.server);
	(void)snprintf(
	    w.access.path, sizeof(w.access.path), "%s", w.server.socket);
	before = renewals(0);
	AWAIT(w.loop, renewals(0) > before && fleet()->is_up == 1);
	finish();
}

static void
speaker_without_an_engine_shows_so(void **state)
{
	begin(*state, false);
	AWAIT(w.loop, fleet()->told_wall_ms != 0);
	assert_int_equal(fleet()->is_up, 0);
	assert_string_equal(
	    fleet()->trouble, "lane_fleet cannot be used, see the log");
	finish();
}

/* As at a reload: at once, and while replies are under way. */
static void
speaker_that_stops_leaves_it_to_another(void **state)
{
	struct fleet_store *next;
	struct fleet_account *a;
	int64_t epoch;

	begin(*state, true);
	AWAIT(w.loop, renewals(0) >= 1);
	epoch = fleet_account_epoch(w.a);
	next = fleet_store_open(&w.set, &w.dir, "slow");
	a = fleet_store_account(next, account, clock_mono_us());
	assert_false(fleet_account_speak(a, 5, clock_mono_us()));
	speaker_stop(w.speaker);
	assert_true(fleet_account_speak(a, 5, clock_mono_us()));
	assert_int_equal(fleet_account_epoch(a), epoch + 1);
	fleet_account_close(&a);
	fleet_store_close(&next);
	finish();
}

#define ON_AN_ENGINE(test)                                                     \
	cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    ON_AN_ENGINE(speaker_asks_each_limit_each_second),
	    ON_AN_ENGINE(speaker_loads_its_script_again),
	    ON_AN_ENGINE(speaker_says_what_is_wrong_and_that_it_is_over),
	    ON_AN_ENGINE(speaker_finds_an_engine_that_began_anew),
	    ON_AN_ENGINE(speaker_without_an_engine_shows_so),
	    ON_AN_ENGINE(speaker_that_stops_leaves_it_to_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
