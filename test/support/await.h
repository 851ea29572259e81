/* await: turns of a loop until something is so.
 *
 *   AWAIT(loop, condition)     the test fails after two minutes
 */
#ifndef AWAIT_H
#define AWAIT_H

#include <stdbool.h>

#include "agent/io/loop.h"

struct await {
	struct loop_timer *timer;
	bool is_late;
};

void await_begin(struct await *a, struct loop *loop);
void await_end(struct await *a);

#define AWAIT(loop, condition)                                                 \
	do {                                                                   \
		struct await await_;                                           \
                                                                               \
		await_begin(&await_, loop);                                    \
		while (!(condition) && !await_.is_late)                        \
			loop_once(loop);                                       \
		await_end(&await_);                                            \
		assert_true(condition);                                        \
	} while (0)

#endif
