/* budgetbench: lanes that share the slots of one account in a state directory,
 * for the tests of agent/state/budget. */
#ifndef BUDGETBENCH_H
#define BUDGETBENCH_H

#include "agent/state/budget.h"
#include "common/base/log.h"

enum { BENCH_LIMIT = 20 };

struct bench_lane_spec {
	char *dir;
	const char *name;
	int limit, reserve;
};

struct budget *bench_open_lane(const struct bench_lane_spec *spec,
    struct loop *loop, budget_fn *fn, void *ctx);

/* With BENCH_LIMIT, without a loop. */
struct budget *bench_lane(char *dir, const char *name, int reserve);

/* Takes at most count slots and returns how many; slots (may be NULL) gets
 * them. */
int bench_take(struct budget *budget, int count, int64_t now_ms, int *slots);

/* A log sink: adds one to the int at ctx for each warning. */
void bench_count_warnings(void *ctx, enum log_level level, const char *line);

#endif
