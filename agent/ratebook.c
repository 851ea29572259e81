#include "agent/ratebook.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "agent/keepfile.h"
#include "common/board.h"
#include "common/list.h"
#include "common/log.h"
#include "common/mem.h"

static_assert((int)SHARE_LANES == (int)KEEPFILE_MEMBERS, "members");

/* "lane rat" and the version of struct share. */
#define MAGIC UINT64_C(0x7461722d656e0002)

enum {
	TAKE_WAIT_MS = 1,
	TELL_WAIT_MS = 10, /* rarely, and it matters */
	OPEN_WAIT_MS = 500,
	/* The lock is held for microseconds; who could not have it comes again
	 * after so long. */
	COME_AGAIN_US = 2000,
	DRAINED_WAIT_US = 1000000,
	/* For the lane's last process to let its entry go. */
	JOIN_WAIT_MS = 100,
};

/* Limits that lanes share. */
struct common {
	struct keepfile *file;
	int me; /* row; -1: not joined */
	bool may_wait; /* a place may be kept for us */
	int64_t told_us, pause_until_us; /* known already */
	struct share share; /* scratch, and what peek showed */
};

struct rate_account {
	struct list link;
	struct ratebook *book;
	char *name;
	struct common mail, connects;
};

struct ratebook {
	const struct settings *set;
	const struct statefile_dir *dir;
	const char *lane_name;
	struct keepfile *own_file;
	struct share own; /* as found */
	struct share planned; /* the account's limits, before one is known */
	struct list accounts; /* the last opened first */
	int weight;
	bool has_warned, is_drained;
};

static struct keepfile *
open_file(struct ratebook *book, const char *kind, const char *key)
{
	struct keepfile *file;
	char name[64], error[256];

	(void)snprintf(name, sizeof(name), "%s.%016llx", kind,
	    (unsigned long long)board_hash(key));
	file = keepfile_open(
	    book->dir, name, MAGIC, sizeof(struct share), error, sizeof(error));
	if (*error != '\0' && !book->has_warned) {
		book->has_warned = true;
		log_warn("rates are counted for this lane alone and from its "
			 "start: %s: %s",
		    book->set->lane_state_directory, error);
	}
	return file;
}

/* The value in times of this boot; true: it differs from the stored one. */
static bool
load(const struct keepfile *file, struct share *out, const char *what,
    int64_t now_us)
{
	int64_t shift_us = keepfile_shift_us(file);

	memcpy(out, keepfile_value(file), sizeof(*out));
	if (shift_us != 0)
		share_shift(out, shift_us);
	if (!share_repair(out, now_us))
		return shift_us != 0;
	/* After a reboot the clocks may disagree by a moment. */
	if (shift_us == 0)
		log_warn("stored rates of %s were damaged, what was is "
			 "forgotten",
		    what);
	return true;
}

static void
plan(struct ratebook *book, int64_t now_us)
{
	struct share_rate rates[SHARE_LIMITS];
	size_t count;
	char error[256];

	if (pacer_rates(
		book->set, PACER_ACCOUNT, rates, &count, error, sizeof(error)))
		(void)share_configure(
		    &book->planned, 0, rates, count, NULL, now_us);
}

struct ratebook *
ratebook_new(const struct settings *set, const struct statefile_dir *dir,
    const char *lane_name, int64_t now_us)
{
	struct ratebook *book = mem_zalloc(sizeof(*book));

	book->set = set;
	book->dir = dir;
	book->lane_name = lane_name;
	book->weight = pacer_weight(set->lane_priority);
	if (book->weight == 0)
		book->weight = 1;
	list_init(&book->accounts);
	plan(book, now_us);
	book->own_file = open_file(book, "pace", lane_name);
	(void)load(book->own_file, &book->own, lane_name, now_us);
	return book;
}

/* ---- the account ------------------------------------------------------- */

static void
common_close(struct common *c)
{
	if (c->file != NULL && c->me >= 0) {
		if (c->may_wait && keepfile_lock(c->file, TAKE_WAIT_MS)) {
			memcpy(&c->share, keepfile_value(c->file),
			    sizeof(c->share));
			if (share_quit(&c->share, c->me))
				keepfile_store(c->file, &c->share);
			keepfile_unlock(c->file);
		}
		keepfile_leave(c->file, c->me);
	}
	keepfile_close(&c->file);
	c->me = -1;
}

static void
account_close(struct rate_account *a)
{
	common_close(&a->mail);
	common_close(&a->connects);
}

static void
account_free(struct rate_account *a)
{
	list_remove(&a->link);
	mem_free(a->name);
	mem_free(a);
}

void
ratebook_forget(struct ratebook *book, struct rate_account **account)
{
	struct rate_account *a = *account;

	*account = NULL;
	if (!book->is_drained)
		account_close(a);
	account_free(a);
}

void
ratebook_drain(struct ratebook *book)
{
	book->is_drained = true;
	list_each (link, &book->accounts)
		account_close(list_entry(link, struct rate_account, link));
	keepfile_close(&book->own_file);
}

void
ratebook_free(struct ratebook **book)
{
	struct ratebook *old = *book;

	*book = NULL;
	if (old == NULL)
		return;
	ratebook_drain(old);
	list_each_safe (link, &old->accounts)
		account_free(list_entry(link, struct rate_account, link));
	mem_free(old);
}

const struct share *
ratebook_own(const struct ratebook *book)
{
	return &book->own;
}

void
ratebook_save_own(struct ratebook *book, const struct share *own)
{
	if (book->own_file != NULL)
		keepfile_store(book->own_file, own);
}

/* A row of our own, the one this lane had before if it is free. */
static int
take_row(struct common *c, int64_t key)
{
	bool in_use[SHARE_LANES];
	int wait_ms = JOIN_WAIT_MS, row;

	keepfile_members(c->file, in_use);
	/* Its last process may be leaving just now. */
	row = share_find(&c->share, key, NULL);
	if (row < 0 || c->share.lanes[row].key != key || !in_use[row])
		wait_ms = 0;
	if (wait_ms > 0 && keepfile_join(c->file, row, wait_ms))
		return row;
	while ((row = share_find(&c->share, key, in_use)) >= 0) {
		if (keepfile_join(c->file, row, 0))
			return row;
		in_use[row] = true;
	}
	return -1;
}

static void
join(struct ratebook *book, struct common *c, const char *what,
    const struct share_rate *rates, size_t count, int64_t now_us)
{
	int64_t key = (int64_t)(board_hash(book->lane_name) >> 1 | 1);
	bool in_use[SHARE_LANES];
	int row = take_row(c, key);

	if (row < 0) {
		log_warn("rates of %s: all %d entries for lanes are in use",
		    what, SHARE_LANES);
		return;
	}
	c->me = row;
	keepfile_members(c->file, in_use);
	share_join(&c->share, row, key, book->weight, book->set->lane_adaptive,
	    now_us);
	if (!share_configure(&c->share, row, rates, count, in_use, now_us))
		log_warn("account %s: lanes ask for more than %d different "
			 "limits, some are not in force",
		    what, SHARE_LIMITS);
	else if (!share_agrees(&c->share, row, in_use))
		log_warn("lanes of account %s disagree on its rates: all that "
			 "any of them asks for are in force",
		    what);
}

static void
common_open(struct ratebook *book, struct common *c, const char *kind,
    const char *account, const struct share_rate *rates, size_t count,
    int64_t now_us)
{
	char label[BOARD_NAME];

	board_label(account, label, sizeof(label));
	c->me = -1;
	c->file = open_file(book, kind, account);
	if (!keepfile_lock(c->file, OPEN_WAIT_MS)) {
		log_warn("rates of %s: lock held too long", label);
		return;
	}
	(void)load(c->file, &c->share, label, now_us);
	join(book, c, label, rates, count, now_us);
	keepfile_store(c->file, &c->share);
	keepfile_unlock(c->file);
}

static struct rate_account *
find(struct ratebook *book, const char *account)
{
	list_each (link, &book->accounts) {
		struct rate_account *a =
		    list_entry(link, struct rate_account, link);

		if (strcmp(a->name, account) == 0)
			return a;
	}
	return NULL;
}

struct rate_account *
ratebook_account(struct ratebook *book, const char *account, int64_t now_us)
{
	struct rate_account *a = find(book, account);
	struct share_rate mail[SHARE_LIMITS], connects[SHARE_LIMITS];
	size_t mail_count = 0, connect_count = 0;
	char error[256];

	if (a != NULL)
		return a;
	a = mem_zalloc(sizeof(*a));
	a->book = book;
	a->name = mem_strdup(account);
	list_init(&a->link);
	list_push_front(&book->accounts, &a->link);
	/* config has checked these before. */
	if (!pacer_rates(book->set, PACER_ACCOUNT, mail, &mail_count, error,
		sizeof(error)) ||
	    !pacer_rates(book->set, PACER_CONNECTIONS, connects, &connect_count,
		error, sizeof(error)))
		log_error("%s", error);
	common_open(book, &a->mail, "rates", account, mail, mail_count, now_us);
	common_open(book, &a->connects, "connects", account, connects,
	    connect_count, now_us);
	return a;
}

/* ---- takes -------------------------------------------------------------- */

/* Without the lock: a hint that nobody waits for. */
static bool
is_limited(const struct common *c)
{
	return c->me >= 0 && share_is_limited(keepfile_value(c->file));
}

static bool
begin(struct common *c)
{
	if (!keepfile_lock(c->file, TAKE_WAIT_MS))
		return false;
	memcpy(&c->share, keepfile_value(c->file), sizeof(c->share));
	return true;
}

static void
end(struct common *c, bool is_changed)
{
	if (is_changed)
		keepfile_store(c->file, &c->share);
	keepfile_unlock(c->file);
}

static int64_t
common_wait_us(struct common *c, const struct share_cost *cost, int64_t now_us,
    const struct share_limit **limit_out)
{
	struct share_lane before;
	int64_t wait;

	if (!is_limited(c))
		return 0;
	if (!begin(c)) {
		*limit_out = NULL;
		return COME_AGAIN_US;
	}
	before = c->share.lanes[c->me];
	wait = share_wait_us(&c->share, c->me, cost, now_us, limit_out);
	c->may_wait = c->share.lanes[c->me].until_us > 0;
	end(c, memcmp(&before, &c->share.lanes[c->me], sizeof(before)) != 0);
	return wait;
}

/* Says now and then that the lane sends. */
static void
note_use(struct common *c, int64_t now_us)
{
	if (c->me < 0 ||
	    !share_is_use_news(keepfile_value(c->file), c->me, now_us) ||
	    !begin(c))
		return;
	share_note_use(&c->share, c->me, now_us);
	end(c, true);
}

static bool
common_take(struct common *c, const struct share_cost *cost, int64_t now_us)
{
	bool is_taken;

	if (!is_limited(c))
		return true;
	if (!begin(c))
		return false;
	is_taken = share_take(&c->share, c->me, cost, now_us);
	end(c, is_taken);
	if (is_taken)
		c->may_wait = false;
	return is_taken;
}

static void
common_quit(struct common *c)
{
	if (!c->may_wait || c->me < 0 || !begin(c))
		return;
	c->may_wait = false;
	end(c, share_quit(&c->share, c->me));
}

int64_t
ratebook_wait_us(struct rate_account *a, const struct pacer_cost *cost,
    int64_t now_us, struct pacer_limit *why_out)
{
	struct share_cost c = pacer_share_cost(cost);
	const struct share_limit *limit = NULL;
	int64_t wait;

	if (a->book->is_drained)
		return DRAINED_WAIT_US;
	wait = common_wait_us(&a->mail, &c, now_us, &limit);
	if (wait > 0) {
		/* Of a lock that was not had, the first limit must do. */
		for (int i = 0; limit == NULL && i < SHARE_LIMITS; i++)
			if (a->mail.share.limits[i].lanes != 0)
				limit = &a->mail.share.limits[i];
		if (limit == NULL)
			limit = &a->mail.share.limits[0];
		pacer_explain(why_out, limit, true);
	}
	return wait;
}

bool
ratebook_take(
    struct rate_account *a, const struct pacer_cost *cost, int64_t now_us)
{
	struct share_cost c = pacer_share_cost(cost);

	if (a->book->is_drained)
		return false;
	if (is_limited(&a->mail))
		return common_take(&a->mail, &c, now_us);
	note_use(&a->mail, now_us);
	return true;
}

const struct share *
ratebook_peek(struct ratebook *book, struct rate_account *a)
{
	struct list *first = list_first(&book->accounts);

	if (a == NULL && first != NULL)
		a = list_entry(first, struct rate_account, link);
	if (a == NULL && share_is_limited(&book->planned))
		return &book->planned;
	if (a == NULL || book->is_drained || !is_limited(&a->mail))
		return NULL;
	/* Without the lock what was seen last will do. */
	if (begin(&a->mail))
		end(&a->mail, false);
	return &a->mail.share;
}

static const struct share_cost one_connection = {{1}};

int64_t
ratebook_connect_wait_us(struct rate_account *a, int64_t now_us)
{
	const struct share_limit *limit = NULL;

	if (a->book->is_drained)
		return DRAINED_WAIT_US;
	return common_wait_us(&a->connects, &one_connection, now_us, &limit);
}

bool
ratebook_connect_take(struct rate_account *a, int64_t now_us)
{
	return !a->book->is_drained &&
	       common_take(&a->connects, &one_connection, now_us);
}

/* ---- what lanes tell each other ---------------------------------------- */

bool
ratebook_throttled(struct rate_account *a, int64_t sent_us, int64_t now_us)
{
	struct common *c = &a->mail;
	bool in_use[SHARE_LANES], is_anybody;

	if (a->book->is_drained || c->me < 0 ||
	    !keepfile_lock(c->file, TELL_WAIT_MS))
		return false;
	memcpy(&c->share, keepfile_value(c->file), sizeof(c->share));
	/* Whoever died holds no entry any more. */
	keepfile_members(c->file, in_use);
	is_anybody = share_tell(&c->share, c->me, in_use, sent_us, now_us);
	end(c, is_anybody);
	return is_anybody;
}

void
ratebook_pause(struct rate_account *a, int64_t until_us)
{
	struct common *c = &a->mail;

	if (a->book->is_drained || c->me < 0 ||
	    !keepfile_lock(c->file, TELL_WAIT_MS))
		return;
	memcpy(&c->share, keepfile_value(c->file), sizeof(c->share));
	end(c, share_pause(&c->share, until_us));
}

/* The look without the lock only tells that there is something; what it is is
 * read under the lock, now or the next time. */
static bool
is_news(const struct common *c)
{
	const struct share *s = keepfile_value(c->file);

	return c->me >= 0 && (s->lanes[c->me].told_us != c->told_us ||
				 s->pause_until_us != c->pause_until_us);
}

bool
ratebook_news(struct rate_account *a, struct ratebook_news *out)
{
	struct common *c = &a->mail;
	const struct share_lane *me;

	*out = (struct ratebook_news){0};
	if (a->book->is_drained || !is_news(c) || !begin(c))
		return false;
	end(c, false);
	me = &c->share.lanes[c->me];
	if (me->told_us != c->told_us)
		out->refused_us = me->refused_us;
	if (c->share.pause_until_us != c->pause_until_us)
		out->pause_until_us = c->share.pause_until_us;
	c->told_us = me->told_us;
	c->pause_until_us = c->share.pause_until_us;
	return out->refused_us > 0 || out->pause_until_us > 0;
}

void
ratebook_idle(struct ratebook *book)
{
	if (book->is_drained)
		return;
	list_each (link, &book->accounts) {
		struct rate_account *a =
		    list_entry(link, struct rate_account, link);

		common_quit(&a->mail);
		common_quit(&a->connects);
	}
}
