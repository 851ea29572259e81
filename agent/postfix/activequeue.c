#include "agent/postfix/activequeue.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "agent/engine/pacer.h"
#include "common/base/log.h"

enum {
	COUNT_MAX = 1000000,
	SMOOTHED_LOOKS = 8,
	LOOKS_TO_JUDGE = 2, /* a session takes a moment to open */
	REST_MS = 3 * ACTIVEQUEUE_LOOK_MS,
};

void
activequeue_init(
    struct activequeue *c, const struct settings *set, int64_t now_ms)
{
	*c = (struct activequeue){
	    .set = set,
	    .weight = pacer_weight(set->lane_priority),
	    .looked_ms = now_ms,
	};
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

/* Percent of the limit, in messages. */
static int
mark(const struct activequeue *c, int percent)
{
	return (
	    int)((int64_t)c->set->qmgr_message_active_limit * percent / 100);
}

static void
measure(struct activequeue *c, uint64_t sent, bool has_surplus, int64_t now_ms)
{
	double s = (double)(now_ms - c->looked_ms) / 1000;
	double per_s = (double)(sent - c->sent_before) / s;

	/* What was sent while there was little, or during a rest, says
	 * nothing of what the lane can. */
	if (!has_surplus || now_ms - c->looked_ms > REST_MS)
		c->looks = 0;
	/* Smoothed over some looks, a rate of one a minute has looks without
	 * any; but at first the mean of all there were, or a lane that has
	 * just begun would seem slow. */
	else if (c->looks++ < SMOOTHED_LOOKS)
		c->per_s += (per_s - c->per_s) / c->looks;
	else
		c->per_s += (per_s - c->per_s) / (double)SMOOTHED_LOOKS;
	c->sent_before = sent;
	c->looked_ms = now_ms;
}

/* It would take too long for the mail of others to wait. */
static bool
takes_long(const struct activequeue *c)
{
	double excess = c->count - mark(c, ACTIVEQUEUE_OFF_PERCENT);

	return c->looks >= LOOKS_TO_JUDGE &&
	       excess > c->per_s * (double)ACTIVEQUEUE_PATIENCE_S * c->weight;
}

int64_t
activequeue_due_ms(const struct activequeue *c)
{
	return c->looked_ms +
	       (c->is_on ? ACTIVEQUEUE_LOOK_ON_MS : ACTIVEQUEUE_LOOK_MS);
}

void
activequeue_look(
    struct activequeue *c, uint64_t sent, bool has_surplus, int64_t now_ms)
{
	if (now_ms < activequeue_due_ms(c))
		return;
	measure(c, sent, has_surplus, now_ms);
	c->count = count_files("active", c->set->hash_queue_depth, 0);
	if (!c->is_on && c->count > mark(c, ACTIVEQUEUE_ON_PERCENT) &&
	    takes_long(c)) {
		c->is_on = true;
		log_warn("the active queue holds %d of %d messages and this "
			 "lane sends %.3g/s: giving back its surplus",
		    c->count, c->set->qmgr_message_active_limit, c->per_s);
	} else if (c->is_on && c->count < mark(c, ACTIVEQUEUE_OFF_PERCENT)) {
		c->is_on = false;
		log_info("the active queue holds %d of %d messages: mail is "
			 "taken in again",
		    c->count, c->set->qmgr_message_active_limit);
	}
	c->excess = c->is_on ? c->count - mark(c, ACTIVEQUEUE_OFF_PERCENT) : 0;
}

bool
activequeue_gives_back(const struct activequeue *c)
{
	return c->excess > 0;
}

void
activequeue_on_given(struct activequeue *c)
{
	c->excess--;
}

size_t
activequeue_room(const struct activequeue *c)
{
	int room = mark(c, ACTIVEQUEUE_BACK_PERCENT) - c->count;

	return !c->is_on && room > 0 ? (size_t)room : 0;
}
