/* health: how a lane is, in one word and one sentence.
 *
 * The worst that is true is what is said. Pure: of the model, the backlog and
 * what is known of Postfix; time is the model's.
 */
#ifndef HEALTH_H
#define HEALTH_H

#include <stdbool.h>
#include <stddef.h>

#include "monitor/backlog.h"
#include "monitor/model.h"
#include "monitor/postfix_state.h"

/* In the order of their weight. */
enum health_state {
	HEALTH_WELL,
	HEALTH_SLOWED, /* slower than its settings let it be */
	HEALTH_PAUSED, /* nothing is sent, for some time that is known */
	HEALTH_ALARM, /* somebody has to act */
	HEALTH_DOWN, /* there is no process that sends */
};

struct health {
	enum health_state state;
	char text[640]; /* one sentence, without a full stop */
};

enum {
	/* Without a sign of life for so long, with mail waiting, it is stuck; a
	 * process that is not there for so long does not come. */
	HEALTH_STUCK_MS = 60000,
	/* Mail for which no connection is to be had for so long, while nothing
	 * else goes, is held up by other lanes. */
	HEALTH_STARVED_MS = 10000,
};

/* backlog may be NULL, or not known. lane is one of m. */
void health_of(struct health *out, const struct model *m,
    const struct model_lane *lane, const struct backlog *backlog,
    enum postfix_state postfix);

/* How an access token is: WELL, or ALARM (no other is to be had, and it ends
 * soon or somebody has to act); text is a sentence. */
void health_of_token(
    struct health *out, const struct model *m, const struct model_token *t);

/* How a fleet's engine is, for an account in use: WELL, or SLOWED, as there is
 * none. False: the account has no fleet, or nobody knows. */
bool health_of_fleet(
    struct health *out, const struct model *m, const struct model_account *a);

/* Of mail that is to go by a transport that there is not. */
void health_of_stray(struct health *out, const struct backlog_stray *stray);

/* Of what is no lane's: tokens, fleets, and, if known, strays; the worst. */
enum health_state health_of_the_rest(
    const struct model *m, const struct backlog *b);

/* Of all tokens, the worst. */
enum health_state health_of_tokens(const struct model *m);

/* "well", "slowed", "paused", "alarm", "down". */
const char *health_name(enum health_state state);

/* Of the command: 0 well, 1 slowed, paused or alarm, 2 down. */
int health_status(enum health_state state);

#endif
