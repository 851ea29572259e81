#include "agent/token/refresh_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/shared/tokenproto.h"

enum { DIGEST_HEX = 64, SLOTS = 2 };

#define MARK "refresh-token "

struct slot {
	uint64_t serial;
	char *token; /* NULL: does not hold */
};

static void
digest(uint64_t serial, const char *token, char out[DIGEST_HEX + 1])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	char *text = mem_printf("%" PRIu64 " %s", serial, token);
	unsigned n = 0;

	out[0] = '\0';
	if (EVP_Digest(text, strlen(text), md, &n, EVP_sha256(), NULL) == 1)
		for (unsigned i = 0; i < n && i < DIGEST_HEX / 2; i++)
			(void)snprintf(out + 2 * i, 3, "%02x", md[i]);
	mem_wipe(text, strlen(text));
	mem_free(text);
}

static bool
lock(int fd, int how)
{
	int rc;

	do {
		rc = flock(fd, how);
	} while (rc != 0 && errno == EINTR);
	return rc == 0;
}

/* Up to n octets; -1: errno. */
static ssize_t
read_at(int fd, char *to, size_t n, off_t at)
{
	size_t got = 0;

	while (got < n) {
		ssize_t r = pread(fd, to + got, n - got, at + (off_t)got);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -1;
		if (r == 0)
			break;
		got += (size_t)r;
	}
	return (ssize_t)got;
}

/* text: the slot's line, without LF. */
static void
understand(struct slot *slot, char *text)
{
	char wanted[DIGEST_HEX + 1];
	char *sum, *token, *end;

	if (strncmp(text, MARK, strlen(MARK)) != 0)
		return;
	errno = 0;
	slot->serial = strtoull(text + strlen(MARK), &end, 10);
	if (errno != 0 || *end != ' ')
		return;
	sum = end + 1;
	token = strchr(sum, ' ');
	if (token == NULL || token - sum != DIGEST_HEX)
		return;
	token++;
	digest(slot->serial, token, wanted);
	if (memcmp(sum, wanted, DIGEST_HEX) == 0 &&
	    tokenproto_token_is_valid(slice_str(token)))
		slot->token = mem_strdup(token);
}

/* What an administrator wrote: one token, perhaps with LF. */
static void
understand_plain(struct slot *slot, char *text, size_t n)
{
	while (n > 0 && strchr(" \t\r\n", text[n - 1]) != NULL)
		text[--n] = '\0';
	if (n <= REFRESH_TOKEN_MAX && strlen(text) == n &&
	    tokenproto_token_is_valid(slice_of(text, n)))
		slot->token = mem_strdup(text);
}

/* False: errno. *is_empty_out: not one octet but blanks and NUL. */
static bool
read_slot(int fd, int which, struct slot *slot, bool *is_empty_out)
{
	char *text = mem_zalloc(REFRESH_SLOT + 1), *end;
	ssize_t n = read_at(fd, text, REFRESH_SLOT, which * REFRESH_SLOT);

	*slot = (struct slot){0, NULL};
	*is_empty_out = true;
	for (ssize_t i = 0; i < n; i++)
		if (text[i] != '\0' && strchr(" \n", text[i]) == NULL)
			*is_empty_out = false;
	end = n > 0 ? memchr(text, '\n', (size_t)n) : NULL;
	if (which == 0 && n > 0 && strncmp(text, MARK, strlen(MARK)) != 0) {
		understand_plain(slot, text, strlen(text));
	} else if (end != NULL) {
		*end = '\0';
		understand(slot, text);
	}
	mem_wipe(text, REFRESH_SLOT);
	mem_free(text);
	return n >= 0;
}

static void
drop(char **token)
{
	if (*token != NULL)
		mem_wipe(*token, strlen(*token));
	mem_free(*token);
	*token = NULL;
}

/* The slot that holds, or one without a token; *which_out its number. */
static enum refresh_result
find(int fd, struct slot *out, int *which_out)
{
	struct slot slots[SLOTS];
	bool is_empty[SLOTS];
	int best;

	if (!read_slot(fd, 0, &slots[0], &is_empty[0]))
		return REFRESH_BAD;
	if (!read_slot(fd, 1, &slots[1], &is_empty[1])) {
		drop(&slots[0].token);
		return REFRESH_BAD;
	}
	best = slots[0].token == NULL ||
	       (slots[1].token != NULL && slots[1].serial > slots[0].serial);
	drop(&slots[1 - best].token);
	*out = slots[best];
	*which_out = best;
	if (out->token != NULL)
		return REFRESH_OK;
	/* A slot that was being written when the machine stopped is no token;
	 * both cannot be. */
	*which_out = 1;
	errno = EILSEQ;
	return is_empty[0] && is_empty[1] ? REFRESH_NONE : REFRESH_BAD;
}

int
refresh_file_open(int dir_fd, const char *path)
{
	int fd = openat(dir_fd, path,
	    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
	struct stat st;
	int saved;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) != 0)
		goto fail;
	errno = EPERM;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
	    (st.st_mode & 077) != 0)
		goto fail;
	errno = posix_fallocate(fd, 0, SLOTS * REFRESH_SLOT);
	/* Some file systems cannot; then a full disk is noticed later. */
	if (errno != 0 && errno != EOPNOTSUPP && errno != EINVAL)
		goto fail;
	return fd;
fail:
	saved = errno;
	(void)close(fd);
	errno = saved;
	return -1;
}

/* Behind all that is ever written. */
static int
set_hold(int fd, short type)
{
	struct flock hold = {.l_type = type,
	    .l_whence = SEEK_SET,
	    .l_start = SLOTS * REFRESH_SLOT,
	    .l_len = 1};

	return fcntl(fd, F_OFD_SETLK, &hold);
}

bool
refresh_file_hold(int fd)
{
	return set_hold(fd, F_WRLCK) == 0;
}

void
refresh_file_release(int fd)
{
	(void)set_hold(fd, F_UNLCK);
}

enum refresh_result
refresh_file_read(int fd, char **token_out)
{
	enum refresh_result result;
	struct slot slot;
	struct stat st;
	int which, saved;

	if (fstat(fd, &st) != 0 || !lock(fd, LOCK_SH))
		return REFRESH_BAD;
	if (st.st_nlink == 0) {
		(void)lock(fd, LOCK_UN);
		return REFRESH_REPLACED;
	}
	result = find(fd, &slot, &which);
	saved = errno;
	(void)lock(fd, LOCK_UN);
	errno = saved;
	if (result == REFRESH_OK)
		*token_out = slot.token;
	return result;
}

static bool
write_slot(int fd, int which, const char *text)
{
	size_t done = 0;

	while (done < REFRESH_SLOT) {
		ssize_t n = pwrite(fd, text + done, REFRESH_SLOT - done,
		    which * REFRESH_SLOT + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return fsync(fd) == 0;
}

static bool
store(int fd, const char *token)
{
	struct slot old = {0, NULL};
	char sum[DIGEST_HEX + 1];
	char *text;
	int which = 1, n;
	bool ok;

	(void)find(fd, &old, &which);
	drop(&old.token);
	digest(old.serial + 1, token, sum);
	text = mem_alloc(REFRESH_SLOT + 1);
	memset(text, ' ', REFRESH_SLOT);
	n = snprintf(text, REFRESH_SLOT, MARK "%" PRIu64 " %s %s\n",
	    old.serial + 1, sum, token);
	text[n] = ' ';
	text[REFRESH_SLOT - 1] = '\n';
	ok = write_slot(fd, 1 - which, text);
	mem_wipe(text, REFRESH_SLOT);
	mem_free(text);
	return ok;
}

bool
refresh_file_write(int fd, const char *token)
{
	bool ok;
	int saved;

	if (strlen(token) > REFRESH_TOKEN_MAX) {
		errno = EMSGSIZE;
		return false;
	}
	if (!lock(fd, LOCK_EX))
		return false;
	ok = store(fd, token);
	saved = errno;
	(void)lock(fd, LOCK_UN);
	errno = saved;
	return ok;
}
