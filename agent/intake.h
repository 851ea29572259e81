/* intake: the queue manager's side: hello, request, final status.
 *
 * One small object per queue manager connection:
 *
 *   accepted -> greeted -> reading -> working -> answered -> EOF -> gone
 *       \ hello held back while ops->may_greet says no (bounded)
 *
 * The hello and the final status are one write each: the queue manager reads
 * them blocking. A connection that ends before its request is complete is
 * normal. A request that is complete owns an open, share-locked queue file
 * until it is answered and the queue manager has hung up.
 */
#ifndef INTAKE_H
#define INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/loop.h"
#include "agent/request.h"
#include "agent/settings.h"

struct intake;

struct intake_ops {
	/* May one more request come in? false: wait; *until_ms_out is when to
	 * ask again at the latest (0: only on intake_kick()). Never held back
	 * longer than lane_hold_limit. */
	bool (*may_greet)(void *ctx, int64_t now_ms, int64_t *until_ms_out);
	/* A complete, validated request with its message opened and locked;
	 * owned by intake until intake_finish(). */
	void (*on_request)(void *ctx, struct request *req);
	/* The queue manager hung up on an unanswered request. true: the request
	 * was dropped by the receiver, nothing of it is on the wire, and it may
	 * be freed now; false: it is in flight, intake_finish() will come. */
	bool (*on_hangup)(void *ctx, struct request *req);
	/* After the very first accept (for the status message to master). */
	void (*on_first_accept)(void *ctx);
};

/* listen_fd: as inherited from master, not owned. */
struct intake *intake_new(struct loop *loop, const struct settings *set,
    int listen_fd, const struct intake_ops *ops, void *ctx);
void intake_free(struct intake **intake);

/* Asks may_greet again for connections whose hello is held back. */
void intake_kick(struct intake *intake);

/* Accept no more (status channel closed, or stopping). */
void intake_stop(struct intake *intake);

/* All recipients are reported: sends the final status (0, or -1 when
 * req->must_retry; with req->hop if set), frees the request. */
void intake_finish(struct intake *intake, struct request *req);

/* Marks the recipient record at offset (R -> D) in the request's queue file;
 * verifies the R first. report_mark_fn. */
bool intake_mark(void *ctx, struct request *req, int64_t offset);

/* The message's content turned out corrupt and was bounced: fchmod 0400 so
 * that the queue manager moves the file to corrupt/ (mark_corrupt.c). */
void intake_mark_corrupt(struct request *req);

/* Connections not yet answered: ungreeted / with a request. */
size_t intake_waiting(const struct intake *intake);
size_t intake_working(const struct intake *intake);

#endif
