#include "monitor/setupfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"

enum { FILE_MAX = 16 << 20 };

char *
setupfile_read(const char *path)
{
	FILE *file = fopen(path, "re");
	struct buf text;
	char block[8192], *result = NULL;
	size_t n;

	if (file == NULL)
		return NULL;
	buf_init(&text, FILE_MAX);
	while ((n = fread(block, 1, sizeof(block), file)) > 0)
		(void)buf_add(&text, block, n);
	errno = ferror(file) ? EIO : buf_ok(&text) ? 0 : EFBIG;
	if (errno == 0 && memchr(buf_slice(&text).p, '\0', buf_len(&text)))
		errno = EINVAL;
	if (errno == 0)
		result = mem_strdup(buf_str(&text));
	buf_fini(&text);
	(void)fclose(file);
	return result;
}

static bool
write_all(int fd, const char *text)
{
	size_t n = strlen(text);

	while (n > 0) {
		ssize_t done = write(fd, text, n);

		if (done < 0)
			return false;
		text += done;
		n -= (size_t)done;
	}
	return fsync(fd) == 0;
}

bool
setupfile_write(const char *path, const char *text, const struct stat *like)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool is_good;

	if (fd < 0)
		return false;
	is_good =
	    write_all(fd, text) &&
	    (like == NULL || (fchown(fd, like->st_uid, like->st_gid) == 0 &&
				 fchmod(fd, like->st_mode & 07777) == 0));
	if (close(fd) != 0 || !is_good) {
		int error = errno;

		(void)unlinkat(AT_FDCWD, path, 0);
		errno = error;
		return false;
	}
	return true;
}

/* Beside the file, so that rename(2) can put it in its place; of a name that
 * nobody else gives. real has room for PATH_MAX. */
static char *
new_of(const char *path, char *real)
{
	return mem_printf(
	    "%s.postlane-new", realpath(path, real) != NULL ? real : path);
}

bool
setupfile_replace(const char *path, const char *text)
{
	char real[PATH_MAX];
	char *new = new_of(path, real);
	struct stat st;
	bool is_there = stat(path, &st) == 0;
	bool is_good = setupfile_write(new, text, is_there ? &st : NULL);

	if (is_good &&
	    renameat(AT_FDCWD, new, AT_FDCWD, is_there ? real : path) != 0) {
		int error = errno;

		(void)unlinkat(AT_FDCWD, new, 0);
		errno = error;
		is_good = false;
	}
	mem_free(new);
	return is_good;
}

void
setupfile_clean(const char *path)
{
	char real[PATH_MAX];
	char *new = new_of(path, real);

	(void)unlinkat(AT_FDCWD, new, 0);
	mem_free(new);
}

void
setupfile_remove_directory(const char *path)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;

	if (directory == NULL)
		return;
	while ((entry = readdir(directory)) != NULL)
		(void)unlinkat(dirfd(directory), entry->d_name, 0);
	(void)closedir(directory);
	(void)unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}
