/* faults: a preloaded library that makes system calls fail on order.
 *
 *   LD_PRELOAD=build/faults.so FAULTS=fork:1:EAGAIN,write@rates.:5-:ENOSPC lane
 *
 * FAULTS is a list of orders, CALL[@PART]:FIRST[-[LAST]]:ERROR. The calls of
 * a class (the table below) are counted, those alone whose object has PART in
 * its name if there is one, and the FIRST to the LAST of them fail; "5" is the
 * fifth alone, "5-" all from there on. ERROR is an errno's name, or
 *
 *   KILL    the process dies there
 *   EOF     read and recv see the end, write and send took nothing
 *   SHORT   half of what was asked for is read or written
 *
 * "malloc" is malloc(), calloc() and realloc() until the first accept4(),
 * "memory" those behind it. "loop" is epoll_create1(), "epoll" epoll_ctl(),
 * "drop" what gives up privileges: chroot(), setgid(), initgroups(), setuid().
 *
 * A descriptor's name is the path it was opened by, or what it was connected
 * to ("127.0.0.1:25", a socket's path).
 *
 * FAULTS_PROGRAM names the program that is meant: children that run another
 * one are left alone. FAULTS_ONCE names a file that the first such process
 * makes: where it is there, nothing fails. FAULTS_LOG names a file that gets a
 * line
 *
 *   PID fault CALL NUMBER ERROR    for each call that was made to fail
 *   PID count CALL NUMBER          for each class, when the process exits
 *
 * A process and its forked children count together. Only calls made through
 * the dynamic linker are seen: none of libc's own. Without the sanitizers,
 * which have an allocator of their own, memory can fail, too.
 */
#undef _FORTIFY_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define CALLS(X)                                                               \
	X(fork)                                                                \
	X(spawn)                                                               \
	X(pipe)                                                                \
	X(socket)                                                              \
	X(connect)                                                             \
	X(accept)                                                              \
	X(open)                                                                \
	X(stat)                                                                \
	X(read)                                                                \
	X(write)                                                               \
	X(recv)                                                                \
	X(send)                                                                \
	X(fsync)                                                               \
	X(lock)                                                                \
	X(dup)                                                                 \
	X(allocate)                                                            \
	X(chmod)                                                               \
	X(chown)                                                               \
	X(mkdir)                                                               \
	X(rename)                                                              \
	X(unlink)                                                              \
	X(mmap)                                                                \
	X(epoll)                                                               \
	X(loop)                                                                \
	X(drop)                                                                \
	X(malloc)                                                              \
	X(memory)

#define ROW(name) CALL_##name,
enum call { CALLS(ROW) CALL_COUNT };
#undef ROW
#define ROW(name) #name,
static const char *const call_names[CALL_COUNT] = {CALLS(ROW)};
#undef ROW

enum { ORDERS_MAX = 16, FDS_MAX = 1024, NAME_SIZE = 96 };
/* What a call is to do; above the numbers of errno. */
enum { FAULT_NONE, FAULT_KILL = 1001, FAULT_EOF, FAULT_SHORT };

struct order {
	enum call call;
	char part[NAME_SIZE];
	unsigned long first, last, seen;
	int fault;
	char word[24];
};

static struct order *orders; /* shared with children */
static int order_count;
static unsigned long counts[CALL_COUNT];
static char fd_names[FDS_MAX][NAME_SIZE];
static int log_fd = -1;
static bool is_on;

/* ---- orders ------------------------------------------------------------ */

static void put_line(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

static void
put_line(const char *format, ...)
{
	char line[256];
	va_list ap;
	int n;

	if (log_fd < 0)
		return;
	va_start(ap, format);
	n = vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (n > 0)
		(void)syscall(SYS_write, log_fd, line,
		    (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

/* A wrong order must not look like a fault survived. */
static void
die(const char *what)
{
	(void)syscall(SYS_write, 2, "FAULTS: wrong order: ", 21);
	(void)syscall(SYS_write, 2, what, strlen(what));
	(void)syscall(SYS_write, 2, "\n", 1);
	put_line("%d wrong order: %s\n", (int)getpid(), what);
	(void)syscall(SYS_exit_group, 97);
}

static enum call
find_call(const char *name, const char *order)
{
	for (int i = 0; i < CALL_COUNT; i++)
		if (strcmp(call_names[i], name) == 0)
			return (enum call)i;
	die(order);
	return CALL_COUNT;
}

static int
find_fault(const char *word, const char *order)
{
	if (strcmp(word, "KILL") == 0)
		return FAULT_KILL;
	if (strcmp(word, "EOF") == 0)
		return FAULT_EOF;
	if (strcmp(word, "SHORT") == 0)
		return FAULT_SHORT;
	for (int i = 1; i < FAULT_KILL; i++) {
		const char *name = strerrorname_np(i);

		if (name != NULL && strcmp(name, word) == 0)
			return i;
	}
	die(order);
	return FAULT_NONE;
}

static void
add_order(const char *text)
{
	struct order *o = &orders[order_count];
	char name[NAME_SIZE], range[32], *at, *end;

	if (order_count == ORDERS_MAX ||
	    sscanf(text, "%95[^:]:%31[0-9-]:%23[A-Z0-9]", name, range,
		o->word) != 3)
		die(text);
	at = strchr(name, '@');
	if (at != NULL) {
		*at = '\0';
		(void)snprintf(o->part, sizeof(o->part), "%s", at + 1);
	}
	o->call = find_call(name, text);
	o->fault = find_fault(o->word, text);
	o->first = o->last = strtoul(range, &end, 10);
	if (*end == '-')
		o->last = end[1] != '\0' ? strtoul(end + 1, NULL, 10) : ~0UL;
	if (o->first == 0 || o->last < o->first)
		die(text);
	order_count++;
}

static void __attribute__((constructor)) begin(void)
{
	const char *list = getenv("FAULTS"), *log = getenv("FAULTS_LOG");
	const char *program = getenv("FAULTS_PROGRAM");
	const char *once = getenv("FAULTS_ONCE");
	char text[1024], *save = NULL;

	if (program != NULL &&
	    strcmp(program, program_invocation_short_name) != 0)
		return;
	if (once != NULL &&
	    syscall(SYS_openat, AT_FDCWD, once,
		O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) < 0)
		return;
	if (log != NULL)
		log_fd = (int)syscall(SYS_openat, AT_FDCWD, log,
		    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	orders = (void *)syscall(SYS_mmap, NULL, ORDERS_MAX * sizeof(*orders),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (orders == MAP_FAILED)
		die("no memory");
	if (list != NULL) {
		(void)snprintf(text, sizeof(text), "%s", list);
		for (char *t = strtok_r(text, ",", &save); t != NULL;
		     t = strtok_r(NULL, ",", &save))
			add_order(t);
	}
	is_on = true;
}

static void __attribute__((destructor)) end(void)
{
	for (int i = 0; is_on && i < CALL_COUNT; i++)
		if (counts[i] > 0)
			put_line("%d count %s %lu\n", (int)getpid(),
			    call_names[i], counts[i]);
	is_on = false;
}

/* What is to happen to this call of the class. */
static int
judge(enum call call, const char *name)
{
	int fault = FAULT_NONE;

	if (!is_on)
		return FAULT_NONE;
	(void)__atomic_add_fetch(&counts[call], 1, __ATOMIC_RELAXED);
	for (int i = 0; i < order_count; i++) {
		struct order *o = &orders[i];
		unsigned long n;

		if (o->call != call ||
		    (o->part[0] != '\0' &&
			(name == NULL || strstr(name, o->part) == NULL)))
			continue;
		n = __atomic_add_fetch(&o->seen, 1, __ATOMIC_RELAXED);
		if (n < o->first || n > o->last || fault != FAULT_NONE)
			continue;
		fault = o->fault;
		put_line("%d fault %s %lu %s\n", (int)getpid(),
		    call_names[call], n, o->word);
	}
	if (fault == FAULT_KILL)
		/* kill(2) is not allowed to a process that does not fork */
		(void)syscall(SYS_tgkill, (int)getpid(),
		    (int)syscall(SYS_gettid), SIGKILL);
	return fault;
}

/* True: the call fails, with errno set. */
static bool
fails(enum call call, const char *name)
{
	int fault = judge(call, name);

	if (fault == FAULT_NONE)
		return false;
	errno = fault < FAULT_KILL ? fault : EIO;
	return true;
}

static const char *
name_of(int fd)
{
	return fd >= 0 && fd < FDS_MAX ? fd_names[fd] : "";
}

static int
named(int fd, const char *name)
{
	size_t n = strlen(name), skip = n >= NAME_SIZE ? n - NAME_SIZE + 1 : 0;

	/* The end of it says more. */
	if (fd >= 0 && fd < FDS_MAX)
		(void)snprintf(fd_names[fd], NAME_SIZE, "%s", name + skip);
	return fd;
}

/* n octets are asked for; true: *result is the answer. */
static bool
transfer_fails(enum call call, int fd, size_t *n, ssize_t *result)
{
	int fault = judge(call, name_of(fd));

	if (fault == FAULT_NONE)
		return false;
	if (fault == FAULT_SHORT) {
		*n = *n > 1 ? *n / 2 : *n;
		return false;
	}
	*result = fault == FAULT_EOF ? 0 : -1;
	if (fault != FAULT_EOF)
		errno = fault;
	return true;
}

/* ---- the calls --------------------------------------------------------- */

#define REAL(name)                                                             \
	static __typeof__(&name) real_##name;                                  \
	if (real_##name == NULL)                                               \
	*(void **)&real_##name = dlsym(RTLD_NEXT, #name)

pid_t
fork(void)
{
	REAL(fork);
	return fails(CALL_fork, NULL) ? -1 : real_fork();
}

#define SPAWN(name)                                                            \
	int name(pid_t *pid, const char *file,                                 \
	    const posix_spawn_file_actions_t *actions,                         \
	    const posix_spawnattr_t *attr, char *const argv[],                 \
	    char *const envp[])                                                \
	{                                                                      \
		REAL(name);                                                    \
		return fails(CALL_spawn, file)                                 \
			   ? errno                                             \
			   : real_##name(                                      \
				 pid, file, actions, attr, argv, envp);        \
	}

SPAWN(posix_spawn)
SPAWN(posix_spawnp)

int
pipe(int fds[2])
{
	REAL(pipe);
	return fails(CALL_pipe, NULL) ? -1 : real_pipe(fds);
}

int
pipe2(int fds[2], int flags)
{
	REAL(pipe2);
	return fails(CALL_pipe, NULL) ? -1 : real_pipe2(fds, flags);
}

int
socketpair(int domain, int type, int protocol, int fds[2])
{
	REAL(socketpair);
	return fails(CALL_pipe, NULL)
		   ? -1
		   : real_socketpair(domain, type, protocol, fds);
}

int
socket(int domain, int type, int protocol)
{
	REAL(socket);
	if (fails(CALL_socket, NULL))
		return -1;
	return named(real_socket(domain, type, protocol), "");
}

static void
name_address(const struct sockaddr *a, char *name, size_t n)
{
	const void *p = a;

	*name = '\0';
	if (a == NULL)
		return;
	if (a->sa_family == AF_UNIX) {
		const struct sockaddr_un *un = p;

		(void)snprintf(name, n, "%.*s", (int)n - 1, un->sun_path);
	} else if (a->sa_family == AF_INET) {
		const struct sockaddr_in *in = p;

		(void)inet_ntop(AF_INET, &in->sin_addr, name, (socklen_t)n);
		(void)snprintf(name + strlen(name), n - strlen(name), ":%u",
		    ntohs(in->sin_port));
	}
}

int
connect(int fd, const struct sockaddr *address, socklen_t n)
{
	char name[NAME_SIZE];

	REAL(connect);
	name_address(address, name, sizeof(name));
	(void)named(fd, name);
	return fails(CALL_connect, name) ? -1 : real_connect(fd, address, n);
}

int
accept4(int fd, struct sockaddr *address, socklen_t *n, int flags)
{
	REAL(accept4);
	if (fails(CALL_accept, NULL))
		return -1;
	return named(real_accept4(fd, address, n, flags), "");
}

static mode_t
mode_of(int flags, va_list ap)
{
	return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE
		   ? (mode_t)va_arg(ap, unsigned)
		   : 0;
}

static int
open_it(int dir, const char *path, int flags, mode_t mode)
{
	if (fails(CALL_open, path))
		return -1;
	return named((int)syscall(SYS_openat, dir, path, flags, mode), path);
}

#define OPEN(name, chk)                                                        \
	int name(const char *path, int flags, ...)                             \
	{                                                                      \
		va_list ap;                                                    \
		mode_t mode;                                                   \
                                                                               \
		va_start(ap, flags);                                           \
		mode = mode_of(flags, ap);                                     \
		va_end(ap);                                                    \
		return open_it(AT_FDCWD, path, flags, mode);                   \
	}                                                                      \
	int chk(const char *path, int flags);                                  \
	int chk(const char *path, int flags)                                   \
	{                                                                      \
		return open_it(AT_FDCWD, path, flags, 0);                      \
	}
OPEN(open, __open_2)
OPEN(open64, __open64_2)

#define OPENAT(name, chk)                                                      \
	int name(int dir, const char *path, int flags, ...)                    \
	{                                                                      \
		va_list ap;                                                    \
		mode_t mode;                                                   \
                                                                               \
		va_start(ap, flags);                                           \
		mode = mode_of(flags, ap);                                     \
		va_end(ap);                                                    \
		return open_it(dir, path, flags, mode);                        \
	}                                                                      \
	int chk(int dir, const char *path, int flags);                         \
	int chk(int dir, const char *path, int flags)                          \
	{                                                                      \
		return open_it(dir, path, flags, 0);                           \
	}
OPENAT(openat, __openat_2)
OPENAT(openat64, __openat64_2)

int
stat(const char *path, struct stat *st)
{
	REAL(stat);
	return fails(CALL_stat, path) ? -1 : real_stat(path, st);
}

int
lstat(const char *path, struct stat *st)
{
	REAL(lstat);
	return fails(CALL_stat, path) ? -1 : real_lstat(path, st);
}

int
fstat(int fd, struct stat *st)
{
	REAL(fstat);
	return fails(CALL_stat, name_of(fd)) ? -1 : real_fstat(fd, st);
}

int
fstatat(int dir, const char *path, struct stat *st, int flags)
{
	REAL(fstatat);
	return fails(CALL_stat, path) ? -1 : real_fstatat(dir, path, st, flags);
}

ssize_t
read(int fd, void *p, size_t n)
{
	ssize_t result;

	REAL(read);
	return transfer_fails(CALL_read, fd, &n, &result) ? result
							  : real_read(fd, p, n);
}

ssize_t
pread(int fd, void *p, size_t n, off_t at)
{
	ssize_t result;

	REAL(pread);
	return transfer_fails(CALL_read, fd, &n, &result)
		   ? result
		   : real_pread(fd, p, n, at);
}

ssize_t
readv(int fd, const struct iovec *v, int count)
{
	REAL(readv);
	return fails(CALL_read, name_of(fd)) ? -1 : real_readv(fd, v, count);
}

ssize_t
write(int fd, const void *p, size_t n)
{
	ssize_t result;

	REAL(write);
	return transfer_fails(CALL_write, fd, &n, &result)
		   ? result
		   : real_write(fd, p, n);
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	ssize_t result;

	REAL(pwrite);
	return transfer_fails(CALL_write, fd, &n, &result)
		   ? result
		   : real_pwrite(fd, p, n, at);
}

ssize_t
writev(int fd, const struct iovec *v, int count)
{
	REAL(writev);
	return fails(CALL_write, name_of(fd)) ? -1 : real_writev(fd, v, count);
}

ssize_t
recv(int fd, void *p, size_t n, int flags)
{
	ssize_t result;

	REAL(recv);
	return transfer_fails(CALL_recv, fd, &n, &result)
		   ? result
		   : real_recv(fd, p, n, flags);
}

ssize_t
recvfrom(int fd, void *restrict p, size_t n, int flags,
    struct sockaddr *restrict from, socklen_t *restrict from_n)
{
	ssize_t result;

	REAL(recvfrom);
	return transfer_fails(CALL_recv, fd, &n, &result)
		   ? result
		   : real_recvfrom(fd, p, n, flags, from, from_n);
}

ssize_t
send(int fd, const void *p, size_t n, int flags)
{
	ssize_t result;

	REAL(send);
	return transfer_fails(CALL_send, fd, &n, &result)
		   ? result
		   : real_send(fd, p, n, flags);
}

ssize_t
sendmsg(int fd, const struct msghdr *m, int flags)
{
	REAL(sendmsg);
	return fails(CALL_send, name_of(fd)) ? -1 : real_sendmsg(fd, m, flags);
}

/* With _FORTIFY_SOURCE calls may come by these names. */
ssize_t __read_chk(int fd, void *p, size_t n, size_t room);
ssize_t
__read_chk(int fd, void *p, size_t n, size_t room)
{
	return n > room ? (abort(), -1) : read(fd, p, n);
}

ssize_t __pread_chk(int fd, void *p, size_t n, off_t at, size_t room);
ssize_t
__pread_chk(int fd, void *p, size_t n, off_t at, size_t room)
{
	return n > room ? (abort(), -1) : pread(fd, p, n, at);
}

ssize_t __recv_chk(int fd, void *p, size_t n, size_t room, int flags);
ssize_t
__recv_chk(int fd, void *p, size_t n, size_t room, int flags)
{
	return n > room ? (abort(), -1) : recv(fd, p, n, flags);
}

#define BY_DESCRIPTOR(call, name, parameters, arguments)                       \
	int name parameters                                                    \
	{                                                                      \
		REAL(name);                                                    \
		return fails(CALL_##call, name_of(fd))                         \
			   ? -1                                                \
			   : real_##name arguments;                            \
	}

BY_DESCRIPTOR(fsync, fsync, (int fd), (fd))
BY_DESCRIPTOR(fsync, fdatasync, (int fd), (fd))
BY_DESCRIPTOR(dup, dup, (int fd), (fd))
BY_DESCRIPTOR(allocate, ftruncate, (int fd, off_t n), (fd, n))
BY_DESCRIPTOR(chmod, fchmod, (int fd, mode_t mode), (fd, mode))
BY_DESCRIPTOR(chown, fchown, (int fd, uid_t uid, gid_t gid), (fd, uid, gid))

static int
control(int fd, int what, void *arg)
{
	const struct flock *lock = arg;

	if (what == F_OFD_SETLK || what == F_SETLK) {
		if (lock->l_type != F_UNLCK && fails(CALL_lock, name_of(fd)))
			return -1;
	} else if (what == F_DUPFD || what == F_DUPFD_CLOEXEC) {
		if (fails(CALL_dup, name_of(fd)))
			return -1;
	}
	return (int)syscall(SYS_fcntl, fd, what, arg);
}

#define FCNTL(name)                                                            \
	int name(int fd, int what, ...)                                        \
	{                                                                      \
		va_list ap;                                                    \
		void *arg;                                                     \
                                                                               \
		va_start(ap, what);                                            \
		arg = va_arg(ap, void *);                                      \
		va_end(ap);                                                    \
		return control(fd, what, arg);                                 \
	}
FCNTL(fcntl)
FCNTL(fcntl64)

int
flock(int fd, int what)
{
	REAL(flock);
	return fails(CALL_lock, name_of(fd)) ? -1 : real_flock(fd, what);
}

int
posix_fallocate(int fd, off_t at, off_t n)
{
	REAL(posix_fallocate);
	return fails(CALL_allocate, name_of(fd))
		   ? errno
		   : real_posix_fallocate(fd, at, n);
}

int
mkdirat(int dir, const char *path, mode_t mode)
{
	REAL(mkdirat);
	return fails(CALL_mkdir, path) ? -1 : real_mkdirat(dir, path, mode);
}

int
renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	REAL(renameat);
	return fails(CALL_rename, from)
		   ? -1
		   : real_renameat(from_dir, from, to_dir, to);
}

int
unlinkat(int dir, const char *path, int flags)
{
	REAL(unlinkat);
	return fails(CALL_unlink, path) ? -1 : real_unlinkat(dir, path, flags);
}

int
epoll_create1(int flags)
{
	REAL(epoll_create1);
	return fails(CALL_loop, NULL) ? -1 : real_epoll_create1(flags);
}

int
chroot(const char *path)
{
	REAL(chroot);
	return fails(CALL_drop, path) ? -1 : real_chroot(path);
}

int
initgroups(const char *user, gid_t group)
{
	REAL(initgroups);
	return fails(CALL_drop, NULL) ? -1 : real_initgroups(user, group);
}

int
setgid(gid_t gid)
{
	REAL(setgid);
	return fails(CALL_drop, NULL) ? -1 : real_setgid(gid);
}

int
setuid(uid_t uid)
{
	REAL(setuid);
	return fails(CALL_drop, NULL) ? -1 : real_setuid(uid);
}

int
epoll_ctl(int epoll, int what, int fd, struct epoll_event *event)
{
	REAL(epoll_ctl);
	return fails(CALL_epoll, name_of(fd))
		   ? -1
		   : real_epoll_ctl(epoll, what, fd, event);
}

/* By the system call: the allocator maps memory before dlsym() works. */
void *
mmap(void *at, size_t n, int prot, int flags, int fd, off_t off)
{
	long p;

	if (fd >= 0 && fails(CALL_mmap, name_of(fd)))
		return MAP_FAILED;
	p = syscall(SYS_mmap, at, n, prot, flags, fd, off);
	return p == -1 ? MAP_FAILED : (void *)p;
}

void
_exit(int status)
{
	end();
	(void)syscall(SYS_exit_group, status);
	__builtin_unreachable();
}

#ifndef __SANITIZE_ADDRESS__
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t count, size_t n);
extern void *__libc_realloc(void *p, size_t n);

static bool
memory_fails(void)
{
	return fails(
	    counts[CALL_accept] == 0 ? CALL_malloc : CALL_memory, NULL);
}

void *
malloc(size_t n)
{
	return memory_fails() ? NULL : __libc_malloc(n);
}

void *
calloc(size_t count, size_t n)
{
	return memory_fails() ? NULL : __libc_calloc(count, n);
}

void *
realloc(void *p, size_t n)
{
	return memory_fails() ? NULL : __libc_realloc(p, n);
}
#endif
