/* forecast: when what is in the queue for a lane will be gone.
 *
 * All of it: what is deferred has to be sent, too. Two answers: at its pace of
 * late, and at what the limits in force allow. Where nothing goes, and nobody
 * knows until when, there is none, and it is said why. Pure. A lane that is
 * drained sends what is inside: as many as it has requests.
 */
#ifndef FORECAST_H
#define FORECAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/shared/steer.h"
#include "monitor/backlog.h"
#include "monitor/model.h"
#include "monitor/standstill.h"

/* What a standstill is said to be, or a domain's name twice. */
enum { FORECAST_UNKNOWN_SIZE = STANDSTILL_SIZE + 2 * STEER_DOMAIN_SIZE };

struct forecast {
	size_t messages; /* in the queue, with the deferred ones */
	size_t deferred; /* of them: Postfix tries them in their own time */
	double per_s; /* of the last minute, since the first that was sent in
			 it, or of the last ten seconds */
	int64_t empty_s; /* from now, limit_s at least; -1: not known, or never
			    at that pace */
	/* Why the end is not known, as half a sentence; "": it is, or never at
	 * that pace, or is_held. */
	char unknown[FORECAST_UNKNOWN_SIZE];
	/* The limit that lets it take longest, messages of one recipient each;
	 * "": none is in force. */
	char limit[RATE_TEXT_SIZE + 32];
	int64_t limit_s; /* as long as that at least; 0 without */
	bool is_held; /* by postlane pause or drain: never, until resume */
	bool is_stopped; /* an outage, an alarm: who knows until when */
	bool is_unseen; /* its pace is not known (model_is_unseen()) */
	/* By drain, of what is not inside, is_held or begin_wall_ms. */
	bool is_drained;
	/* Nothing goes before: the provider's pause, an operator's that has an
	 * end, a quota that is used up. 0: at once. The times above count from
	 * now, with that. */
	int64_t begin_wall_ms;
	const char *begin_why; /* "paused", ...; "" */
};

void forecast_of(struct forecast *out, const struct model *m,
    const struct model_lane *lane, const struct backlog_share *share);

/* Of one message that is not inside, and of so many before it. */
void forecast_behind(struct forecast *out, const struct model *m,
    const struct model_lane *lane, size_t before);

/* When it is gone, as one says it: "20m 0s", "not before 16:12:40 (paused)",
 * "unknown: the smarthost is down since ...". */
enum { FORECAST_END_SIZE = FORECAST_UNKNOWN_SIZE + BOARD_NAME + 80 };
const char *forecast_say_end(const struct forecast *f,
    const struct model_lane *lane, int64_t now_wall_ms, char *text, size_t n);

/* The limit, and from when on it counts where something else holds them before:
 * limit_s is not its doing alone. */
enum { FORECAST_LIMIT_SIZE = RATE_TEXT_SIZE + 96 };
const char *forecast_say_limit(
    const struct forecast *f, int64_t now_wall_ms, char *text, size_t n);

#endif
