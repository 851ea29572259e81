#include "agent/confine/confine.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "agent/confine/refusals.h"
#include "agent/io/patience.h"
#include "common/base/log.h"

/* What libraries read when they come to it: configuration, name services,
 * certificates, modules, locales, time zones; and of the kernel what libc
 * wants to know of memory and processors. */
static const char *const readable[] = {"/etc", "/usr", "/lib", "/lib64",
    "/lib32", "/libx32", "/run/systemd/resolve", "/run/resolvconf",
    "/run/NetworkManager", "/dev/urandom", "/dev/random", "/proc/sys",
    "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/sys/devices/system/cpu",
    "/sys/devices/system/node", "/sys/kernel/mm/transparent_hugepage"};

/* Their links lead out of /etc on some systems, and are exchanged. */
static const char *const linked[] = {"/etc/resolv.conf", "/etc/hosts",
    "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/services",
    "/etc/localtime"};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool
is_wanted(const struct confine *c, const char *mode)
{
	return strcmp(c->set->lane_sandbox, mode) == 0;
}

/* What may be had a moment later must not be done without. */
static bool
is_passing(int error)
{
	return error == ENOMEM || error == EAGAIN || error == EMFILE ||
	       error == ENFILE;
}

static void
check_passing(int error)
{
	if (is_passing(error))
		log_fatal("sandbox: %s", strerror(error));
}

/* Something could not be made: is it to be tried once more? */
static bool
is_tried_again(int error)
{
	char why[128];
	bool again;

	(void)snprintf(why, sizeof(why), "sandbox: %s", strerror(error));
	again = is_passing(error) && patience_wait(why);
	errno = error;
	return again;
}

bool
confine_allow(struct confine *c, const char *path, unsigned rights)
{
	return c->files == NULL || files_allow(c->files, path, rights);
}

void
confine_allow_fd(struct confine *c, int fd, unsigned rights)
{
	if (c->files != NULL && fd >= 0)
		(void)files_allow_fd(c->files, fd, rights);
}

void
confine_allow_home_of(struct confine *c, const char *path)
{
	if (c->files != NULL)
		files_allow_home_of(c->files, path);
}

void
confine_allow_links(struct confine *c, const char *path)
{
	DIR *dir = c->files != NULL && path[0] != '\0' ? opendir(path) : NULL;
	const struct dirent *e;
	char name[PATH_MAX];

	if (dir == NULL)
		return;
	(void)confine_allow(c, path, FILES_READ);
	while ((e = readdir(dir)) != NULL)
		if (e->d_type == DT_LNK &&
		    snprintf(name, sizeof(name), "%s/%s", path, e->d_name) <
			(int)sizeof(name))
			confine_allow_home_of(c, name);
	(void)closedir(dir);
}

static void
tell_unlimited(int error)
{
	check_passing(error);
	log_info("sandbox: seccomp filters are not available: %s: system calls "
		 "are not limited",
	    strerror(error));
}

static void
begin_files(struct confine *c, unsigned needs)
{
	do
		c->files = files_begin((needs & SYSCALLS_INET) == 0);
	while (c->files == NULL && is_tried_again(errno));
	if (c->files == NULL) {
		check_passing(errno);
		log_info("sandbox: Landlock is not available: %s: files are "
			 "guarded by their permissions alone",
		    strerror(errno));
		return;
	}
	for (size_t i = 0; i < COUNT(readable); i++)
		(void)confine_allow(c, readable[i], FILES_READ);
	for (size_t i = 0; i < COUNT(linked); i++)
		files_allow_home_of(c->files, linked[i]);
	(void)confine_allow(c, "/dev/null", FILES_READ | FILES_WRITE);
	(void)confine_allow(c, c->set->config_directory, FILES_READ);
}

void
confine_begin(struct confine *c, const struct settings *set, struct loop *loop,
    unsigned needs)
{
	*c = (struct confine){.set = set, .loop = loop};
	if (is_wanted(c, "no"))
		return;
	do
		c->syscalls = syscalls_compile(
		    is_wanted(c, "yes") ? SYSCALLS_ALLOWED : SYSCALLS_DENIED,
		    needs);
	while (c->syscalls == NULL && is_tried_again(errno));
	if (c->syscalls == NULL)
		tell_unlimited(errno);
	if (is_wanted(c, "yes"))
		begin_files(c, needs);
}

void
confine_enter(struct confine *c)
{
	int error = c->files != NULL ? files_enter(&c->files) : 0;

	check_passing(error);
	if (error != 0)
		log_warn("sandbox: Landlock refuses: %s: files are guarded by "
			 "their permissions alone",
		    strerror(error));
	error = c->syscalls != NULL ? syscalls_enter(&c->syscalls, c->loop) : 0;
	if (error != 0)
		tell_unlimited(error);
}

void
confine_end(void)
{
	refusals_forget();
}
