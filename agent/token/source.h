/* source: when the access token of one NAME is fetched, and who gets which.
 *
 *   none -> fetching -> held -> fetching -> held ...
 *             |   ^                 |  ^
 *             v   |                 v  |       waits grow; the token that is
 *            back-off             back-off     held is given out until its end
 *
 * Refreshed a fifth of its life, and ten minutes, before its end, whichever is
 * earlier, but not before half of its life. Its life is what the endpoint said,
 * counted from before it was asked, by the monotonic clock, so that a wall
 * clock that is wrong or set does not matter.
 *
 * A fetch that failed is repeated after 1, 2, 4 ... 60 s when it may pass by
 * itself, after 60, 120 ... 300 s when somebody has to change something; or
 * when the endpoint says, if that is later.
 *
 * Who was refused with the present token gets the next one: it is fetched at
 * once, but not if the present one was fetched for that reason itself within
 * SOURCE_RENEW_MS. Then the present one is given again.
 *
 * Pure: time is an argument, and there is no I/O.
 */
#ifndef TOKEN_SOURCE_H
#define TOKEN_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SOURCE_EARLY_MS = 600000,
	SOURCE_BACKOFF_MS = 1000,
	SOURCE_BACKOFF_MAX_MS = 60000,
	SOURCE_LASTING_MS = 60000,
	SOURCE_LASTING_MAX_MS = 300000,
	SOURCE_RETRY_AFTER_MAX_S = 3600,
	SOURCE_RENEW_MS = 300000,
	/* No token is given out in its last moments: it has to get there. */
	SOURCE_MARGIN_MS = 2000,
	/* Failures in a row before the lack of a token is told. */
	SOURCE_TRIES = 3,
	SOURCE_REASON_SIZE = 480,
};

struct source {
	char *token; /* a secret; NULL: none */
	int64_t serial; /* of the present token, or of the last one */
	int64_t end_ms, refresh_ms; /* of the present token */
	int64_t not_before_ms; /* the next fetch */
	int failures; /* in a row */
	bool is_fetching, is_wanted;
	bool is_lasting; /* the last failure: somebody has to change it */
	bool is_renewal; /* the fetch that is due or under way is for a refusal
			  */
	int64_t renewed_ms; /* the last of these; INT64_MIN: never */
	int64_t asked_ms; /* when the fetch under way began */
	char reason[SOURCE_REASON_SIZE]; /* of the last failure */
};

enum source_state {
	SOURCE_TOKEN, /* token and serial are it */
	SOURCE_WAIT, /* a fetch is due or under way: ask when it is over */
	SOURCE_NONE, /* reason says why; is_lasting */
};

void source_init(struct source *s);
void source_fini(struct source *s);

/* refused: the serial that a server did not take, or 0. From the first time on
 * there is always to be a token. */
enum source_state source_ask(struct source *s, int64_t refused, int64_t now_ms);

/* A fetch is to begin now. */
bool source_is_due(const struct source *s, int64_t now_ms);

/* When source_is_due() may become true, or what source_ask() says change;
 * INT64_MAX: not by itself. */
int64_t source_due_ms(const struct source *s);

bool source_has_token(const struct source *s, int64_t now_ms);

/* The fetch begins, and how it ends. token is copied. retry_after_s: what the
 * endpoint asked for, or 0; random: any number, spreads the waits. */
void source_began(struct source *s, int64_t now_ms);
void source_granted(struct source *s, const char *token, int64_t life_s);
void source_failed(struct source *s, const char *reason, bool is_lasting,
    int64_t retry_after_s, unsigned random, int64_t now_ms);

/* The operator has to know: there is no token, and it was tried often enough;
 * or what is wrong does not pass. */
bool source_is_alarming(const struct source *s, int64_t now_ms);

#endif
