/* The script that Redis runs and its twin in C: the same questions, the same
 * answers, on a real redis-server, whatever became of its memory and clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/engine/fleet_engine.h"
#include "agent/engine/fleet_share.h"
#include "common/base/clock.h"
#include "common/shared/fleet_lessons.h"
#include "common/shared/fleet_script.h"
#include "test/support/scratch.h"
#include "tools/lane-sim/sim_fleet.h"

enum { RUNS = 24, SPAN_S = 60, ARGS = 27, ARG_SIZE = 512 };

static struct server {
	pid_t pid;
	redisContext *redis;
	char sha[64];
	unsigned long compared, lessons;
	unsigned long words[FLEET_FULL + 1];
} s;

/* ---- the server ---------------------------------------------------------- */

static void
become_server(int out, const char *socket)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)dup2(out, STDOUT_FILENO);
	(void)execlp("redis-server", "redis-server", "--port", "0",
	    "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir",
	    scratch_dir(), (char *)NULL);
	(void)printf("redis-server: %s\n", strerror(errno));
	(void)fflush(stdout);
	_exit(1);
}

/* Until it says that it is there, or ends. */
static void
await_server(int in)
{
	FILE *lines = fdopen(in, "r");
	char line[512], all[4096] = "";

	assert_non_null(lines);
	while (fgets(line, sizeof(line), lines) != NULL) {
		size_t n = strlen(all);

		(void)snprintf(all + n, sizeof(all) - n, "%s", line);
		if (strcasestr(line, "ready to accept connections") != NULL)
			return; /* the pipe stays, for what else it says */
	}
	fail_msg("redis-server did not start: %s", all);
}

static redisReply *
call(int argc, const char **argv)
{
	redisReply *reply = redisCommandArgv(s.redis, argc, argv, NULL);

	assert_non_null(reply);
	if (reply->type == REDIS_REPLY_ERROR)
		fail_msg("%s: %s", argv[0], reply->str);
	return reply;
}

static void
call_only(int argc, const char **argv)
{
	freeReplyObject(call(argc, argv));
}

static int
start_server(void **state)
{
	const char *socket = scratch_path("redis");
	const char *load[] = {"SCRIPT", "LOAD", fleet_script};
	redisReply *reply;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	s.pid = fork();
	assert_true(s.pid >= 0);
	if (s.pid == 0)
		become_server(fds[1], socket);
	(void)close(fds[1]);
	await_server(fds[0]);
	s.redis = redisConnectUnix(socket);
	assert_non_null(s.redis);
	assert_int_equal(s.redis->err, 0);
	reply = call(3, load);
	(void)snprintf(s.sha, sizeof(s.sha), "%s", reply->str);
	freeReplyObject(reply);
	return 0;
}

static int
stop_server(void **state)
{
	(void)state;
	if (s.redis != NULL)
		redisFree(s.redis);
	(void)kill(s.pid, SIGTERM);
	(void)waitpid(s.pid, NULL, 0);
	return 0;
}

/* ---- questions to it ------------------------------------------------------
 */

static const char hosts_key[] = "pl:{joe}:connections:hosts";
static const char state_key[] = "pl:{joe}:connections:state";
static const char lessons_key[] = "pl:{joe}:connections:lessons";

struct args {
	int n;
	const char *v[ARGS];
	char text[ARGS][ARG_SIZE];
};

static void
add_text(struct args *a, const char *text)
{
	assert_true(a->n < ARGS);
	(void)snprintf(a->text[a->n], ARG_SIZE, "%s", text);
	a->v[a->n] = a->text[a->n];
	a->n++;
}

static void
add_number(struct args *a, int64_t value)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%" PRId64, value);
	add_text(a, text);
}

static void
add_nonce(struct args *a, uint64_t nonce)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%" PRIx64, nonce);
	add_text(a, text);
}

static void
add_question(
    struct args *a, const struct fleet_terms *t, const struct fleet_question *q)
{
	char lessons[FLEET_LESSONS_SIZE];

	add_text(a, "EVALSHA");
	add_text(a, s.sha);
	add_text(a, "3");
	add_text(a, hosts_key);
	add_text(a, state_key);
	add_text(a, lessons_key);
	add_text(a, q->host);
	add_nonce(a, q->nonce);
	add_number(a, q->epoch);
	add_number(a, q->number);
	add_number(a, t->size);
	add_number(a, t->limit);
	add_number(a, t->minimum);
	add_number(a, t->ttl_us);
	add_number(a, t->linger_us);
	add_number(a, t->forget_us);
	add_number(a, q->want);
	add_number(a, q->cap);
	add_number(a, q->in_use);
	add_number(a, q->echo);
	add_number(a, q->left_us);
	add_number(a, q->seen);
	add_number(a, q->since_us);
	add_text(a, q->life);
	fleet_lessons_print(q->lessons, false, lessons);
	add_text(a, lessons);
}

static enum fleet_word
word_of(const char *text)
{
	static const char *const words[] = {
	    [FLEET_OK] = "OK",
	    [FLEET_STALE] = "STALE",
	    [FLEET_TWICE] = "TWICE",
	    [FLEET_FULL] = "FULL",
	};

	for (int i = 0; i <= FLEET_FULL; i++)
		if (strcmp(words[i], text) == 0)
			return (enum fleet_word)i;
	fail_msg("no word: %s", text);
	return FLEET_FULL;
}

static void
ask(struct args *a, struct fleet_answer *out)
{
	redisReply *reply = call(a->n, a->v);

	assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
	assert_int_equal(reply->elements, 8);
	*out = (struct fleet_answer){
	    .word = word_of(reply->element[0]->str),
	    .share = reply->element[1]->integer,
	    .end = reply->element[2]->integer,
	    .at = reply->element[3]->integer,
	    .known = reply->element[4]->integer,
	    .target = reply->element[5]->integer,
	};
	(void)snprintf(
	    out->life, sizeof(out->life), "%s", reply->element[6]->str);
	assert_true(
	    fleet_lessons_parse(reply->element[7]->str, true, out->lessons));
	freeReplyObject(reply);
}

/* ---- both at once ---------------------------------------------------------
 */

static void
on_renew(void *ctx, const struct fleet_terms *terms, const char *run,
    const struct fleet_question *q, int64_t now_us,
    const struct fleet_answer *want)
{
	struct args a = {0};
	struct fleet_answer got;

	(void)ctx;
	add_question(&a, terms, q);
	add_text(&a, run);
	add_number(&a, now_us);
	ask(&a, &got);
	assert_int_equal(got.word, want->word);
	assert_true(got.share == want->share);
	assert_true(got.end == want->end);
	assert_true(got.at == want->at);
	assert_true(got.known == want->known);
	assert_true(got.target == want->target);
	assert_string_equal(got.life, want->life);
	for (int k = 0; k < FLEET_LESSONS; k++) {
		assert_true(got.lessons[k].left_us == want->lessons[k].left_us);
		assert_true(got.lessons[k].value == want->lessons[k].value);
		assert_string_equal(got.lessons[k].host, want->lessons[k].host);
		s.lessons += got.lessons[k].left_us > 0;
	}
	s.compared++;
	s.words[got.word]++;
}

static void
put_lessons(const struct fleet_host *h)
{
	struct args a = {0};
	char row[512] = "";

	for (int k = 0; k < FLEET_LESSONS; k++) {
		const struct fleet_kept *l = &h->lessons[k];
		size_t n = strlen(row);

		if (l->until > 0)
			(void)snprintf(row + n, sizeof(row) - n,
			    "%s%d %" PRId64 " %" PRId64, n > 0 ? " " : "",
			    k + 1, l->until, l->value);
	}
	add_text(&a, "HSET");
	add_text(&a, lessons_key);
	add_text(&a, h->name);
	add_text(&a, row);
	call_only(a.n, a.v);
}

static void
put_host(const struct fleet_host *h)
{
	struct args a = {0};
	char row[256];

	(void)snprintf(row, sizeof(row),
	    "%" PRIx64 " %" PRId64 " %" PRId64 " %d %" PRId64 " %" PRId64
	    " %" PRId64 " %" PRId64 " %" PRId64,
	    h->nonce, h->epoch, h->number, h->has_told != 0, h->share, h->end,
	    h->sure, h->want, h->seen);
	add_text(&a, "HSET");
	add_text(&a, hosts_key);
	add_text(&a, h->name);
	add_text(&a, h->is_gone ? "gone" : row);
	call_only(a.n, a.v);
	put_lessons(h);
}

static void
on_remember(void *ctx, const struct fleet_engine *e)
{
	struct args del = {0}, a = {0};

	(void)ctx;
	add_text(&del, "DEL");
	add_text(&del, hosts_key);
	add_text(&del, state_key);
	add_text(&del, lessons_key);
	call_only(del.n, del.v);
	if (e->run[0] == '\0')
		return;
	add_text(&a, "HSET");
	add_text(&a, state_key);
	add_text(&a, "run");
	add_text(&a, e->run);
	add_text(&a, "born");
	add_number(&a, e->born);
	add_text(&a, "last");
	add_number(&a, e->last);
	add_text(&a, "learn");
	add_number(&a, e->learn);
	call_only(a.n, a.v);
	for (size_t i = 0; i < e->count; i++)
		put_host(&e->hosts[i]);
}

static const struct sim_fleet_ops both = {NULL, on_remember, on_renew};

static void
script_answers_as_the_twin(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < RUNS; seed++) {
		struct sim_fleet_plan plan = {
		    .seed = seed,
		    .hosts_most = 12,
		    .span_us = SPAN_S * US_PER_S,
		    .has_faults = seed > 0,
		    .ops = &both,
		};
		struct sim_fleet_result r;

		sim_fleet_run(&plan, &r);
		assert_int_equal(r.over, 0);
		assert_int_equal(r.untold, 0);
		assert_int_equal(r.unheard, 0);
	}
	assert_true(s.lessons > RUNS);
	assert_true(s.compared > RUNS * SPAN_S);
	assert_true(s.words[FLEET_OK] > 0 && s.words[FLEET_TWICE] > 0);
}

static void
question_of(struct fleet_question *q, const char *host, int64_t epoch,
    uint64_t nonce, int64_t number)
{
	*q = (struct fleet_question){
	    .nonce = nonce,
	    .epoch = epoch,
	    .number = number,
	    .want = 5,
	    .cap = 5,
	};
	(void)snprintf(q->host, sizeof(q->host), "%s", host);
}

/* Other processes of a name, and hosts too many, which a simulated fleet does
 * not have; and what the operator forgets. */
static void
script_knows_names_as_the_twin(void **state)
{
	static const struct {
		const char *host;
		int64_t epoch;
		uint64_t nonce;
		int64_t number, at_s;
		const char *forget;
		enum fleet_word word;
	} rows[] = {
	    {"a", 1, 7, 1, 0, NULL, FLEET_OK},
	    {"a", 1, 7, 1, 0, NULL, FLEET_TWICE},
	    {"a", 1, 8, 1, 0, NULL, FLEET_STALE}, /* a clone */
	    {"a", 0, 9, 1, 0, NULL, FLEET_STALE}, /* the process before */
	    {"a", 2, 9, 1, 0, NULL, FLEET_OK}, /* the process after */
	    {"a", 1, 7, 2, 1, NULL, FLEET_STALE},
	    {"b", 1, 3, 1, 1, NULL, FLEET_OK},
	    {"c", 1, 3, 1, 2, NULL, FLEET_FULL},
	    {"b", 1, 3, 2, 2, "a", FLEET_OK},
	    {"b", 1, 3, 3, 3, NULL, FLEET_OK},
	    {"a", 1, 1, 1, 4, NULL, FLEET_OK}, /* it is back */
	    {"b", 0, 1, 1, 5, "b", FLEET_OK},
	    {"c", 1, 3, 2, 5, NULL, FLEET_FULL},
	    {"c", 1, 3, 3, 6, "b", FLEET_OK}, /* in its place */
	    {"b", 0, 1, 2, 6, NULL, FLEET_FULL},
	    {"c", 1, 3, 4, 7, NULL, FLEET_OK},
	    {"a", 1, 1, 2, 7, NULL, FLEET_OK},
	};
	struct fleet_terms terms = {
	    .size = 2, .limit = 20, .ttl_us = 10 * US_PER_S};
	struct fleet_engine e = {0};

	(void)state;
	on_remember(NULL, &e);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *gone[] = {
		    "HSET", hosts_key, rows[i].forget, "gone"};
		int64_t now_us = (1000 + rows[i].at_s) * US_PER_S;
		struct fleet_question q;
		struct fleet_answer answer;

		if (rows[i].forget != NULL) {
			assert_true(fleet_engine_forget(&e, rows[i].forget));
			call_only(4, gone);
		}
		question_of(&q, rows[i].host, rows[i].epoch, rows[i].nonce,
		    rows[i].number);
		fleet_engine_renew(&e, &terms, "run", &q, now_us, &answer);
		assert_int_equal(answer.word, rows[i].word);
		on_renew(NULL, &terms, "run", &q, now_us, &answer);
	}
}

/* By its own clock and name of its process, as a lane asks. */
static void
script_has_its_own_clock(void **state)
{
	struct fleet_terms terms = {
	    .size = 2, .limit = 20, .ttl_us = 10 * US_PER_S};
	struct fleet_engine none = {0};
	struct fleet_question q;
	struct fleet_answer answer;
	struct args first = {0}, second = {0};

	(void)state;
	on_remember(NULL, &none);
	question_of(&q, "a", 1, 7, 1);
	add_question(&first, &terms, &q);
	ask(&first, &answer);
	assert_int_equal(answer.word, FLEET_OK);
	assert_true(answer.at > 0);
	assert_int_equal(answer.end - answer.at, 10 * US_PER_S);
	assert_true(strlen(answer.life) > 40); /* of 40 digits, and its birth */
	(void)snprintf(q.life, sizeof(q.life), "%s", answer.life);
	q.number = 2;
	add_question(&second, &terms, &q);
	ask(&second, &answer);
	assert_string_equal(answer.life, q.life);
}

static void
set_memory(const char *octets)
{
	const char *set[] = {"CONFIG", "SET", "maxmemory", octets};

	call_only(4, set);
}

static long long
count_hosts(void)
{
	const char *count[] = {"HLEN", hosts_key};
	redisReply *reply = call(2, count);
	long long n = reply->integer;

	freeReplyObject(reply);
	return n;
}

/* However long ago it was asked: it neither answers nor forgets. */
static void
server_without_memory_does_not_answer(void **state)
{
	struct fleet_terms terms = {
	    .size = 2, .limit = 20, .ttl_us = 10 * US_PER_S};
	struct fleet_engine e = {0};
	struct fleet_question q;
	struct fleet_answer answer;

	(void)state;
	question_of(&q, "a", 1, 7, 1);
	fleet_engine_renew(&e, &terms, "run", &q, 1000 * US_PER_S, &answer);
	on_remember(NULL, &e);
	set_memory("1");
	for (int64_t at_s = 1001; at_s < 1100; at_s += 49) {
		struct args a = {0};
		redisReply *reply;

		q.number++;
		add_question(&a, &terms, &q);
		add_text(&a, "run");
		add_number(&a, at_s * US_PER_S);
		reply = redisCommandArgv(s.redis, a.n, a.v, NULL);
		assert_non_null(reply);
		assert_int_equal(reply->type, REDIS_REPLY_ERROR);
		assert_int_equal(strncmp(reply->str, "OOM ", 4), 0);
		freeReplyObject(reply);
	}
	set_memory("0");
	assert_int_equal(count_hosts(), 1);
	q.number++;
	fleet_engine_renew(&e, &terms, "run", &q, 1100 * US_PER_S, &answer);
	on_renew(NULL, &terms, "run", &q, 1100 * US_PER_S, &answer);
}

/* A row that somebody wrote by hand counts as a host that was not seen. */
static void
damaged_row_counts_as_a_base(void **state)
{
	const char *row[] = {"HSET", hosts_key, "b", "all of it"};
	struct fleet_terms terms = {
	    .size = 2, .limit = 20, .ttl_us = 10 * US_PER_S};
	struct fleet_engine e = {0};
	struct fleet_question q;
	struct fleet_answer answer;

	(void)state;
	on_remember(NULL, &e);
	for (int i = 0; i < 12; i++) {
		question_of(&q, "a", 1, 7, 1 + i);
		q.want = 20;
		fleet_engine_renew(
		    &e, &terms, "run", &q, (1000 + i) * US_PER_S, &answer);
		on_renew(
		    NULL, &terms, "run", &q, (1000 + i) * US_PER_S, &answer);
		if (i == 5)
			call_only(4, row);
	}
	assert_int_equal(answer.share, 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(script_answers_as_the_twin),
	    cmocka_unit_test(script_knows_names_as_the_twin),
	    cmocka_unit_test(script_has_its_own_clock),
	    cmocka_unit_test(server_without_memory_does_not_answer),
	    cmocka_unit_test(damaged_row_counts_as_a_base),
	};

	return cmocka_run_group_tests(tests, start_server, stop_server);
}
