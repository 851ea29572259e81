/* The replies of providers/ are judged as their files say, and the lane at work
 * does what the judgement says: at every stage, for every code. */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/engine/lane_state.h"
#include "agent/settings/provider_set.h"
#include "agent/settings/reply_examples.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "test/support/lane_world.h"

/* ---- a lane that is told it ---------------------------------------------- */

static const struct {
	enum rule_stage stage;
	const char *line;
} in_sessions[] = {
    {RULE_MAIL, "MAIL"},
    {RULE_RCPT, "RCPT"},
    {RULE_DATA, "DATA"},
    {RULE_EOD, "."},
    {RULE_RSET, "RSET"},
};

static struct {
	const char *line; /* of the command that gets it; NULL: the dial does */
	int code;
	int times;
} plan;

static int
judge(struct world *w, struct world_conn *conn, size_t number, const char *line)
{
	(void)w;
	(void)conn;
	(void)number;
	if (plan.line == NULL || plan.times == 0 ||
	    strncmp(line, plan.line, strlen(plan.line)) != 0)
		return 0;
	plan.times--;
	return plan.code;
}

static const char *dial_reply;

static const char *
answer_dial(struct world *w)
{
	(void)w;
	if (plan.line != NULL || plan.times == 0)
		return NULL;
	plan.times--;
	return dial_reply;
}

/* The lines of a reply that stand behind each other, as the server sends them:
 * only where the first is followed by a hyphen are there several. */
static char *
on_the_wire(const char *reply)
{
	struct buf out;
	char *text;

	buf_init(&out, 8192);
	for (const char *p = reply; *p != '\0'; p++) {
		if (*p == ' ' && reply[3] == '-' &&
		    strncmp(p + 1, reply, 3) == 0 &&
		    (p[4] == '-' || p[4] == ' ' || p[4] == '\0'))
			assert_true(buf_add_str(&out, "\r\n"));
		else
			assert_true(buf_add_char(&out, *p));
	}
	assert_true(buf_add_str(&out, "\r\n"));
	text = mem_strdup(buf_str(&out));
	buf_fini(&out);
	return text;
}

static const char *
line_of(enum rule_stage stage)
{
	for (size_t i = 0; i < sizeof(in_sessions) / sizeof(in_sessions[0]);
	     i++)
		if (in_sessions[i].stage == stage)
			return in_sessions[i].line;
	return NULL;
}

/* The first command of that stage is refused so, or the first `times`. One
 * message; where RSET is, it stands before the second of two; when nothing is
 * asked, before the second. */
static void
tell(struct world *w, const struct rules *rules, enum rule_stage stage,
    const char *reply, char *wire, int times)
{
	world_init(w);
	memset(&plan, 0, sizeof(plan));
	plan.line = line_of(stage);
	plan.code = (int)strtol(reply, NULL, 10);
	plan.times = stage == RULE_IDLE ? 0 : times;
	dial_reply = reply;
	w->server.judge = judge;
	w->server.verbatim = wire;
	w->server.answer_dial = answer_dial;
	w->server.dial_stage = stage;
	w->ehlo.chunking = stage != RULE_DATA;
	w->set.lane_adaptive = true;
	w->set.lane_alert_retry_us = 60 * US_PER_S;
	world_open(w, 10);
	lane_set_rules(w->lane, rules);
	w->set.lane_connection_limit = 1;
	world_submit(w, stage == RULE_RSET ? 2 : 1);
	world_finish(w, 3600000);
	assert_int_equal(plan.times, 0);
	if (stage != RULE_IDLE)
		return;
	world_run(w, 3000);
	world_say(w, wire);
	world_run(w, 1000);
	world_submit(w, 1);
	world_finish(w, 3600000);
}

static bool
is_as_judged(const struct world *w, const struct judgement *j)
{
	const struct world_message *m = &w->messages[w->count - 1];
	enum outcome o = m->outcomes[0];
	bool is_certain =
	    j->witness == WITNESS_NONE || j->witness == WITNESS_DIALS;

	if ((w->alarms > 0) != (j->outcome == RULE_ALARM && is_certain) ||
	    (w->too_many > 0) != (j->outcome == RULE_CONNECTIONS))
		return false;
	switch (j->fate) {
	case FATE_AS_WANTED:
	case FATE_ELSEWHERE:
		return o == OUTCOME_SENT;
	case FATE_RETURNED:
		return o == OUTCOME_BOUNCE;
	case FATE_DEFERRED:
		return o == OUTCOME_DEFER && !m->is_hop;
	case FATE_OUT_OF_STEP:
		return o == (m->in_doubt ? OUTCOME_DEFER : OUTCOME_SENT);
	case FATE_LATER:
	case FATE_WAITS:
		break;
	}
	return o == OUTCOME_SENT || o == OUTCOME_DEFER;
}

/* True: the lane does as the judgement says. */
static bool
compare_live(const struct rules *rules, enum rule_stage stage,
    const char *reply, const struct judgement *j)
{
	char *wire = on_the_wire(reply);
	bool is_heard_again =
	    judgement_is_heard_again(stage, (int)strtol(reply, NULL, 10));
	struct world w;
	bool is_same;

	tell(&w, rules, stage, reply, wire, is_heard_again ? 2 : 1);
	is_same = is_as_judged(&w, j);
	if (!is_same)
		print_error("%s: %s: judged %s (fate %d), but outcome %d%s, "
			    "%zu alarms, %zu too many\n",
		    rule_stage_name(stage), reply, judgement_word(j),
		    (int)j->fate, (int)w.messages[0].outcomes[0],
		    w.messages[0].is_hop ? " of the site" : "", w.alarms,
		    w.too_many);
	world_fini(&w);
	mem_free(wire);
	return is_same;
}

/* ---- the files ------------------------------------------------------------
 */

struct run {
	const char *file;
	const struct rules *rules;
	int count, wrong, told;
};

static void
check(void *ctx, int line, enum rule_stage stage, const char *word,
    const char *reply)
{
	struct run *run = ctx;
	struct judgement j;

	judgement_of(
	    &j, run->rules, stage, (int)strtol(reply, NULL, 10), reply, 0);
	run->count++;
	if (strcmp(judgement_word(&j), word) != 0) {
		run->wrong++;
		print_error("%s:%d: %s: %s, not %s (%s:%d)\n", run->file, line,
		    rule_stage_name(stage), judgement_word(&j), word,
		    j.hit.file != NULL ? j.hit.file : "no rule", j.hit.line);
	}
	if (j.fate == FATE_AS_WANTED)
		return;
	run->told++;
	run->wrong += !compare_live(run->rules, stage, reply, &j);
}

static void
load(struct provider_set *p, struct settings *set, const char *name)
{
	struct problems problems = {0};

	memset(set, 0, sizeof(*set));
	set->lane_provider = mem_strdup(name);
	set->lane_reply_rules = mem_strdup("");
	set->lane_provider_directory = mem_strdup("providers");
	provider_set_load(p, set, &problems);
	assert_int_equal(problems.count, 0);
	problems_fini(&problems);
}

static void
run_file(const char *file)
{
	struct run run = {.file = file};
	struct provider_set provider;
	struct settings set;
	struct buf text, errors;
	struct slice name;
	char word[64];

	buf_init(&text, RULES_FILE_MAX);
	buf_init(&errors, 8192);
	assert_int_equal(provider_read_file(file, &text), 0);
	name = reply_examples_provider(buf_slice(&text));
	(void)snprintf(word, sizeof(word), "%.*s", (int)name.n, name.p);
	load(&provider, &set, word);
	run.rules = provider.rules;
	if (!reply_examples_each(file, buf_slice(&text), check, &run, &errors))
		fail_msg("%s", buf_str(&errors));
	print_message(
	    "%s: %d replies, %d told to a lane\n", file, run.count, run.told);
	assert_int_equal(run.wrong, 0);
	assert_true(run.count > 0 && run.told > 0);
	provider_set_fini(&provider);
	mem_free(set.lane_provider);
	mem_free(set.lane_reply_rules);
	mem_free(set.lane_provider_directory);
	buf_fini(&text);
	buf_fini(&errors);
}

static void
replies_of_each_file_are_judged_as_it_says(void **state)
{
	glob_t files;

	(void)state;
	assert_int_equal(glob("providers/*.replies", 0, NULL, &files), 0);
	assert_true(files.gl_pathc >= 10);
	for (size_t i = 0; i < files.gl_pathc; i++)
		run_file(files.gl_pathv[i]);
	globfree(&files);
}

/* ---- every code -----------------------------------------------------------
 */

/* The codes of refusals, and those that fit another command. */
static int
next_code(int code)
{
	static const int others[] = {220, 221, 250, 251, 252, 354};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (others[i] > code)
			return others[i];
	return code < 400 ? 400 : code + 1;
}

/* Once: it is tried alone, and then taken. */
static void
what_was_said_to_a_group_is_heard_again_alone(void **state)
{
	static const struct {
		enum rule_stage stage;
		const char *reply;
	} said[] = {{RULE_RCPT, "503 5.5.1 no"}, {RULE_DATA, "503 5.5.1 no"},
	    {RULE_EOD, "503 5.5.1 no"}};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		char wire[] = "503 5.5.1 no\r\n";
		struct world w;

		assert_true(judgement_is_heard_again(said[i].stage, 503));
		tell(&w, NULL, said[i].stage, said[i].reply, wire, 1);
		assert_int_equal(w.messages[0].outcomes[0], OUTCOME_SENT);
		world_fini(&w);
	}
}

static void
lane_does_at_every_stage_what_is_judged(void **state)
{
	struct provider_set provider;
	struct settings set;
	int wrong = 0, count = 0;

	(void)state;
	load(&provider, &set, "");
	for (int with = 0; with < 2; with++)
		for (int code = next_code(0); code < 600;
		     code = next_code(code))
			for (int i = 0; i < RULE_STAGES; i++) {
				const struct rules *rules =
				    with ? provider.rules : NULL;
				struct judgement j;
				char reply[64];

				(void)snprintf(reply, sizeof(reply),
				    "%d %d.3.0 whatever", code, code / 100);
				judgement_of(&j, rules, (enum rule_stage)i,
				    code, reply, 0);
				if (j.fate == FATE_AS_WANTED)
					continue;
				count++;
				wrong += !compare_live(
				    rules, (enum rule_stage)i, reply, &j);
			}
	print_message("%d replies\n", count);
	assert_int_equal(wrong, 0);
	provider_set_fini(&provider);
	mem_free(set.lane_provider);
	mem_free(set.lane_reply_rules);
	mem_free(set.lane_provider_directory);
}

/* ---- reading --------------------------------------------------------------
 */

static void
count_lines(void *ctx, int line, enum rule_stage stage, const char *word,
    const char *reply)
{
	(void)line;
	(void)stage;
	(void)word;
	(void)reply;
	++*(int *)ctx;
}

static void
lines_that_are_wrong_are_told(void **state)
{
	static const struct {
		const char *line;
		int count;
	} cases[] = {
	    {"eod bounce 550 no", 1},
	    {"mail,rcpt,idle wait 421 bye", 3},
	    {"# eod bounce", 0},
	    {"provider ses", 0},
	    {"end bounce 550 no", -1},
	    {"eod,, bounce 550 no", -1},
	    {"eod returned 550 no", -1},
	    {"eod bounce", -1},
	    {"eod bounce no", -1},
	    {"eod bounce 5500 no", -1},
	    {"eod bounce 650 no", -1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf errors;
		int count = 0;
		bool is_good;

		buf_init(&errors, 1024);
		is_good = reply_examples_each("f", slice_str(cases[i].line),
		    count_lines, &count, &errors);
		assert_int_equal(is_good, cases[i].count >= 0);
		if (is_good)
			assert_int_equal(count, cases[i].count);
		else
			assert_memory_equal(buf_str(&errors), "f:1: ", 5);
		buf_fini(&errors);
	}
}

static void
discard(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(replies_of_each_file_are_judged_as_it_says),
	    cmocka_unit_test(what_was_said_to_a_group_is_heard_again_alone),
	    cmocka_unit_test(lane_does_at_every_stage_what_is_judged),
	    cmocka_unit_test(lines_that_are_wrong_are_told),
	};

	log_set_sink(discard, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
