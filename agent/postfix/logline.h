/* logline: the delivery line, one for each recipient and attempt.
 *
 *   QUEUEID: to=<A>[, orig_to=<B>], relay=R[, conn_use=N], delay=D,
 *   delays=A/B/C/D[, tls=T], dsn=S, status=WORD (REASON)
 *
 * Log tools depend on smtp(8)'s order and spelling (src/global/log_adhoc.c),
 * so nothing is added, left out or reordered. tls= is what Postfix 3.11 and
 * later print; addresses are in external form since 3.5 unless configured
 * otherwise.
 */
#ifndef LOGLINE_H
#define LOGLINE_H

#include <stddef.h>
#include <sys/time.h>

#include "agent/engine/request.h"
#include "agent/engine/settings.h"
#include "common/base/buf.h"

/* A line is cut by the log at LOG_LINE_MAX; addresses may be longer. */
enum { LOGLINE_MAX = 16384 };

/* Appends the line for recipient i, whose verdict is set. word: "sent",
 * "deferred", "bounced", "SOFTBOUNCE" .. now: used when the verdict has no
 * time of its own. The text is cut when out is full, and not yet printable. */
void logline_format(struct buf *out, const struct settings *set,
    const struct request *req, size_t i, const char *word, struct timeval now);

/* The same, to the log at level info. */
void logline_write(const struct settings *set, const struct request *req,
    size_t i, const char *word, struct timeval now);

#endif
