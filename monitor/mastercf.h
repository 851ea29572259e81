/* mastercf: the entries of master.cf, from the lines of "postconf -M".
 *
 *   fast  unix  -  -  n  -  1  lane -o lane_connection_limit=2 class=fast
 *
 * Pure: text in, values out. As master(8) cuts a line: at blanks that are not
 * within braces. A line of fewer than eight words is no entry.
 */
#ifndef MASTERCF_H
#define MASTERCF_H

#include <stdbool.h>
#include <stddef.h>

enum mastercf_field {
	MASTERCF_SERVICE,
	MASTERCF_TYPE,
	MASTERCF_PRIVATE,
	MASTERCF_UNPRIVILEGED,
	MASTERCF_CHROOT,
	MASTERCF_WAKEUP,
	MASTERCF_PROCESS_LIMIT,
	MASTERCF_FIELDS,
};

struct mastercf_entry {
	char *fields[MASTERCF_FIELDS]; /* as written, "-" included */
	char **words; /* command and arguments, then NULL; {...} is one */
	size_t word_count;
};

/* False: it is none, and *out is empty. */
bool mastercf_parse(struct mastercf_entry *out, const char *line);
void mastercf_fini(struct mastercf_entry *entry);

/* Its program is lane, and it is no token service. */
bool mastercf_is_lane(const struct mastercf_entry *entry);

/* The program's name, without its directory. */
const char *mastercf_program(const struct mastercf_entry *entry);

/* "y" or "n", for "-" the default: that of chroot is y before compatibility
 * level 1. */
bool mastercf_is_yes(const struct mastercf_entry *entry,
    enum mastercf_field field, const char *compatibility_level);

#endif
