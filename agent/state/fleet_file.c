#include "agent/state/fleet_file.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "common/base/log.h"

static_assert(sizeof(struct fleet_terms) == 6 * sizeof(int64_t), "layout");
static_assert(
    sizeof(struct fleet_share) == 10 * sizeof(int64_t) + FLEET_LIFE_SIZE,
    "layout");
static_assert(
    sizeof(struct fleet_heard) == 4 * sizeof(int64_t) + FLEET_NAME_SIZE,
    "layout");
static_assert(sizeof(struct fleet_row) ==
		  FLEET_UNIT_SIZE + sizeof(struct fleet_terms) +
		      sizeof(struct fleet_share) + 9 * sizeof(int64_t),
    "a stored layout: no padding");

/* FNV-1a. */
uint64_t
fleet_file_sum(const struct fleet_file *f)
{
	const unsigned char *p = (const unsigned char *)f;
	uint64_t sum = UINT64_C(14695981039346656037);

	for (size_t i = sizeof(f->sum); i < sizeof(*f); i++)
		sum = (sum ^ p[i]) * UINT64_C(1099511628211);
	return sum | 1;
}

static bool
is_zero(const struct fleet_file *f)
{
	const unsigned char *p = (const unsigned char *)f;

	for (size_t i = 0; i < sizeof(*f); i++)
		if (p[i] != 0)
			return false;
	return true;
}

static bool
are_terms_sound(const struct fleet_terms *t)
{
	return t->size >= 1 && t->size <= FLEET_HOSTS_MAX && t->limit >= 0 &&
	       t->limit < INT64_MAX / 4 && t->minimum >= 0 &&
	       t->minimum <= fleet_base(t) && t->ttl_us > 0 &&
	       t->ttl_us < INT64_MAX / 4 && t->linger_us >= 0 &&
	       t->linger_us < INT64_MAX / 4 && t->forget_us >= 0 &&
	       t->forget_us < INT64_MAX / 4;
}

/* Such numbers can be added. */
static bool
is_moderate(int64_t us)
{
	return us > -INT64_MAX / 4 && us < INT64_MAX / 4;
}

static bool
is_share_sound(const struct fleet_share *s)
{
	return s->share >= 0 && is_moderate(s->share) &&
	       is_moderate(s->end_us) && is_moderate(s->answered_us) &&
	       is_moderate(s->seen) && is_moderate(s->asked_us) &&
	       is_moderate(s->epoch) && is_moderate(s->number) &&
	       memchr(s->life, '\0', sizeof(s->life)) != NULL;
}

static bool
is_row_sound(const struct fleet_row *r)
{
	return r->unit[0] == '\0' ||
	       (memchr(r->unit, '\0', sizeof(r->unit)) != NULL &&
		   is_share_sound(&r->share) && are_terms_sound(&r->terms));
}

static bool
is_heard_sound(const struct fleet_heard *h)
{
	return is_moderate(h->since_us) && is_moderate(h->until_us) &&
	       h->value >= 0 && h->mine >= 0 && is_moderate(h->mine) &&
	       memchr(h->host, '\0', sizeof(h->host)) != NULL;
}

static bool
is_sound(const struct fleet_file *f)
{
	if (f->sum != fleet_file_sum(f))
		return false;
	for (int k = 0; k < FLEET_KINDS; k++)
		if (!is_heard_sound(&f->heard[k]))
			return false;
	for (int i = 0; i < FLEET_LIMITS; i++)
		if (!is_row_sound(&f->rows[i]))
			return false;
	return true;
}

static void
wake_up(struct fleet_row *r, int64_t shift_us, int64_t now_us)
{
	fleet_share_shift(&r->share, shift_us);
	if (r->share.answered_us > now_us)
		r->share.answered_us = now_us;
	r->share.share = fleet_least(r->share.share, fleet_base(&r->terms));
	r->share.end_us = now_us + r->terms.ttl_us;
	r->noted_us = 0;
}

bool
fleet_file_repair(struct fleet_file *f, int64_t shift_us, int64_t now_us)
{
	if (is_zero(f))
		return true;
	if (!is_sound(f)) {
		memset(f, 0, sizeof(*f));
		return false;
	}
	if (shift_us == 0)
		return true;
	for (int i = 0; i < FLEET_LIMITS; i++)
		if (f->rows[i].unit[0] != '\0')
			wake_up(&f->rows[i], shift_us, now_us);
	memset(f->lanes, 0, sizeof(f->lanes));
	memset(f->heard, 0, sizeof(f->heard));
	return true;
}

struct fleet_row *
fleet_file_find(struct fleet_file *f, const char *unit)
{
	CHECK(*unit != '\0');
	for (int i = 0; i < FLEET_LIMITS; i++)
		if (strcmp(f->rows[i].unit, unit) == 0)
			return &f->rows[i];
	return NULL;
}

static struct fleet_row *
room(struct fleet_file *f)
{
	struct fleet_row *best = &f->rows[0];

	for (int i = 0; i < FLEET_LIMITS; i++) {
		struct fleet_row *r = &f->rows[i];

		if (r->unit[0] == '\0')
			return r;
		if (r->share.end_us < best->share.end_us)
			best = r;
	}
	return best;
}

struct fleet_row *
fleet_file_row(struct fleet_file *f, const char *unit,
    const struct fleet_terms *terms, int64_t now_us)
{
	struct fleet_row *r = fleet_file_find(f, unit);

	if (r != NULL)
		return r;
	r = room(f);
	*r = (struct fleet_row){.terms = *terms};
	CHECK(strlen(unit) < sizeof(r->unit));
	memcpy(r->unit, unit, strlen(unit));
	fleet_share_init(&r->share, terms, now_us);
	return r;
}

int64_t
fleet_file_share(const struct fleet_row *row, int64_t now_us)
{
	return fleet_least(fleet_share_now(&row->share, &row->terms, now_us),
	    row->terms.limit);
}
