#include "monitor/waking.h"

#include <sys/stat.h>

#include "agent/io/command_output.h"
#include "agent/settings/config.h"
#include "common/base/mem.h"
#include "common/postfix/queueid.h"
#include "monitor/recallfile.h"

enum { WAKE_MAX = 20, POSTQUEUE_MS = 10000, PATH_MAX_BYTES = 1024 };

struct waking {
	const struct settings *set;
	uint64_t lists[WAKE_MAX]; /* that were asked for */
	size_t count;
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

static bool
ask_for(const struct settings *set, const char *id)
{
	char *program = config_command(set->command_directory, "postqueue");
	const char *const argv[] = {
	    program, "-c", set->config_directory, "-i", id, NULL};
	struct command_output_result result;
	bool is_done;

	command_output_try(&result, argv, -1, POSTQUEUE_MS);
	is_done = result.status == 0;
	command_output_fini(&result);
	mem_free(program);
	return is_done;
}

static void
wake_list(void *ctx, uint64_t list, const char *queue_id)
{
	struct waking *w = ctx;

	for (size_t i = 0; i < w->count; i++)
		if (w->lists[i] == list)
			return;
	if (w->count < WAKE_MAX && is_deferred(w->set, queue_id) &&
	    ask_for(w->set, queue_id))
		w->lists[w->count++] = list;
}

size_t
waking_run(
    const char *directory, const char *lane_name, const struct settings *set)
{
	struct waking w = {.set = set};

	recallfile_each(directory, lane_name, wake_list, &w);
	return w.count;
}
