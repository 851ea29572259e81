#include "agent/fleet/question.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/shared/board.h"

/* What a double, which a script's numbers are, says exactly. */
#define NUMBER_MAX (INT64_C(1) << 53)

static void
add(struct question *out, const char *text)
{
	CHECK(out->argc < QUESTION_ARGS);
	out->argv[out->argc++] = text;
}

static void
add_number(struct question *out, int64_t value)
{
	char *text = out->numbers[out->argc];

	(void)snprintf(text, QUESTION_NUMBER_SIZE, "%" PRId64, value);
	add(out, text);
}

static void
add_nonce(struct question *out, uint64_t nonce)
{
	char *text = out->numbers[out->argc];

	(void)snprintf(text, QUESTION_NUMBER_SIZE, "%" PRIx64, nonce);
	add(out, text);
}

/* All with one hash tag; the login is nobody's affair. */
static void
add_keys(struct question *out, const char *account, const char *unit, int count)
{
	static const char *const names[] = {"hosts", "state", "lessons"};
	unsigned long long hash = board_hash(account);

	add_number(out, count);
	for (int i = 0; i < count; i++) {
		(void)snprintf(out->keys[i], sizeof(out->keys[i]),
		    "pl:{%016llx}:%s:%s", hash, unit, names[i]);
		add(out, out->keys[i]);
	}
}

void
question_make(struct question *out, const char *sha, const char *account,
    const char *unit, const struct fleet_terms *terms,
    const struct fleet_question *q, bool has_lessons)
{
	out->argc = 0;
	add(out, "EVALSHA");
	add(out, sha);
	add_keys(out, account, unit, has_lessons ? 3 : 2);
	add(out, q->host);
	add_nonce(out, q->nonce);
	add_number(out, q->epoch);
	add_number(out, q->number);
	add_number(out, terms->size);
	add_number(out, terms->limit);
	add_number(out, terms->minimum);
	add_number(out, terms->ttl_us);
	add_number(out, terms->linger_us);
	add_number(out, terms->forget_us);
	add_number(out, q->want);
	add_number(out, q->cap);
	add_number(out, q->in_use);
	add_number(out, q->echo);
	add_number(out, q->left_us);
	add_number(out, q->seen);
	add_number(out, q->since_us);
	add(out, q->life);
	fleet_lessons_print(q->lessons, false, out->lessons);
	add(out, out->lessons);
}

void
question_make_terms(struct question *out, const char *account, const char *unit,
    const struct fleet_terms *terms, const char *host)
{
	out->argc = 0;
	(void)snprintf(out->keys[0], sizeof(out->keys[0]),
	    "pl:{%016llx}:%s:terms", (unsigned long long)board_hash(account),
	    unit);
	(void)snprintf(out->terms, sizeof(out->terms),
	    "%" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64
	    " %" PRId64,
	    terms->size, terms->limit, terms->minimum, terms->ttl_us,
	    terms->linger_us, terms->forget_us);
	add(out, "HSET");
	add(out, out->keys[0]);
	add(out, host);
	add(out, out->terms);
}

static bool
read_word(const redisReply *r, enum fleet_word *out)
{
	static const char *const words[] = {
	    [FLEET_OK] = "OK",
	    [FLEET_STALE] = "STALE",
	    [FLEET_TWICE] = "TWICE",
	    [FLEET_FULL] = "FULL",
	};

	if (r->type != REDIS_REPLY_STRING && r->type != REDIS_REPLY_STATUS)
		return false;
	for (int i = 0; i <= FLEET_FULL; i++)
		if (strcmp(words[i], r->str) == 0) {
			*out = (enum fleet_word)i;
			return true;
		}
	return false;
}

static bool
read_number(const redisReply *r, int64_t most, int64_t *out)
{
	if (r->type != REDIS_REPLY_INTEGER || r->integer < 0 ||
	    r->integer > most)
		return false;
	*out = r->integer;
	return true;
}

static bool
read_life(const redisReply *r, char out[FLEET_LIFE_SIZE])
{
	if (r->type != REDIS_REPLY_STRING && r->type != REDIS_REPLY_STATUS)
		return false;
	if (r->len >= FLEET_LIFE_SIZE || strlen(r->str) != (size_t)r->len)
		return false;
	memset(out, 0, FLEET_LIFE_SIZE);
	memcpy(out, r->str, (size_t)r->len);
	return true;
}

static bool
read_lessons(const redisReply *r, struct fleet_lesson out[FLEET_LESSONS])
{
	return (r->type == REDIS_REPLY_STRING ||
		   r->type == REDIS_REPLY_STATUS) &&
	       strlen(r->str) == (size_t)r->len &&
	       fleet_lessons_parse(r->str, true, out);
}

bool
question_read_answer(const redisReply *reply, const struct fleet_terms *terms,
    const struct fleet_question *q, struct fleet_answer *out)
{
	redisReply *const *e = reply->element;
	/* While it learns an engine believes what the host says it obeys. */
	int64_t most = fleet_most(terms->limit, q->cap);

	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 8 ||
	    !read_word(e[0], &out->word) ||
	    !read_number(e[1], most, &out->share) ||
	    !read_number(e[2], NUMBER_MAX, &out->end) ||
	    !read_number(e[3], NUMBER_MAX, &out->at) ||
	    !read_number(e[4], INT32_MAX, &out->known) ||
	    !read_number(e[5], terms->limit, &out->target) ||
	    !read_life(e[6], out->life) || !read_lessons(e[7], out->lessons))
		return false;
	return out->word != FLEET_OK ||
	       (out->end >= out->at && out->end - out->at <= terms->ttl_us);
}
