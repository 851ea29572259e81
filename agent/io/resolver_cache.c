#include "agent/io/resolver_cache.h"

#include <string.h>
#include <strings.h>

#include "common/base/log.h"
#include "common/base/mem.h"

struct cached {
	struct list link;
	char *name;
	enum resolver_kind kind;
	int64_t until_ms;
	struct resolver_answer answer;
};

void
resolver_answer_fini(struct resolver_answer *answer)
{
	mem_free(answer->addrs);
	mem_free(answer->mx);
	tlsa_set_free(&answer->tlsa);
	memset(answer, 0, sizeof(*answer));
}

void
resolver_answer_dup(
    struct resolver_answer *out, const struct resolver_answer *answer)
{
	*out = *answer;
	if (answer->addrs != NULL) {
		out->addrs = mem_zarray(answer->count, sizeof(*out->addrs));
		memcpy(out->addrs, answer->addrs,
		    answer->count * sizeof(*out->addrs));
	}
	if (answer->mx != NULL) {
		out->mx = mem_zarray(answer->count, sizeof(*out->mx));
		memcpy(out->mx, answer->mx, answer->count * sizeof(*out->mx));
	}
	if (answer->tlsa != NULL)
		out->tlsa = tlsa_set_dup(answer->tlsa);
}

/* All of it; of names that are not DNS's own nothing is. */
static bool
is_secure(const struct resolver_answer *answer)
{
	const struct resolver_origin *a = &answer->origin,
				     *b = &answer->origin6;

	return (a->is_secure || b->is_secure) &&
	       (*a->name == '\0' || a->is_secure) &&
	       (*b->name == '\0' || b->is_secure);
}

int
resolver_answer_keep_s(
    const struct resolver_answer *answer, bool has_vouched, int ttl_s)
{
	const int most_s = RESOLVER_VOUCHED_MS / 1000;

	if (is_secure(answer))
		return ttl_s;
	if (!has_vouched)
		return 0;
	return ttl_s < most_s ? ttl_s : most_s;
}

static void
cached_free(struct resolver_cache *cache, struct cached *c)
{
	CHECK(cache->count > 0);
	list_remove(&c->link);
	cache->count--;
	resolver_answer_fini(&c->answer);
	mem_free(c->name);
	mem_free(c);
}

void
resolver_cache_init(struct resolver_cache *cache)
{
	list_init(&cache->answers);
	cache->count = 0;
}

void
resolver_cache_fini(struct resolver_cache *cache)
{
	while (!list_is_empty(&cache->answers))
		cached_free(cache,
		    list_entry(cache->answers.next, struct cached, link));
}

void
resolver_cache_add(struct resolver_cache *cache, const char *name,
    enum resolver_kind kind, const struct resolver_answer *answer, int ttl_s,
    int64_t now_ms)
{
	struct cached *c;

	if (ttl_s <= 0)
		return;
	if (ttl_s > RESOLVER_TTL_MAX_S)
		ttl_s = RESOLVER_TTL_MAX_S;
	if (cache->count == RESOLVER_CACHE_MAX)
		cached_free(cache,
		    list_entry(cache->answers.next, struct cached, link));
	c = mem_zalloc(sizeof(*c));
	c->name = mem_strdup(name);
	c->kind = kind;
	c->until_ms = now_ms + (int64_t)ttl_s * 1000;
	resolver_answer_dup(&c->answer, answer);
	list_push(&cache->answers, &c->link);
	cache->count++;
}

const struct resolver_answer *
resolver_cache_find(struct resolver_cache *cache, const char *name,
    enum resolver_kind kind, int64_t now_ms)
{
	list_each_safe (it, &cache->answers) {
		struct cached *c = list_entry(it, struct cached, link);

		if (c->until_ms <= now_ms)
			cached_free(cache, c);
		else if (c->kind == kind && strcasecmp(c->name, name) == 0)
			return &c->answer;
	}
	return NULL;
}
