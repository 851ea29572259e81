#include "agent/io/patience.h"

#include <stddef.h>

static patience_fn *wait_fn;
static void *wait_ctx;

void
patience_set(patience_fn *fn, void *ctx)
{
	wait_fn = fn;
	wait_ctx = ctx;
}

bool
patience_wait(const char *why)
{
	return wait_fn != NULL && wait_fn(wait_ctx, why);
}
