/* answers: which address of lanestat says what.
 *
 *   /                the page; /page.css, /page.js
 *   /metrics         for Prometheus; OpenMetrics for who accepts it
 *   /api/status      what "postlane -j status" prints
 *   /api/history     ?step=1 (the last hour) or 60 (day), &since=SECONDS
 *   /healthz         200, or 503 when a lane is down; how each lane is
 */
#ifndef ANSWERS_H
#define ANSWERS_H

#include "monitor/lanestat/snapshot.h"
#include "monitor/lanestat/web.h"

void answers_give(struct snapshot *s, const struct web_request *request,
    struct web_answer *answer_out);

#endif
