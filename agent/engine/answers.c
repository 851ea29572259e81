#include "agent/engine/answers.h"

#include <stdint.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"

enum { BUCKETS_FIRST = 16 };

struct answer {
	struct answer *next; /* in its bucket */
	struct answer *next_wanted;
	const struct rewriter *table;
	char *value; /* NULL while it is not known, or if there is none */
	bool is_known;
	uint32_t hash;
	char key[];
};

struct answers {
	struct answer **buckets;
	size_t bucket_count, count, bytes, bytes_max;
	struct answer *wanted, **last_wanted;
};

struct answers *
answers_new(size_t bytes_max)
{
	struct answers *a = mem_zalloc(sizeof(*a));

	CHECK(bytes_max > 0);
	a->bucket_count = BUCKETS_FIRST;
	a->buckets = mem_zalloc(a->bucket_count * sizeof(struct answer *));
	a->bytes_max = bytes_max;
	a->last_wanted = &a->wanted;
	return a;
}

void
answers_free(struct answers **answers)
{
	struct answers *a = *answers;

	*answers = NULL;
	if (a == NULL)
		return;
	for (size_t i = 0; i < a->bucket_count; i++) {
		struct answer *one = a->buckets[i], *next;

		for (; one != NULL; one = next) {
			next = one->next;
			mem_free(one->value);
			mem_free(one);
		}
	}
	mem_free(a->buckets);
	mem_free(a);
}

/* FNV-1a */
static uint32_t
hash_of(const char *key)
{
	uint32_t hash = 2166136261U;

	for (; *key != '\0'; key++)
		hash = (hash ^ (unsigned char)*key) * 16777619U;
	return hash;
}

static struct answer *
find(const struct answers *a, const struct rewriter *table, const char *key)
{
	uint32_t hash = hash_of(key);
	struct answer *one = a->buckets[hash % a->bucket_count];

	while (one != NULL && (one->hash != hash || one->table != table ||
				  strcmp(one->key, key) != 0))
		one = one->next;
	return one;
}

static void
link_answer(struct answers *a, struct answer *one)
{
	struct answer **bucket = &a->buckets[one->hash % a->bucket_count];

	one->next = *bucket;
	*bucket = one;
}

static void
grow(struct answers *a)
{
	struct answer **old = a->buckets;
	size_t old_count = a->bucket_count;

	a->bucket_count *= 2;
	a->buckets = mem_zalloc(a->bucket_count * sizeof(struct answer *));
	for (size_t i = 0; i < old_count; i++) {
		struct answer *one = old[i], *next;

		for (; one != NULL; one = next) {
			next = one->next;
			link_answer(a, one);
		}
	}
	mem_free(old);
}

static bool
takes(struct answers *a, size_t more)
{
	if (more > a->bytes_max - a->bytes)
		return false;
	a->bytes += more;
	return true;
}

static struct answer *
add(struct answers *a, const struct rewriter *table, const char *key)
{
	size_t n = strlen(key) + 1;
	struct answer *one;

	if (!takes(a, sizeof(*one) + n + 2 * sizeof(one)))
		return NULL;
	one = mem_zalloc(sizeof(*one) + n);
	memcpy(one->key, key, n);
	one->table = table;
	one->hash = hash_of(key);
	if (a->count == a->bucket_count)
		grow(a);
	link_answer(a, one);
	a->count++;
	return one;
}

static bool
want(struct answers *a, const struct rewriter *table, const char *key)
{
	struct answer *one = add(a, table, key);

	if (one == NULL)
		return false;
	*a->last_wanted = one;
	a->last_wanted = &one->next_wanted;
	return true;
}

enum rewriter_result
answers_find(struct answers *answers, const struct rewriter *table,
    const char *key, struct buf *out)
{
	const struct answer *one;

	if (answers == NULL) {
		log_warn("no table was asked beforehand for %s", key);
		return REWRITER_FAILED;
	}
	one = find(answers, table, key);
	if (one == NULL && !want(answers, table, key)) {
		log_warn("too many keys to ask tables for in one message");
		return REWRITER_FAILED;
	}
	if (one == NULL || !one->is_known)
		return REWRITER_UNKNOWN;
	if (one->value == NULL)
		return REWRITER_KEPT;
	return buf_add_str(out, one->value) ? REWRITER_DONE : REWRITER_FAILED;
}

bool
answers_peek(const struct answers *answers, const struct rewriter *table,
    const char *key, const char **value_out)
{
	const struct answer *one = find(answers, table, key);

	if (one == NULL || !one->is_known)
		return false;
	*value_out = one->value;
	return true;
}

bool
answers_next(struct answers *answers, const struct rewriter **table_out,
    const char **key_out)
{
	const struct answer *one = answers->wanted;

	if (one == NULL)
		return false;
	answers->wanted = one->next_wanted;
	if (answers->wanted == NULL)
		answers->last_wanted = &answers->wanted;
	*table_out = one->table;
	*key_out = one->key;
	return true;
}

bool
answers_put(struct answers *answers, const struct rewriter *table,
    const char *key, const char *value)
{
	struct answer *one = find(answers, table, key);

	if (one == NULL)
		one = add(answers, table, key);
	if (one == NULL)
		return false;
	if (one->is_known)
		return true;
	if (value != NULL && !takes(answers, strlen(value) + 1))
		return false;
	one->value = value != NULL ? mem_strdup(value) : NULL;
	one->is_known = true;
	return true;
}

size_t
answers_count(const struct answers *answers)
{
	return answers->count;
}
