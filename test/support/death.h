/* death: does a call end the process with a failed CHECK()?
 *
 * The call runs in a child, so the test goes on whatever becomes of it.
 */
#ifndef DEATH_H
#define DEATH_H

#include <stdbool.h>

/* True: fn(arg) failed a CHECK. False: it returned. Anything else, such as a
 * segmentation fault, fails the test (cmocka). */
bool death_by_check(void (*fn)(void *arg), void *arg);

#endif
