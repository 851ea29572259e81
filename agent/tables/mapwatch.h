/* mapwatch: notices that a lookup table's file was changed.
 *
 * Tables are read once, as root, so a new password needs a new process.
 * Postfix's own daemons look at their tables' files and restart ("table X has
 * changed -- restarting"); whoever has run postmap(1) for smtp(8) expects the
 * same here, without a reload. Only types with a file are watched: hash,
 * btree, lmdb, cdb, texthash, regexp, pcre, cidr. Directories are opened when a
 * table is added, before chroot, and asked for its name afterwards; one that
 * mail_owner may not enter is watched by inotify. The tables inside of
 * unionmap:{...} and pipemap:{...} are watched, too. A table that could not be
 * asked at start, and was then missed, counts as changed after a minute: the
 * next process may find it.
 */
#ifndef MAPWATCH_H
#define MAPWATCH_H

#include <stdint.h>

#include "agent/tables/maps.h"

struct mapwatch;

enum { MAPWATCH_EVERY_MS = 1000, MAPWATCH_MISSED_MS = 60000 };

struct mapwatch *mapwatch_new(void);
void mapwatch_free(struct mapwatch **watch);

/* Remembers how the files of these tables ("type:name, ...") look now. */
void mapwatch_add(struct mapwatch *watch, const char *tables);

/* Looks after what these miss, too. Borrowed; NULL: none. */
void mapwatch_follow(struct mapwatch *watch, const struct maps *maps);

/* The first table whose file looks different, else NULL; looks at most every
 * MAPWATCH_EVERY_MS. The text lives as long as the watch. */
const char *mapwatch_changed(struct mapwatch *watch, int64_t now_ms);

#endif
