#include "agent/state/anonymizer.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/smtp/anonymize.h"

enum {
	KEY_SIZE = 32,
	TEXT_MAX = 4 * LOG_LINE_MAX,
	LOCK_WAIT_MS = 1000, /* somebody else is just making the file */
};

static const char file_name[] = "anonymize.key";

/* The file. */
struct kept {
	char magic[8];
	unsigned char key[KEY_SIZE];
};

static const char magic[8] = "plnanon1";

struct anonymizer {
	struct anonymize how;
	unsigned char key[KEY_SIZE];
};

static void
digest(void *ctx, struct slice text, unsigned char out[ANONYMIZE_DIGEST_SIZE])
{
	const struct anonymizer *a = ctx;

	CHECK(HMAC(EVP_sha256(), a->key, KEY_SIZE,
		  (const unsigned char *)text.p, text.n, out, NULL) != NULL);
}

static void
filter(void *ctx, char *text, size_t size, const char *about)
{
	const struct anonymizer *a = ctx;
	struct buf out;

	buf_init(&out, TEXT_MAX);
	anonymize_text(&a->how, slice_str(text),
	    slice_str(about != NULL ? about : ""), &out);
	(void)snprintf(text, size, "%s", buf_str(&out));
	buf_fini(&out);
}

static void
set_up(struct anonymizer *a, const struct settings *set)
{
	const char *word = set->lane_log_anonymize;

	a->how.digest = digest;
	a->how.ctx = a;
	a->how.mode = strcmp(word, "smart") == 0  ? ANONYMIZE_SMART
		      : strcmp(word, "hash") == 0 ? ANONYMIZE_HASH
						  : ANONYMIZE_NONE;
}

struct anonymizer *
anonymizer_new(const struct settings *set)
{
	struct anonymizer *a = mem_zalloc(sizeof(*a));

	set_up(a, set);
	if (a->how.mode == ANONYMIZE_HASH)
		CHECK(RAND_bytes(a->key, KEY_SIZE) == 1);
	if (a->how.mode != ANONYMIZE_NONE)
		log_set_filter(filter, a);
	return a;
}

void
anonymizer_free(struct anonymizer **anonymizer)
{
	struct anonymizer *old = *anonymizer;

	*anonymizer = NULL;
	if (old == NULL)
		return;
	log_set_filter(NULL, NULL);
	explicit_bzero(old, sizeof(*old));
	mem_free(old);
}

/* ---- the key ------------------------------------------------------------ */

static bool
read_key(int fd, unsigned char key[KEY_SIZE])
{
	struct kept kept;
	bool is_ours = statefile_read(fd, &kept, sizeof(kept), 0) &&
		       memcmp(kept.magic, magic, sizeof(magic)) == 0;

	if (is_ours)
		memcpy(key, kept.key, KEY_SIZE);
	explicit_bzero(&kept, sizeof(kept));
	return is_ours;
}

static bool
make_key(int fd, unsigned char key[KEY_SIZE])
{
	struct kept kept;
	bool is_written;

	memcpy(kept.magic, magic, sizeof(magic));
	CHECK(RAND_bytes(kept.key, KEY_SIZE) == 1);
	is_written =
	    statefile_write(fd, &kept, sizeof(kept), 0) && fsync(fd) == 0;
	if (is_written)
		memcpy(key, kept.key, KEY_SIZE);
	explicit_bzero(&kept, sizeof(kept));
	return is_written;
}

static bool
is_empty(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_size == 0;
}

/* False: why has a line. */
static bool
take_key(int fd, unsigned char key[KEY_SIZE], char *why, size_t n)
{
	bool is_new = is_empty(fd);

	if (!is_new && read_key(fd, key))
		return true;
	if (!is_new)
		log_warn("lane_log_anonymize: %s in lane_state_directory is "
			 "damaged: it is made anew, and the same address is "
			 "shown in another way from now on",
		    file_name);
	if (make_key(fd, key))
		return true;
	(void)snprintf(
	    why, n, "%s: cannot be written: %s", file_name, statefile_why());
	return false;
}

/* No two make it at the same time. */
static bool
open_key(const struct statefile_dir *dir, unsigned char key[KEY_SIZE],
    char *why, size_t n)
{
	int fd = statefile_open(dir->fd, file_name, why, n);
	bool is_there = false;

	if (fd < 0)
		return false;
	if (!statefile_lock(fd, 0, LOCK_WAIT_MS))
		(void)snprintf(
		    why, n, "%s: somebody keeps it locked", file_name);
	else
		is_there = take_key(fd, key, why, n);
	(void)close(fd);
	return is_there;
}

void
anonymizer_use_key(struct anonymizer *a, const struct statefile_dir *dir)
{
	char why[512] = "there is no lane_state_directory";

	if (a->how.mode != ANONYMIZE_HASH)
		return;
	if (dir == NULL || !open_key(dir, a->key, why, sizeof(why)))
		log_warn("lane_log_anonymize = hash: %s: what is shown for an "
			 "address is another for each process",
		    why);
}

bool
anonymizer_show(const struct settings *set, const struct statefile_dir *dir,
    const char *address, struct buf *out, char *error, size_t n)
{
	struct anonymizer a = {.key = {0}};
	bool is_there = true;
	int fd;

	set_up(&a, set);
	if (a.how.mode == ANONYMIZE_HASH) {
		fd = openat(dir->fd, file_name,
		    O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
		is_there = fd >= 0 && read_key(fd, a.key);
		if (fd >= 0)
			(void)close(fd);
	}
	if (is_there)
		anonymize_address(&a.how, slice_str(address), out);
	else
		(void)snprintf(error, n, "no lane made its %s yet", file_name);
	explicit_bzero(&a, sizeof(a));
	return is_there;
}
