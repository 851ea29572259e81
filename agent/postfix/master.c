#include "agent/postfix/master.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"

struct master {
	uint32_t generation;
	int listen_count;
	bool is_detached;
	struct loop *loop;
	struct loop_fd *watch;
	loop_fn *fn;
	void *ctx;
};

/* GENERATION is octal. */
static bool
parse_generation(const char *text, uint32_t *out)
{
	char *end;
	unsigned long long n;

	if (text == NULL || *text < '0' || *text > '7')
		return false;
	errno = 0;
	n = strtoull(text, &end, 8);
	*out = (uint32_t)n;
	return errno == 0 && *end == '\0' && n <= UINT32_MAX;
}

static bool
is_socket(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

static bool
is_listening(int fd)
{
	int on = 0;
	socklen_t n = sizeof(on);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &n) == 0 &&
	       on != 0;
}

static void
set_flags(int fd, int status)
{
	int old = fcntl(fd, F_GETFL);

	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (status != 0 && old >= 0)
		(void)fcntl(fd, F_SETFL, old | status);
}

struct master *
master_open(const struct options *opt, char **error_out)
{
	struct master *master;
	uint32_t generation;

	*error_out = NULL;
	if (!parse_generation(getenv("GENERATION"), &generation) ||
	    !is_socket(MASTER_STATUS_FD)) {
		*error_out = mem_printf("%s: must be run by master(8), not by "
					"hand (but with -P or -R): add it to "
					"master.cf",
		    opt->process_name);
		return NULL;
	}
	for (int i = 0; i < opt->socket_count; i++)
		if (!is_listening(MASTER_LISTEN_FD + i)) {
			*error_out =
			    mem_printf("descriptor %d is no listening socket",
				MASTER_LISTEN_FD + i);
			return NULL;
		}
	/* The flow control of cleanup and qmgr: two descriptors more. */
	(void)close(MASTER_FLOW_READ);
	(void)close(MASTER_FLOW_WRITE);
	set_flags(MASTER_STATUS_FD, 0);
	for (int i = 0; i < opt->socket_count; i++)
		set_flags(MASTER_LISTEN_FD + i, O_NONBLOCK);
	master = mem_zalloc(sizeof(*master));
	master->generation = generation;
	master->listen_count = opt->socket_count;
	return master;
}

void
master_close(struct master **master)
{
	if (*master == NULL)
		return;
	loop_unwatch(&(*master)->watch);
	mem_free(*master);
	*master = NULL;
}

int
master_listen_fd(const struct master *master)
{
	CHECK(!master->is_detached);
	return MASTER_LISTEN_FD;
}

static void
tell(struct master *master, enum master_state state)
{
	struct master_status status = {
	    (int32_t)getpid(), master->generation, (int32_t)state};
	ssize_t n;

	if (master->is_detached)
		return;
	do {
		/* SIGPIPE must not end us when master just went away. */
		n = send(
		    MASTER_STATUS_FD, &status, sizeof(status), MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	/* EPIPE: a reload or stop, which the watch will tell. */
	if (n < 0 && errno != EPIPE && errno != ECONNRESET)
		log_warn("cannot report to master: %s", strerror(errno));
}

void
master_taken(struct master *master)
{
	tell(master, MASTER_TAKEN);
}

void
master_avail(struct master *master)
{
	tell(master, MASTER_AVAIL);
}

/* master never writes on this channel; octets would only be in the way. */
static void
on_status(void *ctx, bool readable, bool writable)
{
	struct master *master = ctx;
	char octets[64];
	ssize_t n;

	(void)readable;
	(void)writable;
	n = recv(MASTER_STATUS_FD, octets, sizeof(octets), MSG_DONTWAIT);
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	loop_unwatch(&master->watch);
	master->fn(master->ctx);
}

void
master_watch(struct master *master, struct loop *loop, loop_fn *fn, void *ctx)
{
	CHECK(master->watch == NULL && !master->is_detached);
	master->loop = loop;
	master->fn = fn;
	master->ctx = ctx;
	master->watch = loop_watch(loop, MASTER_STATUS_FD, on_status, master);
	loop_want(master->watch, true, false);
}

void
master_detach(struct master *master)
{
	if (master->is_detached)
		return;
	master->is_detached = true;
	loop_unwatch(&master->watch);
	(void)close(MASTER_STATUS_FD);
	for (int i = 0; i < master->listen_count; i++)
		(void)close(MASTER_LISTEN_FD + i);
}

bool
master_pause(int wait_ms)
{
	struct pollfd status = {MASTER_STATUS_FD, POLLIN, 0};

	return poll(&status, 1, wait_ms) <= 0;
}

void
master_hide_memory(void)
{
	(void)prctl(PR_SET_DUMPABLE, 0);
}

void
master_raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
	    limit.rlim_cur != limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static bool
fail(char **error_out, const char *what, const char *name)
{
	*error_out = mem_printf("%s %s: %s", what, name, strerror(errno));
	return false;
}

/* Nothing that this process or a command it runs executes can win privileges
 * back. Before setuid, which takes the right to do so away. Whoever may not
 * (a container without CAP_SETPCAP) was given a small set already. */
static void
forgo_privileges(void)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static bool
become(const struct passwd *pw, char **error_out)
{
	if (pw->pw_uid != 0)
		forgo_privileges();
	if (geteuid() != 0 && geteuid() == pw->pw_uid)
		return true;
	if (setgid(pw->pw_gid) != 0 ||
	    initgroups(pw->pw_name, pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0)
		return fail(error_out, "cannot become", pw->pw_name);
	if (pw->pw_uid != 0 && setuid(0) == 0) {
		*error_out = mem_strdup("privileges came back after setuid");
		return false;
	}
	return true;
}

bool
master_drop_privileges(
    const struct settings *set, const struct options *opt, char **error_out)
{
	struct passwd *pw = NULL;

	*error_out = NULL;
	(void)umask(077);
	if (chdir(set->queue_directory) != 0)
		return fail(error_out, "cannot enter", set->queue_directory);
	if (opt->unprivileged) {
		pw = getpwnam(set->mail_owner);
		if (pw == NULL) {
			*error_out = mem_printf(
			    "mail_owner %s: no such user", set->mail_owner);
			return false;
		}
	}
	if (opt->chroot &&
	    (chroot(set->queue_directory) != 0 || chdir("/") != 0))
		return fail(
		    error_out, "cannot chroot to", set->queue_directory);
	if (pw != NULL && !become(pw, error_out))
		return false;
	/* Another user's memory is as the system's setting says. */
	master_hide_memory();
	return true;
}
