/* resolver_cache: answers of the resolver, as long as they are valid.
 *
 * At most RESOLVER_CACHE_MAX of them; when there are more, the one that was
 * added first goes. Names are compared without regard to case.
 */
#ifndef RESOLVER_CACHE_H
#define RESOLVER_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/io/resolver.h"
#include "common/base/list.h"

struct resolver_cache {
	struct list answers; /* most recently added last */
	int count;
};

void resolver_cache_init(struct resolver_cache *cache);
void resolver_cache_fini(struct resolver_cache *cache);

/* Keeps a copy of an answer for ttl_s, RESOLVER_TTL_MAX_S at most. */
void resolver_cache_add(struct resolver_cache *cache, const char *name,
    enum resolver_kind kind, const struct resolver_answer *answer, int ttl_s,
    int64_t now_ms);

/* The answer, borrowed until the next call; NULL: there is none. */
const struct resolver_answer *resolver_cache_find(struct resolver_cache *cache,
    const char *name, enum resolver_kind kind, int64_t now_ms);

/* For how long an answer of a resolver that is trusted may be kept, of ttl_s.
 * That it is not validated is worth no more than the resolver's word that it
 * validates: 0 where that was not vouched for when the answer came. */
int resolver_answer_keep_s(
    const struct resolver_answer *answer, bool has_vouched, int ttl_s);

/* A deep copy, and what frees one. */
void resolver_answer_dup(
    struct resolver_answer *out, const struct resolver_answer *answer);
void resolver_answer_fini(struct resolver_answer *answer);

#endif
