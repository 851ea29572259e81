#include "agent/state/token_store.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/state/persist.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/shared/board.h"

/* "lane tok" and the version of struct token_rows. */
#define MAGIC UINT64_C(0x6b6f742d656e0001)

static_assert(
    sizeof(struct token_row) ==
	TOKENPROTO_NAME_MAX + 8 + TOKEN_STORE_REASON_SIZE + 3 * sizeof(int64_t),
    "a stored layout: no padding");

static const int64_t ms_max = INT64_MAX / 4; /* it is reckoned with */

struct token_store {
	struct persist *file;
	struct token_rows rows;
};

static void
name_file(char *name, size_t n, const char *service)
{
	(void)snprintf(
	    name, n, "tokens.%016llx", (unsigned long long)board_hash(service));
}

struct token_store *
token_store_open(const struct statefile_dir *dir, const char *service)
{
	struct token_store *store = mem_zalloc(sizeof(*store));
	char name[64], error[256];

	name_file(name, sizeof(name), service);
	store->file = persist_open(
	    dir, name, MAGIC, sizeof(store->rows), error, sizeof(error));
	if (*error != '\0')
		log_warn("the state of access tokens is not shown: %s", error);
	store->rows.boot = dir != NULL ? dir->boot : 0;
	persist_store(store->file, &store->rows);
	return store;
}

void
token_store_close(struct token_store **store)
{
	struct token_store *old = *store;

	*store = NULL;
	if (old == NULL)
		return;
	persist_close(&old->file);
	mem_free(old);
}

void
token_store_set(struct token_store *store, const struct token_row *row)
{
	CHECK(row->name[0] != '\0');
	for (size_t i = 0; i < TOKEN_STORE_ROWS; i++) {
		struct token_row *to = &store->rows.row[i];

		if (to->name[0] != '\0' && strcmp(to->name, row->name) != 0)
			continue;
		*to = *row;
		persist_store(store->file, &store->rows);
		return;
	}
}

static bool
is_text(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static bool
is_sound(const struct token_row *r)
{
	return is_text(r->name, sizeof(r->name)) &&
	       tokenproto_name_is_valid(r->name) &&
	       is_text(r->reason, sizeof(r->reason)) && r->end_ms >= 0 &&
	       r->end_ms <= ms_max && r->failing_ms >= 0 &&
	       r->failing_ms <= ms_max &&
	       (r->is_lasting == 0 || r->is_lasting == 1);
}

bool
token_store_look(
    int dir_fd, const char *service, uint64_t boot, struct token_rows *out)
{
	int64_t shift_us;
	char name[64];
	bool is_read;
	int fd;

	memset(out, 0, sizeof(*out));
	name_file(name, sizeof(name), service);
	fd = openat(
	    dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	is_read = persist_read(fd, boot, MAGIC, out, sizeof(*out), &shift_us);
	(void)close(fd);
	if (!is_read || out->boot != boot)
		memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < TOKEN_STORE_ROWS; i++) {
		struct token_row *r = &out->row[i];

		if (!is_sound(r))
			memset(r, 0, sizeof(*r));
		log_safe(r->reason, strlen(r->reason));
	}
	return is_read;
}
