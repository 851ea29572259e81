/* setup: carries out a setupplan, and takes it back.
 *
 *   copies of main.cf and master.cf -> postconf(1) edits them, step by step ->
 *   the record of each step (hunk.h) -> tables -> the two files, each by rename
 *
 * The record is written before anything is changed, and is what undo goes by:
 * it takes back each step that is still there as it was made, and of one that
 * was changed by hand since what is ours (setupmerge.h), and says so. It
 * changes nothing while something else names a lane (setupcheck.h). Where
 * nobody changed anything since, the files are what they were, octet for octet.
 * The record (setuprecord.h) is marked as unfinished while files are changed:
 * of who was killed then, undo or the next apply first brings back what there
 * was. Owner, mode and place (through a symbolic link) of a file stay.
 */
#ifndef SETUP_H
#define SETUP_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "monitor/setupmarks.h"
#include "monitor/setupplan.h"

enum setup_result {
	SETUP_DONE,
	SETUP_NOTHING, /* apply: it is there; undo: it is not */
	SETUP_OTHER, /* its record is of another smarthost; apply: or of lanes
			at another TLS level, or with a login where the plan
			has none, or the other way */
	SETUP_IN_USE, /* undo: not without the lanes (setupcheck.h): nothing
			 was changed */
	SETUP_FAILED, /* a file or postconf; the record, if it is there, says
			 what undo has to do still */
};

/* error: one line of all but DONE and NOTHING. */
enum setup_result setup_apply(const struct site *site,
    const struct setupplan *plan, char *error, size_t n);

/* Tables that somebody wrote something else into, or uses elsewhere, are kept.
 * told gets lines about those, and about what was changed by hand; also when a
 * later step failed, since what was taken out is nowhere else then. site NULL:
 * of an apply that failed; nothing else is looked at. */
enum setup_result setup_undo(const struct site *site,
    const struct setupplan *plan, struct buf *told, char *error, size_t n);

/* Likewise, of lanes that scripts/lanes of an earlier release added. */
enum setup_result setup_undo_marks(const struct site *site,
    const struct setupmarks *marks, const struct setupplan *plan,
    struct buf *told, char *error, size_t n);

/* Away with files that one that was killed had begun to write. */
void setup_clean(const char *directory, const char *name);

#endif
