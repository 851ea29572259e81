#include "agent/desk.h"

#include <string.h>

#include "agent/operator/ask.h"
#include "agent/operator/steering.h"
#include "agent/postfix/report.h"
#include "agent/why.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/words.h"
#include "common/shared/board.h"

/* How soon what more room allows is looked at. */
enum { ROOM_AGAIN_MS = 1000 };

struct desk {
	struct lane *lane;
	struct intake *intake;
	struct dialogue *dialogue;
	struct descriptors descriptors; /* as they were planned at the start */
	int sessions; /* as set */
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
		(void)buf_addf(out, "ok %llu %s", (unsigned long long)serial,
		    steering_remark(d->steering));
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
		(void)buf_add_str(out, lane_retry(d->lane, clock_moment())
					   ? "ok"
					   : "ok when its pause is over");
	} else if (slice_eq(verb, "why") && words_next(&question, &id))
		why_answer(d->lane, d->intake, id, words_trim(question), out);
	else if (slice_eq(verb, "trace"))
		(void)buf_add_str(
		    out, "error others listen already, and no more may");
	else
		(void)buf_add_str(out, "error there is no such question");
}

/* "trace [RECIPIENT]" */
static bool
take(void *ctx, struct slice question, int fd)
{
	struct desk *d = ctx;
	struct slice verb;

	return words_next(&question, &verb) && slice_eq(verb, "trace") &&
	       d->lane != NULL &&
	       dialogue_listen(d->dialogue, fd, words_trim(question));
}

/* More sessions leave room for fewer requests. Those that are inside already
 * keep what they have until they are answered. */
static int
make_room(void *ctx, int sessions, int64_t *again_ms)
{
	const struct desk *d = ctx;
	struct descriptors plan = d->descriptors;
	size_t inside = intake_greeted(d->intake) + intake_working(d->intake);
	int needed, over;

	if (!descriptors_plan(&plan, sessions > 0 ? sessions : d->sessions,
		REPORT_PARALLEL, &needed))
		return d->descriptors.sessions;
	intake_limit(d->intake, (size_t)plan.requests);
	over = ((int)inside - plan.requests) * DESCRIPTORS_REQUEST;
	if (over <= 0)
		return plan.sessions;
	*again_ms = clock_mono_ms() + ROOM_AGAIN_MS;
	return plan.sessions - over > d->descriptors.sessions
		   ? plan.sessions - over
		   : d->descriptors.sessions;
}

struct desk *
desk_open(struct loop *loop, struct lane *lane, struct intake *intake,
    struct dialogue *dialogue, const struct agent_env *env)
{
	struct desk *d = mem_zalloc(sizeof(*d));

	d->lane = lane;
	d->intake = intake;
	d->dialogue = dialogue;
	d->descriptors = env->descriptors;
	if (env->set != NULL)
		d->sessions = env->set->lane_connection_limit;
	d->problem = env->problem;
	board_text(
	    env->lane_name, strlen(env->lane_name), d->name, sizeof(d->name));
	/* The socket first: who finds nobody there stored his order before the
	 * file is read. */
	d->ask = ask_open(loop, env->state, d->name, on_question, take, d);
	if (lane != NULL)
		d->steering =
		    steering_new(loop, lane, env->state, d->name, make_room, d);
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
