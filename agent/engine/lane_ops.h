/* lane_ops: what a lane asks of those around it, a table for each neighbour.
 *
 *   lane --owner-------> agent      verdicts, what is in hand, a look again
 *        --connections-> upstream   dials and sessions
 *        --accounts----> account    what other lanes of an account must know
 *        --alarms------> alarm      what the operator must know
 *        --outages-----> relief     what may be called back
 *
 * Each table has a context of its own, so that a neighbour serves the lane
 * itself, by a function that fills in its part of struct lane_ops.
 */
#ifndef LANE_OPS_H
#define LANE_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/alarm_kind.h"
#include "agent/engine/session.h"

struct lane_no;
struct lane_session;
struct request;
struct route;

struct lane_owner_ops {
	/* Recipient i has its verdict: report it. The request may be gone when
	 * this returns. */
	void (*on_decided)(void *ctx, struct request *req, size_t i);
	/* A message is being read and written / is out of hand again. May be
	 * NULL. */
	void (*on_rendering)(void *ctx, const struct request *req, bool begins);
	/* Something changed: call lane_kick() soon, not from inside. */
	void (*want_kick)(void *ctx);
};

struct lane_connection_ops {
	/* Begin a dial for route. false: no slot; *no says why and when.
	 * Ends in lane_add_session(), lane_add_login() or
	 * lane_dial_failed(). */
	bool (*start_dial)(void *ctx, struct route *route, struct lane_no *no);
	/* There may be output for this session. */
	void (*on_output)(void *ctx, struct lane_session *ls);
	/* The session is over: not one more octet may leave its connection,
	 * for what was pulled and not written belongs to messages that are
	 * already on their way elsewhere. on_session_ended() follows. */
	void (*hang_up)(void *ctx, struct lane_session *ls);
	/* The session is over and empty: close its connection, free the slot.
	 * ls and its session are freed when this returns. Called by
	 * lane_kick(). */
	void (*on_session_ended)(void *ctx, struct lane_session *ls,
	    enum session_end how, bool is_clean, const char *why);
	/* What became of a login that leads (lane_add_login()); code: of its
	 * reply, 0 none. May be NULL. */
	void (*on_login)(void *ctx, struct lane_session *ls,
	    enum session_login_news news, int code);
	/* The server ended the session before it took a message: its address
	 * is better tried after those that are as good. May be NULL. */
	void (*on_turned_away)(void *ctx, struct lane_session *ls);
	/* The route is about to be freed; it has no session and no dial. May
	 * be NULL. */
	void (*on_route_gone)(void *ctx, struct route *route);
};

struct lane_account_ops {
	/* Would open so many more sessions if it could. */
	void (*on_want)(void *ctx, struct route *route, size_t count);
	/* It has as many connections of ours as it wants; was_open: and told
	 * so on one that still counts as ours. */
	void (*on_too_many)(
	    void *ctx, struct route *route, bool was_open, const char *reply);
	/* It refused what was sent at sent_us, or since then: the account is
	 * too fast. Asked once for all refusals of a flight. True: less urgent
	 * lanes of the account are busy and are told to slow down
	 * (lane_yield), so this one is not to. */
	bool (*on_throttled)(
	    void *ctx, struct route *route, int64_t sent_us, int64_t now_us);
	/* It wants nothing of the account before until_us: for the other lanes
	 * (lane_pause). */
	void (*on_pause)(void *ctx, struct route *route, int64_t until_us);
	/* It refuses our mail, and the lane stops there (ALARM_BLOCKED); reply
	 * says so. May be NULL. */
	void (*on_blocked)(void *ctx, struct route *route, const char *reply);
	/* It took a message of a session that had no login, at this port / has
	 * done so lately, whoever asked. May be NULL. */
	void (*on_stranger_taken)(
	    void *ctx, struct route *route, const char *port);
	bool (*takes_strangers)(
	    void *ctx, struct route *route, const char *port);
};

/* What an earlier process left of a route. */
enum lane_stop {
	LANE_GOES,
	LANE_DOUBTED, /* another host of the fleet was refused: lane_doubt() */
	LANE_STOPPED, /* it was refused itself */
};

/* The one way for alarms. */
struct lane_alarm_ops {
	/* Something is wrong at the smarthost; reply says why. The lane stops
	 * there (LOGIN, BLOCKED), or no host of the route's list could be
	 * reached for LANE_OUTAGE_US while mail wants to go. / It is not, or
	 * not any more; also told when nothing was wrong. */
	void (*raise)(void *ctx, const struct route *route,
	    enum alarm_kind kind, const char *reply);
	void (*clear)(
	    void *ctx, const struct route *route, enum alarm_kind kind);
	/* Asked when a route is new: did an earlier process raise an alarm
	 * that stops it and has not ended? */
	enum lane_stop (*stopped)(void *ctx, const struct route *route);
};

/* What may be called back when a host can be used again. */
enum lane_owed_for {
	LANE_OWED_OUTAGE, /* none could be used */
	LANE_OWED_DOUBT, /* the connection broke and left it in doubt; what was
			    in doubt before waits for its backoff, since it may
			    be what breaks them */
};

/* id: of a list of hosts or of a domain that is held back, the same in every
 * process of the lane, and never 0. */
struct lane_outage_ops {
	/* The request is deferred for the sake of its list of hosts: note it
	 * under id, for on_back(). False: it is not called back. / One of them
	 * can be used again. */
	bool (*on_outage)(void *ctx, uint64_t id, const struct request *req,
	    enum lane_owed_for why);
	void (*on_back)(void *ctx, uint64_t id);
	/* Asked when a list is new: how many did an earlier process note under
	 * it? / A host of whatever list can be used, or an operator asks for
	 * all: what an earlier process noted under a list that this one does
	 * not know (lane_owes()) may be called back. Told very often. */
	size_t (*owed_before)(void *ctx, uint64_t id);
	void (*on_released)(void *ctx);
};

struct lane_ops {
	const struct lane_owner_ops *owner;
	void *owner_ctx;
	const struct lane_connection_ops *connections;
	void *connections_ctx;
	const struct lane_account_ops *accounts;
	void *accounts_ctx;
	const struct lane_alarm_ops *alarms; /* NULL: nobody is told */
	void *alarms_ctx;
	const struct lane_outage_ops *outages; /* NULL: nothing is owed */
	void *outages_ctx;
};

#endif
