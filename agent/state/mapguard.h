/* mapguard: a file mapping that outlives what happens to its file.
 *
 * Whoever touches a page behind the end of the file that is mapped dies of
 * SIGBUS; so does who stores into a hole of it on a full disk. A file that
 * others may write to can be cut at any time (truncate, a restore by cp, a disk
 * that fills up while it is copied). Here the handler lays private memory, all
 * zero, over the whole mapping, and the process goes on. The owner looks at
 * mapguard_is_lost() now and then, says so, and maps another file.
 *
 * The handler is async-signal-safe: it reads a table and maps memory. SIGBUS
 * elsewhere ends the process as ever. Children have the guard, too. The table
 * is of the process, as the signal is.
 */
#ifndef MAPGUARD_H
#define MAPGUARD_H

#include <stdbool.h>
#include <stddef.h>

enum { MAPGUARD_MAX = 64 };

/* Shared and writable, from the file's begin; fd -1: private memory. NULL:
 * errno. */
void *mapguard_map(int fd, size_t size);
void mapguard_unmap(void *map);

/* The file's content is gone, and what is stored goes nowhere. */
bool mapguard_is_lost(const void *map);

#endif
