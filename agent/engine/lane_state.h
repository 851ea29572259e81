/* lane_state: the inside of a lane, for its own files alone. A file calls those
 * below it:
 *
 *   lane.c         life, the adapters' side, what sessions tell
 *   lane_routes.c  which route a request takes
 *   lane_kick.c    looking again: whose turn it is
 *   lane_steer.c   what an operator asked for
 *   lane_holds.c   ... for some recipient domains
 *   lane_expiry.c  who waited in vain, or would
 *   lane_admit.c   what may come in
 *   lane_hosts.c   from one host of a list to the next, and back
 *   lane_dial.c    is a session worth it
 *   lane_turns.c   how routes share the places
 *   lane_fit.c     what a transaction may hold for a session
 *   lane_replies.c what replies teach: pace, pauses, alarms
 *   lane_queue.c   what waits: coming, going back, leaving with a verdict
 *   lane_park.c    mail for domains with a limit of their own
 *   lane_pace.c    the pace of each account, as it was found out
 */
#ifndef LANE_STATE_H
#define LANE_STATE_H

#include "agent/engine/lane.h"
#include "agent/engine/lane_steer.h"

#include "agent/engine/controller.h"
#include "agent/engine/domains.h"
#include "agent/engine/pacer.h"
#include "agent/engine/rules.h"
#include "common/shared/fleet.h"

/* What an account takes of this lane, found out. Shared by the routes that
 * lead to it; a route whose account is not known yet has one of its own. */
struct lane_pace {
	struct list link;
	uint64_t account; /* 0: not known */
	size_t routes;
	struct controller adapt;
	uint64_t told_events; /* throttles the log was told of */
	double told_settled; /* messages/s that it was told of; 0: none */
	int64_t quiet_until_us; /* of waits without lane_adaptive it is not */
	/* A pause that another host of the fleet was asked for, */
	int64_t heard_until_us; /* obeyed until then; past: none is */
	char heard_from[FLEET_NAME_SIZE];
	bool is_counted; /* scratch of lane_learned_in_all() */
};

/* A recipient domain that an operator holds back. */
struct lane_held {
	struct domain *dom; /* in lane.blocked */
	int64_t until_us;
	uint64_t id; /* among lists of hosts, for what is owed */
	size_t owed; /* messages that are called back when it is over */
};

/* What a route wants of the places (lane_turns.c). */
enum lane_want {
	LANE_WANTS_ONE, /* it has none */
	LANE_WANTS_SHARE,
	LANE_WANTS_MORE,
};

enum { LANE_WANTS = LANE_WANTS_MORE + 1 };

struct lane {
	const struct settings *set; /* as steered, or as set */
	const struct settings *as_set;
	struct lane_ops ops;
	struct pacer pacer;
	const struct rules *rules; /* borrowed; NULL: codes alone count */
	struct domains *domains; /* borrowed; NULL: none is limited */
	struct list routes, paces;
	/* Of very many paces, at the last kick; negative: not summed up yet. */
	double learned_in_all;
	int64_t window_in_all;
	size_t route_count;
	size_t waiting, in_flight, sessions, dialing;
	size_t parked; /* of the waiting, whose domain has no token */
	uint64_t numbered; /* transactions so far */
	struct tempo coming; /* of all routes: when, and at which intervals */
	uint32_t random;
	bool is_kicking, is_draining;
	const struct pacer_limit *paced_by; /* the last limit that said no */
	int64_t per_s; /* messages that the limits allow; in one kick */
	int64_t look_again_us; /* the earliest not_before of the last kick */
	struct list all_sessions; /* lane_session.of_lane */
	/* In one kick: routes that want places, and how many each may have
	 * before the rest is given; sessions that are about to leave theirs,
	 * and how many of these places are claimed by a route. */
	size_t contenders, share;
	size_t finishing, claimed;
	bool is_rest_given;
	size_t places_kept; /* for probes that found none (lane_hosts.c) */
	uint64_t moves; /* of what waits: coming, going, parking */
	/* Nobody gave a place at so many moves, to who was short since then. */
	uint64_t no_place_at[LANE_WANTS];
	int64_t no_place_since_us[LANE_WANTS];
	/* what an operator asked for (lane_steer.c) */
	struct lane_steering steering;
	struct settings steered; /* a copy that borrows its strings */
	int64_t steered_us; /* when that was */
	bool was_paused; /* when it was looked at last */
	struct domains *blocked; /* those that are held; NULL: none */
	struct lane_held *held;
	size_t held_count;
	bool has_back; /* something waits with is_back */
	struct lane_figures figures;
};

static inline struct route *
route_of(struct list *link)
{
	return list_entry(link, struct route, link);
}

/* Whose turn it is but for limited domains; NULL: nobody's. */
static inline struct transaction *
lane_first_waiting(struct route *r)
{
	struct list *link = list_first(&r->waiting);

	return link != NULL ? list_entry(link, struct transaction, link) : NULL;
}

/* xorshift32: jitter needs no more. */
static inline uint32_t
lane_next_random(struct lane *lane)
{
	lane->random ^= lane->random << 13;
	lane->random ^= lane->random >> 17;
	lane->random ^= lane->random << 5;
	return lane->random;
}

/* Something changed: the lane is to be kicked, not from inside. */
static inline void
lane_want_kick(struct lane *lane)
{
	lane->ops.owner->want_kick(lane->ops.owner_ctx);
}

static inline struct lane_session *
session_of(struct list *link)
{
	return list_entry(link, struct lane_session, link);
}

/* ---- lane_queue.c ------------------------------------------------------- */

/* t, which is in no queue, waits as the last of its queue. */
void lane_put_last(struct lane *lane, struct transaction *t);

/* ... in the order of coming. hint: one that was put so before; or NULL. */
void lane_put_in_order(
    struct lane *lane, struct transaction *t, struct transaction *hint);

/* ... as the next after another that waits in the same queue. */
void lane_put_behind(
    struct lane *lane, struct transaction *t, struct transaction *other);

/* Gives every newly decided recipient of t to report: the request may be gone
 * then. / All of t is decided, which is freed. */
void lane_hand_over(struct lane *lane, const struct transaction *t);
void lane_conclude(struct lane *lane, struct transaction *t);

/* Takes t off its waiting list / frees it and unties its request. */
void lane_take_waiting(struct lane *lane, struct transaction *t);
void lane_forget(struct transaction *t);

/* Defers a waiting transaction. peer: with whom it failed, or NULL;
 * diag_text: what that one said, or NULL; is_hop: as a problem of the site. */
void lane_defer_waiting(struct lane *lane, struct transaction *t,
    const struct dsn *dsn, const struct peer *peer, const char *diag_text,
    bool is_hop);

/* Returns it to its sender instead. */
void lane_bounce_waiting(struct lane *lane, struct transaction *t,
    const struct dsn *dsn, const struct peer *peer, const char *diag_text);

/* Nothing of it is on the wire, none of its recipients decided. */
bool lane_may_drop(const struct request *req);

/* Back among those that wait, in the order in which they came. */
void lane_put_back(struct lane *lane, struct transaction *t);

/* ---- lane_routes.c ------------------------------------------------------ */

/* Where a new request goes in. */
struct route *lane_route_for(
    struct lane *lane, const struct request *req, int64_t now_us);

/* ---- lane_steer.c ------------------------------------------------------- */

/* An operator holds t back. */
bool lane_is_held(
    const struct lane *lane, const struct transaction *t, int64_t now_us);

/* ... which waits, *no says until when; true: it was deferred, as it would wait
 * for too long. */
bool lane_hold(struct lane *lane, struct transaction *t, struct lane_no *no,
    int64_t now_us);
void lane_explain_hold(const struct lane *lane, struct dsn *out);

/* Sessions beyond the limit that was asked for leave. */
void lane_shed_sessions(struct lane *lane, int64_t now_us);

/* In each kick: a pause that is over calls back what it deferred. */
void lane_look_at_pause(struct lane *lane, int64_t now_us);

/* ---- lane_holds.c ------------------------------------------------------- */

/* In each kick: those that are over, and what came back to one. */
void lane_look_at_holds(struct lane *lane, struct moment now);

/* t, which waits for a held domain, is deferred; false: it does not. */
bool lane_defer_held(struct lane *lane, struct transaction *t);

/* With the lane, when nothing waits. */
void lane_free_holds(struct lane *lane);

/* ---- lane_dial.c -------------------------------------------------------- */

/* One more session, if there is need and nothing forbids it; is_probe: to find
 * out about a host that mail is kept from. */
bool lane_add_dial(struct lane *lane, struct route *r, bool is_probe,
    struct lane_no *no, int64_t now_us);

/* ... for t, which waits. None when there is a backlog, and the sessions that
 * live, or are being dialled, carry what waits, and what will come, in the time
 * that a dial takes: to succeed one that is spent it would come too late. */
bool lane_add_dial_for(struct lane *lane, struct route *r,
    const struct transaction *t, struct lane_no *no, int64_t now_us);

/* Each message that waits has a dial under way. In a backlog one need not wait
 * for it where ls, which has room, has an answer sooner: the last of a backlog
 * would wait for dials, and those that were begun would all be used. no: when
 * to ask again. */
bool lane_is_sooner_behind(
    const struct lane_session *ls, struct lane_no *no, int64_t now_us);

/* r, which may be new, goes by what other logins at its host have found out, as
 * long as it has had no session. */
void lane_expect_as_others(const struct lane *lane, struct route *r);

/* How many messages a session may take in all. */
int lane_session_quota(const struct lane_session *ls, int64_t now_us);

/* How many messages like this one can go in the time that a dial takes. */
int64_t lane_messages_per_dial_time(
    struct lane *lane, const struct route *r, const struct pacer_cost *cost);

/* Dials that have something to do for messages like this one / sessions that
 * would be opened if there were slots. */
size_t lane_dials_worth_it(struct lane *lane, const struct route *r,
    const struct pacer_cost *cost, int64_t now_us);
size_t lane_dials_wanted(struct lane *lane, struct route *r, int64_t now_us);

/* Mail waits for a token that comes at at_us, share messages in the time that a
 * dial takes: dials what they need. Returns when to look again. */
int64_t lane_dial_ahead(struct lane *lane, struct route *r, int64_t share,
    int64_t at_us, int64_t now_us);

/* The last session that was there has had its last message: dials another. */
void lane_succeed_spent(struct lane *lane, struct route *r, int64_t now_us);

/* ---- lane_turns.c ------------------------------------------------------- */

/* The idle session that was used least lately; without_mail: of the routes
 * that have nothing waiting. With mail it may be idle until the next look
 * only. NULL: there is none. */
struct session *lane_oldest_idle(const struct lane *lane, bool without_mail,
    lane_route_fn *is_of, void *ctx);

/* At the beginning of each kick. */
void lane_count_shares(struct lane *lane, int64_t now_us);

/* There is a place for one more session of r, which lacks nothing else; else
 * one is made, if r may have it. */
bool lane_has_place(struct lane *lane, struct route *r, bool is_probe,
    struct lane_no *no, int64_t now_us);

/* There is, but all connections of its account are in use. */
void lane_ask_for_slot(struct lane *lane, struct route *r, int64_t now_us);

/* ---- lane_kick.c -------------------------------------------------------- */

/* Frees ls, which is over. */
void lane_free_session(struct lane_session *ls);

/* ---- lane_idle.c -------------------------------------------------------- */

/* Which of the sessions stay, though idle for too long: at each kick. */
void lane_keep_idle(struct lane *lane, int64_t now_us);

/* When an idle session is to end. / The server has ended one, perhaps. */
int64_t lane_idle_until_us(const struct lane_session *ls);
void lane_learn_idle(const struct lane_session *ls, int64_t now_us);

/* ---- lane_expiry.c ------------------------------------------------------ */

/* Defers what waited for too long or has no host that can be used; while
 * draining also what cannot be given back. */
void lane_expire_waiting(struct lane *lane, struct route *r, struct moment now);

/* When that is due for the first of r; INT64_MAX: never. */
int64_t lane_expiry_us(const struct lane *lane, struct route *r);

/* Defers t, whose wait for a rate would be longer than lane_wait_limit. */
void lane_refuse_to_wait(
    struct lane *lane, struct transaction *t, int64_t wait_us);

/* Defers what would wait for too long, and counts what is parked. */
void lane_look_at_parkings(struct lane *lane, struct route *r, int64_t now_us);

/* Defers what is above lane_parked_limit, or would leave other domains less
 * than half of the places. */
void lane_trim_parkings(struct lane *lane, int64_t now_us);

/* ---- lane_hosts.c ------------------------------------------------------- */

/* Where mail for this list of nexthops comes in; made if there is none. */
struct route *lane_first_route(struct lane *lane, const char *list,
    const char *sender, bool may_be_plain, int64_t now_us);

/* Another host takes the mail of r while r cannot. */
bool lane_has_next(const struct lane *lane, const struct route *r);

/* What peer refuses of t for now may go elsewhere / has been refused by
 * last_peer, or lost with it: t, which is in no queue, gets its next route.
 * False: there is none. */
bool lane_has_other_host(const struct lane *lane, const struct transaction *t,
    const struct peer *peer);
bool lane_go_on(struct lane *lane, struct transaction *t);

/* Moves what waits for hosts that cannot be used. */
void lane_pass_on(struct lane *lane, struct moment now);

/* ls is over and about to be freed; did the server want nothing at all? */
void lane_on_turned_away(
    struct lane *lane, struct lane_session *ls, int64_t now_us);

/* A dial finds out about a host that mail is kept from, when it is due. */
void lane_probe(struct lane *lane, struct route *r, struct moment now);
bool lane_is_probe_due(
    const struct lane *lane, struct route *r, int64_t now_us);

/* r begins a list of which nothing can be used. */
bool lane_is_list_down(
    const struct lane *lane, const struct route *r, int64_t now_us);

/* A dial of r has failed: for a certificate, or for so long that somebody
 * should know. */
void lane_alarm_of_outage(struct lane *lane, struct route *r, int64_t now_us);

bool lane_is_lost(
    const struct lane *lane, const struct transaction *t, int64_t now_us);

/* What an earlier process of the lane noted, see lane_outage_ops. */
static inline size_t
lane_owed_before(const struct lane *lane, uint64_t id)
{
	return lane->ops.outages != NULL
		   ? lane->ops.outages->owed_before(lane->ops.outages_ctx, id)
		   : 0;
}

static inline void
lane_release(const struct lane *lane)
{
	if (lane->ops.outages != NULL)
		lane->ops.outages->on_released(lane->ops.outages_ctx);
}

/* t is deferred for that reason: true when it will be called back. */
bool lane_owe(
    struct lane *lane, const struct transaction *t, enum lane_owed_for why);

/* ---- lane_fit.c --------------------------------------------------------- */

/* ls may have some recipients of t / says QUIT to idle sessions of r that may
 * have none. */
bool lane_fits(const struct lane_session *ls, const struct transaction *t);
void lane_retire_unfit(
    struct route *r, const struct transaction *t, int64_t now_us);

/* Recipients of t, which waits and of which ls may have some, that ls may not
 * have go on as another transaction. True: there were such. */
bool lane_fit(struct lane *lane, const struct lane_session *ls,
    struct transaction *t, int64_t now_us);

/* All but the first n recipients of t, which is in no queue or stays in it, are
 * another transaction, in no queue. */
struct transaction *lane_split_off(
    struct transaction *t, size_t n, int64_t now_us);

/* t is about to be given to ls. */
void lane_note_domains(struct lane_session *ls, const struct transaction *t);

/* ---- lane_replies.c ----------------------------------------------------- */

/* To the operator, see lane_ops. */
void lane_raise_alarm(struct lane *lane, struct route *route,
    enum alarm_kind kind, const char *reply);
void lane_clear_alarm(
    struct lane *lane, struct route *route, enum alarm_kind kind);

/* What a reply to a command of t (or to nobody's) means, by code and rules;
 * the lane takes its lesson. */
enum meaning lane_judge(struct lane_session *ls, struct transaction *t,
    enum command_kind kind, const struct reply *reply, enum meaning meaning,
    struct moment now);

/* ---- lane_pace.c -------------------------------------------------------- */

/* For a new route / one that is about to be freed. */
void lane_begin_pace(struct lane *lane, struct route *r, int64_t now_us);
void lane_leave_pace(struct route *r);

/* Sessions may be more or fewer than before: so may be what is in the air. */
void lane_look_at_windows(struct lane *lane);

/* Nothing goes before then, whoever was asked for it; past: nothing keeps it.
 * What the provider told this host itself is controller_paused_until(). */
int64_t lane_paused_to_us(const struct route *r);

/* How many messages a session of r needs on their way now. */
void lane_look_at_need(const struct lane *lane, struct route *r);

/* What t takes of every limit. */
struct pacer_cost lane_cost_of(const struct transaction *t);

/* t is given to a session / has left it. */
void lane_count_taken(struct transaction *t, int64_t now_us);
void lane_count_left(const struct transaction *t, bool is_accepted);

/* Messages per second that all accounts which have mail are known to take;
 * INFINITY where one of them is not known. */
double lane_learned_in_all(const struct lane *lane);

/* Messages that they all may have in the air; 0: none is known. */
int64_t lane_window_in_all(const struct lane *lane);

/* In each kick, for these. */
void lane_sum_up_paces(struct lane *lane);

/* ---- lane_park.c -------------------------------------------------------- */

/* A new request as transactions, one for each limit, chained by sibling. */
struct transaction *lane_split(
    struct lane *lane, struct request *req, struct moment now);

/* What holds or limits mail for recipient i; NULL: nothing. */
struct domain *lane_domain_of(
    const struct lane *lane, const struct request *req, size_t i);

/* Where t waits, and what follows its coming and going there. */
struct list *lane_queue_of(struct transaction *t);
void lane_on_parked(struct transaction *t);
void lane_on_unparked(struct lane *lane, struct transaction *t);
void lane_forget_parkings(struct route *r); /* those that are empty */
struct transaction *lane_any_parked(struct route *r); /* NULL: none */

/* The oldest that waits and whose domain lets it go now; NULL: none. */
struct transaction *lane_next_waiting(
    struct lane *lane, struct route *r, int64_t now_us);

/* Waiting, apart from those whose domain has no token. */
static inline size_t
lane_unparked(const struct route *r)
{
	return r->waiting_count - r->parked_count;
}

/* When the next token of a domain comes, INT64_MAX: none is waited for; and how
 * many messages tokens of all domains let go in the time that a dial takes. */
int64_t lane_next_token(struct route *r, int64_t now_us, int64_t *share_out);

void lane_take_token(
    struct transaction *t, const struct pacer_cost *cost, int64_t now_us);
void lane_give_back_token(struct transaction *t);

#endif
