/* model_fleet: a fleet's account, as the lane sees it that speaks for this
 * host.
 *
 * Of the board (common/shared/board.h, struct board_fleet): plain values, texts
 * terminated. Amounts of a rate are thousandths of a unit in its period.
 */
#ifndef MODEL_FLEET_H
#define MODEL_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/shared/board.h"
#include "common/shared/fleet.h"

enum {
	/* It is told each second: what is older is how it was. */
	MODEL_FLEET_OLD_MS = 10000,
	MODEL_FLEET_TEXT = 64,
	MODEL_FLEET_LESSON_SIZE = 160,
};

struct model_fleet_limit {
	char unit[32]; /* connections, messages/1s, octets/1d! */
	enum board_fleet_word word; /* never FREE */
	bool is_milli; /* a rate */
	int64_t limit, base, share, want, target, in_use, known;
	int64_t until_wall_ms, answered_wall_ms;
	uint64_t renewals, failures, over_us;
};

/* What this host obeys of what another one learned of the provider. */
struct model_fleet_lesson {
	enum fleet_lesson_kind kind;
	int64_t until_wall_ms, value;
	char host[BOARD_NAME];
};

struct model_fleet {
	int64_t size; /* lane_fleet_size; 0: the account is no fleet's */
	int64_t told_wall_ms, ttl_ms, forget_ms;
	bool is_up; /* the engine answers; */
	int64_t since_wall_ms; /* since then, or does not */
	int64_t alone_ms; /* all time without it */
	int64_t epoch;
	char name[BOARD_NAME], engine[BOARD_NAME];
	char trouble[BOARD_WHY]; /* why it does not answer */
	struct model_fleet_limit limits[BOARD_FLEET_LIMITS];
	size_t count;
	struct model_fleet_lesson heard[BOARD_FLEET_LESSONS];
	size_t heard_count;
};

void model_fleet_fill(struct model_fleet *to, const struct board_fleet *from);

/* A lane speaks for this host now. */
bool model_fleet_is_told(const struct model_fleet *f, int64_t now_wall_ms);

/* The limit of this unit; NULL: it is not shared. */
const struct model_fleet_limit *model_fleet_limit(
    const struct model_fleet *f, const char *unit);

/* "pause", "fewer", "blocked": static text. */
const char *model_fleet_lesson_name(enum fleet_lesson_kind kind);

/* "mx1 was asked to pause", in at most n octets of text. */
const char *model_fleet_lesson_say(
    const struct model_fleet_lesson *l, char *text, size_t n);

/* Until its end; lasting: it is obeyed for all that time. That another host is
 * refused is found out for oneself, with one message, while it is told. */
bool model_fleet_lesson_is_lasting(const struct model_fleet_lesson *l);

/* It is told still. */
bool model_fleet_lesson_holds(const struct model_fleet *f,
    const struct model_fleet_lesson *l, int64_t now_wall_ms);

/* In units. */
double model_fleet_amount(const struct model_fleet_limit *l, int64_t amount);

/* A rate of the account, in this unit of the board: where hosts share it, text
 * (of n octets) is made what one would write for it, 2/1s for the 2.001/1s that
 * is kept. True: they do. */
bool model_fleet_round(
    const struct model_fleet *f, const char *unit, char *text, size_t n);

/* "12", "40.5": an amount as one reads it, in at most n octets of text. */
const char *model_fleet_say(
    const struct model_fleet_limit *l, int64_t amount, char *text, size_t n);

#endif
