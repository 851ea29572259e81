/* intake: the queue manager's side: hello, request, final status.
 *
 * One small object per queue manager connection:
 *
 *   accepted -> greeted -> reading -> working -> answered -> EOF -> gone
 *   \ not while ops->may_greet says no (bounded): it waits in the socket's
 *     own queue, where the death of this process does not end it
 *
 * The hello and the final status are one write each: the queue manager reads
 * them blocking. A connection that ends before its request is complete is
 * normal. A request that is complete owns an open, share-locked queue file
 * until just before it is answered. When the file cannot be had the request is
 * given back with status -1 rather than dropped, since older queue managers
 * suspend the whole transport after a lost connection.
 *
 * A waiting request takes two descriptors and about 1 kB. The second
 * descriptor is reserved before the hello goes out, so that running out of
 * descriptors delays hellos and loses nothing.
 *
 * ops' functions may call intake_kick(), intake_finish() and intake_stop().
 */
#ifndef INTAKE_H
#define INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/request.h"
#include "agent/engine/settings.h"
#include "agent/io/loop.h"

struct intake;
struct rewriting_rules;

struct intake_ops {
	/* May one more request come in? false: wait; *until_ms_out is when to
	 * ask again at the latest (0: only on intake_kick()). Never held back
	 * longer than lane_wait_limit. */
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
	/* One that was greeted left without a request. May be NULL. */
	void (*on_left)(void *ctx);
};

/* listen_fd: as inherited from master, non-blocking, not owned. The process's
 * working directory is the queue directory. */
struct intake *intake_new(struct loop *loop, const struct settings *set,
    int listen_fd, const struct intake_ops *ops, void *ctx);

/* What is to become of addresses and content of the requests; borrowed. */
void intake_rewrite(struct intake *intake, const struct rewriting_rules *rules);

/* At most so many connections at once, whatever may_greet says; others wait
 * in the socket's queue. */
void intake_limit(struct intake *intake, size_t most);

/* Closes all connections and files without a word and frees unanswered
 * requests without a callback. A forked process keeps its copies, locks
 * included. */
void intake_free(struct intake **intake);

/* Asks may_greet again if somebody waits to come in. */
void intake_kick(struct intake *intake);

/* Accept no more (status channel closed, or stopping). Connections that were
 * accepted are still served. */
void intake_stop(struct intake *intake);

/* This process was forked, and its parent may have the connections still. */
void intake_share(struct intake *intake);

/* Asks on_hangup for every unanswered request; what the receiver drops is
 * given back to the queue manager (must_retry) and freed. For a drain whose
 * time is over. */
void intake_release_unsent(struct intake *intake);

/* All recipients are reported: sends the final status (0, or -1 when
 * req->must_retry; with req->hop if set), frees the request. */
void intake_finish(struct intake *intake, struct request *req);

/* Marks the recipient record at offset (R -> D) in the request's queue file;
 * verifies the R first. report_mark_fn. */
bool intake_mark(void *ctx, struct request *req, int64_t offset);

/* The message's content turned out corrupt and was bounced: fchmod 0400 so
 * that the queue manager moves the file to corrupt/ (mark_corrupt.c). It looks
 * at the mode only after a status that is not 0, so must_retry is set too. */
void intake_mark_corrupt(struct request *req);

/* Calls fn with each request for this message that is not answered yet. */
void intake_each(const struct intake *intake, struct slice queue_id,
    void (*fn)(void *ctx, const struct request *req), void *ctx);

/* Connections by state: waiting for a hello (those not accepted count as
 * one); greeted, the request is still to
 * come (each of these will probably bring one); with a request not yet
 * answered. */
size_t intake_waiting(const struct intake *intake);
size_t intake_greeted(const struct intake *intake);
size_t intake_working(const struct intake *intake);

#endif
