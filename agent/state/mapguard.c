#include "agent/state/mapguard.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>

#include "common/base/log.h"

/* begin is written last, and 0 first: the handler may come in between. */
struct guarded {
	volatile uintptr_t begin; /* 0: not in use */
	volatile size_t size;
	volatile sig_atomic_t is_lost;
};

static struct guarded table[MAPGUARD_MAX];
static struct sigaction before;

static struct guarded *
find(uintptr_t at)
{
	for (int i = 0; i < MAPGUARD_MAX; i++)
		if (table[i].begin != 0 && at >= table[i].begin &&
		    at - table[i].begin < table[i].size)
			return &table[i];
	return NULL;
}

static void
on_sigbus(int signo, siginfo_t *info, void *context)
{
	struct guarded *g = find((uintptr_t)info->si_addr);
	int error = errno;

	(void)context;
	/* A flag tells its owner; without memory there is no way on. */
	if (g != NULL &&
	    mmap((void *)g->begin, g->size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED)
		g->is_lost = 1;
	else /* it comes again, to whoever had it before us */
		(void)sigaction(signo, &before, NULL);
	errno = error;
}

static void
handle(void)
{
	struct sigaction action = {
	    .sa_sigaction = on_sigbus,
	    .sa_flags = SA_SIGINFO | SA_NODEFER,
	};
	struct sigaction now;

	CHECK(sigaction(SIGBUS, NULL, &now) == 0);
	if (now.sa_sigaction == on_sigbus)
		return;
	before = now;
	(void)sigemptyset(&action.sa_mask);
	CHECK(sigaction(SIGBUS, &action, NULL) == 0);
}

void *
mapguard_map(int fd, size_t size)
{
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
	struct guarded *g = table;

	if (map == MAP_FAILED)
		return NULL;
	handle();
	while (g < table + MAPGUARD_MAX && g->begin != 0)
		g++;
	CHECK(g < table + MAPGUARD_MAX);
	g->size = size;
	g->is_lost = 0;
	g->begin = (uintptr_t)map;
	return map;
}

void
mapguard_unmap(void *map)
{
	struct guarded *g = find((uintptr_t)map);

	CHECK(g != NULL);
	(void)munmap(map, g->size);
	g->begin = 0;
}

bool
mapguard_is_lost(const void *map)
{
	const struct guarded *g = find((uintptr_t)map);

	CHECK(g != NULL);
	return g->is_lost != 0;
}
