#include "agent/tables/lookahead.h"

#include "agent/engine/answers.h"
#include "agent/engine/message.h"
#include "agent/engine/rewriting.h"
#include "agent/tables/rewrite_table.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum { ADDRESS_MAX = 1 << 20, KEPT_BYTES_MAX = 8 << 20 };

struct lookahead {
	struct loop *loop;
	lookahead_fn *fn;
	void *ctx;
	struct list looks;
	size_t count;
	/* What others were told: the younger half, and the older one, which
	 * goes when the younger is full or has aged. */
	struct answers *kept, *kept_before;
	int64_t turned_ms;
};

/* One request. */
struct look {
	struct list link; /* in lookahead->looks */
	struct lookahead *lookahead;
	struct request *req;
	struct list questions;
};

struct question {
	struct list link; /* in look->questions */
	struct look *look;
	const struct rewriter *table;
	const char *key; /* of the answers */
	struct maps_query *query;
};

/* --- what is kept for others --- */

static void
turn(struct lookahead *l, int64_t now_ms)
{
	answers_free(&l->kept_before);
	l->kept_before = l->kept;
	l->kept = answers_new(KEPT_BYTES_MAX);
	l->turned_ms = now_ms;
}

/* Both halves go when nothing was asked for that long. */
static void
age(struct lookahead *l)
{
	int64_t now_ms = loop_now_ms(l->loop);

	if (now_ms - l->turned_ms >= 2 * LOOKAHEAD_KEPT_MS)
		turn(l, now_ms);
	if (now_ms - l->turned_ms >= LOOKAHEAD_KEPT_MS ||
	    answers_count(l->kept) >= LOOKAHEAD_KEPT_COUNT / 2)
		turn(l, now_ms);
}

static void
keep(struct lookahead *l, const struct rewriter *table, const char *key,
    const char *value)
{
	age(l);
	if (answers_put(l->kept, table, key, value))
		return;
	turn(l, loop_now_ms(l->loop));
	(void)answers_put(l->kept, table, key, value);
}

static bool
is_kept(struct lookahead *l, const struct rewriter *table, const char *key,
    const char **value_out)
{
	age(l);
	return answers_peek(l->kept, table, key, value_out) ||
	       answers_peek(l->kept_before, table, key, value_out);
}

/* --- one request --- */

static void
question_free(struct question *q)
{
	maps_cancel(&q->query);
	list_remove(&q->link);
	mem_free(q);
}

static void
look_free(struct look *look)
{
	struct list *link;

	while ((link = list_first(&look->questions)) != NULL)
		question_free(list_entry(link, struct question, link));
	list_remove(&look->link);
	look->lookahead->count--;
	mem_free(look);
}

static void
end(struct look *look, bool is_ok)
{
	struct lookahead *l = look->lookahead;
	struct request *req = look->req;

	look_free(look);
	l->fn(l->ctx, req, is_ok);
}

static bool
foresee_address(const struct request *req, const char *address)
{
	struct buf out;
	enum rewriter_result result;

	buf_init(&out, ADDRESS_MAX);
	result = generic_map(&req->rules->generic, req->answers, address, &out);
	buf_fini(&out);
	return result != REWRITER_FAILED;
}

static bool
foresee(const struct request *req)
{
	bool is_ok = foresee_address(req, req->sender);

	for (size_t i = 0; i < req->rcpt_count && is_ok; i++)
		is_ok = foresee_address(req, req->rcpts[i].address);
	return is_ok && (req->message == NULL || message_foresee(req->message));
}

static void look_on(struct look *look);

static void
on_answer(
    void *ctx, enum maps_result result, const char *value, const char *error)
{
	struct question *q = ctx;
	struct look *look = q->look;
	bool is_ok = result != MAPS_ERROR;

	/* Over, so there is nothing to cancel. */
	q->query = NULL;
	if (is_ok) {
		keep(look->lookahead, q->table, q->key, value);
		is_ok =
		    answers_put(look->req->answers, q->table, q->key, value);
	} else {
		log_warn(
		    "%s: smtp_generic_maps: %s", look->req->queue_id, error);
	}
	question_free(q);
	if (!is_ok)
		end(look, false);
	else if (list_is_empty(&look->questions))
		look_on(look);
}

/* false: too much to remember. */
static bool
ask(struct look *look, const struct rewriter *table, const char *key)
{
	struct question *q;
	const char *value;

	if (is_kept(look->lookahead, table, key, &value))
		return answers_put(look->req->answers, table, key, value);
	q = mem_zalloc(sizeof(*q));
	q->look = look;
	q->table = table;
	q->key = key;
	list_init(&q->link);
	list_push(&look->questions, &q->link);
	q->query = rewrite_table_ask(table, key, on_answer, q);
	/* The table answered nothing at once a moment ago. */
	CHECK(q->query != NULL);
	return true;
}

/* Until somebody has to be waited for, or nothing more is wanted. */
static void
look_on(struct look *look)
{
	struct answers *answers = look->req->answers;
	const struct rewriter *table;
	const char *key;
	bool is_ok, is_new;

	do {
		is_ok = foresee(look->req);
		is_new = false;
		while (is_ok && answers_next(answers, &table, &key)) {
			is_ok = ask(look, table, key);
			is_new = true;
		}
	} while (is_ok && is_new && list_is_empty(&look->questions));
	if (!is_ok || list_is_empty(&look->questions))
		end(look, is_ok);
}

/* --- life --- */

struct lookahead *
lookahead_new(struct loop *loop, lookahead_fn *fn, void *ctx)
{
	struct lookahead *l = mem_zalloc(sizeof(*l));

	CHECK(fn != NULL);
	l->loop = loop;
	l->fn = fn;
	l->ctx = ctx;
	list_init(&l->looks);
	l->kept = answers_new(KEPT_BYTES_MAX);
	l->kept_before = answers_new(KEPT_BYTES_MAX);
	l->turned_ms = loop_now_ms(loop);
	return l;
}

void
lookahead_free(struct lookahead **lookahead)
{
	struct lookahead *l = *lookahead;
	struct list *link;

	*lookahead = NULL;
	if (l == NULL)
		return;
	while ((link = list_first(&l->looks)) != NULL)
		look_free(list_entry(link, struct look, link));
	answers_free(&l->kept);
	answers_free(&l->kept_before);
	mem_free(l);
}

void
lookahead_begin(struct lookahead *lookahead, struct request *req)
{
	struct look *look = mem_zalloc(sizeof(*look));

	CHECK(req->lane_data == NULL);
	CHECK(req->rules != NULL && req->answers == NULL);
	req->answers = answers_new(LOOKAHEAD_BYTES_MAX);
	if (req->message != NULL)
		message_set_answers(req->message, req->answers);
	look->lookahead = lookahead;
	look->req = req;
	list_init(&look->questions);
	list_init(&look->link);
	list_push(&lookahead->looks, &look->link);
	lookahead->count++;
	look_on(look);
}

bool
lookahead_drop(struct lookahead *lookahead, const struct request *req)
{
	list_each_safe (link, &lookahead->looks) {
		struct look *look = list_entry(link, struct look, link);

		if (look->req == req) {
			look_free(look);
			return true;
		}
	}
	return false;
}

size_t
lookahead_count(const struct lookahead *lookahead)
{
	return lookahead->count;
}
