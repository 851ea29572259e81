/* mail_world: three messages, a lane, and a smarthost that may do anything.
 *
 *   messages --> lane (the real engine) --octets--> server
 * (test/model/server.h) ^           processes that end <--replies--
 *      '--undecided--'
 *
 * One run is a function of choices: at each command what the server does, at
 * each moment whether the process ends (reload, stop, kill) or a connection
 * breaks, at each write how much the kernel takes, at each dial whether it
 * works. The order of what happens is one of two fixed ones, and any other may
 * be a choice, too. Between two happenings the lane is driven as agent and link
 * drive it. Time passes where nothing else can happen.
 *
 * The ledger judges; a run ends when all mail is decided and the last session
 * is gone.
 */
#ifndef MAIL_WORLD_H
#define MAIL_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/engine/manner.h"
#include "test/model/explore.h"
#include "test/model/ledger.h"
#include "test/model/server.h"

enum model_order {
	MODEL_WHOLE, /* the server answers all it has before the lane reads */
	MODEL_SINGLY, /* each reply is read before the next is made */
};

struct model {
	enum session_mode mode;
	enum server_kind kind;
	enum server_words words;
	enum model_order order;
	bool is_stranger; /* nothing is known of how it words its replies */
	bool is_large; /* the second message takes two chunks */
	bool has_any_order; /* what happens next is a choice as well */
	int connections;
};

struct mail_world;

struct mail_world *mail_world_new(
    const struct model *model, struct explore *explore);
void mail_world_free(struct mail_world **w);

/* One run; what is wrong in *why_out (static until the next run), NULL:
 * nothing. */
const char *mail_world_run(struct mail_world *w);

/* Of all runs: what happened in them, and how many of the ends differ. */
uint64_t mail_world_events(const struct mail_world *w);
const struct ledger *mail_world_ledger(const struct mail_world *w);

/* The dialogue goes to stderr. */
void mail_world_tell(struct mail_world *w, bool is_told);

#endif
