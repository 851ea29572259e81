/* explore: every run of a program that makes choices, one after the other.
 *
 *   explore_begin(&x, 2);
 *   while (explore_next(&x))
 *           run once; each explore_pick() is one choice
 *
 * Stateless: a run begins anew, takes the choices of the one before it up to
 * the last that had an alternative, and there the next alternative. Choice 0 is
 * the usual one; at most deviations_max of a run's choices are others, and with
 * that bound all runs there are are had, each once. A run has to be a function
 * of its choices alone: another choice in the place of one that is repeated is
 * found, and ends the program.
 */
#ifndef EXPLORE_H
#define EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct explore_choice {
	const char *what;
	const char *const *names; /* of the alternatives */
	int taken;
	uint32_t allowed; /* alternatives, as bits */
	int subject; /* a number that tells it from others; shown */
};

struct explore {
	struct explore_choice *path;
	size_t depth, at, room;
	size_t fresh; /* choices up to there were taken before */
	int deviations_max, deviations;
	bool is_replay, has_run;
	uint64_t runs, choices; /* made in all runs; those that were new */
};

void explore_begin(struct explore *x, int deviations_max);
void explore_end(struct explore *x);

/* Begins a run; false: all were had. */
bool explore_next(struct explore *x);

/* One of the alternatives that `allowed` has as bits, 0 (the usual one) always
 * among them: its number. */
int explore_pick(struct explore *x, const char *what, int subject,
    const char *const *names, uint32_t allowed);

/* The first `count` alternatives. */
#define EXPLORE_ALL(count) ((UINT32_C(1) << (count)) - 1)

/* May a choice be another than 0 in this run? Saves the work of finding out
 * what could be chosen. */
bool explore_may_deviate(const struct explore *x);

/* The one run that `text` names: "17=3,24=1", as explore_print() does it.
 * False: it is malformed. */
bool explore_replay(struct explore *x, const char *text);

/* The choices of this run that were not the usual ones: for a replay, and in
 * words, one a line. */
void explore_print(const struct explore *x, FILE *to);

#endif
