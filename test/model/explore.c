#include "test/model/explore.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"

enum { DEPTH_MAX = 1 << 20 };

void
explore_begin(struct explore *x, int deviations_max)
{
	*x = (struct explore){.deviations_max = deviations_max};
}

void
explore_end(struct explore *x)
{
	mem_free(x->path);
	*x = (struct explore){0};
}

static struct explore_choice *
add(struct explore *x)
{
	if (x->depth == x->room) {
		x->room = x->room > 0 ? 2 * x->room : 256;
		CHECK(x->room <= DEPTH_MAX);
		x->path = mem_realloc(x->path, x->room * sizeof(*x->path));
	}
	return &x->path[x->depth++];
}

/* The next of the alternatives that are allowed; false: there is none. */
static bool
take_next(struct explore_choice *c)
{
	uint32_t left = c->allowed >> c->taken >> 1;

	if (left == 0)
		return false;
	c->taken++;
	for (; (left & 1) == 0; left >>= 1)
		c->taken++;
	return true;
}

bool
explore_next(struct explore *x)
{
	CHECK(!x->has_run || x->at == x->depth);
	if (x->is_replay && x->has_run)
		return false;
	while (x->has_run && x->depth > 0 && !take_next(&x->path[x->depth - 1]))
		x->depth--;
	if (x->has_run && x->depth == 0)
		return false;
	x->has_run = true;
	x->fresh = x->depth;
	x->at = 0;
	x->deviations = 0;
	x->runs++;
	return true;
}

bool
explore_may_deviate(const struct explore *x)
{
	return x->at < x->depth || x->deviations < x->deviations_max;
}

static const struct explore_choice *
again(struct explore *x, const char *what, int subject,
    const char *const *names, uint32_t allowed)
{
	struct explore_choice *c = &x->path[x->at];

	if (x->is_replay && c->what == NULL) {
		c->what = what;
		c->names = names;
		c->subject = subject;
		CHECK((allowed >> c->taken & 1) != 0);
	}
	CHECK(c->what == what && c->subject == subject);
	return c;
}

int
explore_pick(struct explore *x, const char *what, int subject,
    const char *const *names, uint32_t allowed)
{
	const struct explore_choice *c;

	CHECK((allowed & 1) != 0);
	if (x->at < x->depth) {
		c = again(x, what, subject, names, allowed);
	} else {
		struct explore_choice *new = add(x);

		*new = (struct explore_choice){.what = what,
		    .names = names,
		    .subject = subject,
		    .allowed = x->deviations < x->deviations_max ? allowed : 1};
		c = new;
	}
	x->choices += x->at >= x->fresh;
	x->at++;
	x->deviations += c->taken > 0;
	return c->taken;
}

bool
explore_replay(struct explore *x, const char *text)
{
	x->is_replay = true;
	x->deviations_max = 0;
	while (*text != '\0') {
		char *end;
		unsigned long at = strtoul(text, &end, 10), taken;

		if (*end != '=' || at < x->depth || at >= DEPTH_MAX)
			return false;
		taken = strtoul(end + 1, &end, 10);
		if (taken == 0 || taken >= 32)
			return false;
		while (x->depth < at)
			*add(x) = (struct explore_choice){0};
		*add(x) = (struct explore_choice){.taken = (int)taken};
		text = *end == ',' ? end + 1 : end;
	}
	return true;
}

void
explore_print(const struct explore *x, FILE *to)
{
	const char *between = "";

	for (size_t i = 0; i < x->at; i++) {
		if (x->path[i].taken == 0)
			continue;
		(void)fprintf(to, "%s%zu=%d", between, i, x->path[i].taken);
		between = ",";
	}
	(void)fprintf(to, "\n");
	for (size_t i = 0; i < x->at; i++)
		if (x->path[i].taken > 0)
			(void)fprintf(to, "    choice %zu, %s %d: %s\n", i,
			    x->path[i].what, x->path[i].subject,
			    x->path[i].names[x->path[i].taken]);
}
