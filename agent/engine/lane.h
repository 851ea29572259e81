/* lane: one class of mail: what waits, the sessions, who goes where and when.
 *
 *   intake --submit--> [waiting] --kick--> session --done--> on_decided
 *                          ^____________returned_________|
 *
 * lane_kick() is the one place where something is started: an idempotent
 * "look again" that gives waiting transactions to sessions and opens sessions
 * while there is need and budget. Least-loaded session first; another session
 * before a deeper window; depth only when no session can be added, so a quiet
 * lane has at most one message in doubt per session. Every "no" has a reason
 * and a time (lane_no.h), which the log tells when mail is deferred.
 *
 * Engine: the outside world is struct lane_ops (lane_ops.h).
 */
#ifndef LANE_H
#define LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/alarm_kind.h"
#include "agent/engine/controller.h"
#include "agent/engine/lane_no.h"
#include "agent/engine/lane_ops.h"
#include "agent/engine/pacer.h"
#include "agent/engine/peer.h"
#include "agent/engine/request.h"
#include "agent/engine/route.h"
#include "agent/engine/rules.h"
#include "agent/engine/session.h"
#include "agent/engine/settings.h"
#include "common/base/clock.h"
#include "common/smtp/ehlo.h"

struct lane;

/* One session in a lane, with the adapter's side of it. */
struct lane_session {
	struct list link, of_lane;
	struct lane *lane;
	struct route *route;
	struct session *session;
	int announced_quota;
	/* RFC 9422, as the server announced; 0: it did not. */
	size_t rcpt_max, domain_max;
	uint64_t *domains; /* of the recipients it had, hashed; owned */
	size_t domain_count;
	void *io; /* the adapter's, from lane_add_session() */
	bool is_used_up; /* a rule said: its share of messages is taken */
	bool was_paced; /* a rule said: too fast */
	bool is_kept; /* although idle for too long */
	unsigned alarms_before; /* route->alarms when it began */
	uint64_t number; /* no other session of the lane had it */
	/* Why it has no login, where one is looked for and the server offers
	 * AUTH; owned, NULL: it has one, or needs none. */
	char *no_login;
	int64_t began_us;
	int64_t moved_us; /* it got work, or was rid of a message */
	/* once the session is over, until lane_kick() buries it */
	enum session_end end_how;
	bool end_is_clean;
	char end_why[256];
};

/* Dials fail for so long before that is an alarm: what passes by itself, such
 * as a server's restart, is none. */
enum { LANE_OUTAGE_US = 300000000 };

/* Never reset. */
struct lane_figures {
	uint64_t sent, deferred, bounced; /* recipients */
	uint64_t messages, in_doubt, returned, sessions, lost;
	uint64_t kicks;
	uint64_t throttled; /* replies that ask to slow down, or for a pause */
	/* lessons: events, not replies */
	uint64_t slowed, paused, quotas, fewer, alarms;
	struct session_tally wire;
};

/* error (of error_size octets) says what is wrong when NULL is returned.
 * random: a seed for jitter. *ops is copied, its tables are borrowed. */
struct lane *lane_new(const struct settings *set, const struct lane_ops *ops,
    uint32_t random, int64_t now_us, char *error, size_t error_size);

/* Limits kept outside, shared with other lanes or by the lane's next process;
 * see pacer_attach(). Before the first request. */
void lane_set_rates(struct lane *lane, const struct limitset *saved,
    const struct pacer_ops *ops, void *ctx, int64_t now_us);

/* The lane's own limits, as they are now. */
const struct limitset *lane_rates(const struct lane *lane);

/* What replies mean beyond their code (borrowed; NULL: nothing). */
void lane_set_rules(struct lane *lane, const struct rules *rules);

/* Limits by recipient domain (borrowed; NULL: none). Before any mail. */
struct domains;
void lane_set_domains(struct lane *lane, struct domains *domains);

/* The account (not 0) that a route leads to, found out before its first dial:
 * routes of one account share what is known of its pace. What an earlier
 * process found out, unless it is known already: so many messages were in the
 * air without harm; and the pace (NULL: nothing; ignored when lane_adaptive is
 * off). */
void lane_set_account(struct lane *lane, struct route *route, uint64_t account,
    int in_the_air, const struct controller_stored *pace, struct moment now);

/* What was found out of each account's pace, for the next process. */
void lane_each_pace(const struct lane *lane, struct moment now,
    void (*fn)(
	void *ctx, uint64_t account, const struct controller_stored *pace),
    void *ctx);

/* Messages per second that the slowest account is known to take, INFINITY
 * unknown; and until when one wants none (past: none is paused). */
double lane_learned_rate(const struct lane *lane);
int64_t lane_paused_until_us(const struct lane *lane);

/* What other lanes of the route's account were told, or earlier processes; call
 * it before lane_kick(), so that nothing more goes. A more urgent one was
 * refused what it had sent at sent_us: this one slows down in its place. /
 * Nothing goes before until_us. Told again of the same pause they do nothing.
 */
void lane_yield(
    struct lane *lane, struct route *route, int64_t sent_us, struct moment now);
void lane_pause(struct route *route, int64_t until_us, struct moment now);

/* What another host of the fleet was told; likewise. Nothing goes before
 * until_us, since who was asked to pause; each call has the last word, also for
 * less (0: none any more), and it is no lesson: mail waits for it as for its
 * pace, goes to no other host, and the next process hears of it anew. / One is
 * refused until somebody looks: one session with one message finds out whether
 * this one is, too, and the others wait for it; why says it to the operator. */
void lane_hear_pause(
    struct route *route, int64_t until_us, const char *who, struct moment now);
void lane_doubt(
    struct lane *lane, struct route *route, const char *why, struct moment now);

/* What a reply during a dial means; the lane takes its lesson. Fills
 * *patience_us_out where the rules know how long waiting helps, and returns
 * true then. */
bool lane_judge_dial(struct lane *lane, struct route *route,
    enum rule_stage stage, int code, const char *reply, struct moment now,
    int64_t *patience_us_out);

/* No request may be left inside. Sessions and routes are freed. */
void lane_free(struct lane **lane);

/* Takes a request in (borrowed until all its recipients are decided or
 * lane_drop() said true). */
void lane_submit(struct lane *lane, struct request *req, struct moment now);

/* Takes a request back of which nothing is on the wire: true, and the lane
 * forgets it. false: some of it is in flight, or was, and all of it will be
 * decided. */
bool lane_drop(struct lane *lane, struct request *req);

/* Looks again; call it after anything that may matter. */
void lane_kick(struct lane *lane, struct moment now);

/* A dial ended in a session; is_authenticated: with a login that the server
 * took. / It failed. */
struct lane_session *lane_add_session(struct lane *lane, struct route *route,
    const struct ehlo *ehlo, const struct peer *peer, bool is_authenticated,
    void *io, struct moment now);
/* ... in one that has yet to log in, with that line in front of its first mail
 * (session_log_in()); alone where the route is not well. */
struct lane_session *lane_add_login(struct lane *lane, struct route *route,
    const struct ehlo *ehlo, const struct peer *peer, struct slice line,
    void *io, struct moment now);
void lane_dial_failed(struct lane *lane, struct route *route,
    const struct route_failure *failure, struct moment now);

/* May one more request come in, besides `coming` that were let in and are not
 * here yet? Bounds what waits here, so that the queue manager keeps the choice
 * what to send next. */
bool lane_may_admit(const struct lane *lane, size_t coming, int64_t now_us,
    int64_t *until_us_out);

/* Most requests that can be inside: as many as the queue manager's window for a
 * destination has, or as sessions are good for. */
size_t lane_places(const struct lane *lane);

/* More waits than the lane needs to go on at its pace: what comes now might as
 * well be given back, and half of the places are free for doing so. */
bool lane_has_surplus(const struct lane *lane, int64_t now_us);

/* When lane_on_timer() is due; INT64_MAX: never. */
int64_t lane_deadline_us(const struct lane *lane);
void lane_on_timer(struct lane *lane, struct moment now);

/* Ends up to count idle sessions (another lane waits for their slots) of
 * routes that is_of() says yes to; NULL: of all. */
typedef bool lane_route_fn(void *ctx, const struct route *route);
void lane_close_idle(struct lane *lane, size_t count, lane_route_fn *is_of,
    void *ctx, struct moment now);

/* So many sessions of those routes are too many: idle ones end, and others take
 * no new message, until so many are ending. */
void lane_end_sessions(struct lane *lane, size_t count, lane_route_fn *is_of,
    void *ctx, struct moment now);

/* A route of these wants a place that idle sessions of the others have: one
 * that no mail waits for, and that carried some, ends when it was idle for a
 * second, unless one is ending. May be called by ops->start_dial(). */
void lane_yield_idle(
    struct lane *lane, lane_route_fn *is_of, void *ctx, struct moment now);

/* Begins the end: no dials, assigned but unsent transactions return to
 * waiting, sessions QUIT when what they carry is answered. */
void lane_drain(struct lane *lane, struct moment now);

/* Ends all sessions now; what was written and not answered is in doubt. */
void lane_abort(struct lane *lane, const char *why, struct moment now);

/* No session is left. */
bool lane_is_drained(const struct lane *lane);

size_t lane_waiting(const struct lane *lane);
size_t lane_parked(const struct lane *lane); /* ... for a domain's limit */
/* When the oldest that waits was received; INT64_MAX: nothing does. */
int64_t lane_oldest_us(const struct lane *lane);
size_t lane_in_flight(const struct lane *lane);
/* Hosts that cannot be used, while another of their list has their mail: some
 * waits there, or went on to it within a minute. */
size_t lane_bypassed(const struct lane *lane, int64_t now_us);
size_t lane_sessions(const struct lane *lane);
size_t lane_dialing(const struct lane *lane);
/* What was noted under that id of lane_outage_ops waits for something that this
 * lane knows. */
bool lane_owes(const struct lane *lane, uint64_t id);
const struct lane_figures *lane_figures(const struct lane *lane);

/* Where a request goes: lane_smarthost; else, when its nexthop is just the
 * domain of its recipients (`transport:` without a nexthop), relayhost; else
 * its nexthop. */
const char *lane_nexthops(
    const struct settings *set, const struct request *req);

#endif
