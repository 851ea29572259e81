/* anonymize: what each lane shows in the place of an address. */
#include <stdio.h>
#include <sysexits.h>

#include <jansson.h>

#include "agent/state/anonymizer.h"
#include "agent/state/statefile.h"
#include "common/base/clean.h"
#include "monitor/postlane/command.h"

enum { SHOWN_MAX = 1024 };

/* False: it cannot be told, which was complained of. */
static bool
show(const struct site_lane *lane, const char *address, struct buf *out)
{
	const char *dir_name = lane->set.lane_state_directory;
	struct statefile_dir dir;
	char why[512];
	bool is_shown =
	    statefile_dir_open(&dir, dir_name, why, sizeof(why)) &&
	    anonymizer_show(&lane->set, &dir, address, out, why, sizeof(why));

	if (!is_shown)
		command_complain("lane %s: %s", lane->name, why);
	statefile_dir_close(&dir);
	return is_shown;
}

static json_t *
object_of(const struct site_lane *lane, struct buf *shown)
{
	return json_pack("{s:o, s:s, s:o}", "lane", clean_string(lane->name),
	    "lane_log_anonymize", lane->set.lane_log_anonymize, "shown",
	    clean_string(buf_str(shown)));
}

int
anonymize_run(struct command *c)
{
	json_t *lanes = json_array();
	int status = EX_OK;

	for (size_t i = 0; i < c->site.lane_count; i++) {
		const struct site_lane *lane = &c->site.lanes[i];
		struct buf shown;

		buf_init(&shown, SHOWN_MAX);
		if (!show(lane, c->argv[0], &shown))
			status = EX_UNAVAILABLE;
		else if (c->is_json)
			(void)json_array_append_new(
			    lanes, object_of(lane, &shown));
		else
			printf("%-12s %s\n", lane->name, buf_str(&shown));
		buf_fini(&shown);
	}
	if (c->is_json)
		command_print_json(json_pack(
		    "{s:i, s:O}", "schema", MODEL_SCHEMA, "lanes", lanes));
	json_decref(lanes);
	return status;
}
