/* lane_world: a lane, its mail and a model provider, in fake time.
 *
 *   backlog --may_admit--> lane --octets, rtt/2--> server --replies, rtt/2-->
 *
 * A discrete-event world: dials take dial_rtts round trips, octets and replies
 * half of one each, and the lane is kicked, timed and drained of output in the
 * order in which agent and link do it, its timer armed after kicks only. Every
 * kick is done twice, and the second must not change anything.
 *
 * Messages are short; number N is from "mN@from.test" (or from the next of so
 * many logins in turn) to "rN.I@to.test" (or another domain), and
 * what becomes of each recipient is recorded here, since the request is freed
 * the moment its last recipient is decided. The server's behaviour may be
 * changed at any time. A check that fails ends the test (cmocka).
 */
#ifndef LANE_WORLD_H
#define LANE_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/domains.h"
#include "agent/engine/lane.h"
#include "common/base/clock.h"
#include "test/support/queue_source.h"

enum {
	WORLD_RCPTS_MAX = 8,
	WORLD_TEXT_SIZE = 160,
	WORLD_CLOSE = -1, /* a judge's verdict: hang up */
	WORLD_SILENCE = -2, /* ... never answer again */
	WORLD_DIE = -3, /* ... hang up, and what was said does not arrive */
};

struct world;
struct world_conn;

/* The model provider. */
struct world_server {
	bool is_down; /* connections are refused */
	bool has_expired; /* its certificate */
	/* ... by the host of this route. May be NULL. */
	bool (*is_host_down)(struct world *w, const struct route *route);
	int64_t rtt_ms, dial_rtts;
	/* ... how long the dial with this number (from 0) takes instead. May be
	 * NULL. */
	int64_t (*dial_ms)(struct world *w, size_t number);
	int64_t reply_ms; /* time for each reply, one after the other */
	int connections_max; /* 421 beyond; 0: no limit */
	int rcpts_max; /* of a message, then 552 5.5.3; 0: no limit */
	int closes_after; /* messages of a session, then 421; 0: never */
	bool closes_silently; /* ... or without a word */
	/* The reply code to a command line of message number (from 0): 0 is
	 * as usual. The end of data is the line ".". May be NULL. */
	int (*judge)(struct world *w, struct world_conn *conn, size_t number,
	    const char *line);
	const char *judged; /* what follows the code; NULL: something dull */
	const char *verbatim; /* the whole reply, CRLF included; or NULL */
	/* What it says to AUTH, or WORLD_CLOSE; 0: 235. Without a login RCPT
	 * gets 554, unless it takes mail from anybody. */
	int login_code;
	bool takes_anybody;
	/* The reply a dial ends with; NULL: it succeeds. */
	const char *(*answer_dial)(struct world *w);
	enum rule_stage dial_stage; /* where that is said */
	bool is_refusal_final; /* smtp_sasl_auth_soft_bounce = no */
};

struct world_message {
	struct world *w;
	struct request *req; /* NULL once decided, or dropped */
	struct queue_source source;
	char sender[32], queue_id[32];
	char rcpts[WORLD_RCPTS_MAX][32];
	size_t rcpt_count, decided;
	int64_t submitted_ms, done_ms;
	enum outcome outcomes[WORLD_RCPTS_MAX];
	enum dsn_cause cause; /* of the verdict that came last */
	char status[12], text[WORLD_TEXT_SIZE]; /* of the last one decided */
	bool is_hop, in_doubt;
	int copies; /* contents taken by the server */
	int taken[WORLD_RCPTS_MAX]; /* for this recipient */
	int mails; /* MAIL commands the server saw for it */
};

/* A connection as the server sees it. */
struct world_conn {
	struct list link;
	struct world *w;
	struct route *route;
	struct lane_session *ls; /* NULL while dialling */
	bool has_output, is_closed, is_deaf, is_one_too_many;
	struct buf in;
	size_t number; /* of the message in hand */
	bool has_rcpt[WORLD_RCPTS_MAX];
	size_t rcpts; /* accepted, of the message in hand */
	size_t octets_due; /* of a BDAT chunk */
	bool is_last_chunk, in_data, is_refused;
	bool is_unknown; /* its login was refused */
	int accepted;
	char domains[WORLD_RCPTS_MAX][32]; /* of its recipients */
	size_t domain_count;
	int64_t free_ms; /* the server's next reply at the earliest */
};

struct world {
	struct settings set;
	struct ehlo ehlo;
	struct peer peer;
	struct world_server server;
	struct moment now;
	struct lane *lane;
	struct rules *rules; /* NULL: codes alone count */
	struct list conns, events;
	bool is_kick_due, is_checking;
	int64_t timer_ms, patience_ms;
	int in_hand; /* messages being rendered */
	bool is_stranger; /* nothing is known of the server's wording */
	int slots; /* start_dial says no beyond; 0: no limit */

	struct buf file; /* the content of every message */
	struct world_message *messages;
	size_t count, max, backlog;
	const char *nexthop; /* of messages made from now on */
	const char *sender_domain; /* likewise; NULL: from.test */
	size_t logins; /* of all messages; 0: each has a sender of its own */
	size_t rcpts_each;
	/* ... their I-th recipient's; NULL: to.test */
	const char *domains_of[WORLD_RCPTS_MAX];
	struct domains *domains;
	/* A lane was made and has no mail yet. May be NULL. */
	void (*on_lane)(struct world *w);
	void *ctx; /* on_lane's */
	bool is_dying;

	size_t kicks, dials, conns_now, conns_peak, conns_refused, quits;
	size_t done, outcomes[3], ended[SESSION_END_ABORT + 1];
	size_t want; /* as on_want said last */
	size_t alarms, all_clears[ALARM_KINDS], too_many;
	bool too_many_was_open;
	bool has_login; /* that the server takes */
	const char *no_login; /* why there is none; NULL: none is wanted */
	/* The host took mail without one, as others know / were told. */
	bool takes_strangers;
	size_t strangers_told;
	/* Sessions begin with a login that leads, as long as none was refused;
	 * what became of them, by enum session_login_news. */
	bool leads;
	size_t news[LOGIN_CUT + 1];
	enum lane_stop was_stopped; /* by an earlier process */
	bool others_give_way; /* the answer to a throttle */
	size_t asked_to_give_way;
	bool calls_back; /* what an outage deferred */
	size_t owed, owed_in_doubt, owed_before, backs, released;
	size_t turned_away;
	size_t taken_by[8]; /* messages, by the number of the host */
	int64_t pause_told_us; /* to the other lanes */
	char alarm[WORLD_TEXT_SIZE]; /* "what: reply" of the last one */
	size_t rcpts_peak, domains_peak; /* of a transaction, of a session */
	size_t load_peak; /* most messages inside one session */
	int most_per_session;
	int64_t *arrivals_ms; /* when MAIL was seen by the server */
	size_t arrival_count, arrival_max;
};

/* Defaults of `class=fast`, an RTT of 100 ms, no lane yet. */
void world_init(struct world *w);
void world_fini(struct world *w);

/* Reply rules, one a line (or any table, which it takes over); before
 * world_open(). */
void world_set_rules(struct world *w, const char *text);

/* lane_domain_rate_limits; before world_open(). */
void world_set_domains(struct world *w, const char *text);

/* The lane, with w->set as it is; room for max messages. */
void world_open(struct world *w, size_t max);

/* The lane's process is killed and the next one begins. The server gets what
 * was on its way; its replies are lost. What was not decided is handed in
 * again, and may be taken twice. Messages of one recipient only. */
void world_restart(struct world *w);

/* Hands in count requests now / whenever the lane lets them in. */
void world_submit(struct world *w, size_t count);
void world_feed(struct world *w, size_t count);

/* The world's time; its things happen at whole milliseconds. */
static inline int64_t
world_ms(const struct world *w)
{
	return w->now.us / US_PER_MS;
}

/* Lives on for ms / until every message submitted or fed is decided, at most
 * for ms (else the test fails). */
void world_run(struct world *w, int64_t ms);
void world_finish(struct world *w, int64_t ms);

/* What is due now, without time passing. */
void world_settle(struct world *w);

/* The server says so on every connection, and nobody asked. */
void world_say(struct world *w, const char *text);

/* Every connection breaks, seen by the lane at once. */
void world_cut_all(struct world *w);

/* The only route. */
struct route *world_route(struct world *w);

/* All sent once, nothing else; peak connections within the limit. */
void world_check_all_sent(struct world *w);

#endif
