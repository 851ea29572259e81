/* words: the lines of a small data file, the words of a line, and the words of
 * a value such as Postfix's lists.
 *
 * Lines end in LF, with or without CR. Words of a line are separated by blanks
 * and tabs. Pure cursors over borrowed text; nothing is copied.
 */
#ifndef WORDS_H
#define WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/slice.h"

struct lines {
	struct slice rest;
	int number; /* of the line last given, from 1 */
};

struct lines lines_of(struct slice text);

/* The next line that has a word and does not begin with '#', without blanks
 * around it; false at the end. */
bool lines_next(struct lines *lines, struct slice *line_out);

/* Cuts the first word off *rest; false when there is none. */
bool words_next(struct slice *rest, struct slice *word_out);

/* Between the words of a value in main.cf. */
#define WORDS_SEPARATORS ", \t\r\n"

/* Cuts the first run of octets that are not in separators off *rest; false,
 * with an empty word, when there is none. NUL separates nothing. */
bool words_cut(
    struct slice *rest, const char *separators, struct slice *word_out);

/* ... as main.cf has it, with what is within braces as one word. */
bool words_cut_braced(struct slice *rest, struct slice *word_out);

/* s without blanks, tabs and CR at both ends. */
struct slice words_trim(struct slice s);

#endif
