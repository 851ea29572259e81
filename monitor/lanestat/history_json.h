/* history_json: the history as one JSON object, by columns.
 *
 *   {"schema": 1, "now_s": T, "step_s": 1, "lanes": [{"name": "fast",
 *     "at_s": [...], "sent": [...], "limit": [...], ...}], "events": [{"at_ms":
 *     ..., "lane": "fast", "health": "slowed", "text": "..."}]}
 *
 * Columns have the names and units of struct history_sample, rates in
 * thousandths; "waits" and "health" are the numbers of "waits_names" and
 * "health_names", a backlog that is not known is -1. Seconds of which nothing
 * is known are left out. Of the last hour (step 1) or day (step 60).
 */
#ifndef HISTORY_JSON_H
#define HISTORY_JSON_H

#include "common/base/buf.h"
#include "monitor/lanestat/history.h"
#include "monitor/model.h"

/* Octets: 32 lanes of 3600 samples, 14 columns of 10 octets and a comma. */
enum { HISTORY_JSON_MAX = 32 << 20 };

/* Appends it: samples that begin at since_s or later. */
void history_json_write(struct buf *out, const struct history *h,
    const struct model *m, int64_t step_s, int64_t since_s);

#endif
