/* alarm_store: alarms that a lane's next process has to know.
 *
 * A file of lane_state_directory (persist.h), written when something of them
 * changes: what was told is not told again after a reload, a stop or a crash,
 * what is over by then is told to be over, and an alert that the web server did
 * not get yet is posted again. Alarms of more than a week ago are forgotten.
 *
 * Without the directory they live as long as the process.
 */
#ifndef ALARM_STORE_H
#define ALARM_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/state/statefile.h"

enum {
	ALARM_COUNT_MAX = 64, /* different ones known at a time */
	ALARM_WHAT_SIZE = 32,
	ALARM_HOST_SIZE = 256,
	ALARM_REPLY_SIZE = 512,
	ALARM_TIME_SIZE = 32,
};

enum alarm_row_raised {
	ALARM_ROW_OVER,
	ALARM_ROW_RAISED,
	ALARM_ROW_DOUBT, /* raised by alarm_doubt() */
};

/* Plain, for the file; zeroed: not in use. */
struct alarm_row {
	char what[ALARM_WHAT_SIZE], smarthost[ALARM_HOST_SIZE];
	char reply[ALARM_REPLY_SIZE];
	char since[ALARM_TIME_SIZE]; /* when it was raised or cleared */
	int64_t raised; /* enum alarm_row_raised */
	int64_t is_told; /* the last that was told is that it is raised */
	int64_t is_posting; /* ... and the web server does not know yet */
	int64_t told_ms; /* when it was last told to be raised; -1: never */
	int64_t raised_wall_s; /* the last time */
};

struct alarm_rows {
	struct alarm_row row[ALARM_COUNT_MAX];
};

struct alarm_store;

/* As mail_owner. dir (NULL: none) is borrowed. */
struct alarm_store *alarm_store_open(
    const struct statefile_dir *dir, const char *lane_name);
void alarm_store_close(struct alarm_store **store);

/* What is known from before, in times of this boot; only sound rows. */
void alarm_store_load(const struct alarm_store *store, struct alarm_rows *out);
void alarm_store_store(
    struct alarm_store *store, const struct alarm_rows *rows);

#endif
