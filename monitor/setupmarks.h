/* setupmarks: lanes that stand between two marks, as scripts/lanes of earlier
 * releases put them there, to be taken out of main.cf and master.cf.
 *
 *   # --- lanes: begin ...   what is the lanes' goes; what somebody else wrote
 *   # --- lanes: end         in between stays
 *   transport_maps = ...     and four other settings of Postfix: as they were,
 *                            where they are as they were made; else they stay,
 *                            without the lanes' table, and are told
 *
 * DIRECTORY/lanes.kept has both files as they were (main.cf) and as they were
 * made (main.cf.lanes). Where nobody changed anything since, they are what they
 * were, octet for octet.
 */
#ifndef SETUPMARKS_H
#define SETUPMARKS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "monitor/setupplan.h"

enum { SETUPMARKS_FILES = 2 }; /* main.cf, master.cf */

struct setupmarks {
	char *directory; /* DIRECTORY/lanes.kept */
	char *before[SETUPMARKS_FILES], *made[SETUPMARKS_FILES];
};

bool setupmarks_are_there(const char *directory);

/* False: error says why not; else setupmarks_fini(). */
bool setupmarks_read(
    struct setupmarks *marks, const char *directory, char *error, size_t n);
void setupmarks_fini(struct setupmarks *marks);

/* The plan that it comes to, as far as taking it out goes. False: error says
 * why that has to be done by hand; else setupplan_fini(). */
bool setupmarks_plan(const struct setupmarks *marks, struct setupplan *plan,
    const char *directory, char *error, size_t n);

/* The text of a file without it; text is the caller's before and after. told
 * gets lines about what was changed by hand. */
char *setupmarks_take(const struct setupmarks *marks, int file,
    const struct setupplan *plan, char *text, struct buf *told);

/* What was brought into main.cf: "name = ..." lines; the caller's. */
char *setupmarks_added(const struct setupmarks *marks);

/* lanes.kept goes. False: errno. */
bool setupmarks_forget(const struct setupmarks *marks);

#endif
