#include "agent/state/alarm_store.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "agent/state/persist.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/shared/board.h"

/* "lane alm" and the version of struct alarm_rows. */
#define MAGIC UINT64_C(0x6d6c612d656e0001)

static_assert(sizeof(struct alarm_row) == 832 + 5 * sizeof(int64_t),
    "a stored layout: no padding");

static const int64_t kept_for_s = INT64_C(7) * 86400;
static const int64_t told_ms_max = INT64_MAX / 2; /* it will be shifted */

struct alarm_store {
	struct persist *file;
};

struct alarm_store *
alarm_store_open(const struct statefile_dir *dir, const char *lane_name)
{
	struct alarm_store *store = mem_zalloc(sizeof(*store));
	char name[64], error[256];

	(void)snprintf(name, sizeof(name), "alarms.%016llx",
	    (unsigned long long)board_hash(lane_name));
	store->file = persist_open(
	    dir, name, MAGIC, sizeof(struct alarm_rows), error, sizeof(error));
	if (*error != '\0')
		log_warn("alarms are forgotten with each process: %s", error);
	return store;
}

void
alarm_store_close(struct alarm_store **store)
{
	struct alarm_store *old = *store;

	*store = NULL;
	if (old == NULL)
		return;
	persist_close(&old->file);
	mem_free(old);
}

static bool
is_text(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static bool
is_flag(int64_t value)
{
	return value == 0 || value == 1;
}

static bool
is_sound(const struct alarm_row *r, int64_t wall_s)
{
	return r->what[0] != '\0' && is_text(r->what, sizeof(r->what)) &&
	       is_text(r->smarthost, sizeof(r->smarthost)) &&
	       is_text(r->reply, sizeof(r->reply)) &&
	       is_text(r->since, sizeof(r->since)) &&
	       r->raised >= ALARM_ROW_OVER && r->raised <= ALARM_ROW_DOUBT &&
	       is_flag(r->is_told) && is_flag(r->is_posting) &&
	       r->told_ms >= -1 && r->told_ms <= told_ms_max &&
	       r->raised_wall_s >= 0 && wall_s - r->raised_wall_s <= kept_for_s;
}

/* A text of the file goes to the log. */
static void
clean(char *text)
{
	log_safe(text, strlen(text));
}

void
alarm_store_load(const struct alarm_store *store, struct alarm_rows *out)
{
	int64_t shift_ms = persist_shift_us(store->file) / 1000;
	int64_t now_ms = clock_mono_ms(), wall_s = clock_wall().tv_sec;

	memcpy(out, persist_value(store->file), sizeof(*out));
	for (size_t i = 0; i < ALARM_COUNT_MAX; i++) {
		struct alarm_row *r = &out->row[i];

		if (!is_sound(r, wall_s)) {
			memset(r, 0, sizeof(*r));
			continue;
		}
		clean(r->what);
		clean(r->smarthost);
		clean(r->reply);
		clean(r->since);
		/* The clock was set back. */
		if (r->raised_wall_s > wall_s)
			r->raised_wall_s = wall_s;
		if (r->told_ms < 0) {
			r->told_ms = -1;
			continue;
		}
		r->told_ms += shift_ms;
		if (r->told_ms < 0)
			r->told_ms = 0;
		if (r->told_ms > now_ms)
			r->told_ms = now_ms;
	}
}

void
alarm_store_store(struct alarm_store *store, const struct alarm_rows *rows)
{
	persist_store(store->file, rows);
}
