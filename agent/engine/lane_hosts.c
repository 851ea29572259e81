/* From one host to the next, when smtp(8) would go there (smtp_connect(3),
 * smtp_trouble(3)):
 *
 *   relayhost = a, b     smtp_fallback_relay = c     b: MX 10 b1, b2; MX 20 b3
 *
 *   [a] --> [b, level 0: b1 b2] ----------> [b, level 1: b3] --> [c]
 *                      \--> [b, past b1: b2] ---^
 *
 * Each is a route, with the account, the sessions, the pace and the outages of
 * that host. All mail comes to the first. It goes on
 *
 *   all of it        while the host cannot be reached, refuses the login, wants
 *                    the operator, wants none for longer than lane_wait_limit,
 *                    or ends its sessions before it takes a message;
 *   one message      or some of its recipients, which this host refuses for
 *                    now (4xx), or with which a session broke or timed out.
 *
 * A host that mail was kept from is tried with a dial of its own, and where it
 * had answered and then taken nothing with one message, as long as there is
 * mail for it; so all is back soon after it is well again.
 *
 * As with smtp(8) a message meets at most two hosts of one nexthop. What is in
 * doubt, and what a server asks to slow down for, stays here.
 */
#include "agent/engine/lane_state.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/words.h"

enum {
	/* Of one nexthop for one message: smtp_mx_session_limit's default. */
	HOSTS_PER_NEXTHOP = 2,
	/* Mail went on so lately that it is missed. */
	MISSED_US = 60000000,
	/* Between two sessions that are ended to have a place for a probe. */
	PLACE_US = 20000000,
};

/* What tells a route from others; borrowed. */
struct key {
	const char *list, *sender, *past;
	int number, level, levels;
	bool may_be_plain;
};

/* As FNV-1a has it; of letters without their case. */
static uint64_t
hash_text(uint64_t h, const char *text)
{
	for (; *text != '\0'; text++)
		h = (h ^ (uint64_t)tolower((unsigned char)*text)) *
		    UINT64_C(1099511628211);
	return h;
}

/* Of what differs where there are very many routes. */
static uint64_t
hash_of(const char *list, const char *sender)
{
	return hash_text(
	    hash_text(UINT64_C(14695981039346656037), list), sender);
}

/* The n-th word, from 1, of the list and then of smtp_fallback_relay; empty:
 * there are fewer. */
static struct slice
word(const struct lane *lane, const char *list, int n)
{
	const char *lists[] = {list, lane->set->smtp_fallback_relay};

	CHECK(n > 0);
	for (size_t i = 0; i < 2; i++) {
		struct slice rest = slice_str(lists[i] != NULL ? lists[i] : "");
		struct slice found;

		while (words_cut(&rest, WORDS_SEPARATORS, &found))
			if (--n == 0)
				return found;
	}
	return slice_of("", 0);
}

static bool
is_first(const struct route *r)
{
	return r->number == 1 && r->level == 0 && *r->past == '\0';
}

static struct route *
find(const struct lane *lane, const struct key *key)
{
	uint64_t hash = hash_of(key->list, key->sender);

	list_each (link, &lane->routes) {
		struct route *r = route_of(link);

		if (r->hash == hash && r->may_be_plain == key->may_be_plain &&
		    r->number == key->number && r->level == key->level &&
		    strcmp(r->past, key->past) == 0 &&
		    strcasecmp(r->list, key->list) == 0 &&
		    strcasecmp(r->sender, key->sender) == 0)
			return r;
	}
	return NULL;
}

static void
recall_alarm(struct lane *lane, struct route *r)
{
	enum lane_stop stop = LANE_GOES;

	if (lane->ops.alarms != NULL)
		stop = lane->ops.alarms->stopped(lane->ops.alarms_ctx, r);
	if (stop != LANE_GOES)
		route_recall_alarm(r, stop == LANE_DOUBTED);
}

/* Odd: domains that are held back have the even ones (lane_holds.c). */
static uint64_t
id_of(const struct route *r)
{
	return hash_text(r->hash, r->may_be_plain ? " plain" : "") | 1;
}

static struct route *
make(struct lane *lane, const struct key *key, int64_t now_us)
{
	struct slice name = word(lane, key->list, key->number);
	char *nexthops = mem_printf("%.*s", (int)name.n, name.p);
	struct route *r = route_new(nexthops, key->sender);

	mem_free(nexthops);
	mem_free(r->list);
	mem_free(r->past);
	r->list = mem_strdup(key->list);
	r->hash = hash_of(key->list, key->sender);
	r->past = mem_strdup(key->past);
	r->number = key->number;
	r->level = key->level;
	r->levels = key->levels;
	r->may_be_plain = key->may_be_plain;
	r->id = id_of(r);
	if (is_first(r))
		r->owed = lane_owed_before(lane, r->id);
	lane_expect_as_others(lane, r);
	lane_begin_pace(lane, r, now_us);
	recall_alarm(lane, r);
	list_push(&lane->routes, &r->link);
	lane->route_count++;
	return r;
}

static struct route *
find_or_make(struct lane *lane, const struct key *key, int64_t now_us)
{
	struct route *r = find(lane, key);

	return r != NULL ? r : make(lane, key, now_us);
}

static struct key
key_of(const struct route *r)
{
	return (struct key){
	    .list = r->list,
	    .sender = r->sender,
	    .past = r->past,
	    .number = r->number,
	    .level = r->level,
	    .levels = r->levels,
	    .may_be_plain = r->may_be_plain,
	};
}

struct route *
lane_first_route(struct lane *lane, const char *list, const char *sender,
    bool may_be_plain, int64_t now_us)
{
	const struct key key = {.list = list,
	    .sender = sender,
	    .past = "",
	    .number = 1,
	    .may_be_plain = may_be_plain};

	return find_or_make(lane, &key, now_us);
}

/* The key of the host behind r: another level, or the next of the list. False:
 * it is the last. */
static bool
next_key(const struct lane *lane, const struct route *r, bool may_stay,
    struct key *key_out)
{
	*key_out = key_of(r);
	key_out->past = "";
	if (may_stay && r->level + 1 < r->levels) {
		key_out->level++;
		return true;
	}
	key_out->number++;
	key_out->level = key_out->levels = 0;
	return word(lane, r->list, key_out->number).n > 0;
}

bool
lane_has_next(const struct lane *lane, const struct route *r)
{
	struct key key;

	return next_key(lane, r, true, &key);
}

static struct route *
first_of(const struct lane *lane, struct route *r)
{
	struct key key = key_of(r);

	if (is_first(r))
		return r;
	key.number = 1;
	key.level = 0;
	key.past = "";
	return find(lane, &key);
}

/* ---- one message -------------------------------------------------------- */

/* Where t goes after a host that has so many others as good as it. */
static bool
other_key(const struct lane *lane, const struct transaction *t, int others,
    const char *past, struct key *key_out)
{
	const struct route *r = t->route;
	bool may_stay = t->hosts_met + 1 < HOSTS_PER_NEXTHOP;

	if (may_stay && others > 0 && *r->past == '\0') {
		*key_out = key_of(r);
		key_out->past = past;
		return true;
	}
	return next_key(lane, r, may_stay, key_out);
}

bool
lane_has_other_host(const struct lane *lane, const struct transaction *t,
    const struct peer *peer)
{
	struct key key;

	return other_key(lane, t, peer->others, "", &key);
}

bool
lane_go_on(struct lane *lane, struct transaction *t)
{
	const struct peer *peer = t->last_peer;
	char past[sizeof(peer->addr) + sizeof(peer->port) + 2];
	struct key key;
	int number = t->route->number;

	/* It met somebody, and leaves one queue for another. */
	CHECK(peer != NULL && t->parking == NULL && !list_is_linked(&t->link));
	(void)snprintf(past, sizeof(past), "%s:%s", peer->addr, peer->port);
	if (!other_key(lane, t, peer->others, past, &key))
		return false;
	log_info("%s: %s", t->req->queue_id, t->last_error->text);
	t->hosts_met = key.number == number ? t->hosts_met + 1 : 0;
	t->route = find_or_make(lane, &key, t->left_us);
	return true;
}

/* ---- all mail ----------------------------------------------------------- */

/* Of one that this host was asked for. */
static int64_t
pause_left_us(const struct route *r, int64_t now_us)
{
	return controller_paused_until(&r->pace->adapt) - now_us;
}

/* For what it did itself. */
static bool
is_mistrusted(const struct route *r)
{
	return r->trust != ROUTE_TRUSTED && !r->is_doubted;
}

static bool
is_unusable(const struct lane *lane, const struct route *r, int64_t now_us)
{
	return r->reach == ROUTE_DOWN || is_mistrusted(r) ||
	       pause_left_us(r, now_us) > lane->set->lane_wait_limit_us;
}

/* A session is there, and nothing under way, to find out with one message. */
static bool
may_be_tried(const struct route *r)
{
	bool may = false;

	if (r->reach == ROUTE_DOWN || r->trust == ROUTE_TRUSTED)
		return false;
	list_each (link, &r->sessions) {
		const struct session *s = session_of(link)->session;

		if (session_load(s) > 0)
			return false;
		may = may || !session_is_finishing(s);
	}
	return may;
}

static void
tell(struct route *r, const struct route *next, int64_t now_us)
{
	if (r->is_bypassed)
		return;
	r->is_bypassed = true;
	if (r->reach != ROUTE_REACHABLE)
		log_warn("%s is unavailable (%s), using %s", r->nexthops,
		    r->failure.text, next->nexthops);
	else if (r->trust == ROUTE_ALARMED)
		log_warn("%s is unavailable (its alarm is not over), using %s",
		    r->nexthops, next->nexthops);
	else
		log_warn("%s is unavailable (it asked for a pause, %llds are "
			 "left), using %s",
		    r->nexthops,
		    (long long)(pause_left_us(r, now_us) / US_PER_S),
		    next->nexthops);
}

/* Mail waits at a host behind it in its list. */
static bool
is_gone_round(const struct lane *lane, const struct route *r)
{
	struct key key;

	while (r != NULL && next_key(lane, r, true, &key)) {
		r = find(lane, &key);
		if (r != NULL && r->waiting_count > 0)
			return true;
	}
	return false;
}

/* Without mail nobody asks whether it is back: what was so is not told on. */
size_t
lane_bypassed(const struct lane *lane, int64_t now_us)
{
	size_t n = 0;

	list_each (link, &lane->routes) {
		const struct route *r = route_of(link);

		n += r->is_bypassed && (now_us - r->passed_us < MISSED_US ||
					   is_gone_round(lane, r));
	}
	return n;
}

/* What was deferred for want of a host may be called back, if r has a session.
 */
static void
call_back(struct lane *lane, struct route *r)
{
	struct route *first;

	/* Nor while an operator keeps it from going. */
	if (r->session_count == 0 || lane->was_paused)
		return;
	lane_release(lane);
	first = first_of(lane, r);
	if (first == NULL || first->owed == 0)
		return;
	first->owed = 0;
	lane->ops.outages->on_back(lane->ops.outages_ctx, first->id);
}

static void
tell_return(struct lane *lane, struct route *r)
{
	if (r->is_bypassed)
		log_info("%s is available again", r->nexthops);
	r->is_bypassed = false;
	call_back(lane, r);
}

/* The last that waits and is not to stay. */
static struct transaction *
last_but(const struct route *r, size_t kept)
{
	struct list *link = r->waiting.prev;

	if (link == &r->waiting || (kept > 0 && link->prev == &r->waiting))
		return NULL;
	return list_entry(link, struct transaction, link);
}

static void
move(struct lane *lane, struct transaction *t, struct route *to)
{
	CHECK(to != t->route);
	lane_take_waiting(lane, t);
	t->hosts_met = 0;
	t->route = to;
	lane_put_back(lane, t);
}

/* True when something moved. */
static bool
pass_on(struct lane *lane, struct route *r, struct moment now)
{
	struct route *next;
	struct key key;
	struct transaction *t;
	size_t kept;

	if (!is_unusable(lane, r, now.us)) {
		tell_return(lane, r);
		return false;
	}
	kept = may_be_tried(r);
	if (r->waiting_count <= kept || !next_key(lane, r, true, &key))
		return false;
	next = find_or_make(lane, &key, now.us);
	/* From the end: what was there before is younger. */
	while ((t = last_but(r, kept)) != NULL)
		move(lane, t, next);
	while ((t = lane_any_parked(r)) != NULL)
		move(lane, t, next);
	tell(r, next, now.us);
	r->passed_us = now.us;
	return true;
}

void
lane_pass_on(struct lane *lane, struct moment now)
{
	bool again = !lane->is_draining;

	while (again) {
		again = false;
		list_each (link, &lane->routes)
			again = pass_on(lane, route_of(link), now) || again;
	}
	list_each (link, &lane->routes) {
		const struct route *r = route_of(link);
		int64_t over_us = r->passed_us + MISSED_US;

		/* What is shown of it changes then, mail or not. */
		if (r->is_bypassed && now.us < over_us &&
		    over_us < lane->look_again_us)
			lane->look_again_us = over_us;
	}
}

void
lane_on_turned_away(struct lane *lane, struct lane_session *ls, int64_t now_us)
{
	struct route *r = ls->route;
	const struct peer *peer = session_peer(ls->session);
	struct dsn dsn;

	if (ls->is_used_up || ls->was_paced ||
	    session_is_stranger(ls->session) ||
	    session_accepted(ls->session) > 0 ||
	    session_messages(ls->session) == 0 ||
	    (ls->end_how != SESSION_END_421 &&
		ls->end_how != SESSION_END_LOST &&
		ls->end_how != SESSION_END_TIMEOUT))
		return;
	if (lane->ops.connections->on_turned_away != NULL)
		lane->ops.connections->on_turned_away(
		    lane->ops.connections_ctx, ls);
	r->turned_away++;
	/* Others live on, or another of its addresses is to be asked first. */
	if (r->session_count > 1 ||
	    (peer->others > 0 && r->turned_away < HOSTS_PER_NEXTHOP) ||
	    !lane_has_next(lane, r))
		return;
	if (ls->end_how == SESSION_END_421)
		dsn_set(&dsn, "4.4.2", "%s", ls->end_why);
	else
		dsn_set(&dsn, "4.4.2", "lost connection with %s[%s]: %s",
		    peer->host, peer->addr, ls->end_why);
	dsn.cause = DSN_CAUSE_LOST;
	route_on_turned_away(r, &dsn, peer, now_us);
}

/* ---- back again --------------------------------------------------------- */

/* For a dial of a host that mail was kept from when all places are taken: one
 * of those that have its mail instead ends, now and then. */
static void
ask_for_place(struct lane *lane, struct route *r, int64_t now_us)
{
	struct lane_session *least = NULL;

	CHECK(lane->is_kicking);
	if (now_us - r->place_asked_us < PLACE_US)
		return;
	list_each (link, &lane->routes) {
		struct route *other = route_of(link);

		if (other == r || strcasecmp(other->list, r->list) != 0)
			continue;
		list_each (l, &other->sessions) {
			struct lane_session *ls = session_of(l);

			if (!session_is_finishing(ls->session) &&
			    (least == NULL || session_load(ls->session) <
						  session_load(least->session)))
				least = ls;
		}
	}
	r->place_asked_us = now_us;
	if (least != NULL)
		session_finish(least->session, FINISH_WANTED, now_us);
}

/* Its mail is elsewhere, or has been given back for want of any host. */
static bool
is_missed(const struct lane *lane, struct route *r, int64_t now_us)
{
	const struct route *first;

	if (*r->past != '\0' || r->session_count + r->dialing > 0)
		return false;
	if ((r->reach == ROUTE_DOWN || is_mistrusted(r)) && r->passed_us > 0 &&
	    now_us - r->passed_us < MISSED_US)
		return true;
	/* Where somebody answers and says no, only mail asks again: many dials
	 * would be many wrong passwords. */
	first = first_of(lane, r);
	return first != NULL && first->owed > 0 &&
	       (r->failure_kind.is_transport || r->reach == ROUTE_REACHABLE);
}

bool
lane_is_probe_due(const struct lane *lane, struct route *r, int64_t now_us)
{
	/* Mail that waits has it dialled. */
	return lane_unparked(r) == 0 && now_us >= r->dial_not_before_us &&
	       is_missed(lane, r, now_us);
}

void
lane_probe(struct lane *lane, struct route *r, struct moment now)
{
	struct lane_no no = {.not_before_us = r->dial_not_before_us};

	if (lane->is_draining || lane_unparked(r) > 0 ||
	    !is_missed(lane, r, now.us))
		return;
	if (now.us >= r->dial_not_before_us) {
		if (lane_add_dial(lane, r, true, &no, now.us))
			return;
		if (lane->sessions + lane->dialing >=
		    (size_t)lane->set->lane_connection_limit) {
			ask_for_place(lane, r, now.us);
			no.not_before_us = r->place_asked_us + PLACE_US;
		}
	}
	if (no.not_before_us < lane->look_again_us)
		lane->look_again_us = no.not_before_us;
}

/* ---- when there is none ------------------------------------------------- */

/* Nothing of the list that begins with r can be used. */
static bool
has_no_host(const struct lane *lane, const struct route *r, int64_t now_us)
{
	struct key key;

	while (next_key(lane, r, true, &key)) {
		if (!is_unusable(lane, r, now_us))
			return false;
		r = find(lane, &key);
		if (r == NULL)
			return false;
	}
	return route_is_in_outage(r, now_us);
}

bool
lane_is_list_down(
    const struct lane *lane, const struct route *r, int64_t now_us)
{
	return is_first(r) && has_no_host(lane, r, now_us);
}

static bool
is_list_lost(const struct lane *lane, struct route *r, int64_t now_us)
{
	const struct route *first = first_of(lane, r);

	return first == NULL || has_no_host(lane, first, now_us);
}

bool
lane_is_lost(
    const struct lane *lane, const struct transaction *t, int64_t now_us)
{
	return is_list_lost(lane, t->route, now_us);
}

/* A dial is begun for mail only, so that there is some. A pause that the server
 * asked for, whomever, is none. */
static bool
is_long_outage(const struct lane *lane, struct route *r, int64_t now_us)
{
	return now_us - r->failing_since_us >= LANE_OUTAGE_US &&
	       lane_paused_to_us(r) <= now_us && is_list_lost(lane, r, now_us);
}

void
lane_alarm_of_outage(struct lane *lane, struct route *r, int64_t now_us)
{
	/* What refuses us has its own alarm. */
	if (r->reach != ROUTE_DOWN || route_is_refused(r))
		return;
	if (r->failure_kind.is_certificate)
		lane_raise_alarm(lane, r, ALARM_CERTIFICATE, r->failure.text);
	else if (!r->failure_kind.is_told && is_long_outage(lane, r, now_us))
		lane_raise_alarm(lane, r, ALARM_OUTAGE, r->failure.text);
}

bool
lane_owe(struct lane *lane, const struct transaction *t, enum lane_owed_for why)
{
	struct route *first = first_of(lane, t->route);

	CHECK(t->route != NULL);
	if (first == NULL || lane->ops.outages == NULL ||
	    !lane->ops.outages->on_outage(
		lane->ops.outages_ctx, first->id, t->req, why))
		return false;
	first->owed++;
	return true;
}
