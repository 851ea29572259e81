#include "agent/learned.h"

#include <math.h>

#include "common/mem.h"

/* The words on the board. */
enum { OWNER, CEILING, AGREEMENT, CONNECTIONS, PAUSE, LEARNED, WORDS };

_Static_assert((int)WORDS <= (int)BOARD_LEARNED, "too many words");

static uint64_t
owner(const struct settings *set)
{
	char *text = mem_printf(
	    "%s %s %s", set->lane_smarthost, set->relayhost, set->lane_account);
	uint64_t hash = board_hash(text);

	mem_free(text);
	return hash;
}

void
learned_load(struct board_writer *board, const struct settings *set,
    struct lane *lane, struct moment now)
{
	uint64_t words[BOARD_LEARNED];
	struct adapt_stored stored;

	if (!board_learned(board, words) || words[OWNER] != owner(set))
		return;
	stored = (struct adapt_stored){
	    .ceiling_micro = (int64_t)words[CEILING],
	    .agreement = (int64_t)words[AGREEMENT],
	    .connections = (int64_t)words[CONNECTIONS],
	    .pause_until_wall_ms = (int64_t)words[PAUSE],
	    .learned_wall_ms = (int64_t)words[LEARNED],
	};
	lane_load_pace(lane, &stored, now);
}

static void
show(struct board_writer *board, const struct lane *lane, struct moment now)
{
	double rate = lane_learned_rate(lane);
	int64_t left_ms = lane_paused_until_ms(lane) - now.ms;
	int64_t wall_ms = (int64_t)now.wall.tv_sec * 1000;

	board_set(board, BOARD_GAUGE_rate_milli,
	    isfinite(rate) ? (int64_t)(rate * 1000) : 0);
	board_set(board, BOARD_GAUGE_paused_until_wall_ms,
	    left_ms > 0 ? wall_ms + left_ms : 0);
}

void
learned_save(struct board_writer *board, const struct settings *set,
    const struct lane *lane, struct moment now)
{
	uint64_t words[BOARD_LEARNED] = {0};
	struct adapt_stored stored;

	if (board == NULL)
		return;
	lane_save_pace(lane, &stored, now);
	words[OWNER] = owner(set);
	words[CEILING] = (uint64_t)stored.ceiling_micro;
	words[AGREEMENT] = (uint64_t)stored.agreement;
	words[CONNECTIONS] = (uint64_t)stored.connections;
	words[PAUSE] = (uint64_t)stored.pause_until_wall_ms;
	words[LEARNED] = (uint64_t)stored.learned_wall_ms;
	board_set_learned(board, words);
	show(board, lane, now);
}
