/* sim_mail: a lane's mail, and the part of the queue manager that matters.
 *
 *   arrivals --> queue --may_admit--> request --> lane --> decided
 *                  ^---- five minutes later ------ deferred --|
 *
 * A backlog always has one more; a stream comes evenly or at random, or as a
 * list says. What is
 * deferred comes back after minimal_backoff_time, and a hop status keeps all
 * mail of the lane away for as long. Requests are real, with content to be
 * read from a queue file in memory, and freed once decided: what stays of a
 * message is a number. How long it took, from its coming to the reply, is kept
 * of a sample.
 */
#ifndef SIM_MAIL_H
#define SIM_MAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/request.h"
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/postfix/record.h"

enum {
	SIM_RCPTS_MAX = 50,
	SIM_SIZES = 4,
	SIM_SAMPLE = 65536,
	SIM_BACKOFF_MS = 300000, /* minimal_backoff_time */
};

/* One that waits in the queue, since when; not before. number: of its coming,
 * from 0. */
struct sim_queued {
	int64_t came_ms, due_ms;
	uint64_t number;
};

/* A message of a list, at_ms after the beginning. */
struct sim_arrival {
	int64_t at_ms;
	uint32_t rcpts, octets;
};

struct sim_mail;

/* A message has had its last verdict, took_ms after it came. */
typedef void sim_mail_end_fn(void *ctx, const struct sim_mail *mail,
    uint64_t number, int64_t took_ms, bool is_accepted);

/* A FIFO that grows. */
struct sim_queue {
	struct sim_queued *ring;
	size_t room, first, count;
};

struct sim_mail {
	/* set before sim_mail_begin() */
	double per_s; /* a stream; 0: a backlog */
	bool is_random; /* a stream whose gaps are exponential */
	uint64_t count; /* so many in all; 0: without end */
	size_t rcpts_most; /* of a message, at random; 0: one */
	size_t octets_most; /* of its content, about; 0: a line */
	const struct sim_arrival
	    *arrivals; /* count of them, instead; or NULL */
	sim_mail_end_fn *on_end; /* may be NULL */
	void *ctx;

	uint64_t random;
	uint64_t came;
	int64_t begin_ms;
	struct sim_queue queue, deferred;
	int64_t next_ms; /* of the stream; INT64_MAX: no more */
	double next_exact_ms;
	int64_t away_until_ms; /* a hop status */
	struct buf files[SIM_SIZES];
	struct list inside, spare; /* messages */

	uint64_t accepted, deferrals, bounced; /* messages */
	int64_t longest_ms;
	int32_t *sample_ms;
	uint64_t sampled;
};

/* random: not 0. */
void sim_mail_begin(struct sim_mail *m, uint64_t random, int64_t now_ms);

/* No request may be inside. */
void sim_mail_fini(struct sim_mail *m);

/* When something comes of itself, after now_ms; INT64_MAX: never. */
int64_t sim_mail_next_ms(const struct sim_mail *m, int64_t now_ms);

/* Is there a message that could go now? What is due has come. */
bool sim_mail_is_ready(struct sim_mail *m, int64_t now_ms);

/* The next one; after sim_mail_is_ready(). The request is the mail's, and
 * ends in sim_mail_decided() for its last recipient. */
struct request *sim_mail_take(struct sim_mail *m, struct moment now);

/* A recipient has its verdict; the request is gone after the last. */
void sim_mail_decided(struct sim_mail *m, struct request *req, int64_t now_ms);

/* One that is in the lane; NULL: none is. */
struct request *sim_mail_inside(struct sim_mail *m);

/* Taken back undecided. */
void sim_mail_drop(struct sim_mail *m, struct request *req);

/* All there was to come is accepted or bounced. */
bool sim_mail_is_done(const struct sim_mail *m);

/* The time below which that share of the sample took. */
double sim_mail_quantile_s(struct sim_mail *m, double share);

#endif
