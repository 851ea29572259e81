/* mapwatch: notices that a lookup table's file was changed.
 *
 * Tables are read once, as root, so a new password needs a new process.
 * Postfix's own daemons look at their tables' files and restart ("table X has
 * changed -- restarting"); whoever has run postmap(1) for smtp(8) expects the
 * same here, without a reload. Only types with a file are watched: hash,
 * btree, lmdb, cdb, texthash, regexp, pcre, cidr. Directories are opened when a
 * table is added, before chroot, and asked for its name afterwards; one that
 * mail_owner may not enter is watched by inotify.
 */
#ifndef MAPWATCH_H
#define MAPWATCH_H

#include <stdint.h>

struct mapwatch;

enum { MAPWATCH_EVERY_MS = 1000 };

struct mapwatch *mapwatch_new(void);
void mapwatch_free(struct mapwatch **watch);

/* Remembers how the files of these tables ("type:name, ...") look now. */
void mapwatch_add(struct mapwatch *watch, const char *tables);

/* The first table whose file looks different, else NULL; looks at most every
 * MAPWATCH_EVERY_MS. The text lives as long as the watch. */
const char *mapwatch_changed(struct mapwatch *watch, int64_t now_ms);

#endif
