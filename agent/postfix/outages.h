/* outages: what was deferred for want of a host, and its way back.
 *
 *   deferred --add--> [ids of list 1] --over--> flush(8), one after the other
 *            \------> [ids of list 2]
 *
 * Mail that an outage deferred would be tried again when its backoff is over
 * and the next run of the deferred queue begins, five to ten minutes after the
 * smarthost is back. So the ids are kept, for each list of nexthops apart, and
 * when one of its hosts works again all are called for (requeue.h), the oldest
 * first, the faster the more urgent the lane is, and no more at a time than
 * the active queue has room for.
 *
 * So is what a broken connection left in doubt, once for each message, by the
 * process that deferred it: it may be there already, and comes late rather than
 * twice.
 *
 * All else is noted in the lane's recall_store.h as well, and what an earlier
 * process noted is taken over, under the list that it had. If this process has
 * no such list, one message of it is called back when a host of whatever list
 * works: it makes the list known, which then ends as any other, or it goes
 * another way, since main.cf names another host by now, and so may the rest.
 *
 * At most REQUEUE_MAX of each list, and OUTAGES_MAX lists. What is forgotten
 * comes back by itself in its time.
 */
#ifndef OUTAGES_H
#define OUTAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/settings.h"
#include "agent/io/loop.h"

enum { OUTAGES_MAX = 100, OUTAGES_DOUBTS_MAX = 10000 };

struct outages;

struct recall_store;

/* set is borrowed; weight: the lane's urgency, as pacer_weight() has it. */
struct outages *outages_new(
    struct loop *loop, const struct settings *set, int weight);
void outages_free(struct outages **outages);

/* The message is being deferred. False: it is not noted. */
bool outages_add(struct outages *outages, uint64_t list, const char *queue_id);

/* ... and may have been taken. False also when it was in doubt before, as far
 * as OUTAGES_DOUBTS_MAX are remembered: one that breaks the connection does so
 * once more at most, and then waits for its backoff. */
bool outages_add_doubtful(
    struct outages *outages, uint64_t list, const char *queue_id);

/* What is noted is kept there (borrowed) from now on. Once, and before anything
 * is noted. / Of an earlier process, or one that drains, and found there. */
void outages_keep(struct outages *outages, struct recall_store *store);
void outages_inherit(
    struct outages *outages, uint64_t list, const char *queue_id);
/* How many of the list wait for its end. / Do any, of whatever list? */
size_t outages_inherited(const struct outages *outages, uint64_t list);
bool outages_has_inherited(const struct outages *outages);

typedef bool outages_owed_fn(void *ctx, uint64_t list);

/* A host can be used: of all lists of an earlier process of which is_owed says
 * that nobody waits one message is to be called back. / To be called often
 * after that: has it come to its end? Then the list is over, or is owed. True:
 * more may be called back than before. */
bool outages_try_unless(
    struct outages *outages, outages_owed_fn *is_owed, void *ctx);
bool outages_settle(
    struct outages *outages, outages_owed_fn *is_owed, void *ctx);

/* A host of the list can be used again: all of it may be called back. */
void outages_over(struct outages *outages, uint64_t list);

/* What is over calls back so many in all from now on, per_s of them a second
 * or as many as the lane's urgency deserves, if that is more, all lists
 * together; 0: none. */
void outages_allow(struct outages *outages, size_t room, double per_s);

/* Asks for one message, whether its list is over or not; false: none is there
 * to be asked for. / Something is being asked for. */
bool outages_wake(struct outages *outages);
bool outages_is_busy(const struct outages *outages);

size_t outages_count(const struct outages *outages); /* noted; */
size_t outages_due(const struct outages *outages); /* and to be called now */
uint64_t outages_asked(const struct outages *outages); /* for, so far */

#endif
