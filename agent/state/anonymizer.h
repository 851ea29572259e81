/* anonymizer: lane_log_anonymize, for all that a process tells.
 *
 * From anonymizer_new() on the log, and who calls log_filter(), shows addresses
 * as common/smtp/anonymize.h says. The key of "hash" is in the state directory,
 * anonymize.key, made where it is missing: all lanes, and their later
 * processes, show the same for the same address. Whoever has the key can tell
 * whether a line is about an address that he knows; with the file gone, and
 * another one made, nobody can of lines of before. Without a directory the key
 * is this process's own, which is told: nothing is shown for want of a key.
 */
#ifndef ANONYMIZER_H
#define ANONYMIZER_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/engine/settings.h"
#include "agent/state/statefile.h"
#include "common/base/buf.h"

struct anonymizer;

/* One per process, as the log is. Never NULL. */
struct anonymizer *anonymizer_new(const struct settings *set);
void anonymizer_free(struct anonymizer **anonymizer);

/* With the directory's key from now on; NULL: there is no directory. As root
 * and before chroot. */
void anonymizer_use_key(struct anonymizer *a, const struct statefile_dir *dir);

/* How lanes that keep their key in dir show address. False: there is no key
 * there; error has a line of n octets. */
bool anonymizer_show(const struct settings *set,
    const struct statefile_dir *dir, const char *address, struct buf *out,
    char *error, size_t n);

#endif
