#include "monitor/waking.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/io/command_output.h"
#include "agent/settings/config.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/postfix/queueid.h"
#include "monitor/recallfile.h"

enum { WAKE_MAX = 20, WAKE_MS = 10000 /* in all */, PATH_MAX_BYTES = 1024 };

struct waking {
	const struct settings *set;
	uint64_t lists[WAKE_MAX]; /* that were asked for */
	size_t count;
	int64_t until_ms;
	char *why;
	size_t why_size;
};

static bool
is_deferred(const struct settings *set, const char *id)
{
	struct buf path;
	struct stat st;
	bool is;

	buf_init(&path, PATH_MAX_BYTES);
	is = buf_addf(&path, "%s/", set->queue_directory) &&
	     queueid_path(&path, "deferred", id, set->hash_queue_names,
		 set->hash_queue_depth) &&
	     lstat(buf_str(&path), &st) == 0;
	buf_fini(&path);
	return is;
}

static void
give_up(struct waking *w, const char *text)
{
	(void)snprintf(w->why, w->why_size, "%.*s", (int)strcspn(text, "\n"),
	    *text != '\0' ? text : "postqueue failed");
}

static bool
ask_for(struct waking *w, const char *id, int64_t left_ms)
{
	char *program = config_command(w->set->command_directory, "postqueue");
	const char *const argv[] = {
	    program, "-c", w->set->config_directory, "-i", id, NULL};
	struct command_output_result result;
	bool is_done;

	command_output_try(&result, argv, -1, (int)left_ms);
	is_done = result.status == 0;
	if (!is_done)
		give_up(w, buf_str(&result.err));
	command_output_fini(&result);
	mem_free(program);
	return is_done;
}

static bool
is_asked(const struct waking *w, uint64_t list)
{
	for (size_t i = 0; i < w->count; i++)
		if (w->lists[i] == list)
			return true;
	return false;
}

static void
wake_list(void *ctx, uint64_t list, const char *queue_id)
{
	struct waking *w = ctx;
	int64_t left_ms = w->until_ms - clock_mono_ms();

	if (*w->why != '\0' || w->count == WAKE_MAX || is_asked(w, list))
		return;
	if (left_ms <= 0)
		give_up(w, "there was no time to look at all that is noted");
	else if (is_deferred(w->set, queue_id) && ask_for(w, queue_id, left_ms))
		w->lists[w->count++] = list;
}

size_t
waking_run(const char *directory, const char *lane_name,
    const struct settings *set, char *why, size_t n)
{
	struct waking w = {
	    .set = set,
	    .until_ms = clock_mono_ms() + WAKE_MS,
	    .why = why,
	    .why_size = n,
	};

	CHECK(n > 0);
	*why = '\0';
	recallfile_each(directory, lane_name, wake_list, &w);
	return w.count;
}
