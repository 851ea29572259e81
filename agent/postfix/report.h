/* report: carries verdicts out: queue file, bounce family, verify, log.
 *
 * For each decided recipient, in smtp(8)'s order and words: mark the queue
 * file the moment delivery is certain (before anything slow), tell bounce(8),
 * defer(8), trace(8) or verify(8) and wait for their acknowledgement, write
 * the delivery line, then call on_done. Nothing blocks: conversations run on
 * the loop, at most REPORT_PARALLEL at once (bounce(8) does an fsync each),
 * the rest queue up in order.
 *
 *                  told              when that fails       marked
 *   sent           trace, if wanted  warning               before all else
 *   bounced        bounce [trace]    becomes a deferral    when acknowledged
 *   SOFTBOUNCE     defer [trace]     becomes a deferral    no
 *   deferred       defer [trace]     warning               no
 *                  [flush]
 *   probe          verify or trace   must_retry            when acknowledged
 *
 * One departure: smtp(8) traces first and defers a delivered recipient when
 * that fails, so that it is delivered again. Here delivered stays delivered.
 *
 * A verdict may be changed by this: its class made to match its outcome, a
 * bounce softened or turned into a deferral, and status and text replaced as
 * smtp_delivery_status_filter says, which may make a bounce of a deferral and
 * a deferral of a bounce, and nothing else of what was sent.
 *
 * Source: Postfix src/global/sent.c, bounce.c, defer.c, trace.c, verify.c,
 * dsn_filter.c.
 */
#ifndef REPORT_H
#define REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/request.h"
#include "agent/engine/settings.h"
#include "agent/io/loop.h"
#include "common/base/rewriter.h"

enum { REPORT_PARALLEL = 16 };

struct report;

/* The recipient is RCPT_REPORTED; req->must_retry was set if it is left for
 * the queue manager. Called from the loop or from inside report_recipient(). */
typedef void report_fn(void *ctx, struct request *req, size_t rcpt);

/* Marks the R record at offset as done; false when that failed. */
typedef bool report_mark_fn(void *ctx, struct request *req, int64_t offset);

struct report *report_new(struct loop *loop, const struct settings *set,
    report_fn *on_done, report_mark_fn *mark, void *ctx);

/* Has a say over each verdict, "status text"; borrowed, NULL: none. */
void report_filter(struct report *report, const struct rewriter *verdicts);

/* At most so many conversations at once, where descriptors are few. */
void report_limit(struct report *report, size_t parallel);

/* Breaks off what is under way, without on_done. */
void report_free(struct report **report);

/* Carries out the verdict of recipient i (RCPT_HANDED_OVER). The request must
 * live until on_done was called for it. */
void report_recipient(struct report *report, struct request *req, size_t i);

/* Recipients being reported and waiting for their turn. */
size_t report_pending(const struct report *report);

/* Conversations with the bounce family and verify(8) that failed so far. */
uint64_t report_failures(const struct report *report);

#endif
