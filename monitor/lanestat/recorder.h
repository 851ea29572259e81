/* recorder: puts what happened between two looks at the lanes into history.
 *
 *   model, a second ago --.
 *   model, now -----------+--> one sample a lane and second; events
 *
 * A sample is the difference of counters that only grow: one that shrank (a
 * board that was made anew) counts for nothing. What happened in a gap of
 * several seconds is spread over them. Events are what an operator would ask
 * for in the morning: health that changed and stayed so, alarms, trouble,
 * refusals, orders, processes that came and went.
 */
#ifndef RECORDER_H
#define RECORDER_H

#include "monitor/backlog.h"
#include "monitor/lanestat/history.h"
#include "monitor/model.h"
#include "monitor/postfix_state.h"

enum {
	RECORDER_GAP_S = 60, /* what is longer is a gap in history, too */
	/* So long health must be another before it is an event; one that wants
	 * somebody to act is at once. */
	RECORDER_SETTLE_S = 3,
	RECORDER_TROUBLE_S = 30, /* between two troubles of a lane */
	RECORDER_SAME_S = 900, /* ... in the same words */
};

struct recorder;

struct recorder *recorder_new(struct history *history); /* borrowed */
void recorder_free(struct recorder **recorder);

/* Once a second; a second that was seen already is left out. */
void recorder_note(struct recorder *r, const struct model *m,
    const struct backlog *backlog, enum postfix_state postfix);

#endif
