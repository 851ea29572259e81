/* setupspan: settings of main.cf and entries of master.cf, as the lines that
 * they are: the first one, and those that go on with it, which begin with a
 * blank; comments and empty lines between them included. Pure.
 */
#ifndef SETUPSPAN_H
#define SETUPSPAN_H

#include <stdbool.h>
#include <stddef.h>

struct setupspan {
	const char *start; /* NULL: none */
	size_t n;
};

const char *setupspan_next_line(const char *line);

/* Empty, or a comment; what goes on may go on behind it. */
bool setupspan_is_passed_over(const char *line);

/* Of what begins with this line. */
size_t setupspan_size(const char *start);

/* The first one of a name of n octets, with one of behind after it; the last
 * one, which is the one that counts. */
struct setupspan setupspan_find_first(
    const char *line, const char *name, size_t n, const char *behind);
struct setupspan setupspan_find(
    const char *text, const char *name, size_t n, const char *behind);

/* In one line, each run of blanks one of them, no comments; the caller's. */
char *setupspan_squeezed(struct setupspan s);

/* text (the caller's before and after) less the span, which is of it. */
char *setupspan_without(char *text, struct setupspan cut);

#endif
