#include "monitor/model_json.h"

#include "common/base/clean.h"
#include "common/base/log.h"
#include "common/base/release.h"

/* No value here can fail to be one: texts are UTF-8 (log_safe), keys ours. */
static void
put(json_t *object, const char *key, json_t *value)
{
	CHECK(json_object_set_new(object, key, value) == 0);
}

static void
add(json_t *array, json_t *value)
{
	CHECK(json_array_append_new(array, value) == 0);
}

static void
put_text(json_t *object, const char *key, const char *text)
{
	put(object, key, clean_string(text));
}

static void
put_number(json_t *object, const char *key, int64_t n)
{
	put(object, key, json_integer(n));
}

/* Counts beyond what JSON readers take are cut to that. */
static void
put_count(json_t *object, const char *key, uint64_t n)
{
	put_number(object, key, n < INT64_MAX ? (int64_t)n : INT64_MAX);
}

#define TEXT(object, from, field) put_text(object, #field, (from)->field)
#define NUMBER(object, from, field) put_number(object, #field, (from)->field)
#define COUNT(object, from, field) put_count(object, #field, (from)->field)
#define BOOL(object, from, field)                                              \
	put(object, #field, json_boolean((from)->field))

static json_t *
rates(const struct model_rate *rates, size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++) {
		const struct model_rate *rate = &rates[i];
		json_t *o = json_object();

		TEXT(o, rate, unit);
		put_text(o, "limit", rate->text);
		BOOL(o, rate, is_quota);
		NUMBER(o, rate, used);
		NUMBER(o, rate, next_wall_ms);
		add(array, o);
	}
	return array;
}

/* ---- accounts ----------------------------------------------------------- */

static json_t *
hosts(const struct model_account *a)
{
	json_t *array = json_array();

	for (size_t i = 0; i < a->host_count; i++) {
		const struct model_host *h = &a->hosts[i];
		json_t *o = json_object();

		TEXT(o, h, host);
		COUNT(o, h, depth);
		COUNT(o, h, messages);
		NUMBER(o, h, rtt_us);
		NUMBER(o, h, certificate_wall_ms);
		NUMBER(o, h, updated_wall_ms);
		add(array, o);
	}
	return array;
}

static json_t *
slots(const struct slotsfile *s)
{
	json_t *o = json_object(), *array = json_array();

	NUMBER(o, s, held);
	NUMBER(o, s, resting);
	NUMBER(o, s, draining);
	NUMBER(o, s, wants);
	for (int i = 0; i < s->member_count; i++) {
		const struct slotsfile_member *member = &s->members[i];
		json_t *lane = json_object();

		TEXT(lane, member, name);
		NUMBER(lane, member, holds);
		NUMBER(lane, member, reserve);
		NUMBER(lane, member, wants);
		NUMBER(lane, member, limit);
		add(array, lane);
	}
	put(o, "lanes", array);
	return o;
}

static json_t *
fleet_limits(const struct model_fleet *f)
{
	json_t *array = json_array();

	for (size_t i = 0; i < f->count; i++) {
		const struct model_fleet_limit *l = &f->limits[i];
		json_t *o = json_object();

		TEXT(o, l, unit);
		BOOL(o, l, is_milli);
		put_text(o, "word", board_fleet_word_name(l->word));
		NUMBER(o, l, limit);
		NUMBER(o, l, base);
		NUMBER(o, l, share);
		NUMBER(o, l, want);
		NUMBER(o, l, target);
		NUMBER(o, l, in_use);
		NUMBER(o, l, known);
		NUMBER(o, l, until_wall_ms);
		NUMBER(o, l, answered_wall_ms);
		COUNT(o, l, renewals);
		COUNT(o, l, failures);
		COUNT(o, l, over_us);
		add(array, o);
	}
	return array;
}

json_t *
model_json_fleet_heard(const struct model_fleet *f)
{
	json_t *array = json_array();

	for (size_t i = 0; i < f->heard_count; i++) {
		const struct model_fleet_lesson *l = &f->heard[i];
		json_t *o = json_object();

		put_text(o, "what", model_fleet_lesson_name(l->kind));
		TEXT(o, l, host);
		NUMBER(o, l, value);
		NUMBER(o, l, until_wall_ms);
		add(array, o);
	}
	return array;
}

json_t *
model_json_fleet(const struct model_fleet *f)
{
	json_t *o;

	if (f->size == 0)
		return json_null();
	o = json_object();
	TEXT(o, f, name);
	NUMBER(o, f, size);
	TEXT(o, f, engine);
	BOOL(o, f, is_up);
	NUMBER(o, f, since_wall_ms);
	TEXT(o, f, trouble);
	NUMBER(o, f, alone_ms);
	NUMBER(o, f, told_wall_ms);
	NUMBER(o, f, ttl_ms);
	NUMBER(o, f, forget_ms);
	NUMBER(o, f, epoch);
	put(o, "limits", fleet_limits(f));
	put(o, "heard", model_json_fleet_heard(f));
	return o;
}

json_t *
model_json_account(const struct model_account *a, size_t index)
{
	json_t *o = json_object();

	put_count(o, "index", index);
	TEXT(o, a, label);
	BOOL(o, a, is_in_use);
	NUMBER(o, a, limit);
	NUMBER(o, a, limit_now);
	NUMBER(o, a, limited_until_wall_ms);
	put(o, "slots", slots(&a->slots));
	COUNT(o, a, refusals);
	NUMBER(o, a, refused_wall_ms);
	TEXT(o, a, refusal);
	put(o, "rates", rates(a->rates, a->rate_count));
	put(o, "hosts", hosts(a));
	put(o, "fleet", model_json_fleet(&a->fleet));
	return o;
}

/* ---- lanes -------------------------------------------------------------- */

static json_t *
sessions(const struct model_lane *lane)
{
	json_t *array = json_array();

	for (size_t i = 0; i < lane->session_count; i++) {
		const struct model_session *s = &lane->sessions[i];
		json_t *o = json_object();

		put_text(o, "session", s->id);
		TEXT(o, s, state);
		TEXT(o, s, host);
		TEXT(o, s, peer);
		COUNT(o, s, messages);
		COUNT(o, s, in_flight);
		COUNT(o, s, depth);
		COUNT(o, s, octets);
		NUMBER(o, s, since_wall_ms);
		NUMBER(o, s, opened_wall_ms);
		add(array, o);
	}
	return array;
}

static json_t *
poison(const struct model_lane *lane)
{
	json_t *array = json_array();

	for (size_t i = 0; i < lane->poison_count; i++) {
		const struct model_poison *p = &lane->poison[i];
		json_t *o = json_object();

		TEXT(o, p, id);
		BOOL(o, p, is_in_hand);
		COUNT(o, p, crashes);
		NUMBER(o, p, since_wall_ms);
		add(array, o);
	}
	return array;
}

static json_t *
latencies(const struct model_lane *lane)
{
	json_t *all = json_object();

	for (size_t i = 0; i < BOARD_HIST_COUNT; i++) {
		const struct board_hist *h = &lane->hists[i];
		json_t *o = json_object();

		COUNT(o, h, count);
		COUNT(o, h, sum);
		put_count(o, "p50", board_hist_quantile(h, 0.5));
		put_count(o, "p95", board_hist_quantile(h, 0.95));
		put_count(o, "p99", board_hist_quantile(h, 0.99));
		put_count(o, "max", board_hist_quantile(h, 1));
		put(all, board_hists[i].name, o);
	}
	return all;
}

static void
put_figures(json_t *o, const struct model_lane *lane)
{
	json_t *counters = json_object(), *gauges = json_object();

	for (size_t i = 0; i < BOARD_COUNTER_COUNT; i++)
		put_count(counters, board_counters[i].name, lane->counters[i]);
	for (size_t i = 0; i < BOARD_GAUGE_COUNT; i++)
		put_number(gauges, board_gauges[i].name, lane->gauges[i]);
	put(o, "counters", counters);
	put(o, "gauges", gauges);
	put(o, "latency_us", latencies(lane));
}

static json_t *
orders(const struct model_lane *lane)
{
	json_t *array = json_array();

	for (size_t i = 0; i < lane->order_count; i++) {
		const struct steer_order *from = &lane->orders[i];
		json_t *o = json_object();

		put_text(o, "verb", steer_verb_name(from->verb));
		TEXT(o, from, value);
		TEXT(o, from, domain);
		put_text(o, "by", from->who);
		NUMBER(o, from, at_s);
		NUMBER(o, from, until_s);
		add(array, o);
	}
	return array;
}

static json_t *
alarms(const struct model_lane *lane)
{
	json_t *array = json_array();

	for (size_t i = 0; i < lane->alarm_count; i++) {
		const struct model_alarm *a = &lane->alarms[i];
		json_t *o = json_object();

		TEXT(o, a, what);
		TEXT(o, a, where);
		TEXT(o, a, reply);
		NUMBER(o, a, since_wall_ms);
		NUMBER(o, a, met_wall_ms);
		add(array, o);
	}
	return array;
}

json_t *
model_json_lane(const struct model_lane *lane)
{
	json_t *o = json_object();

	TEXT(o, lane, name);
	TEXT(o, lane, class);
	put(o, "is_in_master_cf", json_boolean(lane->site != NULL));
	put_text(o, "state", model_process_name(lane->process));
	BOOL(o, lane, has_figures);
	COUNT(o, lane, pid);
	NUMBER(o, lane, started_wall_ms);
	NUMBER(o, lane, counted_since_wall_ms);
	NUMBER(o, lane, beat_wall_ms);
	NUMBER(o, lane, held);
	NUMBER(o, lane, reserve);
	NUMBER(o, lane, wants);
	NUMBER(o, lane, connection_limit);
	put(o, "account",
	    lane->account >= 0 ? json_integer(lane->account) : json_null());
	put(o, "per_s_10s", json_real(lane->per_s_10s));
	put(o, "per_s_1min", json_real(lane->per_s_1min));
	put(o, "per_s_1h", json_real(lane->per_s_1h));
	put_text(o, "waits", board_wait_name(lane->waits));
	TEXT(o, lane, waits_for);
	NUMBER(o, lane, trouble_wall_ms);
	TEXT(o, lane, trouble);
	put(o, "alarms", alarms(lane));
	put(o, "orders", orders(lane));
	put(o, "rates", rates(lane->rates, lane->rate_count));
	put_figures(o, lane);
	put(o, "sessions", sessions(lane));
	put(o, "poison", poison(lane));
	return o;
}

/* ------------------------------------------------------------------------- */

static json_t *
boards(const struct model *m)
{
	json_t *array = json_array();

	for (size_t i = 0; i < m->board_count; i++) {
		const struct model_board *b = &m->boards[i];
		json_t *o = json_object();

		TEXT(o, b, directory);
		COUNT(o, b, version);
		NUMBER(o, b, made_wall_ms);
		BOOL(o, b, is_bad);
		TEXT(o, b, why);
		TEXT(o, b, steer_why);
		add(array, o);
	}
	return array;
}

static json_t *
tokens(const struct model *m)
{
	json_t *array = json_array();

	for (size_t i = 0; i < m->token_count; i++) {
		const struct model_token *t = &m->tokens[i];
		json_t *o = json_object();

		TEXT(o, t, name);
		NUMBER(o, t, end_wall_ms);
		NUMBER(o, t, failing_wall_ms);
		BOOL(o, t, is_lasting);
		TEXT(o, t, reason);
		put(o, "is_ending",
		    json_boolean(model_token_is_ending(t, model_wall_ms(m))));
		add(array, o);
	}
	return array;
}

json_t *
model_json(const struct model *m)
{
	json_t *o = json_object(), *accounts = json_array();
	json_t *lanes = json_array();

	put_number(o, "schema", MODEL_SCHEMA);
	put_text(o, "release", release_version());
	put_number(o, "version", BOARD_VERSION);
	put_number(o, "now_wall_ms", model_wall_ms(m));
	put(o, "boards", boards(m));
	for (size_t i = 0; i < m->account_count; i++)
		add(accounts, model_json_account(&m->accounts[i], i));
	for (size_t i = 0; i < m->lane_count; i++)
		add(lanes, model_json_lane(&m->lanes[i]));
	put(o, "accounts", accounts);
	put(o, "lanes", lanes);
	put(o, "tokens", tokens(m));
	return o;
}
