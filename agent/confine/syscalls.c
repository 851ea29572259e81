#include "agent/confine/syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <seccomp.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/confine/refusals.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41 /* linux/prctl.h, since 5.17 */
#endif

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Names that an architecture or this libseccomp does not know are passed over:
 * with the list of what is allowed they are refused, without a name. */
static const char *const denied[] = {
    /* other processes */
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise",
    "process_mrelease", "kcmp", "pidfd_getfd", "pidfd_send_signal",
    /* other programs */
    "execve", "execveat", "uselib", "personality",
    /* other rights */
    "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid",
    "setfsuid", "setfsgid", "setgroups", "setuid32", "setgid32", "setreuid32",
    "setregid32", "setresuid32", "setresgid32", "setfsuid32", "setfsgid32",
    "setgroups32", "capset", "add_key", "request_key", "keyctl",
    /* another view of files */
    "mount", "umount", "umount2", "move_mount", "open_tree", "fsopen",
    "fsconfig", "fsmount", "fspick", "mount_setattr", "pivot_root", "chroot",
    "unshare", "setns", "open_by_handle_at", "name_to_handle_at", "mknod",
    "mknodat", "fanotify_init", "fanotify_mark", "quotactl", "quotactl_fd",
    /* parts of the kernel that ask for trouble */
    "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter",
    "io_uring_register", "io_setup", "io_submit", "io_destroy", "io_cancel",
    "io_getevents", "io_pgetevents", "seccomp", "remap_file_pages", "vmsplice",
    "mbind", "migrate_pages", "move_pages", "set_mempolicy",
    "set_mempolicy_home_node", "get_mempolicy", "memfd_create", "memfd_secret",
    "shmget", "shmat", "shmctl", "shmdt", "semget", "semop", "semctl",
    "semtimedop", "msgget", "msgsnd", "msgrcv", "msgctl", "mq_open",
    /* the machine */
    "init_module", "finit_module", "delete_module", "kexec_load",
    "kexec_file_load", "reboot", "swapon", "swapoff", "acct", "settimeofday",
    "clock_settime", "clock_settime64", "adjtimex", "clock_adjtime",
    "clock_adjtime64", "stime", "sethostname", "setdomainname", "iopl",
    "ioperm", "modify_ldt", "vm86", "vm86old", "syslog", "vhangup",
    "nfsservctl", "lookup_dcookie", "_sysctl", "sysfs", "ustat",
    "s390_pci_mmio_read", "s390_pci_mmio_write", "pciconfig_read",
    "pciconfig_write", "pciconfig_iobase"};

static const char *const allowed[] = {
    /* descriptors */
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv",
    "pwritev", "preadv2", "pwritev2", "close", "close_range", "lseek",
    "_llseek", "dup", "dup2", "dup3", "fcntl", "fcntl64", "flock", "fsync",
    "fdatasync", "ftruncate", "ftruncate64", "fallocate", "fadvise64",
    "fadvise64_64", "arm_fadvise64_64", "sync_file_range", "sendfile",
    "sendfile64", "pipe", "pipe2", "eventfd", "eventfd2", "inotify_add_watch",
    "inotify_rm_watch",
    /* files: which, is for Landlock */
    "open", "openat", "openat2", "stat", "stat64", "lstat", "lstat64", "fstat",
    "fstat64", "newfstatat", "fstatat64", "statx", "statfs", "statfs64",
    "fstatfs", "fstatfs64", "access", "faccessat", "faccessat2", "readlink",
    "readlinkat", "getdents", "getdents64", "getcwd", "chdir", "fchdir",
    "umask", "unlink", "unlinkat",
    /* waiting */
    "poll", "ppoll", "ppoll_time64", "select", "_newselect", "pselect6",
    "pselect6_time64", "epoll_create", "epoll_create1", "epoll_ctl",
    "epoll_wait", "epoll_pwait", "epoll_pwait2", "timerfd_create",
    "timerfd_settime", "timerfd_settime64", "timerfd_gettime",
    "timerfd_gettime64", "nanosleep", "clock_nanosleep",
    "clock_nanosleep_time64", "pause", "restart_syscall", "alarm", "getitimer",
    "setitimer",
    /* clocks */
    "time", "gettimeofday", "clock_gettime", "clock_gettime64", "clock_getres",
    "clock_getres_time64", "times",
    /* memory */
    "brk", "mmap", "mmap2", "munmap", "mprotect", "mremap", "madvise", "msync",
    "mincore", "mlock", "mlock2", "munlock", "mlockall", "munlockall",
    "membarrier", "map_shadow_stack", "mseal", "pkey_alloc", "pkey_free",
    "pkey_mprotect",
    /* itself */
    "exit", "exit_group", "getpid", "getppid", "gettid", "getuid", "geteuid",
    "getgid", "getegid", "getresuid", "getresgid", "getgroups", "getuid32",
    "geteuid32", "getgid32", "getegid32", "getresuid32", "getresgid32",
    "getgroups32", "getpgrp", "getpgid", "getsid", "capget", "getrusage",
    "getrlimit", "ugetrlimit", "getpriority", "sysinfo", "uname", "getrandom",
    "getcpu", "sched_yield", "sched_getaffinity", "sched_getparam",
    "sched_getscheduler", "sched_get_priority_max", "sched_get_priority_min",
    "set_tid_address", "set_robust_list", "get_robust_list", "rseq",
    "arch_prctl", "set_thread_area", "get_thread_area", "cacheflush",
    "riscv_flush_icache", "riscv_hwprobe",
    /* signals; whom, is for Landlock */
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending",
    "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64", "sigaction",
    "sigprocmask", "sigreturn", "sigpending", "sigaltstack", "tgkill", "tkill",
    /* locks */
    "futex", "futex_time64", "futex_waitv", "futex_wake", "futex_wait",
    "futex_requeue",
    /* sockets */
    "connect", "bind", "accept", "accept4", "getsockname", "getpeername",
    "getsockopt", "setsockopt", "send", "sendto", "sendmsg", "sendmmsg", "recv",
    "recvfrom", "recvmsg", "recvmmsg", "recvmmsg_time64", "shutdown"};

static const char *const making_files[] = {"rename", "renameat", "renameat2",
    "fchmod", "fchmodat", "fchmodat2", "fchown", "fchown32"};

static const char *const forking[] = {
    "fork", "wait4", "waitpid", "waitid", "kill"};

/* Of clone(), which is allowed without them. */
static const unsigned long namespaces[] = {CLONE_NEWNS, CLONE_NEWUTS,
    CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP};

#if defined(__s390__) || defined(__s390x__)
enum { CLONE_FLAGS = 1 }; /* argument of clone() */
#else
enum { CLONE_FLAGS = 0 };
#endif

static const unsigned long ioctls[] = {
    FIONBIO, FIONREAD, TIOCOUTQ, TCGETS, SIOCGIFINDEX, SIOCGIFNAME};

static const unsigned long prctls[] = {PR_SET_NAME, PR_GET_NAME,
    PR_GET_DUMPABLE, PR_CAPBSET_READ, PR_GET_NO_NEW_PRIVS, PR_SET_VMA};

struct filter {
	scmp_filter_ctx ctx;
	int error; /* the first */
};

static void
note(struct filter *f, int rc)
{
	/* The same rule twice is no harm; names of other systems are none. */
	if (rc < 0 && rc != -EEXIST && f->error == 0)
		f->error = -rc;
}

static int
number_of(const char *name)
{
	return seccomp_syscall_resolve_name(name);
}

static void
add(struct filter *f, uint32_t action, const char *name)
{
	int number = number_of(name);

	/* One that the architecture does not have has a negative number. */
	if (number != __NR_SCMP_ERROR)
		note(f, seccomp_rule_add(f->ctx, action, number, 0));
}

static void
add_if(struct filter *f, uint32_t action, const char *name,
    struct scmp_arg_cmp condition)
{
	int number = number_of(name);

	if (number != __NR_SCMP_ERROR)
		note(f, seccomp_rule_add_array(
			    f->ctx, action, number, 1, &condition));
}

static void
add_all(struct filter *f, uint32_t action, const char *const names[], size_t n)
{
	for (size_t i = 0; i < n; i++)
		add(f, action, names[i]);
}

static struct scmp_arg_cmp
is(unsigned arg, unsigned long value)
{
	return SCMP_CMP(arg, SCMP_CMP_EQ, value, 0);
}

static struct scmp_arg_cmp
has(unsigned arg, unsigned long mask, unsigned long value)
{
	return SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, mask, value);
}

/* ---- what is allowed with limits --------------------------------------- */

static bool
is_allowed_family(int family, unsigned needs)
{
	if (family == AF_UNIX)
		return true;
	if (family == AF_NETLINK) /* of libc: its addresses */
		return (needs & SYSCALLS_THREADS) != 0;
	return (family == AF_INET || family == AF_INET6) &&
	       (needs & SYSCALLS_INET) != 0;
}

static unsigned long
all_namespaces(void)
{
	unsigned long flags = 0;

	for (size_t i = 0; i < COUNT(namespaces); i++)
		flags |= namespaces[i];
	return flags;
}

static void
allow_some(struct filter *f, unsigned needs)
{
	if (is_allowed_family(AF_NETLINK, needs))
		note(f, seccomp_rule_add(f->ctx, SCMP_ACT_ALLOW,
			    number_of("socket"), 2, is(0, AF_NETLINK),
			    is(2, NETLINK_ROUTE)));
	for (int family = 0; family < AF_MAX; family++)
		if (family != AF_NETLINK && is_allowed_family(family, needs)) {
			add_if(f, SCMP_ACT_ALLOW, "socket",
			    is(0, (unsigned long)family));
			add_if(f, SCMP_ACT_ALLOW, "socketpair",
			    is(0, (unsigned long)family));
		}
	for (size_t i = 0; i < COUNT(ioctls); i++)
		add_if(f, SCMP_ACT_ALLOW, "ioctl", is(1, ioctls[i]));
	for (size_t i = 0; i < COUNT(prctls); i++)
		add_if(f, SCMP_ACT_ALLOW, "prctl", is(0, prctls[i]));
	/* Limits may be read; no process has address 0 to set them from. */
	add_if(f, SCMP_ACT_ALLOW, "prlimit64", is(2, 0));
	if ((needs & (SYSCALLS_FORK | SYSCALLS_THREADS)) != 0)
		add_if(f, SCMP_ACT_ALLOW, "clone",
		    has(CLONE_FLAGS, all_namespaces(), 0));
}

static void
allow(struct filter *f, unsigned needs)
{
	add_all(f, SCMP_ACT_ALLOW, allowed, COUNT(allowed));
	if ((needs & SYSCALLS_MAKE_FILES) != 0)
		add_all(f, SCMP_ACT_ALLOW, making_files, COUNT(making_files));
	if ((needs & SYSCALLS_FORK) != 0)
		add_all(f, SCMP_ACT_ALLOW, forking, COUNT(forking));
	allow_some(f, needs);
	/* Its flags are in memory, where a filter cannot look: libc then calls
	 * clone(). */
	add(f, SCMP_ACT_ERRNO(ENOSYS), "clone3");
}

static void
deny(struct filter *f, uint32_t action, unsigned needs)
{
	add_all(f, action, denied, COUNT(denied));
	for (size_t i = 0; i < COUNT(namespaces); i++)
		add_if(f, action, "clone",
		    has(CLONE_FLAGS, namespaces[i], namespaces[i]));
	for (int family = 0; family < AF_MAX; family++)
		if (!is_allowed_family(family, needs))
			add_if(
			    f, action, "socket", is(0, (unsigned long)family));
}

/* ---- the filter -------------------------------------------------------- */

/* The highest number with a name. */
static int
newest(void)
{
	int highest = 0;

	for (int i = 0; i < 1024; i++) {
		char *name =
		    seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);

		if (name != NULL)
			highest = i;
		free(name);
	}
	return highest;
}

static void
set_attributes(struct filter *f)
{
	note(f, seccomp_attr_set(
		    f->ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM)));
	/* A search by halves, instead of one comparison for each name. */
	(void)seccomp_attr_set(f->ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
}

/* What the child that compiles says first; the program follows. */
struct head {
	int error;
	int newest;
};

enum { PROGRAM_MAX = BPF_MAXINSNS * sizeof(struct sock_filter) };

struct syscalls {
	struct head head;
	alignas(struct sock_filter) char program[PROGRAM_MAX];
	size_t size; /* of what is in program */
};

/* In the child: does not return. */
static void
compile(enum syscalls_mode mode, unsigned needs, int fd)
{
	uint32_t refuse =
	    refusals_can_answer() ? SCMP_ACT_TRAP : SCMP_ACT_ERRNO(EPERM);
	struct filter f = {.error = 0};
	struct head head = {.error = 0};

	(void)prctl(PR_SET_NAME, "lane-filter");
	head.newest = newest();
	f.ctx = seccomp_init(mode == SYSCALLS_ALLOWED ? refuse : SCMP_ACT_LOG);
	if (f.ctx == NULL)
		_exit(1);
	set_attributes(&f);
	allow(&f, needs);
	if (mode != SYSCALLS_ALLOWED)
		deny(&f, refuse, needs);
	/* Around fork() glibc 2.41 blocks all signals: a call that is trapped
	 * there ends the process in the place of failing. */
	else if (refuse == SCMP_ACT_TRAP &&
		 (needs & (SYSCALLS_FORK | SYSCALLS_THREADS)) == 0)
		add(&f, SCMP_ACT_ERRNO(EPERM), "clone");
	head.error = f.error;
	if (write(fd, &head, sizeof(head)) != (ssize_t)sizeof(head) ||
	    (f.error == 0 && seccomp_export_bpf(f.ctx, fd) != 0))
		_exit(1);
	_exit(0);
}

/* To the end or until it is full. -1: an error. */
static ssize_t
read_all(int fd, void *p, size_t size)
{
	size_t done = 0;
	ssize_t n;

	while (done < size) {
		n = read(fd, (char *)p + done, size - done);
		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			return -1;
		done += n > 0 ? (size_t)n : 0;
	}
	return (ssize_t)done;
}

static bool
has_ended_well(pid_t pid)
{
	int status;
	pid_t got;

	do
		got = waitpid(pid, &status, 0);
	while (got < 0 && errno == EINTR);
	return got == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* 0 or an errno. */
static int
take(struct syscalls *s, pid_t pid, int fd)
{
	ssize_t n = read_all(fd, s, offsetof(struct syscalls, size));
	int error = n < 0 ? errno : 0;

	if (!has_ended_well(pid) || n < (ssize_t)sizeof(s->head))
		return error != 0 ? error : EAGAIN;
	s->size = (size_t)n - offsetof(struct syscalls, program);
	return s->head.error;
}

/* libseccomp dies where memory fails it: it works in a child, and whatever
 * becomes of that is an error here. */
struct syscalls *
syscalls_compile(enum syscalls_mode mode, unsigned needs)
{
	struct syscalls *s;
	int fds[2], error;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return NULL;
	s = mem_zalloc(sizeof(*s));
	pid = fork();
	error = pid < 0 ? errno : 0;
	if (pid == 0)
		compile(mode, needs, fds[1]);
	(void)close(fds[1]);
	if (error == 0)
		error = take(s, pid, fds[0]);
	(void)close(fds[0]);
	if (error != 0) {
		mem_free(s);
		errno = error;
		return NULL;
	}
	return s;
}

/* As libseccomp would, whose flags these are: for all threads; without a
 * mitigation that is for programs that run others' code, which older kernels
 * do not know to leave out. */
static int
load(const struct sock_fprog *program)
{
	const unsigned flags[] = {
	    SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW,
	    SECCOMP_FILTER_FLAG_TSYNC};
	long rc = -1;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return errno;
	for (size_t i = 0; i < COUNT(flags) && rc != 0; i++) {
		rc = syscall(
		    SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags[i], program);
		if (rc < 0 && errno != EINVAL)
			return errno;
	}
	if (rc > 0) /* a thread that has another filter */
		return EBUSY;
	return rc == 0 ? 0 : errno;
}

int
syscalls_enter(struct syscalls **syscalls, struct loop *loop)
{
	struct syscalls *s = *syscalls;
	struct sock_fprog program = {
	    .len = (unsigned short)(s->size / sizeof(struct sock_filter)),
	    .filter = (struct sock_filter *)s->program};
	int error;

	CHECK(s->size > 0 && s->size % sizeof(struct sock_filter) == 0);
	error = refusals_catch(loop, s->head.newest) ? load(&program) : errno;

	*syscalls = NULL;
	mem_free(s);
	return error;
}
