/* snapshot: what lanestat answers, of one look a second.
 *
 *   every second: model, backlog now and then --> recorder --> history
 *   asked for:    metrics, status, history as JSON, each made once a look
 *
 * A request reads no file: a hundred a second cost no more than one. Postfix's
 * queue, which takes longest, is looked at every SNAPSHOT_BACKLOG_MS while
 * somebody asks, else once a minute, and never takes more than a twentieth of
 * the time.
 */
#ifndef SNAPSHOT_H
#define SNAPSHOT_H

#include <stdint.h>

#include "common/base/clock.h"
#include "common/base/slice.h"
#include "monitor/lanestat/metrics.h"
#include "monitor/site.h"

enum {
	SNAPSHOT_BACKLOG_MS = 10000,
	SNAPSHOT_BACKLOG_IDLE_MS = 60000,
	SNAPSHOT_ASKED_MS = 60000, /* so long somebody asks */
};

struct snapshot;

/* Both are borrowed. state_fd: of the directory of the history; -1: none. */
struct snapshot *snapshot_new(
    const struct site *site, int state_fd, struct moment now);
void snapshot_free(struct snapshot **snapshot);

void snapshot_look(struct snapshot *s, struct moment now);

/* Valid until the next look. */
struct slice snapshot_metrics(struct snapshot *s, enum metrics_format format);
struct slice snapshot_status(struct snapshot *s);
/* step_s: 1 or 60; samples of since_s and later. */
struct slice snapshot_history(
    struct snapshot *s, int64_t step_s, int64_t since_s);
/* The page, with plain tables of what there is now. */
struct slice snapshot_page(struct snapshot *s);

/* How each lane is, one line each. */
struct slice snapshot_sentences(struct snapshot *s);

/* The worst health of all lanes, as the exit status of postlane status. */
int snapshot_health(const struct snapshot *s);

#endif
