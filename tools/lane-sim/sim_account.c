#include "tools/lane-sim/sim_account.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum { ASK_AGAIN_MS = 1000 };

static const char name_of_account[] = "relay.test joe";

void
sim_account_init(struct sim_account *a)
{
	const char *tmp = getenv("TMPDIR");
	char error[256];

	*a = (struct sim_account){0};
	a->dir_name =
	    mem_printf("%s/postlane-sim-XXXXXX", tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(a->dir_name) == NULL)
		log_fatal("mkdtemp: %s: %m", a->dir_name);
	if (!statefile_dir_open(&a->dir, a->dir_name, error, sizeof(error)))
		log_fatal("%s", error);
}

void
sim_account_fini(struct sim_account *a)
{
	DIR *d = opendir(a->dir_name);
	const struct dirent *e;

	for (int i = 0; i < SIM_LANES; i++)
		rate_store_close(&a->members[i].book);
	while (d != NULL && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			(void)unlinkat(dirfd(d), e->d_name, 0);
	if (d != NULL)
		(void)closedir(d);
	statefile_dir_close(&a->dir);
	(void)rmdir(a->dir_name);
	mem_free(a->dir_name);
}

void
sim_account_join(
    struct sim_account *a, int me, const struct settings *set, int64_t now_us)
{
	static const char *const names[SIM_LANES] = {
	    "first", "second", "third"};
	struct slots_member *m = &a->slots.members[me];
	struct sim_member *member = &a->members[me];

	m->generation = (uint64_t)me + 1;
	m->limit = set->lane_account_connection_limit;
	m->reserve = set->lane_connection_reserve;
	a->locks.members[me] = true;
	member->reserve = m->reserve;
	member->book = rate_store_open(set, &a->dir, names[me], now_us);
	member->rates =
	    rate_store_account(member->book, name_of_account, now_us);
}

/* ---- connections ------------------------------------------------------- */

static void
look(struct sim_account *a, int me, int64_t now_ms, struct slots_sum *sum)
{
	slots_count(&a->slots, &a->locks, me, now_ms, sum);
}

/* Others see what is wanted only while it is refused. */
static void
publish(struct sim_account *a, int me)
{
	const struct sim_member *m = &a->members[me];

	a->slots.members[me].wants = m->is_refused ? m->wants : 0;
}

int
sim_account_take(
    struct sim_account *a, int me, struct lane_no *no, int64_t now_ms)
{
	struct sim_member *m = &a->members[me];
	struct slots_sum sum;
	const char *why;
	int64_t again_ms = now_ms + ASK_AGAIN_MS;
	int slot = -1;

	look(a, me, now_ms, &sum);
	why = slots_why_not(&sum, m->reserve);
	if (why == NULL)
		slot = slots_pick(&a->slots, &a->locks, now_ms);
	m->is_refused = slot < 0;
	publish(a, me);
	if (slot < 0) {
		if (sum.rest_over_ms < again_ms)
			again_ms = sum.rest_over_ms;
		lane_no_set(no, LANE_NO_SLOT, clock_us_from_ms(again_ms));
		no->detail = why != NULL ? why : "no slot can be locked";
		return -1;
	}
	a->locks.rows[slot] = true;
	a->slots.rows[slot] = (struct slots_row){
	    .state = SLOTS_HELD,
	    .member = (uint32_t)me,
	    .generation = a->slots.members[me].generation,
	    .at_ms = now_ms,
	};
	m->held++;
	return slot;
}

void
sim_account_release(struct sim_account *a, int me, int slot, bool is_clean,
    int64_t rtt_ms, int64_t now_ms)
{
	CHECK(a->locks.rows[slot]);
	a->locks.rows[slot] = false;
	a->slots.rows[slot] = (struct slots_row){
	    .state = is_clean ? SLOTS_CLEAN : SLOTS_RESTING,
	    .at_ms = is_clean ? 0 : now_ms + slots_rest_ms(rtt_ms),
	};
	a->members[me].held--;
}

void
sim_account_want(struct sim_account *a, int me, int count)
{
	struct sim_member *m = &a->members[me];

	m->wants = count;
	if (count == 0)
		m->is_refused = false;
	publish(a, me);
}

bool
sim_account_has_room(struct sim_account *a, int me, int64_t now_ms)
{
	struct sim_member *m = &a->members[me];
	struct slots_sum sum;

	if (!m->is_refused || m->wants == 0)
		return false;
	look(a, me, now_ms, &sum);
	return slots_why_not(&sum, m->reserve) == NULL;
}

int
sim_account_surplus(struct sim_account *a, int me, int64_t now_ms)
{
	struct slots_sum sum;
	int surplus;

	look(a, me, now_ms, &sum);
	surplus = sum.mine - a->members[me].reserve;
	if (surplus > sum.others_want)
		surplus = sum.others_want;
	return surplus > 0 ? surplus : 0;
}

void
sim_account_refused(struct sim_account *a, int me, int open, int64_t now_ms)
{
	struct slots_sum sum;

	look(a, me, now_ms, &sum);
	slots_refuse(
	    &a->slots.head, open + sum.held - a->members[me].held, now_ms);
}
