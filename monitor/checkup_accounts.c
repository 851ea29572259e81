#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "monitor/checkup.h"
#include "monitor/health.h"
#include "monitor/model.h"

enum { COMMAND_MAX = 65536 };

/* By what main.cf and master.cf say: a login for each sender is not looked
 * at. */
static bool
is_of_one_account(const struct site_lane *a, const struct site_lane *b)
{
	const struct settings *x = &a->set, *y = &b->set;

	if (strcmp(x->lane_state_directory, y->lane_state_directory) != 0)
		return false;
	if (x->lane_account[0] != '\0' || y->lane_account[0] != '\0')
		return strcmp(x->lane_account, y->lane_account) == 0;
	return strcmp(checkup_nexthop(a), checkup_nexthop(b)) == 0;
}

/* ---- each lane ----------------------------------------------------------- */

static void
check_lane(struct checkup *c, const struct site_lane *lane)
{
	const struct settings *set = &lane->set;
	char limit[32];
	long meant;

	if (set->lane_connection_limit <= set->lane_account_connection_limit)
		return;
	findings_add(&c->findings, "CONNECTION-LIMIT", FINDING_WARNING,
	    lane->opt.service_name,
	    "lane_connection_limit is %d, and the account has %d connections",
	    set->lane_connection_limit, set->lane_account_connection_limit);
	meant = checkup_connections_meant(c, lane);
	(void)snprintf(limit, sizeof(limit), "%ld",
	    meant > 0 ? meant : set->lane_account_connection_limit);
	checkup_fix_lane(c, lane, "lane_connection_limit", limit);
}

/* ---- those of one account ------------------------------------------------ */

struct group {
	const struct site_lane *first;
	int lowest; /* lane_account_connection_limit */
	int reserves; /* together */
	int others; /* lanes without a reserve */
	bool differs;
};

static void
look_at_group(const struct checkup *c, struct group *g)
{
	for (size_t i = 0; i < c->site->lane_count; i++) {
		const struct site_lane *lane = &c->site->lanes[i];
		int limit = lane->set.lane_account_connection_limit;

		if (!is_of_one_account(lane, g->first))
			continue;
		if (limit < g->lowest) {
			g->lowest = limit;
			g->differs = true;
		} else if (limit > g->lowest) {
			g->differs = true;
		}
		g->reserves += lane->set.lane_connection_reserve;
		g->others += lane->set.lane_connection_reserve == 0;
	}
}

/* One -P for each lane of the account that is not as it should be; value_of
 * says how. */
typedef int value_fn(const struct group *g, const struct site_lane *lane);

static void
fix_group(struct checkup *c, const struct group *g, const char *name,
    value_fn *value_of)
{
	struct buf command;

	buf_init(&command, COMMAND_MAX);
	(void)buf_addf(&command, "postconf %s-P", c->conf);
	for (size_t i = 0; i < c->site->lane_count; i++) {
		const struct site_lane *lane = &c->site->lanes[i];

		if (is_of_one_account(lane, g->first))
			(void)buf_addf(&command, " '%s/unix/%s=%d'",
			    lane->opt.service_name, name, value_of(g, lane));
	}
	findings_fix(&c->findings, "%s", buf_str(&command));
	buf_fini(&command);
}

static int
lowest_limit(const struct group *g, const struct site_lane *lane)
{
	(void)lane;
	return g->lowest;
}

/* What there is, less one for lanes without a reserve, in the proportion of
 * what was asked for. */
static int
smaller_reserve(const struct group *g, const struct site_lane *lane)
{
	int room = g->lowest - (g->others > 0);

	return lane->set.lane_connection_reserve * room / g->reserves;
}

static void
check_group(struct checkup *c, const struct site_lane *first)
{
	struct group g = {
	    .first = first, .lowest = first->set.lane_account_connection_limit};

	look_at_group(c, &g);
	if (g.differs) {
		findings_add(&c->findings, "ACCOUNT-LIMIT", FINDING_WARNING,
		    first->opt.service_name,
		    "lanes of its account differ in "
		    "lane_account_connection_limit: the account has one "
		    "number of connections");
		fix_group(c, &g, "lane_account_connection_limit", lowest_limit);
	}
	if (g.reserves == 0 || g.reserves + (g.others > 0) <= g.lowest)
		return;
	findings_add(&c->findings, "RESERVES", FINDING_ERROR,
	    first->opt.service_name,
	    "lanes of its account reserve %d connections together, of %d%s",
	    g.reserves, g.lowest,
	    g.others > 0 ? "; nothing is left for one without a reserve" : "");
	fix_group(c, &g, "lane_connection_reserve", smaller_reserve);
}

static bool
is_first_of_account(const struct checkup *c, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (is_of_one_account(&c->site->lanes[k], &c->site->lanes[i]))
			return false;
	return true;
}

/* ---- access tokens --------------------------------------------------------
 */

/* Lanes of another release run, or what was there is damaged: the next process
 * makes it anew. */
static void
check_boards(struct checkup *c, const struct model *m)
{
	for (size_t i = 0; i < m->board_count; i++) {
		const struct model_board *b = &m->boards[i];

		if (!b->is_bad || b->is_forbidden)
			continue;
		findings_add(&c->findings, "BOARD", FINDING_WARNING, NULL,
		    "%s: %s; how lanes are is not known until one of this "
		    "release starts",
		    b->directory, b->why);
		findings_fix(&c->findings, "postfix %sreload", c->conf);
	}
}

/* What the service met, which a dial with the present token does not. */
static void
check_tokens(struct checkup *c, const struct model *m)
{
	struct health health;

	for (size_t i = 0; i < m->token_count; i++) {
		const struct model_token *t = &m->tokens[i];

		if (t->failing_wall_ms == 0)
			continue;
		health_of_token(&health, m, t);
		findings_add(&c->findings, "TOKEN-ENDS",
		    t->end_wall_ms > 0 ? FINDING_WARNING : FINDING_ERROR, NULL,
		    "access token %s: %s", t->name, health.text);
	}
}

void
checkup_accounts(struct checkup *c)
{
	struct model *m = model_read(c->site, clock_moment());

	check_boards(c, m);
	check_tokens(c, m);
	model_free(&m);
	for (size_t i = 0; i < c->site->lane_count; i++) {
		check_lane(c, &c->site->lanes[i]);
		if (is_first_of_account(c, i))
			check_group(c, &c->site->lanes[i]);
	}
}
