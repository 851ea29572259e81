/* recall_store: messages that a lane deferred and calls back, for its next
 * process.
 *
 *   head | list, queue id | list, queue id | list, "" | ...
 *                                            ^--- all of it was called back
 *
 * A file of lane_state_directory that grows by one record for each message; the
 * lane that has called all of them back cuts it. Each write is under a lock
 * that nobody waits for. A process that drains notes in it what the next one,
 * which calls back, has to find: so each remembers how far it has read, and
 * takes nothing away before it has read the rest. It is not synced: a record
 * that is lost, as all that the lock or a full disk kept from being written,
 * costs its message the wait for Postfix's own next attempt and nothing else.
 * So does a file that is removed or damaged: what is no queue id is passed
 * over, and a queue id that means nothing any more, or another message by now,
 * is asked for in vain or once too often.
 *
 * At RECALL_RECORDS records it is written anew with the last of each queue id,
 * the newest RECALL_MAX of them. Without the directory nothing is kept.
 */
#ifndef RECALL_STORE_H
#define RECALL_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/state/statefile.h"

enum {
	RECALL_ID_SIZE = 24, /* longer ids do not exist in practice */
	RECALL_MAX = 100000, /* messages */
	RECALL_RECORDS = 2 * RECALL_MAX,
};

struct recall_store;

/* The list is what it waits for, as who notes it names that. */
typedef void recall_fn(void *ctx, uint64_t list, const char *queue_id);

/* As mail_owner. Never NULL. dir (NULL: none) is borrowed. */
struct recall_store *recall_store_open(
    const struct statefile_dir *dir, const char *lane_name);
void recall_store_close(struct recall_store **store);

/* What others noted in it since the last time, at first all that is there, in
 * the order in which it was noted, each id once; after the file was written
 * anew by another what is in it by then, known or not. */
void recall_store_each(struct recall_store *store, recall_fn *each, void *ctx);

/* It is being deferred. */
void recall_store_add(
    struct recall_store *store, uint64_t list, const char *queue_id);

/* All of the list was called back. / All was. False: not yet, others noted
 * something since recall_store_each(), or do now. */
bool recall_store_done(struct recall_store *store, uint64_t list);
bool recall_store_clear(struct recall_store *store);

/* What an open file holds, for who only looks; no lock is taken. */
void recall_read(int fd, recall_fn *each, void *ctx);

/* The file's name in lane_state_directory. */
void recall_name(const char *lane_name, char *name, size_t n);

#endif
