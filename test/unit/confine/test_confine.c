/* Each right that a lane does without is tried, by a process that entered the
 * sandbox as a lane does, and by one that gave up its privileges alone: what is
 * refused to the first and not to the second, the sandbox refuses. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/landlock.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/confine/confine.h"
#include "agent/confine/refusals.h"
#include "agent/postfix/master.h"
#include "agent/settings/params.h"
#include "common/base/log.h"
#include "test/support/owner.h"
#include "test/support/scratch.h"

enum { NEEDS = SYSCALLS_INET | SYSCALLS_FORK | SYSCALLS_MAKE_FILES };

static struct settings set;
static struct loop *loop;
static pid_t neighbour; /* of the same user, which lets itself be traced */
static char abstract[64]; /* where it listens */
static int neighbours_word;
static char logged[4096];

/* 0, or the errno of what failed. */
static int
result(long rc)
{
	return rc >= 0 ? 0 : errno;
}

static int
closed(int fd)
{
	int error = result(fd);

	if (fd >= 0)
		(void)close(fd);
	return error;
}

/* Of a child of this process. */
static int
reported(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fn());
	if (pid < 0)
		return errno;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000;
}

/* ---- attempts ---------------------------------------------------------- */

static int
read_shadow(void)
{
	return closed(open("/etc/shadow", O_RDONLY));
}

static int
read_other_queue(void)
{
	return closed(open("deferred/B", O_RDONLY));
}

static int
list_other_queue(void)
{
	return closed(open("deferred", O_RDONLY | O_DIRECTORY));
}

static int
read_outside(void)
{
	return closed(open("../outside/file", O_RDONLY));
}

static int
write_outside(void)
{
	return closed(open("../outside/file", O_WRONLY));
}

static int
make_outside(void)
{
	return closed(open("../outside/new", O_WRONLY | O_CREAT, 0600));
}

static int
remove_outside(void)
{
	return result(unlink("../outside/loose"));
}

static int
make_in_active(void)
{
	return closed(open("active/new", O_WRONLY | O_CREAT, 0600));
}

static int
remove_in_active(void)
{
	return result(unlink("active/loose"));
}

static int
move_out_of_active(void)
{
	return result(rename("active/moving", "deferred/moving"));
}

static int
cut_in_active(void)
{
	return closed(open("active/A", O_WRONLY | O_TRUNC));
}

static int
link_in_state(void)
{
	return result(symlink("/etc", "../state/link"));
}

static int
make_socket_in_state(void)
{
	struct sockaddr_un to = {
	    .sun_family = AF_UNIX, .sun_path = "../state/socket"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	return result(bind(fd, (struct sockaddr *)&to, sizeof(to)));
}

static int
become_shell(void)
{
	(void)execl("/bin/sh", "sh", "-c", "exit 0", (char *)NULL);
	return errno;
}

static int
run_shell(void)
{
	return reported(become_shell);
}

static int
trace_neighbour(void)
{
	int error = result(ptrace(PTRACE_SEIZE, neighbour, NULL, NULL));

	if (error == 0)
		(void)ptrace(PTRACE_DETACH, neighbour, NULL, NULL);
	return error;
}

static int
read_neighbour(void)
{
	int here = 0;
	struct iovec to = {&here, sizeof(here)};
	struct iovec from = {&neighbours_word, sizeof(neighbours_word)};

	return result(process_vm_readv(neighbour, &to, 1, &from, 1, 0));
}

static int
signal_neighbour(void)
{
	return result(kill(neighbour, 0));
}

static int
call_neighbour(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memcpy(to.sun_path + 1, abstract, strlen(abstract));
	return result(connect(fd, (struct sockaddr *)&to,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			strlen(abstract))));
}

static int
netlink_socket(void)
{
	return closed(socket(AF_NETLINK, SOCK_RAW, 0));
}

static int
vm_socket(void)
{
	return closed(socket(AF_VSOCK, SOCK_STREAM, 0));
}

static int
cipher_socket(void)
{
	return closed(socket(AF_ALG, SOCK_SEQPACKET, 0));
}

static int
packet_socket(void)
{
	return closed(socket(AF_PACKET, SOCK_RAW, 0));
}

static int
listen_to_all(void)
{
	return result(listen(socket(AF_INET, SOCK_STREAM, 0), 1));
}

static int
become_root(void)
{
	return result(setuid(0));
}

/* Which a process without privileges may. */
static int
become_itself(void)
{
	return result(setresuid(geteuid(), geteuid(), geteuid()));
}

static int
mount_proc(void)
{
	return result(mount("proc", "/proc", "proc", 0, NULL));
}

static int
load_program(void)
{
	union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY,
	    .key_size = 4,
	    .value_size = 4,
	    .max_entries = 1};

	return closed((int)syscall(SYS_bpf, BPF_MAP_CREATE, &attr, 48));
}

static int
set_up_ring(void)
{
	struct io_uring_params params = {.flags = 0};

	return closed((int)syscall(SYS_io_uring_setup, 1, &params));
}

static int
use_keys(void)
{
	return result(syscall(
	    SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1));
}

static int
handle_faults(void)
{
	return closed((int)syscall(SYS_userfaultfd, 1)); /* of user mode */
}

static int
leave_namespace(void)
{
	return result(unshare(CLONE_NEWUSER));
}

static int
fork_into_namespace(void)
{
	long pid =
	    syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0)
		_exit(0);
	if (pid > 0)
		(void)waitpid((pid_t)pid, NULL, 0);
	return result(pid);
}

static int
fork_unseen(void)
{
	struct clone_args args = {.exit_signal = SIGCHLD};
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	if (pid == 0)
		_exit(0);
	if (pid > 0)
		(void)waitpid((pid_t)pid, NULL, 0);
	return result(pid);
}

static int
count_events(void)
{
	struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE,
	    .size = sizeof(attr),
	    .exclude_kernel = 1};

	return closed((int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0));
}

static int
make_program_in_memory(void)
{
	return closed((int)syscall(SYS_memfd_create, "x", 0));
}

static int
make_device(void)
{
	return result(mknod("../state/device", S_IFCHR | 0600, makedev(1, 3)));
}

static int
let_itself_be_traced(void)
{
	return result(prctl(PR_SET_DUMPABLE, 1));
}

static int
raise_limit(void)
{
	struct rlimit limit = {0, 0};

	return result(setrlimit(RLIMIT_CORE, &limit));
}

static int
change_personality(void)
{
	return result(personality(ADDR_NO_RANDOMIZE));
}

static int
make_shared_memory(void)
{
	return result(syscall(SYS_shmget, 0x706f7374, 4096, 01000 | 0600));
}

/* What a process needs. */
static int
work(void)
{
	struct stat st;
	char octet;

	if (closed(open("active/A", O_RDWR)) != 0 ||
	    closed(open("active", O_RDONLY | O_DIRECTORY)) != 0 ||
	    closed(open("../state/new", O_RDWR | O_CREAT | O_TRUNC, 0600)) !=
		0 ||
	    rename("../state/new", "../state/other") != 0 ||
	    unlink("../state/other") != 0 || stat("deferred/B", &st) != 0 ||
	    closed(open("/etc/passwd", O_RDONLY)) != 0 ||
	    closed(open("/dev/null", O_RDWR)) != 0 ||
	    closed(socket(AF_UNIX, SOCK_STREAM, 0)) != 0 ||
	    closed(socket(AF_INET, SOCK_STREAM, 0)) != 0 ||
	    closed(socket(AF_INET6, SOCK_STREAM, 0)) == EPERM ||
	    getrandom(&octet, 1, 0) != 1)
		return errno != 0 ? errno : 1000;
	return 0;
}

static int
nothing(void)
{
	return 7;
}

static int
make_child(void)
{
	return reported(nothing) == 7 ? 0 : ECHILD;
}

/* ---- what is expected -------------------------------------------------- */

enum { ANY = -1, NO_SUCH = ENOSYS };

static const struct attempt {
	const char *name;
	int (*fn)(void);
	int without; /* ANY: as the kernel is set */
	int confined;
	int version; /* of Landlock, from which on it is refused; 0: seccomp */
} attempts[] = {
    {"work", work, 0, 0, 0},
    {"make a child", make_child, 0, 0, 0},
    {"read /etc/shadow", read_shadow, EACCES, EACCES, 0},
    {"read another queue", read_other_queue, 0, EACCES, 1},
    {"list another queue", list_other_queue, 0, EACCES, 1},
    {"read a file outside", read_outside, 0, EACCES, 1},
    {"write a file outside", write_outside, 0, EACCES, 1},
    {"make a file outside", make_outside, 0, EACCES, 1},
    {"remove a file outside", remove_outside, 0, EACCES, 1},
    {"make a queue file", make_in_active, 0, EACCES, 1},
    {"remove a queue file", remove_in_active, 0, EACCES, 1},
    {"move a queue file", move_out_of_active, 0, EACCES, 1},
    {"cut a queue file", cut_in_active, 0, EACCES, 3},
    {"make a link", link_in_state, 0, EPERM, 0},
    {"make a socket with a name", make_socket_in_state, 0, EACCES, 1},
    {"run a shell", run_shell, 0, EPERM, 0},
    {"trace a neighbour", trace_neighbour, 0, EPERM, 0},
    {"read a neighbour's memory", read_neighbour, 0, EPERM, 0},
    {"signal a neighbour", signal_neighbour, 0, EPERM, 6},
    {"call a neighbour", call_neighbour, 0, EPERM, 6},
    {"a socket of netlink", netlink_socket, 0, EPERM, 0},
    {"a socket to a host machine", vm_socket, ANY, EPERM, 0},
    {"a socket of ciphers", cipher_socket, ANY, EPERM, 0},
    {"a socket of packets", packet_socket, EPERM, EPERM, 0},
    {"listen", listen_to_all, 0, EPERM, 0},
    {"become root", become_root, EPERM, EPERM, 0},
    {"become oneself", become_itself, 0, EPERM, 0},
    {"mount", mount_proc, EPERM, EPERM, 0},
    {"bpf", load_program, ANY, EPERM, 0},
    {"io_uring", set_up_ring, ANY, EPERM, 0},
    {"keys", use_keys, ANY, EPERM, 0},
    {"userfaultfd", handle_faults, ANY, EPERM, 0},
    {"unshare", leave_namespace, ANY, EPERM, 0},
    {"clone with a namespace", fork_into_namespace, ANY, EPERM, 0},
    {"clone3", fork_unseen, 0, NO_SUCH, 0},
    {"perf", count_events, ANY, EPERM, 0},
    {"a file in memory", make_program_in_memory, 0, EPERM, 0},
    {"make a device", make_device, EPERM, EPERM, 0},
    {"let oneself be traced", let_itself_be_traced, 0, EPERM, 0},
    {"set a limit", raise_limit, 0, EPERM, 0},
    {"change personality", change_personality, 0, EPERM, 0},
    {"shared memory", make_shared_memory, ANY, EPERM, 0},
};

enum { ATTEMPTS = sizeof(attempts) / sizeof(attempts[0]) };

static int
landlock_version(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
	    LANDLOCK_CREATE_RULESET_VERSION);
}

/* ---- a place to try them in -------------------------------------------- */

static void
give_away(const char *path)
{
	assert_int_equal(chown(path, set_owner(&set)->pw_uid, (gid_t)-1), 0);
}

static void
make_directory(const char *name)
{
	char inside[64];

	(void)snprintf(inside, sizeof(inside), "%s/loose", name);
	scratch_write(inside, "x");
	give_away(scratch_path(name));
	give_away(scratch_path(inside));
}

/* A queue, a state directory and what is neither, mail_owner's. */
static void
make_place(void)
{
	static const char *const files[] = {
	    "q/active/A", "q/active/moving", "q/deferred/B", "outside/file"};

	assert_int_equal(chmod(scratch_dir(), 0755), 0);
	scratch_write("q/pid", "");
	make_directory("q/active");
	make_directory("q/deferred");
	make_directory("state");
	make_directory("outside");
	for (size_t i = 0; i < 4; i++) {
		scratch_write(files[i], "x");
		give_away(scratch_path(files[i]));
	}
	(void)unlink(scratch_path("state/link"));
	(void)unlink(scratch_path("state/socket"));
	set_by_name(&set, "queue_directory", scratch_path("q"));
	set_by_name(&set, "config_directory", "/etc/postfix");
}

static void
drop(void)
{
	struct options opt = {.unprivileged = true};
	char *error;

	if (!master_drop_privileges(&set, &opt, &error))
		_exit(99);
}

/* Its words on the pipe: it is ready. */
static void
be_neighbour(int ready)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	drop();
	(void)prctl(PR_SET_DUMPABLE, 1);
	(void)prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	memcpy(at.sun_path + 1, abstract, strlen(abstract));
	if (bind(fd, (struct sockaddr *)&at,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			    strlen(abstract))) != 0 ||
	    listen(fd, 10) != 0 || write(ready, "x", 1) != 1)
		_exit(1);
	for (;;)
		(void)pause();
}

static void
enter(const char *mode, unsigned needs)
{
	struct confine c;

	set_by_name(&set, "lane_sandbox", mode);
	confine_begin(&c, &set, loop, needs);
	(void)confine_allow(&c, "active", FILES_READ | FILES_WRITE);
	(void)confine_allow(
	    &c, "../state", FILES_READ | FILES_WRITE | FILES_MAKE);
	confine_enter(&c);
}

static void
keep(void *ctx, enum log_level level, const char *line)
{
	size_t n = strlen(logged);

	(void)ctx;
	(void)level;
	(void)snprintf(logged + n, sizeof(logged) - n, "%s\n", line);
}

static int
set_up(void **state)
{
	int ready[2];
	char octet;

	(void)state;
	params_init(&set);
	make_place();
	(void)snprintf(
	    abstract, sizeof(abstract), "postlane-test-%ld", (long)getpid());
	assert_int_equal(pipe(ready), 0);
	neighbour = fork();
	assert_true(neighbour >= 0);
	if (neighbour == 0)
		be_neighbour(ready[1]);
	assert_int_equal(read(ready[0], &octet, 1), 1);
	(void)close(ready[0]);
	(void)close(ready[1]);
	logged[0] = '\0';
	log_set_sink(keep, NULL);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	(void)kill(neighbour, SIGKILL);
	(void)waitpid(neighbour, NULL, 0);
	settings_free(&set);
	log_set_sink(NULL, NULL);
	return 0;
}

/* All attempts in a child: mode NULL: that gave up its privileges only. */
static void
try_all(const char *mode, int errors[ATTEMPTS])
{
	int *shared = mmap(NULL, ATTEMPTS * sizeof(int), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0 && shared != MAP_FAILED);
	if (pid == 0) {
		drop();
		if (mode != NULL)
			enter(mode, NEEDS);
		for (int i = 0; i < ATTEMPTS; i++)
			shared[i] = attempts[i].fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	memcpy(errors, shared, ATTEMPTS * sizeof(int));
	(void)munmap(shared, ATTEMPTS * sizeof(int));
}

/* ---- tests ------------------------------------------------------------- */

static void
rights_that_a_lane_does_without_are_refused(void **state)
{
	int errors[ATTEMPTS], wrong = 0;

	(void)state;
	try_all("yes", errors);
	for (int i = 0; i < ATTEMPTS; i++)
		if (attempts[i].version <= landlock_version() &&
		    errors[i] != attempts[i].confined) {
			print_error("%s: %s, expected %s\n", attempts[i].name,
			    strerror(errors[i]),
			    strerror(attempts[i].confined));
			wrong++;
		}
	assert_int_equal(wrong, 0);
}

/* Otherwise the test above would test nothing. */
static void
rights_are_there_without_the_sandbox(void **state)
{
	int errors[ATTEMPTS], wrong = 0;

	(void)state;
	try_all(NULL, errors);
	for (int i = 0; i < ATTEMPTS; i++)
		if (attempts[i].without != ANY &&
		    errors[i] != attempts[i].without) {
			print_error("%s: %s, expected %s\n", attempts[i].name,
			    strerror(errors[i]), strerror(attempts[i].without));
			wrong++;
		}
	assert_int_equal(wrong, 0);
}

static const char *const harmless_here[] = {"list another queue",
    "read another queue", "read a file outside", "write a file outside",
    "make a file outside", "remove a file outside", "make a queue file",
    "remove a queue file", "move a queue file", "cut a queue file",
    "make a link", "make a socket with a name", "signal a neighbour",
    "call a neighbour", "listen", "let oneself be traced", "set a limit"};

/* What the list of denied calls does not have is done with "log". */
static void
log_refuses_the_worst_and_lets_the_rest_be(void **state)
{
	int errors[ATTEMPTS];

	(void)state;
	try_all("log", errors);
	for (int i = 0; i < ATTEMPTS; i++) {
		int expected = attempts[i].confined;

		for (size_t k = 0;
		     k < sizeof(harmless_here) / sizeof(harmless_here[0]); k++)
			if (strcmp(attempts[i].name, harmless_here[k]) == 0)
				expected = attempts[i].without;
		if (errors[i] != expected)
			print_error("%s\n", attempts[i].name);
		assert_int_equal(errors[i], expected);
	}
}

static void
no_leaves_all_as_it_is(void **state)
{
	int errors[ATTEMPTS];

	(void)state;
	try_all("no", errors);
	for (int i = 0; i < ATTEMPTS; i++)
		if (attempts[i].without != ANY)
			assert_int_equal(errors[i], attempts[i].without);
}

static void
stop(void *ctx)
{
	loop_stop(ctx);
}

/* In a child, as a filter cannot be taken off; 0: as it should be. */
static int
tells_once(void)
{
	struct loop_timer *t;

	loop = loop_new();
	drop();
	enter("yes", NEEDS);
	for (int i = 0; i < 3; i++)
		(void)become_itself();
	(void)syscall(1000);
	t = loop_timer_new(loop, stop, loop);
	loop_timer_at(t, loop_now_ms(loop) + 50);
	loop_run(loop);
	return strcmp(logged, "warning: sandbox: system call setresuid was "
			      "refused\nwarning: sandbox: system call number "
			      "1000 was refused\n") != 0;
}

static void
refusal_is_told_once(void **state)
{
	(void)state;
	if (!refusals_can_answer())
		skip();
	assert_int_equal(reported(tells_once), 0);
}

/* A program that answers, and asks nobody: made before, and tried with the
 * rights of lanestat. 0: as it should be, or the number of the line. */
static int
calls_nobody(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
	    .sin_addr = {htonl(INADDR_LOOPBACK)},
	    .sin_port = htons(9)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), error;

	drop();
	enter("yes", SYSCALLS_MAKE_FILES);
	if (closed(socket(AF_INET, SOCK_STREAM, 0)) != EPERM)
		return 1;
	if (closed(socket(AF_INET6, SOCK_STREAM, 0)) != EPERM)
		return 2;
	if (closed(socket(AF_UNIX, SOCK_STREAM, 0)) != 0)
		return 3;
	error = result(connect(fd, (struct sockaddr *)&to, sizeof(to)));
	if (landlock_version() >= 4 && error != EACCES)
		return 4;
	if (fork() >= 0 || errno != EPERM)
		return 5;
	return run_shell() == EPERM ? 0 : 6;
}

static void
who_only_answers_calls_nobody(void **state)
{
	(void)state;
	assert_int_equal(reported(calls_nobody), 0);
}

/* libc has an older call in its place. */
static int
call_of_tomorrow(void)
{
	drop();
	enter("yes", NEEDS);
	return syscall(1000) < 0 ? errno : 0;
}

static void
call_that_is_newer_than_the_list_does_not_exist(void **state)
{
	(void)state;
	if (!refusals_can_answer())
		skip();
	assert_int_equal(reported(call_of_tomorrow), ENOSYS);
}

#ifdef __x86_64__
/* getpid() of i386, whose number is another call's here. */
static int
call_by_old_gate(void)
{
	long rc = 20;

	(void)signal(SIGSEGV, SIG_DFL);
	drop();
	enter("yes", NEEDS);
	__asm__ volatile("int $0x80" : "+a"(rc) : : "memory");
	return (int)-rc;
}

static void
call_of_another_architecture_is_refused(void **state)
{
	int error;

	(void)state;
	error = reported(call_by_old_gate);
	/* A kernel without i386 ends the process. */
	assert_true(error == EPERM || error == 1000);
}
#endif

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(rights_that_a_lane_does_without_are_refused),
	    TEST(rights_are_there_without_the_sandbox),
	    TEST(log_refuses_the_worst_and_lets_the_rest_be),
	    TEST(no_leaves_all_as_it_is),
	    TEST(refusal_is_told_once),
	    TEST(who_only_answers_calls_nobody),
	    TEST(call_that_is_newer_than_the_list_does_not_exist),
#ifdef __x86_64__
	    TEST(call_of_another_architecture_is_refused),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
