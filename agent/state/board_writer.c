#include "agent/state/board_writer.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/state/board_state.h"
#include "agent/state/statefile.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum { CRASHES_MAX = 10000 };

/* The account --------------------------------------------------------- */

static bool
account_in_use(struct board_writer *w, int i)
{
	for (int k = 0; k < BOARD_LANES; k++) {
		struct board_lane *lane = &w->board->lanes[k];

		if (board_load(&lane->account) == (uint64_t)i + 1 &&
		    (lane == w->lane ||
			statefile_is_locked(w->fd, BOARD_LOCK_LANE + k)))
			return true;
	}
	return false;
}

/* The account's row; else a free one; else the one unused longest. */
static int
find_account(struct board_writer *w, uint64_t key)
{
	uint64_t oldest = UINT64_MAX;
	int best = -1;

	for (int i = 0; i < BOARD_ACCOUNTS; i++) {
		const struct board_account *a = &w->board->accounts[i];

		if (board_load(&a->key) == key)
			return i;
	}
	for (int i = 0; i < BOARD_ACCOUNTS; i++) {
		const struct board_account *a = &w->board->accounts[i];
		uint64_t used = board_load(&a->used_wall_ms);

		if (board_load(&a->key) == 0)
			return i;
		if (used < oldest && !account_in_use(w, i)) {
			oldest = used;
			best = i;
		}
	}
	return best;
}

bool
board_writer_set_account(struct board_writer *w, const char *account)
{
	uint64_t key = board_hash(account);
	char error[160], label[BOARD_NAME];
	struct board_account *a;
	int lock_fd, i;

	if (w == NULL)
		return false;
	mem_free(w->account_name);
	w->account_name = mem_strdup(account);
	board_store(&w->lane->account, 0);
	w->account = NULL;
	if (w->fd < 0)
		return false;
	lock_fd = statefile_open(w->dir_fd, "board.lock", error, sizeof(error));
	if (lock_fd < 0)
		return false;
	if (!statefile_lock(lock_fd, 0, BOARD_OPEN_WAIT_MS) ||
	    (i = find_account(w, key)) < 0) {
		(void)close(lock_fd);
		return false;
	}
	a = &w->board->accounts[i];
	if (board_load(&a->key) != key) {
		memset(a, 0, sizeof(*a));
		board_label(account, label, sizeof(label));
		board_store_text(a->label, sizeof(a->label), label);
		board_store(&a->key, key);
	}
	board_store(&a->used_wall_ms, board_now_wall_ms());
	board_store(&w->lane->account, (uint64_t)i + 1);
	w->account = a;
	(void)close(lock_fd);
	return true;
}

bool
board_writer_is_drained(const struct board_writer *w)
{
	return w != NULL && w->is_draining;
}

struct board_lane *
board_writer_lane(struct board_writer *w)
{
	return w != NULL ? w->lane : NULL;
}

struct board_account *
board_writer_account(struct board_writer *w)
{
	return w != NULL ? w->account : NULL;
}

void
board_writer_set_limits(struct board_writer *w, int limit, int limit_now,
    int64_t limited_ms, int held, int resting)
{
	struct board_account *a = board_writer_account(w);

	CHECK(limit >= 0 && held >= 0 && resting >= 0);
	if (a == NULL)
		return;
	board_store(&a->limit, (uint64_t)limit);
	board_store(&a->limit_now, (uint64_t)limit_now);
	board_store(&a->limited_until_wall_ms,
	    limited_ms > 0 ? board_now_wall_ms() + (uint64_t)limited_ms : 0);
	board_store(&a->held, (uint64_t)held);
	board_store(&a->resting, (uint64_t)resting);
}

/* What others said, as the log would show it. */
static void
store_discreetly(char *field, size_t size, const char *text)
{
	char shown[LOG_LINE_MAX], cut[LOG_LINE_MAX];

	CHECK(size <= sizeof(cut));
	(void)snprintf(shown, sizeof(shown), "%s", text);
	log_filter(shown, sizeof(shown), NULL);
	board_cut(cut, size, shown);
	board_store_text(field, size, cut);
}

void
board_writer_refusal(struct board_writer *w, const char *reply)
{
	struct board_account *a = board_writer_account(w);

	if (a == NULL)
		return;
	board_bump(&a->refusals, 1);
	board_store(&a->refused_wall_ms, board_now_wall_ms());
	store_discreetly(a->refusal, sizeof(a->refusal), reply);
}

bool
board_writer_learned(struct board_writer *w, uint64_t words[BOARD_LEARNED])
{
	if (w == NULL)
		return false;
	for (int i = 0; i < BOARD_LEARNED; i++)
		words[i] = board_load(&w->lane->learned[i]);
	return true;
}

void
board_writer_set_learned(
    struct board_writer *w, const uint64_t words[BOARD_LEARNED])
{
	if (w == NULL || w->is_draining)
		return;
	for (int i = 0; i < BOARD_LEARNED; i++)
		board_store(&w->lane->learned[i], words[i]);
}

/* Figures ------------------------------------------------------------- */

void
board_writer_add(struct board_writer *w, enum board_counter which, uint64_t n)
{
	CHECK(which < BOARD_COUNTER_COUNT);
	if (w != NULL)
		board_bump(&w->lane->counters[which], n);
}

void
board_writer_set(struct board_writer *w, enum board_gauge which, int64_t value)
{
	CHECK(which < BOARD_GAUGE_COUNT);
	if (w != NULL && !w->is_draining)
		board_store(&w->lane->gauges[which], (uint64_t)value);
}

void
board_writer_observe(
    struct board_writer *w, enum board_hist_id which, int64_t us)
{
	CHECK(which < BOARD_HIST_COUNT);
	if (w != NULL)
		board_hist_add(
		    &w->lane->hists[which], us > 0 ? (uint64_t)us : 0);
}

void
board_writer_sent(struct board_writer *w)
{
	if (w != NULL)
		board_ring_add(&w->lane->sent, (uint64_t)clock_wall().tv_sec);
}

void
board_writer_trouble(struct board_writer *w, const char *text)
{
	struct board_trouble *t;

	if (w == NULL)
		return;
	t = &w->lane->trouble;
	store_discreetly(t->text, sizeof(t->text), text);
	board_store(&t->wall_ms, board_now_wall_ms());
}

void
board_writer_set_settings(
    struct board_writer *w, const uint64_t words[BOARD_SETTINGS])
{
	for (size_t i = 0; w != NULL && i < BOARD_SETTINGS; i++)
		board_store(&w->lane->settings[i], words[i]);
}

void
board_writer_set_waits_for(struct board_writer *w, const char *text)
{
	char shown[LOG_LINE_MAX];

	if (w == NULL || w->is_draining)
		return;
	(void)snprintf(shown, sizeof(shown), "%s", text);
	log_filter(shown, sizeof(shown), NULL);
	board_store_long(w->lane->waits_for, w->lane->waits_for_more, shown);
}

void
board_writer_set_alarms(struct board_writer *w,
    const struct board_writer_alarm *alarms, size_t count)
{
	CHECK(count <= BOARD_ALARMS);
	if (w == NULL || w->is_draining)
		return;
	for (size_t i = 0; i < BOARD_ALARMS; i++) {
		struct board_alarm *to = &w->lane->alarms[i];

		if (i >= count) {
			board_store(&to->since_wall_ms, 0);
			continue;
		}
		board_store(
		    &w->lane->alarms_met_wall_ms[i], alarms[i].met_wall_ms);
		board_store_text(to->what, sizeof(to->what), alarms[i].what);
		board_store_text(to->where, sizeof(to->where), alarms[i].where);
		board_store_long(
		    to->reply, w->lane->alarms_reply_more[i], alarms[i].reply);
		board_store(&to->since_wall_ms, alarms[i].since_wall_ms);
	}
}

void
board_writer_beat(struct board_writer *w)
{
	if (w == NULL || w->is_draining)
		return;
	board_open_look(w);
	board_put_beat(w);
}

void
board_writer_set_slots(
    struct board_writer *w, int held, int reserve, int wants, int limit)
{
	CHECK(held >= 0 && reserve >= 0 && wants >= 0);
	if (w == NULL || w->is_draining)
		return;
	board_store(&w->lane->held, (uint64_t)held);
	board_store(&w->lane->reserve, (uint64_t)reserve);
	board_store(&w->lane->wants, (uint64_t)wants);
	board_store(&w->lane->connection_limit, (uint64_t)limit);
}

static struct board_account *
account_named(struct board_writer *w, const char *account)
{
	uint64_t key = board_hash(account);

	for (int i = 0; i < BOARD_ACCOUNTS; i++)
		if (board_load(&w->board->accounts[i].key) == key)
			return &w->board->accounts[i];
	return NULL;
}

static void
set_fleet_limit(
    struct board_fleet_limit *to, const struct board_fleet_limit *from)
{
	board_store_text(to->unit, sizeof(to->unit), from->unit);
	board_store(&to->limit, from->limit);
	board_store(&to->base, from->base);
	board_store(&to->share, from->share);
	board_store(&to->want, from->want);
	board_store(&to->target, from->target);
	board_store(&to->in_use, from->in_use);
	board_store(&to->until_wall_ms, from->until_wall_ms);
	board_store(&to->answered_wall_ms, from->answered_wall_ms);
	board_store(&to->known, from->known);
	board_store(&to->renewals, from->renewals);
	board_store(&to->failures, from->failures);
	board_store(&to->over_us, from->over_us);
	board_store(&to->word, from->word);
}

static void
set_fleet_lesson(
    struct board_fleet_lesson *to, const struct board_fleet_lesson *from)
{
	board_store_text(to->host, sizeof(to->host), from->host);
	board_store(&to->value, from->value);
	board_store(&to->until_wall_ms, from->until_wall_ms);
}

void
board_writer_set_fleet(
    struct board_writer *w, const char *account, const struct board_fleet *f)
{
	struct board_account *a;
	struct board_fleet *to;

	if (w == NULL || w->is_draining ||
	    (a = account_named(w, account)) == NULL)
		return;
	to = &a->fleet;
	board_store_text(to->name, sizeof(to->name), f->name);
	board_store_text(to->engine, sizeof(to->engine), f->engine);
	store_discreetly(to->trouble, sizeof(to->trouble), f->trouble);
	board_store(&to->ttl_ms, f->ttl_ms);
	board_store(&to->forget_ms, f->forget_ms);
	board_store(&to->is_up, f->is_up);
	board_store(&to->since_wall_ms, f->since_wall_ms);
	board_store(&to->alone_ms, f->alone_ms);
	board_store(&to->epoch, f->epoch);
	board_store(
	    &to->lane, (uint64_t)(w->lane - w->board->lanes) + UINT64_C(1));
	for (size_t i = 0; i < BOARD_FLEET_LIMITS; i++)
		set_fleet_limit(&to->limits[i], &f->limits[i]);
	for (size_t i = 0; i < BOARD_FLEET_LESSONS; i++)
		set_fleet_lesson(&to->heard[i], &f->heard[i]);
	board_store(&to->told_wall_ms, board_now_wall_ms());
	board_store(&to->size, f->size);
}

/* Session rows -------------------------------------------------------- */

static struct board_session *
session_row(struct board_writer *w, int row)
{
	if (w == NULL || row < 0 || row >= BOARD_SESSIONS ||
	    !w->has_session[row])
		return NULL;
	return &w->lane->sessions[row];
}

int
board_writer_session_new(struct board_writer *w, uint64_t id)
{
	if (w == NULL || w->is_draining)
		return -1;
	for (int i = 0; i < BOARD_SESSIONS; i++) {
		struct board_session *s = &w->lane->sessions[i];

		if (w->has_session[i])
			continue;
		w->has_session[i] = true;
		memset(s, 0, sizeof(*s));
		board_store(&s->id, id);
		board_store(&s->opened_wall_ms, board_now_wall_ms());
		board_writer_session_state(w, i, BOARD_SESSION_DIALING);
		return i;
	}
	return -1;
}

void
board_writer_session_peer(
    struct board_writer *w, int row, const char *host, const char *address)
{
	struct board_session *s = session_row(w, row);
	char both[sizeof(s->peer)];
	int n = snprintf(both, sizeof(both), "%s[%s]", host, address);

	if (s == NULL)
		return;
	if (strcmp(host, address) == 0 || n < 0 || (size_t)n >= sizeof(both))
		board_store_text(s->peer, sizeof(s->peer), address);
	else
		board_store_text(s->peer, sizeof(s->peer), both);
}

void
board_writer_session_state(
    struct board_writer *w, int row, enum board_writer_session_state state)
{
	struct board_session *s = session_row(w, row);

	CHECK(state != BOARD_SESSION_FREE);
	if (s == NULL || board_load(&s->state) == state)
		return;
	board_store(&s->since_wall_ms, board_now_wall_ms());
	board_store(&s->state, state);
}

void
board_writer_session_figures(struct board_writer *w, int row, uint64_t messages,
    uint64_t in_flight, uint64_t depth, uint64_t octets)
{
	struct board_session *s = session_row(w, row);

	if (s == NULL)
		return;
	board_store(&s->messages, messages);
	board_store(&s->in_flight, in_flight);
	board_store(&s->depth, depth);
	board_store(&s->octets, octets);
}

void
board_writer_session_free(struct board_writer *w, int row)
{
	struct board_session *s = session_row(w, row);

	if (s == NULL)
		return;
	CHECK(row >= 0 && row < BOARD_SESSIONS && w->has_session[row]);
	board_store(&s->state, BOARD_SESSION_FREE);
	w->has_session[row] = false;
}

/* Poison notes -------------------------------------------------------- */

static struct board_poison *
find_poison(struct board_lane *lane, uint64_t key)
{
	for (int i = 0; i < BOARD_POISON; i++)
		if (board_load(&lane->poison[i].key) == key)
			return &lane->poison[i];
	return NULL;
}

/* A free row; else the oldest note of a message that crashed us only once
 * long ago; never one in hand. NULL: the message goes without a note. */
static struct board_poison *
room_for_poison(struct board_lane *lane)
{
	struct board_poison *oldest = NULL;

	for (int i = 0; i < BOARD_POISON; i++) {
		struct board_poison *p = &lane->poison[i];

		if (board_load(&p->state) == BOARD_POISON_FREE)
			return p;
		if (board_load(&p->state) == BOARD_POISON_CRASHED &&
		    (oldest == NULL || board_load(&p->since_wall_ms) <
					   board_load(&oldest->since_wall_ms)))
			oldest = p;
	}
	return oldest;
}

int
board_writer_poison_begin(struct board_writer *w, const char *queue_id)
{
	uint64_t key = board_hash(queue_id), crashes;
	struct board_poison *p;

	if (w == NULL)
		return 0;
	p = find_poison(w->lane, key);
	if (p == NULL) {
		p = room_for_poison(w->lane);
		if (p == NULL)
			return 0;
		board_store(&p->crashes, 0);
		board_store_text(p->id, sizeof(p->id), queue_id);
		board_store(&p->key, key);
	}
	board_store(&p->since_wall_ms, board_now_wall_ms());
	board_store(&p->state,
	    w->is_draining ? BOARD_POISON_DRAINING : BOARD_POISON_IN_HAND);
	crashes = board_load(&p->crashes);
	return crashes < CRASHES_MAX ? (int)crashes : CRASHES_MAX;
}

void
board_writer_poison_end(
    struct board_writer *w, const char *queue_id, bool survived)
{
	struct board_poison *p;

	if (w == NULL)
		return;
	p = find_poison(w->lane, board_hash(queue_id));
	if (p == NULL)
		return;
	if (survived || board_load(&p->crashes) == 0) {
		board_store(&p->state, BOARD_POISON_FREE);
		board_store(&p->key, 0);
	} else {
		board_store(&p->state, BOARD_POISON_CRASHED);
	}
}
