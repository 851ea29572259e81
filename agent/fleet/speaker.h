/* speaker: speaks for this host with the engine of its fleet.
 *
 *   each second, in each lane:  what it could use --> fleet.HASH; within a
 *                               quarter of one when it needs more
 *   in the one that speaks:     shares obeyed --> a question for each limit
 *                               answers --> shares
 *
 * One lane of a host speaks for an account; when it dies the next one to look
 * does, within a second. All questions of a second are one write; no message
 * and no dial ever waits for one. Without an engine, or without its answers,
 * shares end by themselves (common/shared/fleet.h).
 *
 * Each change is one line of the log: the engine answers or not, what it says
 * of this host's name. How it stands is on the board once a second.
 */
#ifndef SPEAKER_H
#define SPEAKER_H

#include "agent/engine/settings.h"
#include "agent/io/loop.h"
#include "agent/settings/fleet_access.h"
#include "agent/state/board_writer.h"
#include "agent/state/fleet_store.h"

struct speaker;

/* All borrowed; access NULL: there is no engine that could be asked, and each
 * host keeps to what is its own. Reads resolv.conf: before chroot. */
struct speaker *speaker_new(struct loop *loop, const struct settings *set,
    const struct fleet_access *access);

/* Speaks, from now on, for the accounts of this store. */
void speaker_begin(struct speaker *speaker, struct fleet_store *store,
    struct board_writer *board);

/* Another process is to speak: at once, and for good. */
void speaker_stop(struct speaker *speaker);

void speaker_free(struct speaker **speaker);

#endif
