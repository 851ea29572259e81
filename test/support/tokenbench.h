/* tokenbench: a token service for tests, with answers laid down beforehand.
 *
 * A thread of its own at private/lane-token below the scratch directory, which
 * becomes the working directory. Each connection gets one greeting, is asked
 * one question, and gets the next answer; with none left it is closed.
 */
#ifndef TOKENBENCH_H
#define TOKENBENCH_H

#include <stddef.h>
#include <stdint.h>

struct tokenbench;

struct tokenbench_answer {
	int status;
	int64_t serial;
	const char *text; /* token or reason; NULL: no answer, the end */
	int64_t refused; /* what must be asked with it */
};

/* answers end with a zeroed one and are borrowed. */
struct tokenbench *tokenbench_start(const struct tokenbench_answer *answers);

/* Waits for the end; NULL when all was asked as laid down, else what was not.
 */
const char *tokenbench_finish(struct tokenbench **bench);

#endif
