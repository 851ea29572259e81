#include "agent/token/source.h"

#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"

void
source_init(struct source *s)
{
	memset(s, 0, sizeof(*s));
	s->renewed_ms = INT64_MIN;
}

void
source_fini(struct source *s)
{
	if (s->token != NULL)
		mem_wipe(s->token, strlen(s->token));
	mem_free(s->token);
	s->token = NULL;
}

bool
source_has_token(const struct source *s, int64_t now_ms)
{
	return s->token != NULL && now_ms < s->end_ms;
}

/* A refusal is worth a fetch. */
static bool
may_renew(const struct source *s, int64_t now_ms)
{
	return s->renewed_ms == INT64_MIN ||
	       now_ms - s->renewed_ms >= SOURCE_RENEW_MS;
}

bool
source_is_due(const struct source *s, int64_t now_ms)
{
	if (s->is_fetching || !s->is_wanted || now_ms < s->not_before_ms)
		return false;
	return s->is_renewal || !source_has_token(s, now_ms) ||
	       now_ms >= s->refresh_ms;
}

int64_t
source_due_ms(const struct source *s)
{
	int64_t due = s->is_renewal || s->token == NULL ? s->not_before_ms
							: s->refresh_ms;

	if (s->is_fetching || !s->is_wanted)
		return INT64_MAX;
	return due > s->not_before_ms ? due : s->not_before_ms;
}

/* A fetch is under way or due, or only waits because the last one, which went
 * well, was a moment ago. */
static bool
is_coming(const struct source *s, int64_t now_ms)
{
	return s->is_fetching || source_is_due(s, now_ms) ||
	       (s->failures == 0 &&
		   s->not_before_ms - now_ms <= SOURCE_BACKOFF_MS);
}

enum source_state
source_ask(struct source *s, int64_t refused, int64_t now_ms)
{
	s->is_wanted = true;
	if (refused != 0 && refused == s->serial && !s->is_renewal &&
	    may_renew(s, now_ms)) {
		s->is_renewal = true;
		/* One under way began before the refusal; its token may be as
		 * good as any. */
		s->renewed_ms = now_ms;
	}
	if (s->is_renewal && is_coming(s, now_ms))
		return SOURCE_WAIT;
	if (source_has_token(s, now_ms))
		return SOURCE_TOKEN;
	if (is_coming(s, now_ms))
		return SOURCE_WAIT;
	return SOURCE_NONE;
}

void
source_began(struct source *s, int64_t now_ms)
{
	CHECK(!s->is_fetching);
	s->is_fetching = true;
	s->asked_ms = now_ms;
}

void
source_granted(struct source *s, const char *token, int64_t life_s)
{
	int64_t life_ms = life_s * 1000, early_ms = life_ms / 5;

	CHECK(s->is_fetching && token != NULL && life_s > 0);
	source_fini(s);
	s->token = mem_strdup(token);
	s->serial++;
	s->end_ms = s->asked_ms + life_ms;
	if (life_ms > 5 * (int64_t)SOURCE_MARGIN_MS)
		s->end_ms -= SOURCE_MARGIN_MS;
	if (early_ms < SOURCE_EARLY_MS)
		early_ms = SOURCE_EARLY_MS;
	if (early_ms > life_ms / 2)
		early_ms = life_ms / 2;
	s->refresh_ms = s->asked_ms + life_ms - early_ms;
	s->is_fetching = s->is_renewal = s->is_lasting = false;
	s->failures = 0;
	/* An endpoint that gives tokens of a second is not asked all the time.
	 */
	s->not_before_ms = s->asked_ms + SOURCE_BACKOFF_MS;
	s->reason[0] = '\0';
}

static int64_t
wait_ms(const struct source *s, unsigned random)
{
	int64_t first = s->is_lasting ? SOURCE_LASTING_MS : SOURCE_BACKOFF_MS;
	int64_t most =
	    s->is_lasting ? SOURCE_LASTING_MAX_MS : SOURCE_BACKOFF_MAX_MS;
	int64_t wait = first;

	for (int i = 1; i < s->failures && wait < most; i++)
		wait *= 2;
	if (wait > most)
		wait = most;
	/* A quarter less, or not. */
	return wait - wait / 4 * (random % 1000) / 1000;
}

void
source_failed(struct source *s, const char *reason, bool is_lasting,
    int64_t retry_after_s, unsigned random, int64_t now_ms)
{
	int64_t wait;

	CHECK(s->is_fetching);
	/* The waits of what lasts are their own. */
	if (is_lasting && !s->is_lasting)
		s->failures = 0;
	s->is_fetching = s->is_renewal = false;
	s->is_lasting = is_lasting;
	s->failures++;
	(void)snprintf(s->reason, sizeof(s->reason), "%s", reason);
	log_safe(s->reason, strlen(s->reason));
	wait = wait_ms(s, random);
	if (retry_after_s > SOURCE_RETRY_AFTER_MAX_S)
		retry_after_s = SOURCE_RETRY_AFTER_MAX_S;
	if (retry_after_s * 1000 > wait)
		wait = retry_after_s * 1000;
	s->not_before_ms = now_ms + wait;
}

bool
source_is_alarming(const struct source *s, int64_t now_ms)
{
	if (s->failures == 0)
		return false;
	return s->is_lasting ||
	       (!source_has_token(s, now_ms) && s->failures >= SOURCE_TRIES);
}
