/* figures: what a lane is doing, brought to the board now and then.
 *
 * Counters that others keep as totals, gauges, the limits in force (its own and
 * its account's, see struct board_rate), what was learned. Everything but board
 * is borrowed and there.
 */
#ifndef FIGURES_H
#define FIGURES_H

#include <stdint.h>

#include "agent/engine/domains.h"
#include "agent/engine/lane.h"
#include "agent/operator/alarm.h"
#include "agent/postfix/relief.h"
#include "agent/postfix/report.h"
#include "agent/smarthost/dialer.h"
#include "agent/smarthost/upstream.h"
#include "agent/state/board_writer.h"
#include "agent/state/rate_store.h"
#include "common/base/clock.h"

struct figures {
	struct board_writer *board; /* may be NULL */
	const struct lane *lane;
	const struct domains *domains; /* may be NULL */
	struct upstreams *ups;
	struct rate_store *rates;
	const struct report *report;
	const struct relief *relief;
	const struct dialer *dialer;
	const struct alarm *alarm;
	/* as shown last */
	int64_t shown_ms;
	bool is_due; /* something changed since */
	uint64_t shown[BOARD_COUNTER_COUNT]; /* of those kept elsewhere */
};

/* What does not change while the process lives. */
void figures_begin(const struct figures *f);

/* There is no lane, and why: all mail is deferred. */
void figures_show_problem(const struct figures *f, const char *problem);

/* Not more often than it is worth while, but always when the lane has nothing
 * left to do. */
void figures_show(struct figures *f, struct moment now);

/* When to call it again though nothing happens; INT64_MAX: never. */
int64_t figures_due_ms(const struct figures *f);

/* Recipient i has its verdict: where the time went, by the first of them. */
void figures_on_decided(
    struct board_writer *board, struct request *req, size_t i, int64_t now_us);

/* It was reported: counts what became of it, as the log has it, and of the
 * request when that was the last. */
void figures_on_reported(struct board_writer *board, const struct request *req,
    size_t i, int64_t now_us);

#endif
