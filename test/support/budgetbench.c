#include "test/support/budgetbench.h"

struct budget *
bench_open_lane(const struct bench_lane_spec *spec, struct loop *loop,
    budget_fn *fn, void *ctx)
{
	struct settings set = {
	    .lane_state_directory = spec->dir,
	    .lane_account_connection_limit = spec->limit,
	    .lane_connection_reserve = spec->reserve,
	    .lane_connection_limit = 0,
	};

	return budget_open(
	    loop, &set, NULL, spec->name, "smtp.example.com joe", fn, ctx);
}

struct budget *
bench_lane(char *dir, const char *name, int reserve)
{
	struct bench_lane_spec spec = {dir, name, BENCH_LIMIT, reserve};

	return bench_open_lane(&spec, NULL, NULL, NULL);
}

int
bench_take(struct budget *b, int count, int64_t now_ms, int *slots)
{
	struct budget_answer a;
	int got = 0;

	while (got < count && budget_take(b, now_ms, &a)) {
		if (slots != NULL)
			slots[got] = a.slot;
		got++;
	}
	return got;
}

void
bench_count_warnings(void *ctx, enum log_level level, const char *line)
{
	(void)line;
	if (level == LOG_LEVEL_WARN)
		++*(int *)ctx;
}
