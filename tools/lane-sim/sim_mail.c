#include "tools/lane-sim/sim_mail.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/engine/message.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	FILE_MAX = 64 << 20,
	LINE = 64,
	LINE_LENGTH_LIMIT = 998,
	ENVELOPE = 200, /* octets of a queue file that are no content */
};

static char nothing[] = "";

struct sim_message {
	struct list link;
	struct request *req;
	const struct buf *file;
	int64_t came_ms;
	uint64_t number;
	size_t decided;
	bool is_deferred, is_bounced;
	char sender[32];
	char rcpts[SIM_RCPTS_MAX][32];
};

/* ---- the queue --------------------------------------------------------- */

static void
put(struct sim_queue *q, struct sim_queued one)
{
	if (q->count == q->room) {
		size_t room = q->room > 0 ? q->room * 2 : 64;
		struct sim_queued *ring = mem_zarray(room, sizeof(ring[0]));

		for (size_t i = 0; i < q->count; i++)
			ring[i] = q->ring[(q->first + i) % q->room];
		mem_free(q->ring);
		*q = (struct sim_queue){ring, room, 0, q->count};
	}
	q->ring[(q->first + q->count++) % q->room] = one;
}

static struct sim_queued
get(struct sim_queue *q)
{
	struct sim_queued first = q->ring[q->first];

	q->first = (q->first + 1) % q->room;
	q->count--;
	return first;
}

/* xorshift64* */
static uint64_t
next_random(struct sim_mail *m)
{
	m->random ^= m->random >> 12;
	m->random ^= m->random << 25;
	m->random ^= m->random >> 27;
	return m->random * UINT64_C(2685821657736338717) >> 16;
}

static size_t
random_below(struct sim_mail *m, size_t below)
{
	return (size_t)(next_random(m) % below);
}

static void
plan_next(struct sim_mail *m)
{
	double share = (double)random_below(m, 1 << 30) / (1 << 30);

	m->next_ms = INT64_MAX;
	if (m->arrivals != NULL && m->came < m->count)
		m->next_ms = m->begin_ms + m->arrivals[m->came].at_ms;
	if (m->per_s <= 0 || (m->count > 0 && m->came >= m->count))
		return;
	m->next_exact_ms +=
	    (m->is_random ? -log(1 - share) : 1) * 1000 / m->per_s;
	m->next_ms = (int64_t)ceil(m->next_exact_ms);
}

/* ---- life -------------------------------------------------------------- */

static void
add_record(struct buf *file, char type, const char *text, size_t n)
{
	CHECK(n < 128); /* a length of one octet */
	CHECK(buf_add_char(file, type));
	CHECK(buf_add_char(file, (char)n));
	CHECK(buf_add(file, text, n));
}

static void
write_file(struct buf *file, size_t octets)
{
	static const char head[] = "Subject: model", body[] = "hello";
	char line[LINE];

	memset(line, 'x', sizeof(line));
	buf_init(file, FILE_MAX);
	add_record(file, RECORD_TYPE_NORM, head, strlen(head));
	add_record(file, RECORD_TYPE_NORM, head, 0);
	add_record(file, RECORD_TYPE_NORM, body, strlen(body));
	for (size_t n = 0; n < octets; n += sizeof(line))
		add_record(file, RECORD_TYPE_NORM, line, sizeof(line));
	add_record(file, RECORD_TYPE_XTRA, head, 0);
}

void
sim_mail_begin(struct sim_mail *m, uint64_t random, int64_t now_ms)
{
	m->random = random;
	list_init(&m->inside);
	list_init(&m->spare);
	m->begin_ms = now_ms;
	m->next_exact_ms = (double)now_ms;
	m->sample_ms = mem_zarray(SIM_SAMPLE, sizeof(m->sample_ms[0]));
	if (m->rcpts_most == 0)
		m->rcpts_most = 1;
	CHECK(m->rcpts_most <= SIM_RCPTS_MAX);
	for (size_t i = 0; i < SIM_SIZES; i++)
		write_file(&m->files[i], m->octets_most * i / (SIM_SIZES - 1));
	plan_next(m);
}

void
sim_mail_fini(struct sim_mail *m)
{
	CHECK(list_is_empty(&m->inside));
	list_each_safe (link, &m->spare)
		mem_free(list_entry(link, struct sim_message, link));
	for (size_t i = 0; i < SIM_SIZES; i++)
		buf_fini(&m->files[i]);
	mem_free(m->queue.ring);
	mem_free(m->deferred.ring);
	mem_free(m->sample_ms);
}

/* ---- what comes -------------------------------------------------------- */

static int64_t
first_deferred_ms(const struct sim_mail *m)
{
	return m->deferred.count > 0
		   ? m->deferred.ring[m->deferred.first].due_ms
		   : INT64_MAX;
}

int64_t
sim_mail_next_ms(const struct sim_mail *m, int64_t now_ms)
{
	const int64_t times[] = {
	    m->next_ms, first_deferred_ms(m), m->away_until_ms};
	int64_t next = INT64_MAX;

	/* What is due waits for the lane and not for a time. */
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		if (times[i] > now_ms && times[i] < next)
			next = times[i];
	return next;
}

static bool
has_backlog(const struct sim_mail *m)
{
	return m->per_s <= 0 && m->arrivals == NULL &&
	       (m->count == 0 || m->came < m->count);
}

bool
sim_mail_is_ready(struct sim_mail *m, int64_t now_ms)
{
	while (m->next_ms <= now_ms) {
		put(&m->queue, (struct sim_queued){m->next_ms, 0, m->came});
		m->came++;
		plan_next(m);
	}
	return now_ms >= m->away_until_ms &&
	       (m->queue.count > 0 || first_deferred_ms(m) <= now_ms ||
		   has_backlog(m));
}

static struct sim_message *
new_message(struct sim_mail *m, struct sim_queued from)
{
	struct list *link = list_pop(&m->spare);
	struct sim_message *s = link != NULL
				    ? list_entry(link, struct sim_message, link)
				    : mem_alloc(sizeof(*s));

	*s = (struct sim_message){
	    .came_ms = from.came_ms, .number = from.number};
	list_init(&s->link);
	list_push(&m->inside, &s->link);
	return s;
}

static ssize_t
read_at(void *ctx, char *p, size_t n, int64_t off)
{
	const struct sim_message *s = ctx;
	struct slice all = buf_slice(s->file);
	size_t left = (size_t)off < all.n ? all.n - (size_t)off : 0;

	if (n > left)
		n = left;
	memcpy(p, all.p + (all.n - left), n);
	return (ssize_t)n;
}

static void
add_rcpts(struct sim_message *s, struct request *req, size_t count)
{
	req->rcpt_count = req->rcpt_due = count;
	req->rcpts = mem_zarray(req->rcpt_count, sizeof(*req->rcpts));
	for (size_t i = 0; i < req->rcpt_count; i++) {
		(void)snprintf(
		    s->rcpts[i], sizeof(s->rcpts[i]), "r%zu@to.test", i);
		req->rcpts[i].address = s->rcpts[i];
		req->rcpts[i].original = req->rcpts[i].orcpt = nothing;
	}
}

/* Who is next. */
static struct sim_queued
take_next(struct sim_mail *m, int64_t now_ms)
{
	if (first_deferred_ms(m) <= now_ms)
		return get(&m->deferred);
	if (m->queue.count > 0)
		return get(&m->queue);
	return (struct sim_queued){now_ms, 0, m->came++};
}

/* Size and recipients; of a list its content is a line all the same. */
static void
fill(struct sim_mail *m, struct sim_message *s, struct request *req)
{
	const struct sim_arrival *a =
	    m->arrivals != NULL ? &m->arrivals[s->number] : NULL;
	size_t rcpts = 1;

	s->file = &m->files[a != NULL ? 0 : random_below(m, SIM_SIZES)];
	req->size = (int64_t)buf_len(s->file) + ENVELOPE;
	if (a == NULL)
		rcpts += random_below(m, m->rcpts_most);
	else if (a->rcpts > 1)
		rcpts = a->rcpts < SIM_RCPTS_MAX ? a->rcpts : SIM_RCPTS_MAX;
	if (a != NULL && a->octets > 0)
		req->size = a->octets;
	add_rcpts(s, req, rcpts);
}

struct request *
sim_mail_take(struct sim_mail *m, struct moment now)
{
	struct sim_message *s =
	    new_message(m, take_next(m, now.us / US_PER_MS));
	struct request *req = mem_zalloc(sizeof(*req));
	struct record_source source = {.read_at = read_at, .ctx = s};

	s->req = req;
	fill(m, s, req);
	source.size = (int64_t)buf_len(s->file);
	(void)snprintf(s->sender, sizeof(s->sender), "%llu@from.test",
	    (unsigned long long)m->came);
	req->queue_name = "active";
	req->queue_id = "4SiM";
	req->nexthop = req->envelope_id = req->sasl_username = nothing;
	req->encoding = ENCODING_7BIT;
	req->sender = s->sender;
	req->received_us = now.us;
	req->message = message_new(source, 0, LINE_LENGTH_LIMIT);
	req->owner = s;
	return req;
}

/* ---- what becomes of it ------------------------------------------------ */

static void
give_back(struct sim_mail *m, struct sim_message *s)
{
	request_free(&s->req);
	list_remove(&s->link);
	list_push(&m->spare, &s->link);
}

struct request *
sim_mail_inside(struct sim_mail *m)
{
	struct list *link = list_first(&m->inside);

	return link != NULL ? list_entry(link, struct sim_message, link)->req
			    : NULL;
}

static void
sample(struct sim_mail *m, int64_t took_ms)
{
	uint64_t at = m->sampled++;

	if (took_ms > m->longest_ms)
		m->longest_ms = took_ms;
	if (at >= SIM_SAMPLE)
		at = next_random(m) % m->sampled;
	if (at < SIM_SAMPLE)
		m->sample_ms[at] = (int32_t)took_ms;
}

void
sim_mail_decided(struct sim_mail *m, struct request *req, int64_t now_ms)
{
	struct sim_message *s = req->owner;

	s->decided++;
	if (s->decided < req->rcpt_count)
		return;
	for (size_t i = 0; i < req->rcpt_count; i++) {
		enum outcome outcome = req->rcpts[i].verdict->outcome;

		s->is_deferred = s->is_deferred || outcome == OUTCOME_DEFER;
		s->is_bounced = s->is_bounced || outcome == OUTCOME_BOUNCE;
	}
	if (s->is_deferred) {
		m->deferrals++;
		put(&m->deferred, (struct sim_queued){s->came_ms,
				      now_ms + SIM_BACKOFF_MS, s->number});
		if (req->hop != NULL)
			m->away_until_ms = now_ms + SIM_BACKOFF_MS;
	} else if (s->is_bounced) {
		m->bounced++;
	} else {
		m->accepted++;
		sample(m, now_ms - s->came_ms);
	}
	if (!s->is_deferred && m->on_end != NULL)
		m->on_end(
		    m->ctx, m, s->number, now_ms - s->came_ms, !s->is_bounced);
	give_back(m, s);
}

void
sim_mail_drop(struct sim_mail *m, struct request *req)
{
	give_back(m, req->owner);
}

bool
sim_mail_is_done(const struct sim_mail *m)
{
	return m->count > 0 && m->accepted + m->bounced >= m->count;
}

static int
by_value(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

	return x < y ? -1 : x > y;
}

double
sim_mail_quantile_s(struct sim_mail *m, double share)
{
	size_t n = m->sampled < SIM_SAMPLE ? (size_t)m->sampled : SIM_SAMPLE;
	size_t i = (size_t)((double)n * share);

	if (n == 0)
		return 0;
	qsort(m->sample_ms, n, sizeof(m->sample_ms[0]), by_value);
	return (double)m->sample_ms[i < n ? i : n - 1] / 1000;
}
