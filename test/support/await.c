#include "test/support/await.h"

#include "common/base/clock.h"

enum { LATE_MS = 120000 };

static void
on_late(void *ctx)
{
	struct await *a = ctx;

	a->is_late = true;
}

void
await_begin(struct await *a, struct loop *loop)
{
	a->is_late = false;
	a->timer = loop_timer_new(loop, on_late, a);
	loop_timer_at(a->timer, clock_mono_ms() + LATE_MS);
}

void
await_end(struct await *a)
{
	loop_timer_free(&a->timer);
}
