#include "agent/confine/refusals.h"

#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <ucontext.h>
#include <unistd.h>

#include "common/base/log.h"

enum { NUMBERS = 1024 }; /* what is above is told as the last */

/* Written by the handler. */
static atomic_bool refused[NUMBERS];
static bool told[NUMBERS];
static int newest_known;
static int event_fd = -1;
static struct loop_fd *watch;

#if defined(__x86_64__)
#define RESULT(context) ((context)->uc_mcontext.gregs[REG_RAX])
#elif defined(__i386__)
#define RESULT(context) ((context)->uc_mcontext.gregs[REG_EAX])
#elif defined(__aarch64__)
#define RESULT(context) ((context)->uc_mcontext.regs[0])
#elif defined(__arm__)
#define RESULT(context) ((context)->uc_mcontext.arm_r0)
#elif defined(__riscv)
#define RESULT(context) ((context)->uc_mcontext.__gregs[REG_A0])
#endif

bool
refusals_can_answer(void)
{
#ifdef RESULT
	return true;
#else
	return false;
#endif
}

static void
on_refusal(int signo, siginfo_t *info, void *context)
{
	int saved = errno, number = info->si_syscall;
	const uint64_t one = 1;

	(void)signo;
#ifdef RESULT
	/* The compiler's types of a register differ. */
	RESULT((ucontext_t *)context) =
	    number > newest_known ? -ENOSYS : -EPERM;
#else
	(void)context;
#endif
	if (number < 0 || number >= NUMBERS)
		number = NUMBERS - 1;
	if (!atomic_exchange(&refused[number], true) && event_fd >= 0 &&
	    write(event_fd, &one, sizeof(one)) < 0)
		errno = 0; /* it is full: who reads it is awake */
	errno = saved;
}

int
refusals_next(void)
{
	for (int i = 0; i < NUMBERS; i++)
		if (!told[i] && atomic_load(&refused[i])) {
			told[i] = true;
			return i;
		}
	return -1;
}

static void
on_event(void *ctx, bool readable, bool writable)
{
	uint64_t count;
	int number;

	(void)ctx;
	(void)readable;
	(void)writable;
	if (read(event_fd, &count, sizeof(count)) < 0)
		return;
	while ((number = refusals_next()) >= 0) {
		char *name =
		    seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);

		if (name != NULL)
			log_warn("sandbox: system call %s was refused", name);
		else
			log_warn("sandbox: system call number %d was refused",
			    number);
		free(name);
	}
}

bool
refusals_catch(struct loop *loop, int newest)
{
	struct sigaction action = {
	    .sa_sigaction = on_refusal, .sa_flags = SA_SIGINFO | SA_NODEFER};

	CHECK(event_fd < 0 && watch == NULL);
	newest_known = newest;
	(void)sigemptyset(&action.sa_mask);
	if (loop != NULL) {
		event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (event_fd < 0)
			return false;
		watch = loop_watch(loop, event_fd, on_event, NULL);
		loop_want(watch, true, false);
	}
	return sigaction(SIGSYS, &action, NULL) == 0;
}

void
refusals_forget(void)
{
	loop_unwatch(&watch);
	if (event_fd >= 0)
		(void)close(event_fd);
	event_fd = -1;
}
