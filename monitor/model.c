#include "monitor/model.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/state/fairshare_file.h"
#include "agent/state/statefile.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/shared/board_rates.h"
#include "monitor/boardfile.h"
#include "monitor/recallfile.h"
#include "monitor/steerfile.h"

/* One state directory while it is read. */
struct reading {
	struct model *m;
	struct model_board *board;
	struct boardfile file;
	int dir_fd;
	uint64_t boot;
	int accounts[BOARD_ACCOUNTS]; /* index in the model, -1 */
};

static int
bounded(uint64_t n)
{
	return n < INT_MAX ? (int)n : INT_MAX;
}

static int64_t
time_of(uint64_t wall_ms)
{
	return wall_ms < INT64_MAX / 2 ? (int64_t)wall_ms : 0;
}

#define TEXT(to, field) board_text((field), sizeof(field), (to), sizeof(to))

/* ---- limits ------------------------------------------------------------- */

/* False: no row in use, or damaged. */
static bool
fill_rate(struct model_rate *to, const struct board_rate *row)
{
	struct rate rate = {
	    .count_milli = (int64_t)row->count_milli,
	    .period_us = (int64_t)row->period_us,
	    .burst = (int64_t)row->burst,
	    .is_quota = row->burst == 0,
	};

	if (row->unit == BOARD_RATE_FREE ||
	    row->unit >= BOARD_RATE_UNIT_COUNT || rate.count_milli <= 0 ||
	    rate.count_milli / 1000 > RATE_COUNT_MAX || rate.period_us <= 0 ||
	    rate.period_us > RATE_PERIOD_MAX_US || rate.burst < 0)
		return false;
	*to = (struct model_rate){
	    .unit = board_rate_unit_name(row->unit),
	    .per_s = (double)rate.count_milli * 1000 / (double)rate.period_us,
	    .is_quota = rate.is_quota,
	    .limit = rate.is_quota ? rate.count_milli / 1000 : 0,
	    .used = rate.is_quota ? time_of(row->used) : 0,
	    .next_wall_ms = time_of(row->next_wall_ms),
	};
	rate_to_text(&rate, to->text, sizeof(to->text));
	return true;
}

static size_t
fill_rates(struct model_rate to[BOARD_RATES], const struct board_rate *rows)
{
	size_t n = 0;

	for (size_t i = 0; i < BOARD_RATES; i++)
		if (fill_rate(&to[n], &rows[i]))
			n++;
	return n;
}

/* What the file KIND.KEY says, where the limits are kept: the board has a copy
 * of some moments ago, or of when the last lane left. False: there is none. */
static bool
read_limits(const struct reading *r, const char *kind, uint64_t key,
    enum board_rate_unit unit, struct board_rate rows[BOARD_RATES],
    size_t *count)
{
	struct fairshare share;
	bool is_read;
	char name[64];
	int fd;

	(void)snprintf(
	    name, sizeof(name), "%s.%016llx", kind, (unsigned long long)key);
	fd = boardfile_open(r->dir_fd, name);
	if (fd < 0)
		return false;
	is_read = fairshare_file_look(fd, r->boot, r->m->now.us, &share);
	(void)close(fd);
	if (is_read)
		*count += board_rates_fill(&share.set, unit, rows + *count,
		    BOARD_RATES - *count, r->m->now);
	return is_read;
}

static void
read_account_rates(const struct reading *r, struct model_account *a,
    const struct board_account *from)
{
	struct board_rate rows[BOARD_RATES] = {{0}};
	size_t n = 0;

	if (!read_limits(r, "rates", a->key, BOARD_RATE_MESSAGES, rows, &n)) {
		a->rate_count = fill_rates(a->rates, from->rates);
		return;
	}
	(void)read_limits(
	    r, "connects", a->key, BOARD_RATE_CONNECTIONS, rows, &n);
	a->rate_count = fill_rates(a->rates, rows);
}

static void
read_own_rates(const struct reading *r, struct model_lane *lane,
    const struct board_lane *from)
{
	struct board_rate rows[BOARD_RATES] = {{0}};
	size_t n = 0;

	/* A lane that runs knows best; the file is stored with each take. */
	if (lane->process != MODEL_RUNNING &&
	    read_limits(r, "pace", board_hash(lane->name), BOARD_RATE_MESSAGES,
		rows, &n))
		lane->rate_count = fill_rates(lane->rates, rows);
	else
		lane->rate_count = fill_rates(lane->rates, from->rates);
}

/* ---- accounts ----------------------------------------------------------- */

static void
fill_host(struct model_host *to, const struct board_host *from)
{
	TEXT(to->host, from->host);
	to->depth = from->depth;
	to->messages = from->messages;
	to->rtt_us = time_of(from->rtt_us);
	to->updated_wall_ms = time_of(from->updated_wall_ms);
	to->certificate_wall_ms = time_of(from->certificate_wall_ms);
}

static void
add_account(struct reading *r, int i)
{
	const struct board_account *from = r->file.accounts[i];
	struct model *m = r->m;
	struct model_account *a;

	m->accounts = mem_realloc(
	    m->accounts, (m->account_count + 1) * sizeof(m->accounts[0]));
	r->accounts[i] = (int)m->account_count;
	a = &m->accounts[m->account_count++];
	*a = (struct model_account){
	    .directory = r->board->directory,
	    .key = from->key,
	    .limit = bounded(from->limit),
	    .limit_now = bounded(from->limit_now),
	    .limited_until_wall_ms = time_of(from->limited_until_wall_ms),
	    .refusals = from->refusals,
	    .refused_wall_ms = time_of(from->refused_wall_ms),
	};
	TEXT(a->label, from->label);
	TEXT(a->refusal, from->refusal);
	(void)slotsfile_read(
	    &a->slots, r->dir_fd, a->key, m->now.us / US_PER_MS);
	read_account_rates(r, a, from);
	model_fleet_fill(&a->fleet, &from->fleet);
	for (size_t k = 0; k < a->rate_count; k++)
		(void)model_fleet_round(&a->fleet, a->rates[k].unit,
		    a->rates[k].text, sizeof(a->rates[k].text));
	for (size_t k = 0; k < BOARD_HOSTS; k++)
		if (from->hosts[k].key != 0)
			fill_host(&a->hosts[a->host_count++], &from->hosts[k]);
}

/* ---- lanes -------------------------------------------------------------- */

/* "host[address]", or "address" */
static void
split_peer(struct model_session *s)
{
	size_t n = strcspn(s->peer, "["), all = strlen(s->peer);

	if (n == 0 || n + 2 > all || s->peer[all - 1] != ']')
		return;
	memcpy(s->host, s->peer, n);
	s->host[n] = '\0';
	s->peer[all - 1] = '\0';
	memmove(s->peer, s->peer + n + 1, all - n - 1);
}

static void
fill_session(struct model_session *to, const struct board_session *from)
{
	session_id_text(from->id, to->id);
	TEXT(to->peer, from->peer);
	split_peer(to);
	to->state = board_session_state_name(from->state);
	to->since_wall_ms = time_of(from->since_wall_ms);
	to->opened_wall_ms = time_of(from->opened_wall_ms);
	to->messages = from->messages;
	to->in_flight = from->in_flight;
	to->depth = from->depth;
	to->octets = from->octets;
}

static void
fill_rows(struct model_lane *lane, const struct board_lane *from)
{
	for (size_t i = 0; i < BOARD_SESSIONS; i++)
		if (from->sessions[i].state != BOARD_SESSION_FREE)
			fill_session(&lane->sessions[lane->session_count++],
			    &from->sessions[i]);
	for (size_t i = 0; i < BOARD_POISON; i++) {
		const struct board_poison *p = &from->poison[i];
		struct model_poison *to = &lane->poison[lane->poison_count];

		if (p->state == BOARD_POISON_FREE)
			continue;
		lane->poison_count++;
		TEXT(to->id, p->id);
		to->is_in_hand = p->state != BOARD_POISON_CRASHED;
		to->crashes = p->crashes;
		to->since_wall_ms = time_of(p->since_wall_ms);
	}
}

static void
fill_figures(struct model_lane *lane, const struct board_lane *from)
{
	for (size_t i = 0; i < BOARD_COUNTER_COUNT; i++)
		lane->counters[i] = from->counters[i];
	for (size_t i = 0; i < BOARD_GAUGE_COUNT; i++)
		lane->gauges[i] = (int64_t)from->gauges[i];
	for (size_t i = 0; i < BOARD_HIST_COUNT; i++)
		lane->hists[i] = from->hists[i];
}

static double
per_s(const struct board_lane *from, unsigned span_s, struct moment now)
{
	return (double)board_ring_sum(
		   &from->sent, span_s, (uint64_t)now.wall.tv_sec) /
	       span_s;
}

static void
fill_seconds(
    struct model_lane *lane, const struct board_lane *from, struct moment now)
{
	uint64_t before = 0;

	for (unsigned i = 1; i <= MODEL_SECONDS; i++) {
		uint64_t sum =
		    board_ring_sum(&from->sent, i, (uint64_t)now.wall.tv_sec);

		lane->sent_in[MODEL_SECONDS - i] =
		    sum > before ? (unsigned)(sum - before) : 0;
		before = sum;
	}
}

static void
fill_words(
    struct model_lane *lane, const struct board_lane *from, struct moment now)
{
	uint64_t reason = from->gauges[BOARD_GAUGE_waits_reason];

	lane->per_s_10s = per_s(from, 10, now);
	lane->per_s_1min = per_s(from, 60, now);
	lane->per_s_1h = per_s(from, 3600, now);
	fill_seconds(lane, from, now);
	if (reason < BOARD_WAIT_COUNT)
		lane->waits = (enum board_wait)reason;
	board_long_text(from->waits_for, from->waits_for_more, lane->waits_for,
	    sizeof(lane->waits_for));
	lane->trouble_wall_ms = time_of(from->trouble.wall_ms);
	TEXT(lane->trouble, from->trouble.text);
	for (size_t i = 0; i < BOARD_ALARMS; i++) {
		const struct board_alarm *row = &from->alarms[i];
		struct model_alarm *to = &lane->alarms[lane->alarm_count];

		if (row->since_wall_ms == 0)
			continue;
		lane->alarm_count++;
		to->since_wall_ms = time_of(row->since_wall_ms);
		to->met_wall_ms = time_of(from->alarms_met_wall_ms[i]);
		TEXT(to->what, row->what);
		TEXT(to->where, row->where);
		board_long_text(row->reply, from->alarms_reply_more[i],
		    to->reply, sizeof(to->reply));
	}
}

static struct model_lane *
new_lane(struct model *m, const char *name)
{
	struct model_lane *lane;

	m->lanes =
	    mem_realloc(m->lanes, (m->lane_count + 1) * sizeof(m->lanes[0]));
	lane = &m->lanes[m->lane_count++];
	memset(lane, 0, sizeof(*lane));
	(void)snprintf(lane->name, sizeof(lane->name), "%s", name);
	log_safe(lane->name, strlen(lane->name));
	lane->account = -1;
	return lane;
}

/* The lane that master.cf has by this name and directory, else a new one. */
static struct model_lane *
lane_named(struct model *m, const char *name, const char *directory)
{
	for (size_t i = 0; i < m->lane_count; i++)
		if (strcmp(m->lanes[i].name, name) == 0 &&
		    strcmp(m->lanes[i].directory, directory) == 0)
			return &m->lanes[i];
	return new_lane(m, name);
}

static enum model_process
process_of(const struct board_lane *from, bool is_running)
{
	if (is_running)
		return MODEL_RUNNING;
	return from->state == BOARD_LANE_STOPPED ? MODEL_STOPPED
						 : MODEL_CRASHED;
}

/* What a process had in hand and went away with, if it was not there to say so.
 */
static void
forget_process(struct model_lane *lane)
{
	static const enum board_gauge in_hand[] = {
	    BOARD_GAUGE_requests_waiting,
	    BOARD_GAUGE_requests_in_flight,
	    BOARD_GAUGE_reports_pending,
	    BOARD_GAUGE_requests_parked,
	    BOARD_GAUGE_sessions_dialing,
	    BOARD_GAUGE_sessions_idle,
	    BOARD_GAUGE_sessions_busy,
	    BOARD_GAUGE_sessions_closing,
	    BOARD_GAUGE_oldest_wall_ms,
	    BOARD_GAUGE_messages_active,
	    BOARD_GAUGE_crowd_relieving,
	    BOARD_GAUGE_crowd_given_back,
	    BOARD_GAUGE_wakeup_wall_ms,
	    BOARD_GAUGE_waits_reason,
	    BOARD_GAUGE_outage_noted,
	    BOARD_GAUGE_hosts_bypassed,
	};

	for (size_t i = 0; i < sizeof(in_hand) / sizeof(in_hand[0]); i++)
		lane->gauges[in_hand[i]] = 0;
	lane->held = lane->wants = 0;
	lane->session_count = 0;
	lane->waits = BOARD_WAIT_NOTHING;
	lane->waits_for[0] = '\0';
}

static void
add_lane(struct reading *r, int i)
{
	const struct board_lane *from = r->file.lanes[i];
	char name[BOARD_NAME];
	struct model_lane *lane;
	uint64_t account = from->account;

	TEXT(name, from->name);
	lane = lane_named(r->m, name, r->board->directory);
	if (lane->has_figures)
		return; /* two of one name: damage, and there is no room */
	lane->directory = r->board->directory;
	lane->has_figures = true;
	TEXT(lane->class, from->class);
	lane->process = process_of(from, r->file.is_running[i]);
	lane->pid = from->pid;
	lane->started_wall_ms = time_of(from->started_wall_ms);
	lane->beat_wall_ms = time_of(from->beat_wall_ms);
	lane->counted_since_wall_ms = time_of(from->counted_since_wall_ms);
	lane->held = bounded(from->held);
	lane->reserve = bounded(from->reserve);
	lane->wants = bounded(from->wants);
	lane->connection_limit = bounded(from->connection_limit);
	if (account >= 1 && account <= BOARD_ACCOUNTS)
		lane->account = r->accounts[account - 1];
	if (lane->account >= 0 && lane->process == MODEL_RUNNING)
		r->m->accounts[lane->account].is_in_use = true;
	fill_figures(lane, from);
	memcpy(lane->settings, from->settings, sizeof(lane->settings));
	fill_words(lane, from, r->m->now);
	read_own_rates(r, lane, from);
	fill_rows(lane, from);
	if (lane->process == MODEL_RUNNING)
		return;
	forget_process(lane);
	lane->gauges[BOARD_GAUGE_outage_noted] =
	    (int64_t)recallfile_count(lane->directory, lane->name);
}

/* ---- directories -------------------------------------------------------- */

static void
take_board(struct reading *r)
{
	r->board->version = r->file.head.version;
	r->board->made_wall_ms = time_of(r->file.head.made_wall_ms);
	for (int i = 0; i < BOARD_ACCOUNTS; i++) {
		r->accounts[i] = -1;
		if (r->file.accounts[i] != NULL)
			add_account(r, i);
	}
	/* Of two with one name the one that runs is told of. */
	for (int i = 0; i < BOARD_LANES; i++)
		if (r->file.lanes[i] != NULL && r->file.is_running[i])
			add_lane(r, i);
	for (int i = 0; i < BOARD_LANES; i++)
		if (r->file.lanes[i] != NULL && !r->file.is_running[i])
			add_lane(r, i);
	boardfile_fini(&r->file);
}

/* Lanes that the board has and master.cf has not are not steered. */
static void
read_orders(struct model *m, struct model_board *board)
{
	struct steer *s = mem_zalloc(sizeof(*s));
	struct steer_now now = steerfile_now(m->now);

	if (!steerfile_read(board->directory, s, board->steer_why,
		sizeof(board->steer_why)))
		s->count = 0;
	steer_expire(s, now);
	for (size_t i = 0; i < s->count; i++)
		for (size_t k = 0; k < m->lane_count; k++) {
			struct model_lane *lane = &m->lanes[k];
			struct steer_order *to;

			if (strcmp(lane->name, s->orders[i].lane) != 0 ||
			    strcmp(lane->directory, board->directory) != 0 ||
			    lane->order_count == MODEL_ORDERS)
				continue;
			to = &lane->orders[lane->order_count++];
			*to = s->orders[i];
			to->until_s = steer_until_s(to, now);
		}
	mem_free(s);
}

static void
read_directory(struct model *m, struct model_board *board)
{
	struct reading r = {.m = m, .board = board, .boot = statefile_boot()};

	r.dir_fd = open(board->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r.dir_fd < 0) {
		board->is_bad = errno != ENOENT;
		board->is_forbidden = errno == EACCES || errno == EPERM;
		if (board->is_forbidden)
			(void)snprintf(board->why, sizeof(board->why),
			    "only root and %s may look",
			    m->site->set.mail_owner);
		else if (board->is_bad)
			(void)snprintf(board->why, sizeof(board->why), "%s",
			    strerror(errno));
		else
			(void)snprintf(board->why, sizeof(board->why),
			    "no lane has run here");
		return;
	}
	read_orders(m, board);
	switch (
	    boardfile_read(&r.file, r.dir_fd, board->why, sizeof(board->why))) {
	case BOARDFILE_OK:
		board->why[0] = '\0';
		take_board(&r);
		break;
	case BOARDFILE_BAD:
		board->is_bad = true;
		break;
	case BOARDFILE_ABSENT:
		break;
	}
	(void)close(r.dir_fd);
}

/* ---- access tokens ------------------------------------------------------ */

static int64_t
wall_of(const struct model *m, int64_t mono_ms)
{
	return mono_ms > 0 ? model_wall_ms(m) + mono_ms - m->now.us / US_PER_MS
			   : 0;
}

static bool
is_served(const struct site *site, const char *service)
{
	for (size_t i = 0; i < site->entry_count; i++)
		if (strcmp(site->entries[i].fields[MASTERCF_SERVICE],
			service) == 0)
			return true;
	return false;
}

static void
read_tokens(struct model *m)
{
	const struct settings *set = &m->site->set;
	struct token_rows *rows = mem_zalloc(sizeof(*rows));
	int dir_fd = -1;

	/* A file of a service that is no more says nothing. */
	if (is_served(m->site, set->lane_token_service_name))
		dir_fd = open(set->lane_state_directory,
		    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd >= 0) {
		(void)token_store_look(dir_fd, set->lane_token_service_name,
		    statefile_boot(), rows);
		(void)close(dir_fd);
	}
	for (size_t i = 0; i < TOKEN_STORE_ROWS; i++) {
		const struct token_row *row = &rows->row[i];
		struct model_token *to = &m->tokens[m->token_count];

		if (row->name[0] == '\0')
			continue;
		m->token_count++;
		(void)snprintf(to->name, sizeof(to->name), "%s", row->name);
		(void)snprintf(
		    to->reason, sizeof(to->reason), "%s", row->reason);
		to->end_wall_ms = wall_of(m, row->end_ms);
		if (to->end_wall_ms <= model_wall_ms(m))
			to->end_wall_ms = 0;
		to->failing_wall_ms = wall_of(m, row->failing_ms);
		to->is_lasting = row->is_lasting != 0;
	}
	mem_free(rows);
}

bool
model_token_is_ending(const struct model_token *t, int64_t now_wall_ms)
{
	if (t->failing_wall_ms == 0)
		return false;
	return t->is_lasting ||
	       (now_wall_ms - t->failing_wall_ms >= MODEL_TOKEN_FAILS_MS &&
		   t->end_wall_ms - now_wall_ms < MODEL_TOKEN_ENDS_MS);
}

/* ---- all ---------------------------------------------------------------- */

struct model *
model_read(const struct site *site, struct moment now)
{
	struct model *m = mem_zalloc(sizeof(*m));
	const char *directory;

	m->site = site;
	m->now = now;
	for (size_t i = 0; i < site->lane_count; i++) {
		const struct site_lane *from = &site->lanes[i];
		struct model_lane *lane = new_lane(m, from->name);

		lane->site = from;
		lane->directory = from->set.lane_state_directory;
		(void)snprintf(
		    lane->class, sizeof(lane->class), "%s", from->opt.class);
	}
	while (
	    (directory = site_state_directory(site, m->board_count)) != NULL) {
		m->boards = mem_realloc(
		    m->boards, (m->board_count + 1) * sizeof(m->boards[0]));
		m->boards[m->board_count++] =
		    (struct model_board){.directory = directory};
	}
	for (size_t i = 0; i < m->board_count; i++)
		read_directory(m, &m->boards[i]);
	read_tokens(m);
	return m;
}

void
model_free(struct model **model)
{
	struct model *m = *model;

	*model = NULL;
	if (m == NULL)
		return;
	mem_free(m->boards);
	mem_free(m->accounts);
	mem_free(m->lanes);
	mem_free(m);
}

static bool
is_called(const struct model_lane *lane, const char *name)
{
	return strcmp(lane->name, name) == 0 ||
	       (lane->site != NULL &&
		   strcmp(lane->site->opt.service_name, name) == 0);
}

const struct model_lane *
model_find(const struct model *m, const char *name)
{
	for (size_t i = 0; i < m->lane_count; i++)
		if (is_called(&m->lanes[i], name))
			return &m->lanes[i];
	return NULL;
}

bool
model_is_asked_for(const struct model_lane *lane, const char *name)
{
	if (name == NULL)
		return lane->site != NULL || lane->process == MODEL_RUNNING;
	return is_called(lane, name);
}

bool
model_is_unseen(const struct model *m, const struct model_lane *lane)
{
	if (lane->has_figures || lane->directory == NULL)
		return false;
	for (size_t i = 0; i < m->board_count; i++)
		if (m->boards[i].is_bad &&
		    strcmp(m->boards[i].directory, lane->directory) == 0)
			return true;
	return false;
}

int
model_connection_limit(const struct model_lane *lane)
{
	if (lane->process == MODEL_RUNNING && lane->connection_limit > 0)
		return lane->connection_limit;
	for (size_t i = 0; i < lane->order_count; i++)
		if (lane->orders[i].verb == STEER_CONNECTIONS)
			return (int)strtol(lane->orders[i].value, NULL, 10);
	return lane->site != NULL ? lane->site->set.lane_connection_limit : 0;
}

int
model_account_connection_limit(const struct model_lane *lane)
{
	return lane->site != NULL
		   ? lane->site->set.lane_account_connection_limit
		   : 0;
}

const char *
model_process_name(enum model_process process)
{
	switch (process) {
	case MODEL_NOT_STARTED:
		return "not started";
	case MODEL_RUNNING:
		return "running";
	case MODEL_STOPPED:
		return "stopped";
	case MODEL_CRASHED:
		return "gone";
	}
	return "gone";
}
