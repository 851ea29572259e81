/* persist: a value in a file that survives whatever happens to its writer.
 *
 *   head { which, stores } | copy 0 { boot, clock, value } | copy 1 { ... }
 *                                   ^--- which says the one that holds
 *
 * A file of lane_state_directory. A new value is written to the copy that does
 * not hold and then made to hold by one write, so that a process that is killed
 * at any instant leaves the old value or the new one, whole. What the machine
 * loses when its power fails is what the kernel had not written back yet.
 *
 * It is read and written, not mapped: whoever may write to the directory can
 * cut the file, overwrite it, put back an older one, remove it or put another
 * in its place at any time. The number of stores then goes back or is no
 * number, or the name leads elsewhere. Each process goes on with the value it
 * knows, says so, and its next store mends the file for all; of what another
 * stored since this one looked last, that is lost. Processes follow the name,
 * so that all have the same file.
 *
 * The value is a struct without pointers, of any fixed size; a file of another
 * kind, version or size is made anew, all zero, which is said. A file that
 * becomes one of another version while it is open belongs to another release
 * that runs beside this one: it is left to that, and this process goes on in
 * memory. Its times are monotonic: the file knows
 * by how much they must be moved after a reboot.
 *
 * A file that cannot be used is no reason not to deliver: the value is then
 * kept in memory alone.
 */
#ifndef PERSIST_H
#define PERSIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/state/statefile.h"

struct persist;

enum { PERSIST_MEMBERS = 32 };

/* Never NULL. When the file cannot be used (dir NULL: there is none) *error is
 * one line, else "". magic tells one kind from others, and in its low 16 bits,
 * never 0, the version of the struct. The directory's descriptor is used as
 * long as the file is. */
struct persist *persist_open(const struct statefile_dir *dir, const char *name,
    uint64_t magic, size_t size, char *error, size_t n);

/* What an open file holds, without opening it as a value. False: it is of
 * another kind. */
bool persist_read(int fd, uint64_t boot, uint64_t magic, void *value,
    size_t size, int64_t *shift_us_out);

void persist_close(struct persist **k);

/* The value that holds; another process may store, so lock the file for more
 * than a hint. Valid until the next call. */
const void *persist_value(struct persist *k);

/* The same as it was read last. */
const void *persist_held(const struct persist *k);

void persist_store(struct persist *k, const void *value);

/* Another number after each store, by whatever process: the value is still the
 * one that was read if it is the same. */
uint64_t persist_stores(struct persist *k);

/* Microseconds to add to the monotonic times of the value as it was found:
 * not 0 only when it was stored before a reboot, and nothing since. */
int64_t persist_shift_us(struct persist *k);

/* Excludes other processes, also children forked later; false: somebody holds
 * it for longer than wait_ms. */
bool persist_lock(struct persist *k, int wait_ms);
void persist_unlock(struct persist *k);

/* Entries of members, each taken by one process until it dies or leaves. A
 * forked child shares its parent's until one of both leaves. */
bool persist_join(struct persist *k, int member, int wait_ms);
void persist_leave(struct persist *k, int member);

/* Sets map[i] of those that are taken by other processes. */
void persist_members(const struct persist *k, bool map[PERSIST_MEMBERS]);

#endif
