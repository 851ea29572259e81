#include "agent/probe.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/dialing.h"
#include "agent/postfix/master.h"
#include "agent/settings/config.h"
#include "agent/settings/options.h"
#include "agent/smarthost/survey.h"
#include "common/base/clean.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum { STATUS_FAILED = 1, REMARKS_MAX = 50 };

struct probe {
	struct options opt;
	struct settings set;
	struct problems problems;
	struct loop *loop;
	struct dialing dialing;
	json_t *remarks;
};

bool
probe_is_wanted(int argc, char *const *argv)
{
	return argc > 1 && strcmp(argv[1], "probe") == 0;
}

static int
fail(const char *why)
{
	(void)fprintf(stderr, "lane: %s\n", why);
	return STATUS_FAILED;
}

static void
keep_remark(void *ctx, enum log_level level, const char *line)
{
	struct probe *p = ctx;

	/* Without it nothing follows that could be told. */
	if (level >= LOG_LEVEL_FATAL)
		(void)fprintf(stderr, "lane: %s\n", line);
	else if (level >= LOG_LEVEL_WARN &&
		 json_array_size(p->remarks) < REMARKS_MAX)
		CHECK(
		    json_array_append_new(p->remarks, clean_string(line)) == 0);
}

/* argv[3] and what follows are options. */
static bool
read_settings(struct probe *p, int argc, char **argv)
{
	char **words = mem_zarray((size_t)argc + 1, sizeof(words[0]));
	int count = 0;
	bool is_read;

	words[count++] = argv[0];
	for (int i = 3; i < argc; i++)
		words[count++] = argv[i];
	options_parse(&p->opt, count, words, &p->problems);
	is_read = config_load(&p->set, NULL, &p->opt, &p->problems, NULL);
	mem_free(words);
	return is_read;
}

static const char *
nexthop_of(const struct probe *p, const char *word)
{
	if (word[0] != '\0')
		return word;
	return p->set.lane_smarthost[0] != '\0' ? p->set.lane_smarthost
						: p->set.relayhost;
}

/* As the lane does, which master(8) starts as root. */
static bool
take_place(struct probe *p)
{
	char *error = NULL;
	bool is_good = true;

	if (geteuid() != 0) {
		log_warn("not root: tables that only root may read cannot be "
			 "read, and the lane may find more than this");
		if (chdir(p->set.queue_directory) != 0)
			log_warn("cannot enter %s", p->set.queue_directory);
	} else if (!master_drop_privileges(&p->set, &p->opt, &error)) {
		is_good = false;
		(void)fail(error);
	}
	mem_free(error);
	return is_good;
}

static json_t *
texts_of(char *const *texts, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		CHECK(json_array_append_new(list, clean_string(texts[i])) == 0);
	return list;
}

static int
print(json_t *report)
{
	char *text = json_dumps(report, JSON_COMPACT);
	int status;

	CHECK(text != NULL);
	status = puts(text) < 0 || fflush(stdout) != 0 ? STATUS_FAILED : 0;
	free(text);
	json_decref(report);
	return status;
}

static int
survey(struct probe *p, const char *word)
{
	json_t *report, *more;

	p->loop = loop_new();
	dialing_open(&p->dialing, p->loop, &p->set, &p->problems);
	if (!take_place(p))
		return STATUS_FAILED;
	report = survey_run(
	    p->loop, p->dialing.dialer, nexthop_of(p, word), PROBE_LIMIT_MS);
	more = json_pack("{s:i, s:o, s:O, s:I}", "schema", PROBE_SCHEMA,
	    "problems", texts_of(p->problems.text, p->problems.count),
	    "remarks", p->remarks, "own_end_s",
	    (json_int_t)dialer_own_end_s(p->dialing.dialer));
	CHECK(more != NULL && json_object_update(report, more) == 0);
	json_decref(more);
	return print(report);
}

static void
finish(struct probe *p)
{
	if (p->loop != NULL) {
		dialing_close(&p->dialing);
		loop_free(&p->loop);
	}
	log_set_sink(NULL, NULL);
	json_decref(p->remarks);
	problems_fini(&p->problems);
	settings_free(&p->set);
	options_fini(&p->opt);
}

int
probe_main(int argc, char **argv)
{
	struct probe p = {.remarks = json_array()};
	int status;

	if (argc < 3)
		return fail("usage: lane probe NEXTHOP [options as in "
			    "master.cf]");
	(void)signal(SIGPIPE, SIG_IGN);
	master_hide_memory();
	log_set_sink(keep_remark, &p);
	if (!read_settings(&p, argc, argv))
		status = fail(p.problems.text[p.problems.count - 1]);
	else if (nexthop_of(&p, argv[2])[0] == '\0')
		status = fail("neither lane_smarthost nor relayhost is set");
	else
		status = survey(&p, argv[2]);
	finish(&p);
	return status;
}
