/* route: one smarthost as one lane knows it: its sessions and what was learned.
 *
 * A lane normally has one route (its smarthost); there are more where requests
 * name other nexthops, or credentials depend on the sender. What is learned
 * here outlives sessions:
 *
 *   need     messages unanswered per session that the distance asks for
 *   depth    how many it may be trusted with: starts at 1, doubles with every
 *            good window up to need and lane_pipeline_depth, is cut by throttle
 *            replies and lost connections, back to 1 when a window was in doubt
 *   manner   how the server may be talked to
 *   quota    messages the server takes per session, when it closes earlier
 *            than lane_messages_per_connection ("closes after N"); for an
 *            hour, over processes
 *   backoff  between failed dials, doubling with jitter; live sessions go on
 *   outage   no session and no dial that worked for some time: requests are
 *            deferred with the reason until a dial works again
 *
 * Two of its states are written by one function each, in route.c, which knows
 * the allowed moves: can it be reached, and is it to be trusted with mail.
 * Engine; the lane's files write what is marked as theirs, all else is theirs
 * to read and these functions' to change.
 */
#ifndef ROUTE_H
#define ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/bdp.h"
#include "agent/engine/judgement.h"
#include "agent/engine/lane_no.h"
#include "agent/engine/manner.h"
#include "agent/engine/peer.h"
#include "agent/engine/session.h"
#include "agent/engine/tempo.h"
#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/smtp/dsn.h"

enum {
	/* With its jitter of a quarter a host is tried again within a minute;
	 * one that does not answer much sooner, since that disturbs nobody. */
	ROUTE_BACKOFF_FIRST_US = 1000000,
	ROUTE_BACKOFF_MAX_US = 45000000,
	ROUTE_BACKOFF_MAX_SILENT_US = 8000000,
	/* A route that nobody used is forgotten: sooner when there are
	 * many, as with credentials by sender and senders by message. */
	ROUTE_MEMORY_US = 600000000,
	ROUTE_MEMORY_SHORT_US = 5000000,
	ROUTE_MANY = 100,
	ROUTE_ALARM_WAITS = 10, /* the longest wait is so many first ones */
	ROUTE_DIALS = 32, /* whose beginning is known */
	ROUTE_WARY_FIRST = 100, /* messages */
	ROUTE_WARY_APART = 1000, /* at most, for what went well in between */
	ROUTE_WARY_MAX = 10000,
	ROUTE_WARY_FORGOTTEN = 10, /* after so many times as many messages */
	ROUTE_QUOTA_TIMES = 3, /* closed after so many: in a row, a rule */
	/* A dial that worked so long ago says that a refusal may be an
	 * accident, until so many in a row are refused. */
	ROUTE_DOUBT_US = 600000000,
	ROUTE_DOUBTS = 3,
	/* What failed a moment after it had worked is tried again for so long,
	 * whatever it was, before it is called an outage. */
	ROUTE_PATIENCE_US = 10000000,
	ROUTE_WORKED_US = 60000000,
	/* Of one sender alone a suspicion takes so many messages, none accepted
	 * in between. */
	ROUTE_SUSPICION_MESSAGES = 10,
};

/* After so long a suspicion, and a learned quota, are forgotten. */
#define ROUTE_SUSPICION_US (3600 * US_PER_S)
#define ROUTE_QUOTA_MEMORY_US (3600 * US_PER_S)

/* What the last dials say. It goes downwards, a step may be left out; a dial
 * that works leads back to the first. */
enum route_reach {
	ROUTE_REACHABLE,
	ROUTE_FAILING,
	/* Waiting helps no more: mail is deferred, or goes to another host. */
	ROUTE_DOWN,
};

/* What sessions and logins there say. It goes downwards, a step may be left
 * out; mail that is taken leads back to the first. */
enum route_trust {
	ROUTE_TRUSTED,
	/* A session that took no message at all was ended by the server: mail
	 * is kept from it, but for one at a time, until one is taken. */
	ROUTE_SUSPECT,
	/* Somebody has to look; until mail goes again. Or another host of the
	 * fleet is refused (is_doubted): one message finds out, and the others
	 * wait for it here. */
	ROUTE_ALARMED,
};

/* What kind of failure the last one was. */
struct route_failure_kind {
	bool is_soft; /* no reason to suspend the site */
	bool is_final; /* returns what waits in an outage */
	bool is_certificate; /* for the server's certificate */
	bool is_told; /* for want of a token: the operator knows already */
	bool is_transport; /* nobody answered: it costs nothing to ask */
};

/* A dial that failed; all is borrowed. */
struct route_failure {
	const struct dsn *dsn;
	const struct peer *peer; /* NULL: there was no connection */
	const char *reply; /* NULL: nothing was said */
	/* How long failures may go on, without a session, until it is called
	 * an outage; 0 where waiting cannot help (wrong password,
	 * configuration). */
	int64_t patience_us;
	struct route_failure_kind kind;
};

/* Somebody was told that we are not wanted; nobody else was, so far. */
struct suspicion {
	int64_t since_us; /* 0: none */
	uint64_t who; /* the first witness */
	int count;
};

struct lane_pace;

struct route {
	struct list link;
	uint64_t id; /* no other route of this lane ever has it */
	uint64_t hash; /* of list and sender, to find it (lane_hosts.c) */
	/* The lane's: the host, or hosts that are as good as each other
	 * (lane_hosts.c), */
	char *list; /* whose mail comes here: as the request names it */
	char *nexthops; /* for the dialer: one of the list */
	int number; /* which of them, from 1; smtp_fallback_relay last */
	int level; /* which of its MX preferences, from 0 */
	int levels; /* how many the last dial found; 0: none yet */
	char *past; /* "address:port" that is left out; "": none */
	char *sender; /* "" unless credentials depend on it */
	char *no_login; /* why its sessions have none, NULL: they need none; */
	bool offers_login; /* ... and the server offers AUTH */
	bool took_stranger; /* it has taken a message without a login */
	bool is_login_wanted; /* the alarm is for want of one */
	char *login; /* for alarms: the nexthops, and whose login it is */
	bool may_be_plain; /* its mail may go without TLS when TLS fails */
	struct lane_pace *pace; /* the lane's: what its account takes */
	void *io; /* the adapter's, NULL at first */

	/* ... its mail, its sessions, */
	int64_t used_us; /* it had mail or a connection */
	struct list waiting; /* transactions */
	struct list parkings; /* ... those for limited domains, lane_park.c */
	size_t waiting_count; /* all of them; */
	size_t parked_count; /* those whose domain has no token included */
	struct list sessions; /* lane_session.link */
	size_t session_count, dialing;
	int64_t full_us; /* it wanted one more than it could have; 0: never */
	size_t claimed; /* places of other routes' sessions, in one kick */
	bool has_none; /* ... its mail has no session and no dial */
	bool is_modest; /* ... and it wanted more than its share of them */
	int64_t short_us; /* it has mail and less than that; 0: it does not */
	int64_t spent_us; /* a session got its last message; 0: none lately */
	struct lane_no no; /* why the first that waits does not go */
	/* ... and what became of the mail while it could not be used. */
	bool has_next; /* at the last failure: another host takes its mail */
	bool is_bypassed; /* and that one does, as the log was told */
	int64_t passed_us; /* mail went on to that one; 0: never */
	size_t owed; /* messages deferred since all hosts of the list failed */
	int64_t place_asked_us; /* a session elsewhere was ended for a probe */
	int turned_away; /* sessions that took nothing since mail was taken */

	/* How long a dial takes: the newest was begun then, the last that
	 * worked took so long (0: none has). Those under way end in about the
	 * order in which they began. */
	int64_t dial_began_us, dial_took_us;
	int64_t dials_began_us[ROUTE_DIALS]; /* of those under way */
	size_t dials_first, dials_count;
	struct tempo tempo;
	struct manner manner; /* how it may be talked to */
	struct bdp bdp;
	int need; /* as of the last look; INT32_MAX: nobody knows */
	int depth, good_in_row;
	int wary; /* so many are to be accepted before depth doubles; 0: never
		     mind */
	int64_t wary_since_us; /* of those that began since */
	int64_t taken_since_doubt; /* messages, since a session died with any */
	int quota; /* learned; 0: none */
	int64_t quota_learned_us;
	/* The server leaves a session idle for so long; 0: as long as usual */
	int64_t idle_patience_us;
	int lost_after; /* messages before the last close by the server */
	int lost_in_row; /* closes at that count, none later in between */

	int64_t backoff_us, dial_not_before_us;
	/* Sessions and dials beside the one that was refused: so many may be
	 * had, and are replaced without a pause. 0: nothing was refused. */
	size_t sessions_proven;
	enum route_reach reach;
	int64_t failing_since_us; /* 0: it is reachable */
	enum route_trust trust;
	bool is_doubted; /* alarmed, and was not refused itself so far */
	int64_t worked_us; /* a dial did; 0: never yet */
	int refused_in_row; /* dials, with the words of an alarm */
	struct suspicion suspicions[WITNESS_DIALS]; /* by enum witness */
	int64_t alarm_wait_us; /* between tries while alarmed */
	unsigned alarms; /* of its life */
	int64_t rest_until_us; /* no dial before, not even a replacement */
	char
	    *ended_why; /* the last session that took nothing; NULL: none has */
	struct dsn failure; /* the last; valid unless it is reachable */
	struct route_failure_kind failure_kind;
	struct peer *failure_peer; /* NULL: there was no connection */
	char *failure_reply; /* NULL: nothing was said */
};

struct route *route_new(const char *nexthops, const char *sender);
void route_free(struct route **route);

/* How long things take, how the server may be talked to, and the depth, are the
 * same for another login at the same host: r, which never had a session, goes
 * by them. Which of two routes to go by: of a host that dies of full windows
 * the one that knows it, else the one that had more messages taken. */
void route_expect_as(struct route *r, const struct route *other);
bool route_is_example(const struct route *r, const struct route *other);

/* It was refused itself, and somebody has to look. */
static inline bool
route_is_refused(const struct route *r)
{
	return r->trust == ROUTE_ALARMED && !r->is_doubted;
}

/* Messages that may be unanswered on a session. */
static inline int
route_window(const struct route *r)
{
	if (r->is_doubted)
		return 1;
	return r->depth < r->need ? r->depth : r->need;
}

/* Of the newest session; text is copied, and NULL with a login. offered: the
 * server offers AUTH. */
void route_set_no_login(struct route *r, const char *text, bool offered);

/* A message was accepted that was begun at began_us; depth_max: what the
 * administrator allows. */
void route_on_accepted(struct route *r, int64_t began_us, int depth_max);

/* A throttle, a lost connection or a 421: cut the depth. */
void route_on_trouble(struct route *r);

/* A session ended after so many accepted messages; in_doubt: that it left so.
 * After more than one depth begins anew, since a server process that dies of a
 * full window takes them all. From then on each doubling takes a hundred
 * messages, twice as many each time, or twice those that went well between two
 * such ends; and any session that leaves a message in doubt begins it anew.
 * This is forgotten when ten times as many went well. */
void route_on_session_end(struct route *r, enum session_end how, int accepted,
    int in_doubt, uint32_t random, int64_t now_us);

/* Why such a session ended, where it was no wish of ours: what the next dial
 * waits for is told by it. */
void route_remember_end(struct route *r, const char *why);

/* A dial is begun. */
void route_on_dial(struct route *r, int64_t now_us);

/* Before the new session is counted. */
void route_on_dial_ok(struct route *r, int64_t now_us);

/* The two halves of that, for a session that has yet to log in: the connection
 * is there / the server has let us in. */
void route_on_connected(struct route *r, int64_t now_us);
void route_on_welcome(struct route *r, int64_t now_us);

/* It was to log in with mail behind, and was not let in. One dial, in which the
 * login stands alone, finds out why, at once. */
void route_on_login_refused(struct route *r, const struct dsn *dsn,
    const struct peer *peer, int64_t now_us);

/* Nothing is wrong with it, as far as is known. */
bool route_is_well(const struct route *r);

/* After a failure one dial finds out whether more is possible again, and it
 * is under way: many would only be many wrong passwords. */
bool route_is_being_tried(const struct route *r);

/* A dial now would only replace a session that is known to be allowed. */
bool route_may_replace(const struct route *r);

/* random: 32 random bits for the jitter. */
void route_on_dial_failed(struct route *r, const struct route_failure *failure,
    uint32_t random, int64_t now_us);

/* Its last session ended without a message taken, and there is another host:
 * an outage at once, over when it takes a message. */
void route_on_turned_away(struct route *r, const struct dsn *dsn,
    const struct peer *peer, int64_t now_us);

/* A message was accepted: what was suspected is not so. */
void route_on_good(struct route *r);

/* It refuses us until somebody looks: an outage at once, tried again with one
 * session after first_us, then less often, until mail is taken. */
void route_on_alarm(struct route *r, const struct dsn *dsn,
    const struct peer *peer, const char *reply, int64_t first_us,
    int64_t now_us);

/* The same, for want of a login. */
void route_on_login_wanted(struct route *r, const struct dsn *dsn,
    const struct peer *peer, const char *reply, int64_t first_us,
    int64_t now_us);

/* A dial was refused with the words of an alarm, and is not counted as ended
 * yet: true while that may be an accident, because a session lives, another
 * dial is under way, or one worked lately. */
bool route_may_doubt(struct route *r, int64_t now_us);

/* A reply that needs a witness of that kind came; who: which one it was. True:
 * it is not the first one, and nothing was accepted since then. */
bool route_suspect(
    struct route *r, enum witness witness, uint64_t who, int64_t now_us);

/* An earlier process raised an alarm that nothing has ended: one session tries,
 * at once, since whoever reloads may have repaired something. is_doubted: it
 * was another host's, as by route_on_doubt(). */
void route_recall_alarm(struct route *r, bool is_doubted);

/* Another host of the fleet is refused by it, and it is trusted: one session
 * finds out with one message, and what older ones have under way proves
 * nothing. It is not out of use for that, until it is refused itself. */
void route_on_doubt(struct route *r);

/* It took a message of a session without a login. True: the alarm was for want
 * of one, and is over. */
bool route_on_stranger_taken(struct route *r);

/* A session that began after the last alarm had a message accepted: true when
 * that ends the alarm. */
bool route_on_all_clear(struct route *r, unsigned alarms_before);

/* An operator wants it tried now, whatever failed and whoever asked not to. */
void route_retry(struct route *r);

/* No dial before then. */
void route_rest(struct route *r, int64_t until_us);

/* An earlier process learned a quota, at learned_us of this clock (which may
 * be before its start). An older one than is known is ignored. */
void route_load_quota(struct route *r, int messages, int64_t learned_us);

/* Messages a session may carry now. */
int route_quota(
    const struct route *r, int configured, int announced, int64_t now_us);

/* No session, no dial, and the next dial is not due yet. */
bool route_is_in_outage(const struct route *r, int64_t now_us);

#endif
