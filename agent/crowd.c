#include "agent/crowd.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/log.h"

enum { COUNT_MAX = 1000000, SMOOTHED_LOOKS = 8 };

void
crowd_init(struct crowd *c, const struct settings *set, int64_t now_ms)
{
	*c = (struct crowd){.set = set, .looked_ms = now_ms};
}

/* Files in path, and in its directories down to depth. */
static int
count_files(const char *path, int depth, int so_far)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	char sub[512];

	if (dir == NULL)
		return so_far;
	while (so_far < COUNT_MAX && (e = readdir(dir)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		if (e->d_type != DT_DIR) {
			so_far++;
		} else if (depth > 0) {
			(void)snprintf(
			    sub, sizeof(sub), "%s/%s", path, e->d_name);
			so_far = count_files(sub, depth - 1, so_far);
		}
	}
	(void)closedir(dir);
	return so_far;
}

static void
measure(struct crowd *c, uint64_t sent, int64_t now_ms)
{
	double s = (double)(now_ms - c->looked_ms) / 1000;
	double per_s = (double)(sent - c->sent_before) / s;

	/* Smoothed over some looks, a rate of one a minute has looks without
	 * any; but at first the mean of all there were, or a lane that has
	 * just begun would seem slow. */
	if (c->looks < SMOOTHED_LOOKS)
		c->looks++;
	c->per_s += (per_s - c->per_s) / c->looks;
	c->sent_before = sent;
	c->looked_ms = now_ms;
}

bool
crowd_is_on(struct crowd *c, uint64_t sent, int64_t now_ms)
{
	int limit = c->set->qmgr_message_active_limit;
	double can_send;

	if (now_ms - c->looked_ms < CROWD_LOOK_MS || limit <= 0)
		return c->is_on;
	measure(c, sent, now_ms);
	c->count = count_files("active", c->set->hash_queue_depth, 0);
	can_send = c->per_s * (double)c->set->lane_hold_limit_ms / 1000;
	if (!c->is_on && c->count > limit / 100 * CROWD_ON_PERCENT &&
	    (double)c->count > can_send) {
		c->is_on = true;
		log_warn("the active queue holds %d of %d messages and this "
			 "lane sends %.3g/s: giving back its surplus",
		    c->count, limit, c->per_s);
	} else if (c->is_on && c->count < limit / 100 * CROWD_OFF_PERCENT) {
		c->is_on = false;
		log_info("the active queue holds %d of %d messages: mail is "
			 "taken in again",
		    c->count, limit);
	}
	return c->is_on;
}
