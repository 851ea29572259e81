/* fleet_lessons: what hosts of a fleet have learned, as text for their engine.
 *
 *   "1 60000000 0 2 90000000 17"                  a question's
 *   "1 59300000 0 mx1 2 89300000 17 mx3"          an answer's
 *
 * Kinds from 1, how long it still lasts in microseconds, value, and of whom. A
 * text is a peer's. Pure.
 */
#ifndef FLEET_LESSONS_H
#define FLEET_LESSONS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/shared/fleet.h"

enum {
	FLEET_LESSONS_SIZE = FLEET_LESSONS * (FLEET_NAME_SIZE + 48),
	FLEET_REFUSAL_SIZE = 24,
};

void fleet_lessons_print(const struct fleet_lesson lessons[FLEET_LESSONS],
    bool with_hosts, char out[FLEET_LESSONS_SIZE]);

/* False: it is no such text, and there is no lesson in out. */
bool fleet_lessons_parse(
    const char *text, bool with_hosts, struct fleet_lesson out[FLEET_LESSONS]);

/* Code and status of a reply as a number, "550 5.7.1 Blocked"; 0: it has none.
 * And as text, "550 5.7.1", or "no". */
int64_t fleet_refusal(const char *reply);
const char *fleet_refusal_text(int64_t value, char out[FLEET_REFUSAL_SIZE]);

#endif
