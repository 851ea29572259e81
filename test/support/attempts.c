#include "test/support/attempts.h"

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

struct attempt_neighbour attempt_neighbour;

int
attempt_result(long rc)
{
	return rc >= 0 ? 0 : errno;
}

int
attempt_closed(int fd)
{
	int error = attempt_result(fd);

	if (fd >= 0)
		(void)close(fd);
	return error;
}

int
attempt_reported(int (*fn)(void))
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

static int
read_shadow(void)
{
	return attempt_closed(open("/etc/shadow", O_RDONLY));
}

static int
read_other_queue(void)
{
	return attempt_closed(open("deferred/B", O_RDONLY));
}

static int
list_other_queue(void)
{
	return attempt_closed(open("deferred", O_RDONLY | O_DIRECTORY));
}

static int
read_outside(void)
{
	return attempt_closed(open("../outside/file", O_RDONLY));
}

static int
write_outside(void)
{
	return attempt_closed(open("../outside/file", O_WRONLY));
}

static int
make_outside(void)
{
	return attempt_closed(open("../outside/new", O_WRONLY | O_CREAT, 0600));
}

static int
remove_outside(void)
{
	return attempt_result(unlink("../outside/loose"));
}

static int
make_in_active(void)
{
	return attempt_closed(open("active/new", O_WRONLY | O_CREAT, 0600));
}

static int
remove_in_active(void)
{
	return attempt_result(unlink("active/loose"));
}

static int
move_out_of_active(void)
{
	return attempt_result(rename("active/moving", "deferred/moving"));
}

static int
cut_in_active(void)
{
	return attempt_closed(open("active/A", O_WRONLY | O_TRUNC));
}

static int
link_in_state(void)
{
	return attempt_result(symlink("/etc", "../state/link"));
}

static int
make_socket_in_state(void)
{
	struct sockaddr_un to = {
	    .sun_family = AF_UNIX, .sun_path = "../state/socket"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	return attempt_result(bind(fd, (struct sockaddr *)&to, sizeof(to)));
}

static int
become_shell(void)
{
	(void)execl("/bin/sh", "sh", "-c", "exit 0", (char *)NULL);
	return errno;
}

int
attempt_shell(void)
{
	return attempt_reported(become_shell);
}

static int
trace_neighbour(void)
{
	int error = attempt_result(
	    ptrace(PTRACE_SEIZE, attempt_neighbour.pid, NULL, NULL));

	if (error == 0)
		(void)ptrace(PTRACE_DETACH, attempt_neighbour.pid, NULL, NULL);
	return error;
}

static int
read_neighbour(void)
{
	int here = 0;
	struct iovec to = {&here, sizeof(here)};
	struct iovec from = {
	    &attempt_neighbour.word, sizeof(attempt_neighbour.word)};

	return attempt_result(
	    process_vm_readv(attempt_neighbour.pid, &to, 1, &from, 1, 0));
}

static int
signal_neighbour(void)
{
	return attempt_result(kill(attempt_neighbour.pid, 0));
}

static int
call_neighbour(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memcpy(to.sun_path + 1, attempt_neighbour.name,
	    strlen(attempt_neighbour.name));
	return attempt_result(connect(fd, (struct sockaddr *)&to,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			strlen(attempt_neighbour.name))));
}

static int
netlink_socket(void)
{
	return attempt_closed(socket(AF_NETLINK, SOCK_RAW, 0));
}

static int
vm_socket(void)
{
	return attempt_closed(socket(AF_VSOCK, SOCK_STREAM, 0));
}

static int
cipher_socket(void)
{
	return attempt_closed(socket(AF_ALG, SOCK_SEQPACKET, 0));
}

static int
packet_socket(void)
{
	return attempt_closed(socket(AF_PACKET, SOCK_RAW, 0));
}

static int
listen_to_all(void)
{
	return attempt_result(listen(socket(AF_INET, SOCK_STREAM, 0), 1));
}

static int
become_root(void)
{
	return attempt_result(setuid(0));
}

/* Which a process without privileges may. */
int
attempt_to_become_itself(void)
{
	return attempt_result(setresuid(geteuid(), geteuid(), geteuid()));
}

static int
mount_proc(void)
{
	return attempt_result(mount("proc", "/proc", "proc", 0, NULL));
}

static int
load_program(void)
{
	union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY,
	    .key_size = 4,
	    .value_size = 4,
	    .max_entries = 1};

	return attempt_closed((int)syscall(SYS_bpf, BPF_MAP_CREATE, &attr, 48));
}

static int
set_up_ring(void)
{
	struct io_uring_params params = {.flags = 0};

	return attempt_closed((int)syscall(SYS_io_uring_setup, 1, &params));
}

static int
use_keys(void)
{
	return attempt_result(syscall(
	    SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1));
}

static int
handle_faults(void)
{
	return attempt_closed(
	    (int)syscall(SYS_userfaultfd, 1)); /* of user mode */
}

static int
leave_namespace(void)
{
	return attempt_result(unshare(CLONE_NEWUSER));
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
	return attempt_result(pid);
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
	return attempt_result(pid);
}

static int
count_events(void)
{
	struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE,
	    .size = sizeof(attr),
	    .exclude_kernel = 1};

	return attempt_closed(
	    (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0));
}

static int
make_program_in_memory(void)
{
	return attempt_closed((int)syscall(SYS_memfd_create, "x", 0));
}

static int
make_device(void)
{
	return attempt_result(
	    mknod("../state/device", S_IFCHR | 0600, makedev(1, 3)));
}

static int
let_itself_be_traced(void)
{
	return attempt_result(prctl(PR_SET_DUMPABLE, 1));
}

static int
raise_limit(void)
{
	struct rlimit limit = {0, 0};

	return attempt_result(setrlimit(RLIMIT_CORE, &limit));
}

static int
change_personality(void)
{
	return attempt_result(personality(ADDR_NO_RANDOMIZE));
}

static int
make_shared_memory(void)
{
	return attempt_result(
	    syscall(SYS_shmget, 0x706f7374, 4096, 01000 | 0600));
}

/* What a process needs. */
static int
work(void)
{
	struct stat st;
	char octet;

	if (attempt_closed(open("active/A", O_RDWR)) != 0 ||
	    attempt_closed(open("active", O_RDONLY | O_DIRECTORY)) != 0 ||
	    attempt_closed(
		open("../state/new", O_RDWR | O_CREAT | O_TRUNC, 0600)) != 0 ||
	    rename("../state/new", "../state/other") != 0 ||
	    unlink("../state/other") != 0 || stat("deferred/B", &st) != 0 ||
	    attempt_closed(open("/etc/passwd", O_RDONLY)) != 0 ||
	    attempt_closed(open("/dev/null", O_RDWR)) != 0 ||
	    attempt_closed(socket(AF_UNIX, SOCK_STREAM, 0)) != 0 ||
	    attempt_closed(socket(AF_INET, SOCK_STREAM, 0)) != 0 ||
	    attempt_closed(socket(AF_INET6, SOCK_STREAM, 0)) == EPERM ||
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
	return attempt_reported(nothing) == 7 ? 0 : ECHILD;
}

const struct attempt attempts[] = {
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
    {"run a shell", attempt_shell, 0, EPERM, 0},
    {"trace a neighbour", trace_neighbour, 0, EPERM, 0},
    {"read a neighbour's memory", read_neighbour, 0, EPERM, 0},
    {"signal a neighbour", signal_neighbour, 0, EPERM, 6},
    {"call a neighbour", call_neighbour, 0, EPERM, 6},
    {"a socket of netlink", netlink_socket, 0, EPERM, 0},
    {"a socket to a host machine", vm_socket, ATTEMPT_ANY, EPERM, 0},
    {"a socket of ciphers", cipher_socket, ATTEMPT_ANY, EPERM, 0},
    {"a socket of packets", packet_socket, EPERM, EPERM, 0},
    {"listen", listen_to_all, 0, EPERM, 0},
    {"become root", become_root, EPERM, EPERM, 0},
    {"become oneself", attempt_to_become_itself, 0, EPERM, 0},
    {"mount", mount_proc, EPERM, EPERM, 0},
    {"bpf", load_program, ATTEMPT_ANY, EPERM, 0},
    {"io_uring", set_up_ring, ATTEMPT_ANY, EPERM, 0},
    {"keys", use_keys, ATTEMPT_ANY, EPERM, 0},
    {"userfaultfd", handle_faults, ATTEMPT_ANY, EPERM, 0},
    {"unshare", leave_namespace, ATTEMPT_ANY, EPERM, 0},
    {"clone with a namespace", fork_into_namespace, ATTEMPT_ANY, EPERM, 0},
    {"clone3", fork_unseen, 0, ENOSYS, 0},
    {"perf", count_events, ATTEMPT_ANY, EPERM, 0},
    {"a file in memory", make_program_in_memory, 0, EPERM, 0},
    {"make a device", make_device, EPERM, EPERM, 0},
    {"let oneself be traced", let_itself_be_traced, 0, EPERM, 0},
    {"set a limit", raise_limit, 0, EPERM, 0},
    {"change personality", change_personality, 0, EPERM, 0},
    {"shared memory", make_shared_memory, ATTEMPT_ANY, EPERM, 0},
};

_Static_assert(sizeof(attempts) / sizeof(attempts[0]) == ATTEMPTS, "ATTEMPTS");
