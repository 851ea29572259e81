#include "agent/fleet/speaker.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "agent/fleet/question.h"
#include "agent/fleet/redis.h"
#include "agent/io/resolver.h"
#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/shared/fleet_script.h"

enum {
	EVERY_MS = 1000,
	/* Whoever wants more does not wait for that; so a host asks no more
	 * than four times a second. */
	HURRY_MS = 250,
	/* Without an answer for so long it is said that there is none; */
	DOWN_US = 4 * US_PER_S,
	/* ... and then not again for a minute. */
	QUIET_US = 60 * US_PER_S,
	/* What this host goes by is told so often. */
	TERMS_US = 60 * US_PER_S,
	/* What is asked in vain goes on: no more questions wait than these. */
	ASKED_MAX = 4096,
};

/* A question that waits for its reply. */
struct asked {
	struct list link;
	struct fleet_account *account; /* ours until it is freed */
	size_t limit;
	int64_t at_us;
	struct fleet_question q;
	bool is_terms; /* no question: what this host goes by */
};

struct speaker {
	struct loop *loop;
	const struct settings *set;
	struct resolver *resolver;
	struct redis *redis; /* NULL: there is no engine */
	struct loop_timer *timer;
	struct fleet_store *store; /* NULL: not yet, or no more */
	struct board_writer *board;
	struct list asked; /* in the order of their replies */
	size_t asked_count;
	bool speaks; /* for some account, at the last look */
	bool is_up, is_down_told;
	bool is_script_gone; /* to be loaded anew */
	int64_t answered_us; /* the last; or when it began */
	int64_t since_us, since_wall_us; /* that it is up, or down */
	int64_t told_us; /* that it is down, the last time */
	int64_t ticked_us;
	int64_t next_ms; /* tick */
	char trouble[REDIS_WHY_SIZE];
};

static const char *
engine_of(const struct speaker *s)
{
	return s->set->lane_fleet;
}

/* ---- up and down ------------------------------------------------------------
 */

static void
set_up(struct speaker *s, bool is_up, int64_t now_us)
{
	struct timeval wall = clock_wall();
	int64_t down_us = now_us - s->since_us;

	if (s->is_up == is_up)
		return;
	s->is_up = is_up;
	s->since_us = now_us;
	s->since_wall_us = (int64_t)wall.tv_sec * US_PER_S + wall.tv_usec;
	if (!is_up)
		return;
	s->trouble[0] = '\0';
	if (s->is_down_told)
		log_info("fleet %s: answers again after %lld s", engine_of(s),
		    (long long)(down_us / US_PER_S));
	s->is_down_told = false;
}

static void
note_trouble(struct speaker *s, const char *why)
{
	(void)snprintf(s->trouble, sizeof(s->trouble), "%s", why);
	log_safe(s->trouble, strlen(s->trouble));
}

static void
judge(struct speaker *s, int64_t now_us)
{
	if (!s->speaks || now_us - s->answered_us < DOWN_US)
		return;
	set_up(s, false, now_us);
	if (s->is_down_told ||
	    (s->told_us != 0 && now_us - s->told_us < QUIET_US))
		return;
	s->is_down_told = true;
	s->told_us = now_us;
	log_warn("fleet %s: no answer: %s; this host goes on with what is its "
		 "own",
	    engine_of(s), s->trouble[0] != '\0' ? s->trouble : "nothing comes");
}

/* ---- replies
 * ------------------------------------------------------------------ */

static void
free_asked(struct speaker *s, struct asked *asked)
{
	list_remove(&asked->link);
	s->asked_count--;
	fleet_account_close(&asked->account);
	mem_free(asked);
}

static bool
is_error_of(const redisReply *reply, const char *word)
{
	size_t n = strlen(word);

	return reply->type == REDIS_REPLY_ERROR &&
	       strncmp(reply->str, word, n) == 0 &&
	       (reply->str[n] == ' ' || reply->str[n] == '\0');
}

/* What an engine says in the place of an answer, and what helps. */
static void
on_error(struct speaker *s, const redisReply *reply)
{
	if (is_error_of(reply, "NOSCRIPT")) {
		s->is_script_gone = true;
		return;
	}
	note_trouble(s, reply->str);
	/* It has become another's replica: the name may lead elsewhere. */
	if (is_error_of(reply, "READONLY") || is_error_of(reply, "NOAUTH"))
		redis_give_up(s->redis, s->trouble);
}

static void
on_answer(struct speaker *s, const struct asked *asked,
    const struct fleet_answer *answer)
{
	int64_t now_us = clock_mono_us();

	board_writer_observe(
	    s->board, BOARD_HIST_fleet_renew, now_us - asked->at_us);
	if (fleet_account_answer(asked->account, asked->limit, asked->q.number,
		answer, now_us) != FLEET_TAKEN)
		return;
	s->answered_us = now_us;
	set_up(s, true, now_us);
}

static void
on_reply(void *ctx, const redisReply *reply)
{
	struct speaker *s = ctx;
	struct list *first = list_first(&s->asked);
	struct asked *asked;
	struct fleet_answer answer;
	const struct fleet_limit *limit;

	CHECK(first != NULL);
	asked = list_entry(first, struct asked, link);
	limit = fleet_account_limit(asked->account, asked->limit);
	if (reply->type == REDIS_REPLY_ERROR) {
		on_error(s, reply);
	} else if (asked->is_terms) {
		log_debug("fleet %s: knows this host's terms", engine_of(s));
	} else if (question_read_answer(
		       reply, &limit->terms, &asked->q, &answer)) {
		if (fleet_account_speaks(asked->account))
			on_answer(s, asked, &answer);
	} else {
		note_trouble(s, "malformed reply");
		redis_give_up(s->redis, s->trouble);
		return; /* which was forgotten with all others */
	}
	/* Giving up forgets it, too. */
	if (list_first(&s->asked) == first)
		free_asked(s, asked);
	if (s->is_script_gone && list_is_empty(&s->asked)) {
		s->is_script_gone = false;
		redis_reload(s->redis);
	}
}

static void
on_lost(void *ctx, const char *why)
{
	struct speaker *s = ctx;

	list_each_safe (link, &s->asked)
		free_asked(s, list_entry(link, struct asked, link));
	s->is_script_gone = false;
	note_trouble(s, why);
}

/* ---- questions
 * ------------------------------------------------------------------ */

static uint64_t
random_nonce(void)
{
	uint64_t nonce = 0;

	if (RAND_bytes((unsigned char *)&nonce, sizeof(nonce)) != 1)
		nonce = (uint64_t)clock_mono_us();
	return nonce;
}

static struct asked *
add_asked(struct speaker *s, struct fleet_account *a, size_t i, int64_t now_us)
{
	struct asked *asked = mem_zalloc(sizeof(*asked));

	asked->account =
	    fleet_store_account(s->store, fleet_account_name(a), now_us);
	asked->limit = i;
	asked->at_us = now_us;
	list_init(&asked->link);
	list_push(&s->asked, &asked->link);
	s->asked_count++;
	return asked;
}

static void
send_one(struct speaker *s, struct fleet_account *a, size_t i,
    const struct fleet_question *q, int64_t now_us)
{
	const struct fleet_limit *limit = fleet_account_limit(a, i);
	struct asked *asked = add_asked(s, a, i, now_us);
	struct question text;

	asked->q = *q;
	question_make(&text, redis_sha(s->redis), fleet_account_name(a),
	    limit->unit, &limit->terms, q, i == 0);
	redis_send(s->redis, text.argc, text.argv);
}

static void
send_terms(struct speaker *s, struct fleet_account *a, int64_t now_us)
{
	struct question text;

	for (size_t i = 0; i < fleet_account_count(a); i++) {
		const struct fleet_limit *limit = fleet_account_limit(a, i);

		add_asked(s, a, i, now_us)->is_terms = true;
		question_make_terms(&text, fleet_account_name(a), limit->unit,
		    &limit->terms, s->set->lane_fleet_name);
		redis_send(s->redis, text.argc, text.argv);
	}
	fleet_account_set_told(a, now_us);
}

static void
ask(struct speaker *s, struct fleet_account *a, int64_t now_us)
{
	struct fleet_question q[FLEET_LIMITS];
	size_t count = fleet_account_count(a);

	if (s->redis == NULL || !redis_is_ready(s->redis) ||
	    s->asked_count + count > ASKED_MAX ||
	    !fleet_account_ask(a, now_us, q))
		return;
	for (size_t i = 0; i < count; i++)
		send_one(s, a, i, &q[i], now_us);
	if (fleet_account_told_us(a) == 0 ||
	    now_us - fleet_account_told_us(a) >= TERMS_US)
		send_terms(s, a, now_us);
}

static void
ask_all(struct speaker *s)
{
	struct fleet_account *a = NULL;

	if (s->store == NULL)
		return;
	while ((a = fleet_store_next(s->store, a)) != NULL)
		if (fleet_account_speaks(a))
			ask(s, a, clock_mono_us());
	if (s->redis != NULL)
		redis_flush(s->redis);
}

static void
on_ready(void *ctx)
{
	ask_all(ctx);
}

static const struct redis_ops redis_handlers = {
    .on_reply = on_reply,
    .on_lost = on_lost,
    .on_ready = on_ready,
};

/* ---- each second
 * ------------------------------------------------------------------- */

static void
show(struct speaker *s, struct fleet_account *a, int64_t now_us)
{
	struct board_fleet fleet = {.size = 0};

	fleet_account_show(a, &fleet, now_us);
	fleet.is_up = s->is_up;
	fleet.since_wall_ms = (uint64_t)(s->since_wall_us / US_PER_MS);
	if (!s->is_up)
		board_store_text(
		    fleet.trouble, sizeof(fleet.trouble), s->trouble);
	board_writer_set_fleet(s->board, fleet_account_name(a), &fleet);
}

static void
look_at_accounts(struct speaker *s, int64_t now_us)
{
	struct fleet_account *a = NULL;
	int64_t alone_us =
	    s->is_up || s->ticked_us == 0 ? 0 : now_us - s->ticked_us;

	s->speaks = false;
	while ((a = fleet_store_next(s->store, a)) != NULL) {
		fleet_account_tell(a, now_us);
		if (!fleet_account_speak(a, random_nonce(), now_us))
			continue;
		s->speaks = true;
		fleet_account_settle(a, alone_us, now_us);
		show(s, a, now_us);
	}
	s->ticked_us = now_us;
}

static void
tick(struct speaker *s)
{
	int64_t now_us = clock_mono_us();

	look_at_accounts(s, now_us);
	judge(s, now_us);
	if (s->speaks && s->redis != NULL)
		redis_look(s->redis, loop_now_ms(s->loop));
	if (s->speaks)
		ask_all(s);
}

static void
hurry(struct speaker *s)
{
	struct fleet_account *a = NULL;
	int64_t now_us = clock_mono_us();

	while ((a = fleet_store_next(s->store, a)) != NULL)
		if (fleet_account_hurry(a, now_us))
			ask(s, a, now_us);
	if (s->redis != NULL)
		redis_flush(s->redis);
}

static void
on_tick(void *ctx)
{
	struct speaker *s = ctx;
	int64_t now_ms = clock_mono_ms();

	if (now_ms >= s->next_ms) {
		tick(s);
		s->next_ms = clock_mono_ms() + EVERY_MS;
	} else {
		hurry(s);
	}
	now_ms = clock_mono_ms();
	loop_timer_at(s->timer,
	    now_ms + HURRY_MS < s->next_ms ? now_ms + HURRY_MS : s->next_ms);
}

/* ---- life
 * ----------------------------------------------------------------------------
 */

struct speaker *
speaker_new(struct loop *loop, const struct settings *set,
    const struct fleet_access *access)
{
	struct speaker *s = mem_zalloc(sizeof(*s));

	s->loop = loop;
	s->set = set;
	list_init(&s->asked);
	if (access == NULL) {
		note_trouble(s, "lane_fleet cannot be used, see the log");
		s->is_down_told = true;
		return s;
	}
	if (access->path[0] == '\0')
		s->resolver = resolver_new(loop, set);
	s->redis = redis_new(
	    loop, s->resolver, access, fleet_script, &redis_handlers, s);
	return s;
}

void
speaker_begin(
    struct speaker *s, struct fleet_store *store, struct board_writer *board)
{
	struct timeval wall = clock_wall();

	CHECK(s->store == NULL && s->timer == NULL);
	s->store = store;
	s->board = board;
	s->answered_us = s->since_us = clock_mono_us();
	s->since_wall_us = (int64_t)wall.tv_sec * US_PER_S + wall.tv_usec;
	s->timer = loop_timer_new(s->loop, on_tick, s);
	loop_timer_at(s->timer, loop_now_ms(s->loop));
}

void
speaker_stop(struct speaker *s)
{
	struct fleet_account *a = NULL;

	if (s == NULL || s->store == NULL)
		return;
	loop_timer_free(&s->timer);
	redis_free(&s->redis);
	list_each_safe (link, &s->asked)
		free_asked(s, list_entry(link, struct asked, link));
	while ((a = fleet_store_next(s->store, a)) != NULL)
		fleet_account_hush(a);
	s->store = NULL;
}

void
speaker_free(struct speaker **speaker)
{
	struct speaker *s = *speaker;

	*speaker = NULL;
	if (s == NULL)
		return;
	speaker_stop(s);
	redis_free(&s->redis);
	resolver_free(&s->resolver);
	mem_free(s);
}
