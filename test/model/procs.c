#include "test/model/procs.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/types.h>
#include <ucontext.h>

#include "agent/state/statefile.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	STACK_SIZE = 512 * 1024,
	FDS_MAX = 8,
	TICK_MS = 25,
	STOPPED_MS = 5000,
	BEGIN_MS = 1000000,
	LOCK_TRIES = 2,
	NOBODY = -1,
};

enum life { READY, WAITING, STOPPED, ENDED };

struct proc {
	enum life life;
	ucontext_t context;
	char *stack;
	int64_t stopped_ms; /* when that was */
	bool may_stop;
	int fds[FDS_MAX]; /* open ones; -1: none */
};

static struct procs {
	struct explore *x;
	const struct procs_ops *ops;
	void *ctx;
	struct proc all[PROCS_MAX];
	size_t count, stops;
	int current, next; /* NOBODY: the scheduler */
	ucontext_t scheduler;
	int64_t now_us, end_us;
	uint64_t calls;
	bool is_told;
} p;

/* ---- the real ones ------------------------------------------------------
 */

#define REAL(type, name, arguments)                                            \
	type __real_##name arguments;                                          \
	type __wrap_##name arguments;
REAL(int, close, (int fd))
REAL(int64_t, clock_mono_ms, (void))
REAL(int64_t, clock_mono_us, (void))
REAL(int, statefile_open, (int dir_fd, const char *name, char *error, size_t n))
REAL(bool, statefile_allocate, (int fd, size_t size, char *error, size_t n))
REAL(bool, statefile_lock, (int fd, off_t octet, int wait_ms))
REAL(void, statefile_unlock, (int fd, off_t octet))
REAL(void, statefile_locked_map, (int fd, off_t from, off_t end, bool *map))
REAL(bool, statefile_read, (int fd, void *to, size_t n, off_t at))
REAL(bool, statefile_write, (int fd, const void *from, size_t n, off_t at))

/* ---- scheduling ---------------------------------------------------------
 */

void
procs_note(const char *format, ...)
{
	va_list ap;

	if (!p.is_told)
		return;
	(void)fprintf(stderr, "%8lld ms  process %d  ",
	    (long long)(procs_now_ms() - BEGIN_MS), p.current);
	va_start(ap, format);
	(void)vfprintf(stderr, format, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
}

static void
leave(void)
{
	struct proc *me = &p.all[p.current];

	CHECK(swapcontext(&me->context, &p.scheduler) == 0);
}

static size_t
others_ready(int *out)
{
	size_t n = 0;

	for (size_t i = 1; i < p.count; i++) {
		int other = (int)(((size_t)p.current + i) % p.count);

		if (p.all[other].life == READY)
			out[n++] = other;
	}
	return n;
}

static void
stop(struct proc *proc)
{
	proc->life = STOPPED;
	proc->stopped_ms = procs_now_ms();
	p.stops++;
}

/* Before each call of a process. */
static void
point(const char *call)
{
	static const char *const names[] = {"goes on", "is killed",
	    "is stopped", "the next goes on", "the one after it goes on"};
	int others[PROCS_MAX], choice;
	size_t n;

	if (p.current == NOBODY)
		return;
	p.calls++;
	p.ops->check(p.ctx);
	procs_note("%s", call);
	n = others_ready(others);
	choice = explore_pick(p.x, call, p.current, names,
	    EXPLORE_ALL(3 + n) & ~(p.all[p.current].may_stop ? 0U : 1U << 2));
	if (choice == 0)
		return;
	procs_note("%s", names[choice]);
	if (choice == 1)
		p.all[p.current].life = ENDED;
	else if (choice == 2)
		stop(&p.all[p.current]);
	else
		p.next = others[choice - 3];
	leave();
}

void
procs_may_stop(bool may)
{
	CHECK(p.current != NOBODY);
	p.all[p.current].may_stop = may;
}

void
procs_wait(void)
{
	CHECK(p.current != NOBODY);
	p.all[p.current].life = WAITING;
	leave();
}

static void
forget_fd(int fd)
{
	for (size_t i = 0; i < PROCS_MAX; i++)
		for (size_t k = 0; k < FDS_MAX; k++)
			if (p.all[i].fds[k] == fd)
				p.all[i].fds[k] = -1;
}

static void
close_all(struct proc *proc)
{
	for (size_t k = 0; k < FDS_MAX; k++) {
		if (proc->fds[k] >= 0)
			(void)__real_close(proc->fds[k]);
		proc->fds[k] = -1;
	}
}

static void
enter(void)
{
	size_t me = (size_t)p.current;

	p.ops->run(p.ctx, me);
	p.all[me].life = ENDED;
	for (;;)
		leave();
}

static void
start(struct proc *proc)
{
	if (proc->stack == NULL)
		proc->stack = mem_alloc(STACK_SIZE);
	proc->life = READY;
	proc->may_stop = false;
	for (size_t k = 0; k < FDS_MAX; k++)
		proc->fds[k] = -1;
	CHECK(getcontext(&proc->context) == 0);
	proc->context.uc_stack.ss_sp = proc->stack;
	proc->context.uc_stack.ss_size = STACK_SIZE;
	proc->context.uc_link = NULL;
	makecontext(&proc->context, enter, 0);
}

static int
find(enum life life)
{
	for (size_t i = 0; i < p.count; i++)
		if (p.all[i].life == life)
			return (int)i;
	return NOBODY;
}

/* All wait: time passes, and who was stopped for long is continued. */
static void
tick(void)
{
	p.now_us += TICK_MS * US_PER_MS;
	for (size_t i = 0; i < p.count; i++) {
		struct proc *proc = &p.all[i];

		if (proc->life == WAITING ||
		    (proc->life == STOPPED &&
			procs_now_ms() - proc->stopped_ms >= STOPPED_MS))
			proc->life = READY;
	}
}

/* Who goes on; NOBODY: all have ended. */
static int
choose_next(void)
{
	int next = p.next;

	p.next = NOBODY;
	if (next != NOBODY)
		return next;
	while (find(READY) == NOBODY &&
	       (find(WAITING) != NOBODY || find(STOPPED) != NOBODY))
		tick();
	return find(READY);
}

bool
procs_run(size_t count, int64_t patience_ms)
{
	CHECK(count <= PROCS_MAX && p.current == NOBODY);
	p.count = count;
	p.next = NOBODY;
	p.end_us = p.now_us + patience_ms * US_PER_MS;
	for (size_t i = 0; i < count; i++)
		start(&p.all[i]);
	while ((p.current = choose_next()) != NOBODY) {
		struct proc *proc = &p.all[p.current];

		if (p.now_us > p.end_us)
			break;
		CHECK(swapcontext(&p.scheduler, &proc->context) == 0);
		if (proc->life != ENDED)
			continue;
		close_all(proc);
		p.ops->on_gone(p.ctx, (size_t)p.current);
		p.ops->check(p.ctx);
	}
	for (size_t i = 0; i < count; i++)
		close_all(&p.all[i]);
	count = p.current == NOBODY;
	p.current = NOBODY;
	return count > 0;
}

void
procs_begin(struct explore *x, const struct procs_ops *ops, void *ctx)
{
	p.x = x;
	p.ops = ops;
	p.ctx = ctx;
	p.current = p.next = NOBODY;
	p.stops = 0;
	p.now_us = BEGIN_MS * US_PER_MS;
	for (size_t i = 0; i < PROCS_MAX; i++)
		for (size_t k = 0; k < FDS_MAX; k++)
			p.all[i].fds[k] = -1;
}

void
procs_end(void)
{
	for (size_t i = 0; i < PROCS_MAX; i++) {
		mem_free(p.all[i].stack);
		p.all[i].stack = NULL;
	}
}

void
procs_tell(bool is_told)
{
	p.is_told = is_told;
}

int64_t
procs_now_ms(void)
{
	return p.now_us / US_PER_MS;
}

void
procs_pass(int64_t ms)
{
	p.now_us += ms * US_PER_MS;
}

size_t
procs_stops(void)
{
	return p.stops;
}

uint64_t
procs_calls(void)
{
	return p.calls;
}

/* ---- calls --------------------------------------------------------------
 */

int
__wrap_close(int fd)
{
	forget_fd(fd);
	return __real_close(fd);
}

int64_t
__wrap_clock_mono_ms(void)
{
	return p.x != NULL ? p.now_us / US_PER_MS : __real_clock_mono_ms();
}

int64_t
__wrap_clock_mono_us(void)
{
	return p.x != NULL ? p.now_us : __real_clock_mono_us();
}

int
__wrap_statefile_open(int dir_fd, const char *name, char *error, size_t n)
{
	size_t k = 0;
	int fd;

	point("open");
	fd = __real_statefile_open(dir_fd, name, error, n);
	if (p.current == NOBODY || fd < 0)
		return fd;
	while (k < FDS_MAX && p.all[p.current].fds[k] >= 0)
		k++;
	CHECK(k < FDS_MAX);
	p.all[p.current].fds[k] = fd;
	return fd;
}

bool
__wrap_statefile_allocate(int fd, size_t size, char *error, size_t n)
{
	point("allocate");
	return __real_statefile_allocate(fd, size, error, n);
}

/* Who waits lets the others go on. */
bool
__wrap_statefile_lock(int fd, off_t octet, int wait_ms)
{
	point("lock");
	if (__real_statefile_lock(fd, octet, 0))
		return true;
	for (int i = 0; wait_ms > 0 && p.current != NOBODY && i < LOCK_TRIES;
	     i++) {
		procs_wait();
		if (__real_statefile_lock(fd, octet, 0))
			return true;
	}
	return false;
}

void
__wrap_statefile_unlock(int fd, off_t octet)
{
	point("unlock");
	__real_statefile_unlock(fd, octet);
}

void
__wrap_statefile_locked_map(int fd, off_t from, off_t end, bool *map)
{
	point("look at locks");
	__real_statefile_locked_map(fd, from, end, map);
}

bool
__wrap_statefile_read(int fd, void *to, size_t n, off_t at)
{
	point("read");
	return __real_statefile_read(fd, to, n, at);
}

bool
__wrap_statefile_write(int fd, const void *from, size_t n, off_t at)
{
	point("write");
	return __real_statefile_write(fd, from, n, at);
}
