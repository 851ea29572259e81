/* problems: the list of what is wrong with the configuration.
 *
 * Every text is one line as it is to be logged after "fatal: ". The process
 * that has one stays, and defers its mail with 4.3.5. A zeroed struct is an
 * empty list.
 *
 * What the system refused for the moment (descriptors, memory, a read that
 * failed) is nothing an administrator could correct: it is marked, and the
 * configuration is read anew then.
 *
 * Warnings stand apart: they are logged once at start, and stop nothing.
 */
#ifndef PROBLEMS_H
#define PROBLEMS_H

#include <stdbool.h>
#include <stddef.h>

struct problems {
	char **text;
	size_t count;
	bool may_pass; /* one of them was the system's */
	char **warning;
	size_t warning_count;
};

void problems_addf(struct problems *problems, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void problems_warnf(struct problems *problems, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Notes why a file could not be read: may_pass, unless the error (of errno) is
 * one of its name, place or permissions. 0 is no error. */
void problems_blame(struct problems *problems, int error);

/* Empties the lists and frees the texts. */
void problems_fini(struct problems *problems);

#endif
