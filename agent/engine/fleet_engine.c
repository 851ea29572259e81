#include "agent/engine/fleet_engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

/* One question at work. */
struct renewal {
	struct fleet_engine *e;
	const struct fleet_terms *terms;
	const struct fleet_question *q;
	struct fleet_host *me; /* NULL: not heard of */
	int64_t now, base, known;
};

static struct fleet_host *
find(struct fleet_engine *e, const char *name)
{
	for (size_t i = 0; i < e->count; i++)
		if (strcmp(e->hosts[i].name, name) == 0)
			return &e->hosts[i];
	return NULL;
}

static struct fleet_host *
add(struct fleet_engine *e, const char *name)
{
	struct fleet_host *h;

	if (e->count >= FLEET_HOSTS_MAX)
		return NULL;
	h = &e->hosts[e->count++];
	*h = (struct fleet_host){0};
	(void)snprintf(h->name, sizeof(h->name), "%s", name);
	return h;
}

/* Who is gone for good makes room: nothing is kept for it. NULL: nobody is. */
static struct fleet_host *
replace_gone(struct fleet_engine *e, const char *name)
{
	struct fleet_host *seat = NULL;

	for (size_t i = 0; i < e->count; i++)
		if (e->hosts[i].is_gone &&
		    (seat == NULL || strcmp(e->hosts[i].name, seat->name) < 0))
			seat = &e->hosts[i];
	if (seat == NULL)
		return NULL;
	*seat = (struct fleet_host){.is_gone = 1};
	(void)snprintf(seat->name, sizeof(seat->name), "%s", name);
	return seat;
}

/* ---- memory ------------------------------------------------------------- */

static void
name_life(const struct fleet_engine *e, char out[FLEET_LIFE_SIZE])
{
	/* cut to what leaves room for a number */
	(void)snprintf(out, FLEET_LIFE_SIZE, "%.42s:%" PRId64, e->run, e->born);
}

/* Is what is remembered of this process, and has its clock gone on as clocks
 * do? Forward it can have been set when nobody has asked for a while; back,
 * when it is earlier than it was, or than the asking host knows it must be. */
static bool
is_memory_good(const struct renewal *r, const char *run)
{
	const struct fleet_engine *e = r->e;
	char life[FLEET_LIFE_SIZE];

	if (strcmp(e->run, run) != 0 || r->now < e->last ||
	    r->now > e->last + fleet_slack_us(r->terms))
		return false;
	name_life(e, life);
	return strcmp(r->q->life, life) != 0 || r->q->seen == 0 ||
	       r->now >= r->q->seen + r->q->since_us - FLEET_ANSWER_US;
}

static void
begin_life(struct renewal *r, const char *run)
{
	struct fleet_engine *e = r->e;

	*e = (struct fleet_engine){0};
	(void)snprintf(e->run, sizeof(e->run), "%s", run);
	e->born = r->now;
	e->learn = r->now + r->terms->ttl_us + r->terms->linger_us;
}

/* All have told, after this life began, what they hold. */
static bool
has_learned(const struct renewal *r)
{
	const struct fleet_engine *e = r->e;
	char life[FLEET_LIFE_SIZE];

	if (e->learn <= r->now)
		return true;
	name_life(e, life);
	if (r->known < r->terms->size || strcmp(r->q->life, life) != 0)
		return false;
	for (size_t i = 0; i < e->count; i++)
		if (&e->hosts[i] != r->me && !e->hosts[i].has_told &&
		    !e->hosts[i].is_gone)
			return false;
	return true;
}

/* ---- what is free -------------------------------------------------------- */

static bool
is_forgotten(const struct renewal *r, int64_t seen)
{
	return r->terms->forget_us > 0 &&
	       seen + r->terms->forget_us + r->terms->linger_us <= r->now;
}

/* Who was never seen in this life may be at its base, as may who is silent. */
static int64_t
silent_part(const struct renewal *r, int64_t seen)
{
	return is_forgotten(r, seen) ? r->terms->minimum : r->base;
}

static int64_t
part_of(const struct renewal *r, const struct fleet_host *h, int64_t end)
{
	if (h->is_gone)
		return 0;
	if (h->end + r->terms->linger_us <= r->now)
		return silent_part(r, h->seen);
	if (h->end > r->now && h->sure >= end)
		return h->share;
	return fleet_most(h->share, r->base);
}

static int64_t
unheard_part(const struct renewal *r)
{
	return (r->terms->size - r->known) * silent_part(r, r->e->born);
}

/* Has less than its base, for certain for a while. */
static bool
lends(const struct renewal *r, const struct fleet_host *h)
{
	return h != r->me && !h->is_gone && h->end > r->now &&
	       h->share < r->base && h->sure > r->now;
}

/* By then the first of those who lend may have its base back. */
static int64_t
first_back(const struct renewal *r, int64_t end)
{
	for (size_t i = 0; i < r->e->count; i++)
		if (lends(r, &r->e->hosts[i]))
			end = fleet_least(end, r->e->hosts[i].sure);
	return end;
}

/* What a host may hold after that: a loan that is over then is its base. */
static int64_t
later_part(const struct renewal *r, const struct fleet_host *h, int64_t back)
{
	if (!h->is_gone && h->end > r->now && h->share > r->base &&
	    h->end <= back && r->terms->linger_us == 0)
		return r->base;
	return part_of(r, h, INT64_MAX);
}

/* Those who lend may all have their base from `back` on, when the loans are
 * over: what is free is what is free before that, and after it. So who lends
 * has a little of its own base while another has the rest. */
static int64_t
free_in_turn(const struct renewal *r, int64_t back)
{
	int64_t before = 0, after = 0;

	for (size_t i = 0; i < r->e->count; i++) {
		const struct fleet_host *h = &r->e->hosts[i];

		if (h == r->me)
			continue;
		before += lends(r, h) ? h->share : part_of(r, h, INT64_MAX);
		after += later_part(r, h, back);
	}
	return r->terms->limit - unheard_part(r) - fleet_most(before, after);
}

static int64_t
free_until(const struct renewal *r, int64_t end)
{
	int64_t n = r->terms->limit - unheard_part(r);

	for (size_t i = 0; i < r->e->count; i++)
		if (&r->e->hosts[i] != r->me)
			n -= part_of(r, &r->e->hosts[i], end);
	return fleet_most(n, free_in_turn(r, first_back(r, end)));
}

/* The shortest of the leases by which others keep to less than their base, of
 * those that last for long enough to be of use. */
static int64_t
lenders_end(const struct renewal *r, int64_t end)
{
	for (size_t i = 0; i < r->e->count; i++) {
		const struct fleet_host *h = &r->e->hosts[i];

		if (h != r->me && h->end > r->now && h->share < r->base &&
		    h->sure >= r->now + r->terms->ttl_us / 2)
			end = fleet_least(end, h->sure);
	}
	return end;
}

/* ---- what is fair -------------------------------------------------------- */

static int
compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* What those who are silent do not keep. */
static int64_t
shareable(const struct renewal *r)
{
	int64_t left = r->terms->limit -
		       (r->terms->size - r->known) * silent_part(r, r->e->born);

	for (size_t i = 0; i < r->e->count; i++) {
		const struct fleet_host *h = &r->e->hosts[i];

		if (h != r->me && h->end <= r->now)
			left -= part_of(r, h, r->now);
	}
	return fleet_most(0, left);
}

/* Everybody's wish is filled up to the same level. */
static int64_t
fair_target(const struct renewal *r)
{
	int64_t wants[FLEET_HOSTS_MAX + 1], level = 0;
	int64_t left = shareable(r);
	size_t n = 0;

	wants[n++] = r->q->want;
	for (size_t i = 0; i < r->e->count; i++) {
		const struct fleet_host *h = &r->e->hosts[i];

		if (h != r->me && h->end > r->now && h->want > 0)
			wants[n++] = h->want;
	}
	qsort(wants, n, sizeof(wants[0]), compare);
	for (size_t i = 0; i < n; i++) {
		level = fleet_least(wants[i], left / (int64_t)(n - i));
		left -= level;
	}
	return fleet_least(r->q->want, fleet_most(r->base, level));
}

/* ---- the answer ---------------------------------------------------------- */

static enum fleet_word
judge(const struct renewal *r)
{
	const struct fleet_host *me = r->me;

	if (me == NULL)
		return r->known >= r->terms->size ? FLEET_FULL : FLEET_OK;
	if (me->is_gone)
		return FLEET_OK;
	if (me->epoch == r->q->epoch && me->nonce == r->q->nonce)
		return me->number >= r->q->number ? FLEET_TWICE : FLEET_OK;
	if (me->end > r->now && me->epoch >= r->q->epoch)
		return FLEET_STALE;
	return FLEET_OK;
}

static void
grant(struct renewal *r, struct fleet_answer *out)
{
	int64_t long_end = r->now + r->terms->ttl_us, end, more;

	out->target = fair_target(r);
	if (!has_learned(r)) {
		/* What is said is believed, and nothing new is lent: what is
		 * in use beyond what may be comes to its end. */
		out->share = r->q->cap;
		out->end = r->q->cap > r->base
			       ? fleet_least(long_end, r->now + r->q->left_us)
			       : long_end;
		return;
	}
	out->share =
	    fleet_most(0, fleet_least(out->target, free_until(r, long_end)));
	out->end = long_end;
	end = lenders_end(r, long_end);
	more = fleet_least(out->target, free_until(r, end));
	if (more > out->share && more > r->base) {
		out->share = more;
		out->end = end;
	}
}

static void
note(struct renewal *r, const struct fleet_answer *answer)
{
	const struct fleet_question *q = r->q;
	struct fleet_host *me = r->me != NULL ? r->me : add(r->e, q->host);
	bool has_told = strcmp(q->life, answer->life) == 0;

	CHECK(me != NULL);
	me->nonce = q->nonce;
	me->epoch = q->epoch;
	me->number = q->number;
	me->has_told = has_told;
	me->share = fleet_most(answer->share, fleet_most(q->cap, q->in_use));
	me->end = fleet_most(answer->end, me->end);
	me->sure = has_told ? q->echo : 0;
	me->want = q->want;
	me->seen = r->now;
	me->is_gone = 0;
}

/* ---- lessons --------------------------------------------------------------
 */

static void
keep_lessons(const struct renewal *r)
{
	struct fleet_host *me = find(r->e, r->q->host);

	for (size_t k = 0; k < FLEET_LESSONS; k++) {
		const struct fleet_lesson *l = &r->q->lessons[k];

		me->lessons[k] = (struct fleet_kept){0};
		if (l->left_us > 0)
			me->lessons[k] = (struct fleet_kept){
			    r->now +
				fleet_least(l->left_us, FLEET_LESSON_MAX_US),
			    l->value};
	}
}

/* Of two that last as long the one whose name comes first. */
static void
hear(const struct renewal *r, const struct fleet_host *h, size_t k,
    struct fleet_lesson *best)
{
	int64_t left =
	    fleet_least(h->lessons[k].until - r->now, FLEET_LESSON_MAX_US);

	if (left <= 0 || left < best->left_us ||
	    (left == best->left_us && strcmp(h->name, best->host) > 0))
		return;
	best->left_us = left;
	best->value = h->lessons[k].value;
	(void)snprintf(best->host, sizeof(best->host), "%s", h->name);
}

static void
tell_lessons(const struct renewal *r, struct fleet_answer *out)
{
	for (size_t i = 0; i < r->e->count; i++) {
		const struct fleet_host *h = &r->e->hosts[i];

		if (h->is_gone || strcmp(h->name, r->q->host) == 0)
			continue;
		for (size_t k = 0; k < FLEET_LESSONS; k++)
			hear(r, h, k, &out->lessons[k]);
	}
}

void
fleet_engine_renew(struct fleet_engine *e, const struct fleet_terms *terms,
    const char *run, const struct fleet_question *q, int64_t now_us,
    struct fleet_answer *out)
{
	struct renewal r = {
	    .e = e,
	    .terms = terms,
	    .q = q,
	    .now = now_us,
	    .base = fleet_base(terms),
	};

	if (!is_memory_good(&r, run))
		begin_life(&r, run);
	e->last = now_us;
	r.me = find(e, q->host);
	r.known = (int64_t)e->count;
	if (r.me == NULL && r.known >= terms->size)
		r.me = replace_gone(e, q->host);
	*out = (struct fleet_answer){.at = now_us};
	name_life(e, out->life);
	out->word = judge(&r);
	if (r.me == NULL && out->word == FLEET_OK)
		r.known++;
	out->known = r.known;
	if (out->word != FLEET_OK)
		return;
	grant(&r, out);
	note(&r, out);
	keep_lessons(&r);
	tell_lessons(&r, out);
}

bool
fleet_engine_forget(struct fleet_engine *e, const char *host)
{
	struct fleet_host *h = find(e, host);

	if (h == NULL)
		h = add(e, host);
	if (h == NULL)
		return false;
	h->is_gone = 1;
	h->end = 0;
	return true;
}
