#include "agent/postfix/queuefile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/postfix/record.h"

static bool
is_complete(const struct stat *st)
{
	return S_ISREG(st->st_mode) && (st->st_mode & S_IRWXU) == S_IRWXU;
}

/* Why it could not be opened; errno is kept. */
static enum queuefile_result
judge_refusal(const char *path)
{
	int saved = errno;
	bool is_unsound;
	struct stat st;

	if (saved == ENOENT)
		return QUEUEFILE_MISSING;
	is_unsound = lstat(path, &st) == 0 && !is_complete(&st);
	errno = saved;
	return is_unsound ? QUEUEFILE_UNSOUND : QUEUEFILE_ERROR;
}

static enum queuefile_result
open_and_lock(int *fd_out, const char *path, int64_t *size_out)
{
	struct stat st;
	int fd;

	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	*fd_out = fd;
	if (fd < 0)
		return judge_refusal(path);
	if (flock(fd, LOCK_SH | LOCK_NB) != 0)
		return errno == EWOULDBLOCK ? QUEUEFILE_LOCKED
					    : QUEUEFILE_ERROR;
	if (fstat(fd, &st) != 0)
		return QUEUEFILE_ERROR;
	if (!is_complete(&st))
		return QUEUEFILE_UNSOUND;
	*size_out = st.st_size;
	return QUEUEFILE_OK;
}

enum queuefile_result
queuefile_open(struct queuefile *file, const char *path, int64_t *size_out)
{
	enum queuefile_result result;
	int fd = -1, saved;

	*file = (struct queuefile){.fd = -1};
	result = open_and_lock(&fd, path, size_out);
	file->fd = fd;
	if (result != QUEUEFILE_OK) {
		saved = errno;
		queuefile_close(file);
		errno = saved;
	}
	return result;
}

void
queuefile_close(struct queuefile *file)
{
	/* No LOCK_UN: it would take the lock from a forked copy too. */
	if (file->fd >= 0)
		(void)close(file->fd);
	file->fd = -1;
}

static ssize_t
read_at(const struct queuefile *file, char *p, size_t n, int64_t off)
{
	ssize_t got;

	do {
		got = pread(file->fd, p, n, off);
	} while (got < 0 && errno == EINTR);
	return got;
}

static void
note_head(struct queuefile *file, const char *head, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (head[i] == RECORD_TYPE_RCPT)
			file->is_rcpt[i / 8] |= (uint8_t)(1U << i % 8);
	file->head = n;
}

/* The envelope stands before the content, and is small: one look for both. */
ssize_t
queuefile_read_at(void *ctx, char *p, size_t n, int64_t off)
{
	struct queuefile *file = ctx;
	char head[QUEUEFILE_HEAD_MAX];
	size_t before = (size_t)off;
	struct iovec parts[] = {{head, before}, {p, n}};
	ssize_t got;

	if (file->head > 0 || off <= 0 || off > QUEUEFILE_HEAD_MAX)
		return read_at(file, p, n, off);
	do {
		got = preadv(file->fd, parts, 2, 0);
	} while (got < 0 && errno == EINTR);
	if (got < 0 || (size_t)got <= before)
		return read_at(file, p, n, off);
	note_head(file, head, before);
	return got - off;
}

/* An R was seen there, and not marked since. */
static bool
takes_rcpt(struct queuefile *file, int64_t off)
{
	uint8_t bit = (uint8_t)(1U << off % 8);
	bool has;

	if (off >= (int64_t)file->head)
		return false;
	has = (file->is_rcpt[off / 8] & bit) != 0;
	file->is_rcpt[off / 8] &= (uint8_t)~bit;
	return has;
}

/* NULL: a recipient stands at off. */
static const char *
find_rcpt(const struct queuefile *file, int64_t off)
{
	char type;
	ssize_t n = read_at(file, &type, 1, off);

	if (n < 0)
		return strerror(errno);
	if (n == 0)
		return "the queue file ends before it";
	if (type == RECORD_TYPE_DONE)
		return "it is marked already";
	return type == RECORD_TYPE_RCPT
		   ? NULL
		   : "the queue file has no recipient there";
}

const char *
queuefile_mark(struct queuefile *file, int64_t off)
{
	static const char done = RECORD_TYPE_DONE;
	const char *why = NULL;
	ssize_t n;

	if (file->fd < 0)
		return "the queue file is not open";
	if (off < 0)
		return "bad offset";
	if (!takes_rcpt(file, off))
		why = find_rcpt(file, off);
	if (why != NULL)
		return why;
	do {
		n = pwrite(file->fd, &done, 1, off);
	} while (n < 0 && errno == EINTR);
	return n == 1 ? NULL : n < 0 ? strerror(errno) : "nothing was written";
}

const char *
queuefile_mark_corrupt(struct queuefile *file)
{
	if (file->fd < 0)
		return "the queue file is not open";
	return fchmod(file->fd, S_IRUSR) == 0 ? NULL : strerror(errno);
}

const char *
queuefile_result_text(enum queuefile_result result)
{
	switch (result) {
	case QUEUEFILE_OK:
		return "open";
	case QUEUEFILE_MISSING:
		return "there is no such file";
	case QUEUEFILE_UNSOUND:
		return "the queue file is incomplete";
	case QUEUEFILE_LOCKED:
		return "it is locked by another process";
	case QUEUEFILE_ERROR:
		return "the system refused";
	}
	return "";
}
