/* moves: does an object's one setter allow the moves of a table, and no other?
 *
 * A table has a row for each state, in their order: the letter of the state, a
 * blank, and the letters of those that may come next, such as "l lco".
 */
#ifndef MOVES_H
#define MOVES_H

#include <stdbool.h>

/* Brings a fresh object into the state from, sets the state to, and says
 * whether it is in that one then. Runs in a child process. */
typedef bool moves_fn(int from, int to);

/* Tries every pair of count states; a move that the table does not have must
 * fail a CHECK, one that it has must not. Else the test fails (cmocka). */
void moves_check(const char *const *table, int count, moves_fn *make);

#endif
