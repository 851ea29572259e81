#include "agent/state/state_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/state/safepath.h"
#include "common/base/mem.h"

static bool
fail(char **error_out, const char *what, const char *name)
{
	*error_out = mem_printf("%s %s: %s", what, name, strerror(errno));
	return false;
}

/* What holds anything is not known to be ours: a slip in a parameter must not
 * give it away, nor close it to those who use it. */
static bool
holds_nothing(int fd)
{
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = own >= 0 ? fdopendir(own) : NULL;
	const struct dirent *e;
	int count = 0;

	if (dir == NULL) {
		if (own >= 0)
			(void)close(own);
		return false;
	}
	errno = 0;
	while ((e = readdir(dir)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			count++;
	if (errno != 0)
		count++;
	(void)closedir(dir);
	return count == 0;
}

static enum state_directory
not_ours(const char *path, const struct passwd *pw, char **error_out)
{
	*error_out = mem_printf("bad parameter: lane_state_directory = %s: "
				"not owned by %s, or writable by others: "
				"must be a directory of its own, which is "
				"made if it is missing",
	    path, pw->pw_name);
	return STATE_DIRECTORY_FOREIGN;
}

/* Checks the open directory, and gives a new one to its owner. */
static enum state_directory
check(int fd, const char *path, const struct passwd *pw, char **error_out)
{
	bool is_empty = holds_nothing(fd);
	struct stat st;

	if (fstat(fd, &st) != 0) {
		(void)fail(error_out, "cannot examine", path);
		return STATE_DIRECTORY_UNUSABLE;
	}
	if (st.st_uid == 0 && pw->pw_uid != 0 && geteuid() == 0 && is_empty &&
	    (st.st_mode & 077) == 0) {
		if (fchown(fd, pw->pw_uid, pw->pw_gid) != 0) {
			(void)fail(
			    error_out, "cannot change the owner of", path);
			return STATE_DIRECTORY_UNUSABLE;
		}
		st.st_uid = pw->pw_uid;
	}
	if (st.st_uid != pw->pw_uid || (st.st_mode & 022) != 0)
		return not_ours(path, pw, error_out);
	/* Names of files in it tell of accounts. */
	if ((st.st_mode & 077) != 0 && is_empty)
		(void)fchmod(fd, 0700);
	return STATE_DIRECTORY_OK;
}

static bool
make(
    const struct safepath *way, const char *path, int *fd_out, char **error_out)
{
	*fd_out = -1;
	if (mkdirat(way->fd, way->last, 0700) != 0 && errno != EEXIST)
		return fail(error_out, "cannot make", path);
	*fd_out = openat(way->fd, way->last,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*fd_out < 0)
		return fail(error_out, "cannot open", path);
	return true;
}

enum state_directory
state_directory_make(const struct settings *set, char **error_out)
{
	enum state_directory result = STATE_DIRECTORY_UNUSABLE;
	const char *path = set->lane_state_directory;
	struct passwd *pw = getpwnam(set->mail_owner);
	struct safepath way;
	char why[256];
	bool ok;
	int fd;

	*error_out = NULL;
	if (pw == NULL) {
		*error_out =
		    mem_printf("mail_owner %s: no such user", set->mail_owner);
		return result;
	}
	if (safepath_walk(&way, path, why, sizeof(why)) != 0) {
		*error_out = mem_strdup(why);
		return result;
	}
	ok = make(&way, path, &fd, error_out);
	if (ok && way.user != 0 && way.user != pw->pw_uid) {
		*error_out = mem_printf("%s: a directory above it belongs to "
					"uid %lu, not to %s",
		    path, (unsigned long)way.user, pw->pw_name);
		ok = false;
	}
	if (ok)
		result = check(fd, path, pw, error_out);
	if (fd >= 0)
		(void)close(fd);
	(void)close(way.fd);
	return result;
}
