#include "agent/desk.h"

#include <string.h>

#include "agent/operator/ask.h"
#include "agent/operator/steering.h"
#include "agent/why.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/words.h"
#include "common/shared/board.h"

struct desk {
	struct lane *lane;
	const struct intake *intake;
	const char *problem;
	char name[BOARD_NAME]; /* as postlane reads it on the board */
	struct ask *ask;
	struct steering *steering; /* NULL without a lane */
};

static void
look_at_orders(struct desk *d, struct buf *out)
{
	uint64_t serial;

	if (steering_look(d->steering, &serial))
		(void)buf_addf(out, "ok %llu", (unsigned long long)serial);
	else
		(void)buf_add_str(out,
		    "error what was asked for is kept and not obeyed: its file "
		    "cannot be read or understood, see the log");
}

static void
on_question(void *ctx, struct slice question, struct buf *out)
{
	struct desk *d = ctx;
	struct slice verb, id;

	if (!words_next(&question, &verb))
		(void)buf_add_str(out, "error there is no question");
	else if (d->lane == NULL)
		(void)buf_addf(out, "error mail is deferred: %s",
		    d->problem != NULL ? d->problem : "see the log");
	else if (slice_eq(verb, "steer"))
		look_at_orders(d, out);
	else if (slice_eq(verb, "retry")) {
		lane_retry(d->lane, clock_moment());
		(void)buf_add_str(out, "ok");
	} else if (slice_eq(verb, "why") && words_next(&question, &id))
		why_answer(d->lane, d->intake, id, words_trim(question), out);
	else
		(void)buf_add_str(out, "error there is no such question");
}

struct desk *
desk_open(struct loop *loop, struct lane *lane, const struct intake *intake,
    const struct agent_env *env)
{
	struct desk *d = mem_zalloc(sizeof(*d));

	d->lane = lane;
	d->intake = intake;
	d->problem = env->problem;
	board_text(
	    env->lane_name, strlen(env->lane_name), d->name, sizeof(d->name));
	/* The socket first: who finds nobody there stored his order before the
	 * file is read. */
	d->ask = ask_open(loop, env->state, d->name, on_question, d);
	if (lane != NULL)
		d->steering = steering_new(loop, lane, env->state, d->name);
	return d;
}

void
desk_close(struct desk **desk)
{
	struct desk *old = *desk;

	*desk = NULL;
	if (old == NULL)
		return;
	ask_close(&old->ask);
	steering_free(&old->steering);
	mem_free(old);
}
