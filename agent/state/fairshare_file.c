#include "agent/state/fairshare_file.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/shared/board.h"

static_assert((int)FAIRSHARE_LANES == (int)PERSIST_MEMBERS, "members");

/* "lane rat" and the version of struct fairshare. */
#define MAGIC UINT64_C(0x7461722d656e0002)

/* No time is later; for callers that do not tell theirs. */
#define EVER_US INT64_C(4000000000000000)

/* Times of other lanes are this far ahead of ours at most, which was taken at
 * the beginning of a turn. */
enum { AHEAD_US = 5000000 };

struct persist *
fairshare_file_open(const struct statefile_dir *dir, const char *kind,
    const char *name, char *error, size_t n)
{
	char file[64];

	(void)snprintf(file, sizeof(file), "%s.%016llx", kind,
	    (unsigned long long)board_hash(name));
	return persist_open(
	    dir, file, MAGIC, sizeof(struct fairshare), error, n);
}

static bool
read_value(struct persist *file, int64_t latest_us, struct fairshare *out,
    int64_t *shift_us_out)
{
	int64_t shift_us = persist_shift_us(file);

	*shift_us_out = shift_us;
	memcpy(out, persist_value(file), sizeof(*out));
	if (shift_us != 0)
		fairshare_shift(out, shift_us);
	/* After a reboot the clocks may disagree by a moment. */
	return fairshare_repair(out, latest_us) && shift_us == 0;
}

/* No stored time is later. A process that was stopped in the middle of a turn
 * goes on with the time from before; what others did since is no damage. */
static int64_t
latest(int64_t now_us)
{
	int64_t clock_us = clock_mono_us();

	if (now_us <= 0)
		return EVER_US;
	return (now_us > clock_us ? now_us : clock_us) + AHEAD_US;
}

bool
fairshare_file_read(struct persist *file, int64_t now_us, struct fairshare *out,
    int64_t *shift_us_out)
{
	return read_value(file, latest(now_us), out, shift_us_out);
}

bool
fairshare_file_load(struct persist *file, struct fairshare *out,
    const char *what, int64_t now_us)
{
	int64_t shift_us;
	bool was_wrong = read_value(file, now_us + AHEAD_US, out, &shift_us);

	if (was_wrong)
		log_warn("stored rates of %s were damaged: counting starts "
			 "anew",
		    what);
	return was_wrong || shift_us != 0;
}

bool
fairshare_file_look(
    int fd, uint64_t boot, int64_t now_us, struct fairshare *out)
{
	int64_t shift_us;

	if (!persist_read(fd, boot, MAGIC, out, sizeof(*out), &shift_us))
		return false;
	if (shift_us != 0)
		fairshare_shift(out, shift_us);
	(void)fairshare_repair(out, now_us + AHEAD_US);
	return true;
}

bool
fairshare_file_is_spent(int fd, uint64_t boot, int64_t now_us)
{
	struct fairshare s;

	/* Of another version it is of no use to anybody. */
	return !fairshare_file_look(fd, boot, now_us, &s) ||
	       fairshare_is_spent(&s, now_us);
}
