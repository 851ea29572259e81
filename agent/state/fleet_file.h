/* fleet_file: what the lanes of a host keep of an account that a fleet shares.
 *
 *   fleet.HASH   rows   one for each limit: the lease, and how it stands
 *                lanes  what each lane could use, told once a second
 *                heard  what other hosts learned of the provider
 *
 * A keepfile (persist.h). The one lane that speaks for the host writes rows,
 * each lane its own entry, all under the file's lock; everybody obeys the rows.
 * Zeroed it is a file without memory. sum tells it from one that was damaged,
 * which counts as one without memory, too.
 */
#ifndef FLEET_FILE_H
#define FLEET_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/engine/fleet_heard.h"
#include "agent/engine/fleet_share.h"

enum {
	/* As on the board: connections; rates of messages, recipients, octets
	 * and new connections. */
	FLEET_LIMITS = 17,
	FLEET_LANES = 31, /* members of the keepfile; */
	FLEET_SPEAKER = 31, /* ... the last is who speaks */
	FLEET_UNIT_SIZE = 32,
};

struct fleet_row {
	char unit[FLEET_UNIT_SIZE]; /* "": row not in use */
	struct fleet_terms terms;
	struct fleet_share share;
	int64_t want, in_use, target, known; /* as told and answered last */
	int64_t word; /* enum board_fleet_word */
	int64_t renewals, failures; /* questions with and without an answer */
	int64_t over_us; /* more was in use than the share */
	int64_t noted_us; /* when that was added to */
};

struct fleet_lane {
	int64_t told_us; /* 0: entry not in use */
	int64_t
	    blocked; /* a refusal (fleet_lessons.h) that stops it; 0: none */
	int64_t want[FLEET_LIMITS]; /* by row */
};

struct fleet_file {
	uint64_t sum; /* fleet_file_sum(); 0 in one that is new */
	uint64_t name; /* hash of the host's name, whose lease it is */
	int64_t alone_us; /* all time without the engine */
	struct fleet_heard heard[FLEET_KINDS];
	struct fleet_row rows[FLEET_LIMITS];
	struct fleet_lane lanes[FLEET_LANES];
};

/* Over all but sum itself; never 0. */
uint64_t fleet_file_sum(const struct fleet_file *f);

/* What was read, in times of now: moved by shift_us, which is not 0 only after
 * a reboot. A lease of another boot is taken for as late as it can be, and no
 * loan, and nothing heard: clocks may have been set meanwhile. False: it is
 * damaged, and zeroed.
 */
bool fleet_file_repair(struct fleet_file *f, int64_t shift_us, int64_t now_us);

/* The row of this unit; NULL: none. */
struct fleet_row *fleet_file_find(struct fleet_file *f, const char *unit);

/* ... made, without memory, if there is none: a free one, else the one whose
 * lease was over first. */
struct fleet_row *fleet_file_row(struct fleet_file *f, const char *unit,
    const struct fleet_terms *terms, int64_t now_us);

/* How much of the limit may be in use now. */
int64_t fleet_file_share(const struct fleet_row *row, int64_t now_us);

#endif
