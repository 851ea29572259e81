/* relief: what goes to the deferred queue for a reason that may soon be over,
 * and its way back.
 *
 *   crowded active queue (activequeue.h) --> given back --\
 *                                                          requeue.h, outages.h
 *   no host, or left in doubt --> deferred, noted --------/  call it back
 *
 * Both are kept in the lane's file (recall_store.h): what an earlier process
 * deferred is called back by this one, and what this one defers by the next.
 *
 * Looks at the active queue while the lane has mail, inside or given back, and
 * has as much called back as there is room for. Works in the queue directory.
 */
#ifndef RELIEF_H
#define RELIEF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/lane.h"
#include "agent/engine/settings.h"
#include "agent/io/loop.h"
#include "agent/state/statefile.h"

struct relief;

struct relief_figures {
	int active; /* messages in the active queue, at the last look */
	bool is_crowded; /* mail is being given back */
	size_t given_back; /* and not called back yet, */
	uint64_t called_back; /* of the process's life */
	size_t outage_noted; /* to be called back when one ends */
};

/* on_look: more or less may be let in than before. set is borrowed. Never
 * NULL. */
struct relief *relief_new(
    struct loop *loop, const struct settings *set, loop_fn *on_look, void *ctx);
void relief_free(struct relief **relief);

/* Before there is a lane: takes over what is kept there (dir NULL: nothing). */
void relief_keep(struct relief *relief, const struct statefile_dir *dir,
    const char *lane_name);

/* Notes what an outage defers of a lane that is about to be made; that lane. */
void relief_serve(struct relief *relief, struct lane_ops *ops);
void relief_set_lane(struct relief *relief, const struct lane *lane);

/* Call it after anything that may have brought mail. */
void relief_watch(struct relief *relief);

/* One more message is better given back than taken / and was: it will be
 * called back. */
bool relief_gives_back(const struct relief *relief);
void relief_on_given(struct relief *relief, const char *queue_id);

/* Is deferred for a reason that ends with this process: the next one calls it
 * back. */
void relief_leave_to_next(struct relief *relief, const char *queue_id);

/* The process's end begins: nothing is given or called back any more. / And the
 * next one, which master(8) starts for mail alone, is to have some: one of
 * those noted is asked for. / That is under way, for some seconds at most;
 * on_look comes after them. */
void relief_stop(struct relief *relief);
void relief_wake_next(struct relief *relief);
bool relief_is_waking(const struct relief *relief);

struct relief_figures relief_figures(const struct relief *relief);

#endif
