/* problems: the list of what is wrong with the configuration.
 *
 * Every text is one line as it is to be logged after "fatal: ". The process
 * that has one stays, and defers its mail with 4.3.5. A zeroed struct is an
 * empty list.
 */
#ifndef PROBLEMS_H
#define PROBLEMS_H

#include <stddef.h>

struct problems {
	char **text;
	size_t count;
};

void problems_addf(struct problems *problems, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Empties the list and frees the texts. */
void problems_fini(struct problems *problems);

#endif
