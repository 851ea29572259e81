#include "agent/confine/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/mem.h"

/* linux/landlock.h, which may be older than the kernel. */
#define READ_FILES (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define TRUNCATE (UINT64_C(1) << 14)
#define IOCTL_DEV (UINT64_C(1) << 15)
#define NET_TCP UINT64_C(3) /* bind, connect */
#define SCOPE_ALL UINT64_C(3) /* abstract sockets, signals */

/* What each version of the interface can limit; struct landlock_ruleset_attr
 * grew with it. */
struct ruleset {
	uint64_t files, net, scoped;
};

static const struct {
	uint64_t files;
	size_t size;
} versions[] = {
    {0, 0},
    {(UINT64_C(1) << 13) - 1, 8},
    {(UINT64_C(1) << 14) - 1, 8},
    {(UINT64_C(1) << 15) - 1, 8},
    {(UINT64_C(1) << 15) - 1, 16},
    {(UINT64_C(1) << 16) - 1, 16},
    {(UINT64_C(1) << 16) - 1, 24},
};

struct files {
	uint64_t known; /* rights of files */
	int ruleset;
	int error; /* of a rule, kept for files_enter() */
};

static int
create_ruleset(const struct ruleset *set, size_t size, unsigned flags)
{
	return (int)syscall(SYS_landlock_create_ruleset, set, size, flags);
}

struct files *
files_begin(bool without_tcp)
{
	int version = create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	int newest = (int)(sizeof(versions) / sizeof(versions[0])) - 1;
	struct ruleset set = {
	    .net = without_tcp ? NET_TCP : 0, .scoped = SCOPE_ALL};
	struct files *files;
	int fd;

	if (version <= 0)
		return NULL;
	if (version > newest)
		version = newest;
	set.files = versions[version].files;
	fd = create_ruleset(&set, versions[version].size, 0);
	if (fd < 0)
		return NULL;
	files = mem_zalloc(sizeof(*files));
	files->known = set.files;
	files->ruleset = fd;
	return files;
}

static uint64_t
access_of(const struct files *files, unsigned rights, bool is_directory)
{
	uint64_t access = 0;

	if ((rights & FILES_READ) != 0)
		access |= READ_FILES;
	if ((rights & FILES_WRITE) != 0)
		access |= LANDLOCK_ACCESS_FS_WRITE_FILE;
	if ((rights & FILES_MAKE) != 0)
		access |= LANDLOCK_ACCESS_FS_MAKE_REG |
			  LANDLOCK_ACCESS_FS_REMOVE_FILE | TRUNCATE;
	if (!is_directory)
		access &= LANDLOCK_ACCESS_FS_READ_FILE |
			  LANDLOCK_ACCESS_FS_WRITE_FILE | TRUNCATE;
	return access & files->known;
}

static void
note(struct files *files, int error)
{
	if (files->error == 0)
		files->error = error;
}

/* Closes fd. */
static bool
add(struct files *files, int fd, unsigned rights)
{
	struct landlock_path_beneath_attr rule = {.parent_fd = fd};
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0) {
		/* What is not there, or behind a closed door, needs no rule. */
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
			note(files, errno);
		return false;
	}
	rule.allowed_access = access_of(files, rights, S_ISDIR(st.st_mode));
	if (rule.allowed_access != 0 &&
	    syscall(SYS_landlock_add_rule, files->ruleset,
		LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
		note(files, errno);
	(void)close(fd);
	return true;
}

bool
files_allow(struct files *files, const char *path, unsigned rights)
{
	return add(files, open(path, O_PATH | O_CLOEXEC), rights);
}

bool
files_allow_fd(struct files *files, int fd, unsigned rights)
{
	return add(files, fcntl(fd, F_DUPFD_CLOEXEC, 0), rights);
}

void
files_allow_home_of(struct files *files, const char *path)
{
	char real[PATH_MAX], *slash;

	if (realpath(path, real) == NULL)
		return;
	slash = strrchr(real, '/');
	/* In the root itself: not all there is. */
	if (slash == real)
		slash = real + strlen(real);
	*slash = '\0';
	(void)files_allow(files, real, FILES_READ);
}

void
files_free(struct files **files)
{
	struct files *old = *files;

	*files = NULL;
	if (old == NULL)
		return;
	(void)close(old->ruleset);
	mem_free(old);
}

int
files_enter(struct files **files)
{
	int error = (*files)->error;

	if (error == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		error = errno;
	if (error == 0 &&
	    syscall(SYS_landlock_restrict_self, (*files)->ruleset, 0) != 0)
		error = errno;
	files_free(files);
	return error;
}
