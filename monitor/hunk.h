/* hunk: one change of a text, which can be taken back later although the text
 * has changed elsewhere since.
 *
 *   before  a = 1 | b = 2            old ""
 *   after   a = 1, x | b = 2   -->   new ", x"
 *
 * What stands before the first octet that differs, and behind the word of the
 * last, is left out. Whole lines stand as they were made only while nothing
 * stands before them in the first, or goes on behind the last: a line that
 * begins with a blank does, also behind comments. A part of a line, only while
 * a word ends there. Nothing that was made stands in a comment. Pure.
 */
#ifndef HUNK_H
#define HUNK_H

#include <stdbool.h>

struct hunk {
	char *old, *new; /* the caller's */
};

enum hunk_state {
	HUNK_THERE, /* once, as it was made */
	HUNK_GONE, /* not, or more than once: somebody changed it */
};

void hunk_make(struct hunk *out, const char *before, const char *after);

/* ... of whole lines. */
void hunk_make_lines(struct hunk *out, const char *before, const char *after);
void hunk_fini(struct hunk *hunk);

enum hunk_state hunk_state_of(const struct hunk *hunk, const char *text);

/* The text without the change, the caller's; NULL: HUNK_GONE. A change that
 * began by ending a last line leaves that end when others come behind it. */
char *hunk_revert(const struct hunk *hunk, const char *text);

#endif
