/* patience: what to do when the system refuses what a start cannot do without
 * (a process, a pipe, a descriptor, memory).
 *
 * How long is waited, and what is told meanwhile, is a matter of the program,
 * which says it once; whoever is refused something only asks.
 */
#ifndef PATIENCE_H
#define PATIENCE_H

#include <stdbool.h>

/* Told why. True: once more, after having waited; false: give up. */
typedef bool patience_fn(void *ctx, const char *why);

/* For all from now on; NULL (at first): nothing is tried again. */
void patience_set(patience_fn *fn, void *ctx);

/* Is it to be tried once more? */
bool patience_wait(const char *why);

#endif
