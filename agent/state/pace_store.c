#include "agent/state/pace_store.h"

#include <math.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"

/* The words of a row. */
enum { ACCOUNT, CEILING, AGREEMENT, PAUSE, LEARNED, WORDS };

enum { ROWS = (int)BOARD_LEARNED / (int)WORDS };

struct rows {
	uint64_t words[BOARD_LEARNED];
};

static uint64_t *
row(struct rows *rows, int i)
{
	return rows->words + (ptrdiff_t)i * WORDS;
}

bool
pace_store_load(
    struct board_writer *board, uint64_t account, struct controller_stored *out)
{
	struct rows rows;

	if (!board_writer_learned(board, rows.words))
		return false;
	for (int i = 0; i < ROWS; i++) {
		const uint64_t *words = row(&rows, i);

		if (words[ACCOUNT] != account)
			continue;
		*out = (struct controller_stored){
		    .ceiling_micro = (int64_t)words[CEILING],
		    .agreement = (int64_t)words[AGREEMENT],
		    .pause_until_wall_ms = (int64_t)words[PAUSE],
		    .learned_wall_ms = (int64_t)words[LEARNED],
		};
		return true;
	}
	return false;
}

/* The row it has, else the one that learned nothing for longest. */
static void
put(void *ctx, uint64_t account, const struct controller_stored *stored)
{
	struct rows *rows = ctx;
	uint64_t *best = row(rows, 0);

	CHECK(account != 0 && stored->ceiling_micro >= 0);
	for (int i = 0; i < ROWS; i++) {
		uint64_t *words = row(rows, i);

		if (words[ACCOUNT] == account) {
			best = words;
			break;
		}
		if (words[LEARNED] < best[LEARNED])
			best = words;
	}
	if (best[ACCOUNT] != account &&
	    (uint64_t)stored->learned_wall_ms <= best[LEARNED])
		return; /* nothing learned, or others have later */
	best[ACCOUNT] = account;
	best[CEILING] = (uint64_t)stored->ceiling_micro;
	best[AGREEMENT] = (uint64_t)stored->agreement;
	best[PAUSE] = (uint64_t)stored->pause_until_wall_ms;
	best[LEARNED] = (uint64_t)stored->learned_wall_ms;
}

static void
show(struct board_writer *board, const struct lane *lane, struct moment now)
{
	double rate = lane_learned_rate(lane);
	int64_t left_us = lane_paused_until_us(lane) - now.us;
	int64_t wall_ms = (int64_t)now.wall.tv_sec * 1000;

	board_writer_set(board, BOARD_GAUGE_rate_milli,
	    isfinite(rate) ? (int64_t)(rate * 1000) : 0);
	board_writer_set(board, BOARD_GAUGE_paused_until_wall_ms,
	    left_us > 0 ? wall_ms + left_us / US_PER_MS : 0);
}

void
pace_store_store(
    struct board_writer *board, const struct lane *lane, struct moment now)
{
	struct rows rows;

	if (!board_writer_learned(board, rows.words))
		return;
	lane_each_pace(lane, now, put, &rows);
	board_writer_set_learned(board, rows.words);
	show(board, lane, now);
}
