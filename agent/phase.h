/* phase: what a lane's process is about.
 *
 *   serving ---> restarting ---> draining ---> out of time
 *      |  \          |     a table has changed: what is inside is given a
 *      |   \         |     moment to be on its way, as the next process reads
 * it |    '--------+---------> draining      reload: the next process is there
 *      '-------------+---------> stopping      SIGTERM; also from draining
 *
 * Out of time: what was left is broken off, and only told of. There is no way
 * back from any of them.
 */
#ifndef PHASE_H
#define PHASE_H

#include <stdbool.h>

enum phase {
	PHASE_SERVING,
	PHASE_RESTARTING, /* takes nothing new, sends what is inside */
	PHASE_DRAINING, /* sends nothing new */
	PHASE_STOPPING, /* ... and has no time */
	PHASE_OUT_OF_TIME,
};

enum { PHASES = PHASE_OUT_OF_TIME + 1 };

/* The one way to another phase; any move not drawn above fails a CHECK. */
void phase_set(enum phase *phase, enum phase next);

/* Nothing new is sent: all that matters is what is under way. */
bool phase_is_end(enum phase phase);

#endif
