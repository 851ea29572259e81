#include "monitor/fleetview.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/shared/fleet_script.h"

enum { KEY_SIZE = 96, NUMBER_SIZE = 24 };

/* What a double, which a script's numbers are, says exactly. */
#define NUMBER_MAX (INT64_C(1) << 53)

/* ---- texts ----------------------------------------------------------------
 */

/* Decimal digits up to a blank or the end, and what follows; NULL: no such. */
static const char *
cut_number(const char *text, int64_t *out)
{
	int64_t n = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++) {
		n = n * 10 + (*p - '0');
		if (n > NUMBER_MAX)
			return NULL;
	}
	if (p == text || (*p == ' ' ? p[1] == '\0' : *p != '\0'))
		return NULL;
	*out = n;
	return *p == ' ' ? p + 1 : p;
}

/* count numbers and nothing else. */
static bool
read_numbers(const char *text, int64_t *out, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		text = cut_number(text, &out[i]);
		if (text == NULL || (*text == '\0') != (i + 1 == count))
			return false;
	}
	return true;
}

/* "nonce epoch number told share end sure want seen"; share/fleet/renew.lua. */
bool
fleetview_read_row(const char *text, int64_t now_us, struct fleetview_host *out)
{
	enum { EPOCH, NUMBER, TOLD, SHARE, END, SURE, WANT, SEEN, COUNT };
	int64_t v[COUNT];
	size_t nonce = strspn(text, "0123456789abcdef");

	if (strcmp(text, "gone") == 0) {
		out->state = FLEETVIEW_GONE;
		out->share = out->left_us = out->want = 0;
		out->heard_us = -1;
		return true;
	}
	if (nonce == 0 || text[nonce] != ' ' ||
	    !read_numbers(text + nonce + 1, v, COUNT))
		return false;
	out->share = v[SHARE];
	out->want = v[WANT];
	out->left_us = fleet_most(v[END] - now_us, 0);
	out->heard_us = fleet_most(now_us - v[SEEN], 0);
	out->state = out->heard_us < FLEETVIEW_SILENT_US ? FLEETVIEW_ALIVE
							 : FLEETVIEW_SILENT;
	return true;
}

bool
fleetview_read_terms(const char *text, struct fleet_terms *out)
{
	int64_t v[6];

	if (!read_numbers(text, v, 6))
		return false;
	*out = (struct fleet_terms){
	    .size = v[0],
	    .limit = v[1],
	    .minimum = v[2],
	    .ttl_us = v[3],
	    .linger_us = v[4],
	    .forget_us = v[5],
	};
	return out->size > 0;
}

const char *
fleetview_info(const char *info, const char *name, char *out, size_t n)
{
	size_t length = strlen(name);
	const char *p = info;

	out[0] = '\0';
	while (p != NULL && *p != '\0') {
		if (strncmp(p, name, length) == 0 && p[length] == ':') {
			p += length + 1;
			(void)snprintf(
			    out, n, "%.*s", (int)strcspn(p, "\r\n"), p);
			log_safe(out, strlen(out));
			break;
		}
		p = strchr(p, '\n');
		p = p != NULL ? p + 1 : NULL;
	}
	return out;
}

static int64_t
info_number(const char *info, const char *name)
{
	char text[32];
	int64_t n = 0;
	const char *end =
	    cut_number(fleetview_info(info, name, text, sizeof(text)), &n);

	return end != NULL && *end == '\0' ? n : 0;
}

/* ---- the engine -----------------------------------------------------------
 */

static bool
is_text(const redisReply *r)
{
	return r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS;
}

static char *
ask_info(struct fleetlink *l, const char *section)
{
	const char *info[] = {"INFO", section};
	redisReply *reply = fleetlink_ask(l, "INFO", 2, info);
	char *text =
	    mem_strdup(reply != NULL && is_text(reply) ? reply->str : "");

	freeReplyObject(reply);
	return text;
}

/* By the engine's clock; -1: it does not say. */
static int64_t
ask_time(struct fleetlink *l)
{
	const char *words[] = {"TIME"};
	redisReply *reply = fleetlink_ask(l, "TIME", 1, words);
	int64_t v[2] = {-1, 0};
	bool is_good = reply != NULL && reply->type == REDIS_REPLY_ARRAY &&
		       reply->elements == 2;

	for (size_t i = 0; is_good && i < 2; i++)
		is_good = is_text(reply->element[i]) &&
			  read_numbers(reply->element[i]->str, &v[i], 1);
	freeReplyObject(reply);
	return is_good && v[0] < NUMBER_MAX / US_PER_S ? v[0] * US_PER_S + v[1]
						       : -1;
}

static int64_t
wall_us(void)
{
	struct timeval tv = clock_wall();

	return (int64_t)tv.tv_sec * US_PER_S + tv.tv_usec;
}

static void
read_server(struct fleetview_engine *e, const char *info)
{
	char name[16];

	(void)fleetview_info(
	    info, "valkey_version", e->version, sizeof(e->version));
	(void)snprintf(e->product, sizeof(e->product), "%s",
	    e->version[0] != '\0' ? "valkey" : "redis");
	if (e->version[0] == '\0')
		(void)fleetview_info(
		    info, "redis_version", e->version, sizeof(e->version));
	(void)fleetview_info(info, "server_name", name, sizeof(name));
	if (name[0] != '\0')
		(void)snprintf(e->product, sizeof(e->product), "%s", name);
	(void)fleetview_info(info, "run_id", e->run, sizeof(e->run));
	e->up_s = info_number(info, "uptime_in_seconds");
}

static void
read_engine(struct fleetview_engine *e, struct fleetlink *l)
{
	int64_t asked_us = wall_us(), now_us = ask_time(l), was_us = wall_us();
	char role[16], *info;

	if (now_us >= 0)
		e->clock_off_us = now_us - (asked_us + (was_us - asked_us) / 2);
	info = ask_info(l, "server");
	read_server(e, info);
	mem_free(info);
	info = ask_info(l, "memory");
	(void)fleetview_info(
	    info, "maxmemory_policy", e->policy, sizeof(e->policy));
	e->memory = info_number(info, "used_memory");
	e->memory_max = info_number(info, "maxmemory");
	mem_free(info);
	info = ask_info(l, "persistence");
	e->is_kept = info_number(info, "aof_enabled") == 1 ||
		     info_number(info, "rdb_bgsave_in_progress") == 1 ||
		     fleetview_info(info, "rdb_last_bgsave_time_sec", role,
			 sizeof(role))[0] != '-';
	e->is_kept = e->is_kept && info[0] != '\0';
	mem_free(info);
	info = ask_info(l, "replication");
	e->is_replica = strcmp(fleetview_info(info, "role", role, sizeof(role)),
			    "slave") == 0;
	mem_free(info);
}

/* ---- a limit --------------------------------------------------------------
 */

static void
make_key(char out[KEY_SIZE], const struct fleetview_account *a, size_t i,
    const char *what)
{
	(void)snprintf(out, KEY_SIZE, "pl:{%016" PRIx64 "}:%s:%s",
	    a->account->key, a->limits[i].own->unit, what);
}

static struct fleetview_host *
find_host(struct fleetview_limit *l, const char *name)
{
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(l->hosts[i].name, name) == 0)
			return &l->hosts[i];
	return NULL;
}

static struct fleetview_host *
add_host(struct fleetview_limit *l, const struct fleetview_host *host)
{
	l->hosts = mem_realloc(l->hosts, (l->count + 1) * sizeof(l->hosts[0]));
	l->hosts[l->count] = *host;
	return &l->hosts[l->count++];
}

/* The fields of a hash that are host names; NULL: it is none. */
typedef void take_fn(struct fleetview_limit *l, const char *name,
    const char *text, int64_t now_us);

static void
take_row(struct fleetview_limit *l, const char *name, const char *text,
    int64_t now_us)
{
	struct fleetview_host host = {.share = 0};

	if (l->count >= FLEET_HOSTS_MAX ||
	    !fleetview_read_row(text, now_us, &host))
		return;
	(void)snprintf(host.name, sizeof(host.name), "%s", name);
	(void)add_host(l, &host);
}

static void
take_terms(struct fleetview_limit *l, const char *name, const char *text,
    int64_t now_us)
{
	struct fleetview_host *host = find_host(l, name);

	(void)now_us;
	if (host != NULL)
		host->has_terms = fleetview_read_terms(text, &host->terms);
}

/* False: no answer. */
static bool
ask_hash(struct fleetlink *link, const struct fleetview_account *a, size_t i,
    const char *what, take_fn *take, struct fleetview_limit *l, int64_t now_us)
{
	char key[KEY_SIZE];
	const char *words[] = {"HGETALL", key};
	redisReply *reply;
	bool is_hash;

	make_key(key, a, i, what);
	reply = fleetlink_ask(link, "HGETALL", 2, words);
	is_hash = reply != NULL && reply->type == REDIS_REPLY_ARRAY;
	for (size_t k = 0; is_hash && k + 1 < reply->elements; k += 2) {
		const redisReply *name = reply->element[k];
		const redisReply *text = reply->element[k + 1];

		if (is_text(name) && is_text(text) && fleet_is_name(name->str))
			take(l, name->str, text->str, now_us);
	}
	freeReplyObject(reply);
	return is_hash;
}

/* The engine remembers, and lends nothing new for so long; -1: what it has is
 * of another life. */
static int64_t
ask_learns(struct fleetlink *link, const struct fleetview_engine *e,
    const struct fleetview_account *a, size_t i, int64_t now_us)
{
	char key[KEY_SIZE];
	const char *words[] = {"HMGET", key, "run", "learn"};
	redisReply *reply;
	int64_t learn = 0;
	bool is_good;

	make_key(key, a, i, "state");
	reply = fleetlink_ask(link, "HMGET", 4, words);
	is_good = reply != NULL && reply->type == REDIS_REPLY_ARRAY &&
		  reply->elements == 2 && is_text(reply->element[0]) &&
		  is_text(reply->element[1]) &&
		  strcmp(reply->element[0]->str, e->run) == 0 &&
		  read_numbers(reply->element[1]->str, &learn, 1);
	freeReplyObject(reply);
	return is_good ? fleet_most(learn - now_us, 0) : -1;
}

static int
compare_hosts(const void *a, const void *b)
{
	const struct fleetview_host *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static void
read_limit(struct fleetlink *link, const struct fleetview_engine *e,
    struct fleetview_account *a, size_t i)
{
	struct fleetview_limit *l = &a->limits[i];
	int64_t now_us = ask_time(link);

	if (now_us < 0)
		return;
	l->learns_us = ask_learns(link, e, a, i, now_us);
	if (!fleetlink_is_open(link))
		return;
	l->is_known = true;
	if (l->learns_us < 0) {
		l->learns_us = 0; /* it has been asked nothing yet */
		return;
	}
	l->is_known = ask_hash(link, a, i, "hosts", take_row, l, now_us);
	if (l->is_known)
		(void)ask_hash(link, a, i, "terms", take_terms, l, now_us);
	if (l->count > 1)
		qsort(l->hosts, l->count, sizeof(l->hosts[0]), compare_hosts);
}

/* What this host knows of itself. */
static void
add_self(struct fleetview_limit *l, const struct model_fleet *f, bool answers,
    int64_t now_ms)
{
	struct fleetview_host *host = find_host(l, f->name);
	struct fleetview_host self = {
	    .state = FLEETVIEW_SILENT,
	    .share = l->own->share,
	    .want = l->own->want,
	    .left_us = fleet_most(l->own->until_wall_ms - now_ms, 0) * 1000,
	    .heard_us =
		l->own->answered_wall_ms > 0
		    ? fleet_most(now_ms - l->own->answered_wall_ms, 0) * 1000
		    : -1,
	};

	if (host == NULL) {
		(void)snprintf(self.name, sizeof(self.name), "%.63s", f->name);
		host = add_host(l, &self);
	}
	host->is_here = true;
	if (!model_fleet_is_told(f, now_ms))
		return; /* as the engine has it: no lane runs here */
	if (l->own->word == BOARD_FLEET_STALE)
		host->state = FLEETVIEW_CLONED;
	else if (l->own->word == BOARD_FLEET_FULL)
		host->state = FLEETVIEW_REFUSED;
	else if (!answers || !f->is_up)
		host->state = FLEETVIEW_ALONE;
}

/* ---- all of it ------------------------------------------------------------
 */

static bool
is_same_engine(const struct settings *a, const struct settings *b)
{
	return strcmp(a->lane_fleet, b->lane_fleet) == 0 &&
	       strcmp(a->lane_fleet_password_file,
		   b->lane_fleet_password_file) == 0 &&
	       strcmp(a->lane_fleet_tls_CAfile, b->lane_fleet_tls_CAfile) == 0;
}

/* By index; there is one for each lane with lane_fleet. */
static size_t
engine_of(const struct fleetview *v, const struct site_lane *lane)
{
	size_t i = 0;

	while (i < v->engine_count &&
	       !is_same_engine(&v->engines[i].lane->set, &lane->set))
		i++;
	return i;
}

static void
add_engines(struct fleetview *v, const struct site *site)
{
	for (size_t i = 0; i < site->lane_count; i++) {
		const struct site_lane *lane = &site->lanes[i];

		if (lane->set.lane_fleet[0] == '\0' ||
		    engine_of(v, lane) < v->engine_count)
			continue;
		v->engines = mem_realloc(
		    v->engines, (v->engine_count + 1) * sizeof(v->engines[0]));
		v->engines[v->engine_count++] =
		    (struct fleetview_engine){.lane = lane};
	}
}

/* By whose settings the account is shared; NULL: by nobody's any more. */
static const struct site_lane *
lane_of(const struct model *m, size_t account)
{
	const struct model_account *a = &m->accounts[account];
	const struct site_lane *other = NULL;

	for (size_t i = 0; i < m->lane_count; i++) {
		const struct model_lane *lane = &m->lanes[i];

		if (lane->site == NULL || lane->site->set.lane_fleet[0] == '\0')
			continue;
		if (lane->account == (int)account)
			return lane->site;
		if (other == NULL && lane->directory == a->directory &&
		    strncmp(lane->site->set.lane_fleet, a->fleet.engine,
			sizeof(a->fleet.engine) - 1) == 0)
			other = lane->site;
	}
	return other;
}

static void
add_accounts(struct fleetview *v)
{
	const struct model *m = v->m;

	for (size_t i = 0; i < m->account_count; i++) {
		const struct model_account *from = &m->accounts[i];
		const struct site_lane *lane =
		    from->fleet.size > 0 ? lane_of(m, i) : NULL;
		struct fleetview_account *a;

		if (lane == NULL)
			continue;
		v->accounts = mem_realloc(v->accounts,
		    (v->account_count + 1) * sizeof(v->accounts[0]));
		a = &v->accounts[v->account_count++];
		*a = (struct fleetview_account){
		    .account = from, .engine = engine_of(v, lane)};
		for (size_t k = 0; k < from->fleet.count; k++)
			a->limits[k].own = &from->fleet.limits[k];
	}
}

static void
read_account(
    struct fleetview *v, struct fleetlink *link, struct fleetview_account *a)
{
	const struct fleetview_engine *e = &v->engines[a->engine];
	const struct model_fleet *f = &a->account->fleet;

	for (size_t i = 0; i < f->count; i++) {
		if (fleetlink_is_open(link))
			read_limit(link, e, a, i);
		add_self(&a->limits[i], f, a->limits[i].is_known,
		    model_wall_ms(v->m));
	}
}

void
fleetview_read(struct fleetview *v, const struct model *m)
{
	*v = (struct fleetview){.m = m};
	add_engines(v, m->site);
	add_accounts(v);
	for (size_t i = 0; i < v->engine_count; i++) {
		struct fleetview_engine *e = &v->engines[i];
		struct fleetlink link;

		if (fleetlink_open(&link, &e->lane->set))
			read_engine(e, &link);
		for (size_t k = 0; k < v->account_count; k++)
			if (v->accounts[k].engine == i)
				read_account(v, &link, &v->accounts[k]);
		e->answers = fleetlink_is_open(&link);
		memcpy(e->why, link.why, sizeof(e->why));
		memcpy(e->refused, link.refused, sizeof(e->refused));
		fleetlink_close(&link);
	}
}

void
fleetview_fini(struct fleetview *v)
{
	for (size_t i = 0; i < v->account_count; i++)
		for (size_t k = 0; k < BOARD_FLEET_LIMITS; k++)
			mem_free(v->accounts[i].limits[k].hosts);
	mem_free(v->accounts);
	mem_free(v->engines);
	*v = (struct fleetview){.m = NULL};
}

const char *
fleetview_state_name(enum fleetview_state state)
{
	static const char *const names[] = {
	    [FLEETVIEW_ALIVE] = "alive",
	    [FLEETVIEW_SILENT] = "silent",
	    [FLEETVIEW_GONE] = "gone",
	    [FLEETVIEW_CLONED] = "cloned",
	    [FLEETVIEW_REFUSED] = "refused",
	    [FLEETVIEW_ALONE] = "alone",
	};

	return names[state];
}

bool
fleetview_is_bad(const struct fleetview *v)
{
	for (size_t i = 0; i < v->engine_count; i++)
		if (!v->engines[i].answers || v->engines[i].refused[0] != '\0')
			return true;
	for (size_t i = 0; i < v->account_count; i++)
		for (size_t k = 0; k < v->accounts[i].account->fleet.count; k++)
			for (size_t h = 0; h < v->accounts[i].limits[k].count;
			     h++)
				if (v->accounts[i].limits[k].hosts[h].state !=
					FLEETVIEW_ALIVE &&
				    v->accounts[i].limits[k].hosts[h].state !=
					FLEETVIEW_GONE)
					return true;
	return false;
}

/* ---- a host that is gone --------------------------------------------------
 */

/* How long what was used counts, as fleet_terms has it: of "octets/1d!" a day
 * and an eighth of it. */
static int64_t
linger_of(const char *unit)
{
	const char *period = strchr(unit, '/');
	char text[RATE_TEXT_SIZE], error[RATE_TEXT_SIZE * 2];
	struct rate rate;

	(void)snprintf(text, sizeof(text), "1%s", period != NULL ? period : "");
	if (period == NULL ||
	    !rate_parse(slice_str(text), &rate, error, sizeof(error)) ||
	    !rate.is_quota)
		return 0;
	return rate.period_us + rate.period_us / 8;
}

static enum fleetview_word
word_of(const redisReply *reply, int64_t *wait_us)
{
	static const struct {
		const char *text;
		enum fleetview_word word;
	} words[] = {{"OK", FLEETVIEW_FORGOTTEN}, {"GONE", FLEETVIEW_WAS_GONE},
	    {"ALIVE", FLEETVIEW_IS_ALIVE}, {"UNKNOWN", FLEETVIEW_UNKNOWN},
	    {"EMPTY", FLEETVIEW_EMPTY}};

	if (reply == NULL || reply->type != REDIS_REPLY_ARRAY ||
	    reply->elements != 3 || !is_text(reply->element[0]) ||
	    reply->element[1]->type != REDIS_REPLY_INTEGER)
		return FLEETVIEW_FAILED;
	*wait_us = reply->element[1]->integer;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i].text, reply->element[0]->str) == 0)
			return words[i].word;
	return FLEETVIEW_FAILED;
}

enum fleetview_word
fleetview_forget(struct fleetlink *link, const struct fleetview_account *a,
    size_t limit, const char *host, int64_t *wait_us)
{
	const struct model_fleet *f = &a->account->fleet;
	char keys[2][KEY_SIZE], numbers[3][NUMBER_SIZE],
	    sha[FLEETLINK_SHA_SIZE];
	const char *words[] = {"EVALSHA", sha, "2", keys[0], keys[1], host,
	    numbers[0], numbers[1], numbers[2]};
	enum fleetview_word word;
	redisReply *reply;

	*wait_us = 0;
	if (!fleetlink_load(link, fleet_script_forget, sha))
		return FLEETVIEW_FAILED;
	make_key(keys[0], a, limit, "hosts");
	make_key(keys[1], a, limit, "state");
	(void)snprintf(numbers[0], NUMBER_SIZE, "%" PRId64, f->size);
	(void)snprintf(numbers[1], NUMBER_SIZE, "%" PRId64, f->ttl_ms * 1000);
	(void)snprintf(numbers[2], NUMBER_SIZE, "%" PRId64,
	    linger_of(a->limits[limit].own->unit));
	reply = fleetlink_ask(
	    link, "EVALSHA", sizeof(words) / sizeof(words[0]), words);
	word = word_of(reply, wait_us);
	freeReplyObject(reply);
	return word;
}
