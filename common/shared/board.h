/* board: the layout of the file in which lanes keep their figures.
 *
 *   header | accounts[16] | lanes[32]
 *             hosts[16]      counters, gauges, histograms, poison notes,
 *             rates          session rows, orders, learned, rates
 *
 * One file per state directory; lanes map it, readers pread it whole. Each
 * figure is an aligned 64-bit word written with one atomic store or add, so
 * a crash leaves the last figures and no lock is needed to read them. Strings
 * are written octet by octet: a reader may see one half changed and must take
 * each as bounded and unterminated (board_text()). Times ending in _wall_ms
 * are milliseconds since the epoch, because readers outlive reboots.
 *
 * Who is alive is told by locks, not by pids: a running lane holds a write
 * lock (F_OFD_SETLK) on octet BOARD_LOCK_LANE + index of the file.
 *
 * Metrics are declared once, in BOARD_COUNTERS, BOARD_GAUGES and BOARD_HISTS;
 * lint and test/integration/test_figures.py hold each to having a writer.
 * Counters and histograms only grow: the lane's next process goes on where
 * the last one was, and counted_since_wall_ms says since when.
 * The layout never changes without BOARD_VERSION; new metrics go to the end of
 * their list and use up spare words. No syscalls here.
 */
#ifndef BOARD_H
#define BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BOARD_MAGIC UINT64_C(0x31647262656e6c70) /* "plnebrd1" */

enum {
	BOARD_VERSION = 3,
	BOARD_ACCOUNTS = 16,
	BOARD_HOSTS = 16, /* smarthosts remembered per account */
	BOARD_PORTS = 3, /* of a smarthost, of which something is known */
	BOARD_LANES = 32,
	BOARD_SESSIONS = 256, /* rows per lane; more sessions go unlisted */
	BOARD_POISON = 64, /* notes per lane */
	BOARD_NAME = 64,
	BOARD_COUNTER_WORDS = 96,
	BOARD_GAUGE_WORDS = 32,
	BOARD_HIST_SLOTS = 8,
	BOARD_HIST_BUCKETS = 288,
	BOARD_RATE_BYTES = 8192,
	BOARD_RATES = 16, /* limits of a lane, or of an account */
	BOARD_RATE_WORDS = 8, /* of each */
	BOARD_LEARNED = 64, /* words */
	BOARD_RING_SECONDS = 64,
	BOARD_RING_TENS = 384, /* of ten seconds each: an hour and some */
	BOARD_ALARMS = 4, /* shown of a lane; it may have more */
	BOARD_WHY = 128,
	BOARD_SETTINGS = 57, /* words */
	BOARD_WHY_MORE = 192, /* what of such a text goes on elsewhere */
	BOARD_WHY_ALL = BOARD_WHY + BOARD_WHY_MORE,
	/* Connections, and the rates of messages, recipients, octets and new
	 * connections, of each as many as can be written. */
	BOARD_FLEET_LIMITS = 17,
	BOARD_FLEET_LESSONS = 3,

	/* lock octets in the board file */
	BOARD_LOCK_LANE = 0,
};

#define BOARD_COUNTERS(X)                                                      \
	X(requests, "delivery requests read from the queue manager")           \
	X(requests_dropped, "requests given up by the queue manager unsent")   \
	X(messages_sent, "messages with at least one recipient delivered")     \
	X(messages_deferred, "messages with at least one recipient deferred")  \
	X(messages_bounced, "messages with at least one recipient bounced")    \
	X(recipients_sent, "recipients delivered")                             \
	X(recipients_deferred, "recipients deferred, whatever for")            \
	X(recipients_bounced, "recipients bounced, softly included")           \
	X(recipients_probed, "recipients looked into for verify(8) and -bv")   \
	X(deferred_reply, "recipients deferred: a reply of the smarthost")     \
	X(deferred_lost, "recipients deferred: the session was lost")          \
	X(deferred_rate,                                                       \
	    "recipients deferred: a rate limit of lane or account")            \
	X(deferred_domain, "recipients deferred: a limit of their domain")     \
	X(deferred_pause,                                                      \
	    "recipients deferred: the smarthost asked for a pause")            \
	X(deferred_wait, "recipients deferred: no turn in lane_wait_limit")    \
	X(deferred_unreachable, "recipients deferred: no session to be had")   \
	X(deferred_alarm, "recipients deferred: an alarm stopped the lane")    \
	X(deferred_config, "recipients deferred: configuration error")         \
	X(deferred_crowded,                                                    \
	    "recipients deferred: the active queue was crowded")               \
	X(deferred_local, "recipients deferred: other trouble of our own")     \
	X(octets_sent, "message octets given to sessions, encoding included")  \
	X(transactions, "MAIL commands sent")                                  \
	X(resets, "RSET commands sent")                                        \
	X(chunks, "BDAT commands sent")                                        \
	X(dials, "dials begun")                                                \
	X(dials_ok, "dials that became sessions")                              \
	X(dials_failed, "dials that failed")                                   \
	X(dials_refused, "dials refused for the number of connections")        \
	X(tls_full, "full TLS handshakes")                                     \
	X(tls_resumed, "resumed TLS handshakes")                               \
	X(auths_ok, "logins accepted")                                         \
	X(auths_failed, "logins refused")                                      \
	X(closed_spent, "sessions closed: had their share of messages")        \
	X(closed_age, "sessions closed: age limit")                            \
	X(closed_idle, "sessions closed: idle")                                \
	X(closed_surplus, "sessions closed: another lane waits for a slot")    \
	X(closed_errors, "sessions closed: refused too often, or an alarm")    \
	X(closed_421, "sessions closed by a 421 reply")                        \
	X(closed_lost, "sessions lost: closed or reset without a 421")         \
	X(closed_timeout, "sessions closed: no reply in time")                 \
	X(closed_protocol, "sessions closed: replies out of step")             \
	X(closed_stop, "sessions closed: reload or stop")                      \
	X(replies_421, "421 replies, to dials included")                       \
	X(throttled, "replies that ask to slow down or to pause")              \
	X(lessons_pace, "slowed down by replies, once for a flight of them")   \
	X(lessons_pause, "pauses that replies asked for")                      \
	X(lessons_quota, "times the messages of a session were found out")     \
	X(lessons_connections, "times fewer connections were found out")       \
	X(lessons_manner, "times a slower way to talk was found out")          \
	X(lessons_alarm, "alarms that stopped the lane")                       \
	X(retries, "transactions returned by a session, to be sent again")     \
	X(in_doubt, "recipients whose reply was lost after all was sent")      \
	X(poisoned, "messages set aside after crashes")                        \
	X(corrupt, "queue files that could not be read whole")                 \
	X(reports_failed,                                                      \
	    "conversations with bounce(8), defer(8)... that failed")           \
	X(slots_taken, "connection slots taken")                               \
	X(slots_refused, "connection slots asked for in vain")                 \
	X(kicks, "runs of the scheduler")                                      \
	X(crowd_deferred, "messages given back: active queue was crowded")     \
	X(crowd_called_back, "of these, called back when there was room")      \
	X(log_lines_lost, "log lines that no receiver took in time")           \
	X(auths_led, "of the logins accepted, those sent with mail behind")

#define BOARD_GAUGES(X)                                                        \
	X(requests_waiting, "requests waiting for a session")                  \
	X(requests_in_flight, "requests on the wire")                          \
	X(reports_pending, "requests whose verdicts are being reported")       \
	X(sessions_dialing, "sessions being set up")                           \
	X(sessions_idle, "sessions ready and idle")                            \
	X(sessions_busy, "sessions with messages on the wire")                 \
	X(sessions_closing, "sessions waiting for the reply to QUIT")          \
	X(rate_milli, "messages per 1000 seconds allowed now, 0 unlimited")    \
	X(paused_until_wall_ms, "no mail before this time, 0 not paused")      \
	X(requests_parked, "of the waiting, for the limit of a domain")        \
	X(oldest_wall_ms, "since when the oldest request waits, 0 none does")  \
	X(messages_active, "messages in the active queue, of all transports")  \
	X(crowd_relieving, "1: surplus is given back, active is crowded")      \
	X(crowd_given_back, "messages to be called back when there is room")   \
	X(wakeup_wall_ms, "when the lane looks again by itself, 0 never")      \
	X(certificate_wall_ms, "end of our certificate, 0 there is none")      \
	X(waits_reason, "what most of the mail waits for, see BOARD_WAITS")    \
	X(alarms_raised, "alarms that stand now")                              \
	X(alerts_pending, "alerts that URL or command have not taken yet")     \
	X(outage_noted, "messages to be called back when an outage ends")      \
	X(domains_limited, "recipient domains whose limit is not full again")  \
	X(hosts_bypassed, "hosts whose mail goes to the next of their list")

/* In microseconds. */
#define BOARD_HISTS(X)                                                         \
	X(queue_wait, "from the request being read to its MAIL")               \
	X(session_wait, "from mail that wants a session to having one")        \
	X(wire_time, "from MAIL to the reply that decides")                    \
	X(dial_time, "from connect to the session being ready")                \
	X(report_time, "from the last verdict to the final status")            \
	X(postfix_wait, "from arrival in Postfix to the request that ended "   \
			"it, being read")                                      \
	X(fleet_renew, "from a question to the fleet's engine to its answer")

/* What mail waits for: name, as shown and in JSON. They keep their order. */
#define BOARD_WAITS(X)                                                         \
	X(NOTHING, "nothing")                                                  \
	X(TURN, "turn") /* comes in the next moment */                         \
	X(RATE, "rate") /* a limit that was set, of lane or account */         \
	X(PACE, "pace") /* the one that was found out by replies */            \
	X(PAUSE, "pause") /* the smarthost asked for it */                     \
	X(WINDOW, "window") /* as much under way as it is known to take */     \
	X(CONNECTION, "connection") /* being set up */                         \
	X(CONNECTION_LIMIT, "connection-limit") /* lane_connection_limit */    \
	X(CONNECTION_RATE, "connection-rate")                                  \
	X(SLOT, "slot") /* of the account's connections */                     \
	X(REST, "rest") /* the smarthost wants no connection for a while */    \
	X(ALARM, "alarm") /* one session finds out whether it is over */       \
	X(BACKOFF, "backoff") /* after a failed connection */                  \
	X(OUTAGE, "outage") /* no host can be reached */                       \
	X(DOMAIN, "domain") /* a limit of the recipient domain */              \
	X(OPERATOR, "operator") /* postlane pause */                           \
	X(STOPPING, "stopping") /* the process ends, another takes over */     \
	X(SETTINGS, "settings") /* all mail is deferred: they cannot be used   \
				 */

/* State of a session row: name, as shown. */
#define BOARD_SESSION_STATES(X)                                                \
	X(FREE, "free")                                                        \
	X(DIALING, "dialing")                                                  \
	X(IDLE, "idle")                                                        \
	X(BUSY, "busy")                                                        \
	X(CLOSING, "closing")

/* What a rate counts: name, as shown. */
#define BOARD_RATE_UNITS(X)                                                    \
	X(FREE, "")                                                            \
	X(MESSAGES, "messages")                                                \
	X(RECIPIENTS, "recipients")                                            \
	X(OCTETS, "octets")                                                    \
	X(CONNECTIONS, "connections")

/* What the fleet's engine said last of a limit: name, as shown. */
#define BOARD_FLEET_WORDS(X)                                                   \
	X(FREE, "")                                                            \
	X(NONE, "none") /* nothing to this process; its memory may hold */     \
	X(OK, "ok")                                                            \
	X(STALE, "stale") /* another process, or host, has this name */        \
	X(FULL, "full") /* there are lane_fleet_size other hosts */

#define BOARD_ENUM(name, help) BOARD_COUNTER_##name,
enum board_counter { BOARD_COUNTERS(BOARD_ENUM) BOARD_COUNTER_COUNT };
#undef BOARD_ENUM
#define BOARD_ENUM(name, help) BOARD_GAUGE_##name,
enum board_gauge { BOARD_GAUGES(BOARD_ENUM) BOARD_GAUGE_COUNT };
#undef BOARD_ENUM
#define BOARD_ENUM(name, help) BOARD_HIST_##name,
enum board_hist_id { BOARD_HISTS(BOARD_ENUM) BOARD_HIST_COUNT };
#undef BOARD_ENUM
#define BOARD_ENUM(name, text) BOARD_SESSION_##name,
enum board_writer_session_state {
	BOARD_SESSION_STATES(BOARD_ENUM) BOARD_SESSION_STATE_COUNT
};
#undef BOARD_ENUM

enum board_lane_state {
	BOARD_LANE_FREE,
	BOARD_LANE_RUNNING, /* without its lock: the lane crashed */
	BOARD_LANE_STOPPED, /* left in order; figures are kept */
};

#define BOARD_ENUM(name, text) BOARD_WAIT_##name,
enum board_wait { BOARD_WAITS(BOARD_ENUM) BOARD_WAIT_COUNT };
#undef BOARD_ENUM

#define BOARD_ENUM(name, text) BOARD_RATE_##name,
enum board_rate_unit { BOARD_RATE_UNITS(BOARD_ENUM) BOARD_RATE_UNIT_COUNT };
#undef BOARD_ENUM

#define BOARD_ENUM(name, text) BOARD_FLEET_##name,
enum board_fleet_word { BOARD_FLEET_WORDS(BOARD_ENUM) BOARD_FLEET_WORD_COUNT };
#undef BOARD_ENUM

enum board_poison_state {
	BOARD_POISON_FREE,
	BOARD_POISON_IN_HAND, /* without the lane's lock: it crashed there */
	BOARD_POISON_DRAINING, /* in the hand of a draining child */
	BOARD_POISON_CRASHED, /* was in hand at `crashes` crashes */
};

/* Latencies in us: values below 8 exactly, above with 8 steps per octave. */
struct board_hist {
	uint64_t count, sum;
	uint64_t buckets[BOARD_HIST_BUCKETS];
};

struct board_poison {
	uint64_t key; /* board_hash() of id; 0: row not in use */
	uint64_t state; /* enum board_poison_state */
	uint64_t crashes;
	uint64_t since_wall_ms;
	char id[32]; /* queue id */
};

struct board_session {
	uint64_t state; /* enum board_writer_session_state */
	uint64_t since_wall_ms; /* in this state */
	uint64_t messages; /* carried so far */
	uint64_t in_flight; /* unanswered */
	uint64_t depth; /* may be unanswered */
	uint64_t octets;
	uint64_t opened_wall_ms;
	uint64_t id; /* common/shared/session_id.h */
	char peer[BOARD_NAME]; /* host[address]; the address if that is all
				  there is, or has room */
};

/* How often something happened lately: of each second, and of each ten seconds.
 * A word is the number of its span since the epoch, << 32, and the count. */
struct board_ring {
	uint64_t seconds[BOARD_RING_SECONDS];
	uint64_t tens[BOARD_RING_TENS];
};

/* The last thing that went wrong, in its own words. */
struct board_trouble {
	uint64_t wall_ms; /* 0: nothing did */
	char text[256];
};

/* What has stopped the lane, for somebody to look at. */
struct board_alarm {
	uint64_t since_wall_ms; /* 0: row not in use */
	char what[32]; /* alarm_kind_name() */
	char where[BOARD_NAME], reply[BOARD_WHY];
};

/* A limit in force, as a copy to look at. */
struct board_rate {
	uint64_t unit; /* enum board_rate_unit */
	uint64_t count_milli, period_us; /* thousandths in so many us */
	uint64_t burst; /* 0: a quota */
	uint64_t used; /* of a quota, in the period that ends now */
	uint64_t next_wall_ms; /* one more may go then; 0: at once */
	uint64_t spare[2];
};

struct board_lane {
	char name[BOARD_NAME], class[32];
	uint64_t state; /* enum board_lane_state */
	uint64_t pid, generation; /* both new for each process */
	uint64_t started_wall_ms, beat_wall_ms;
	uint64_t account; /* index + 1, 0 none; check it */
	uint64_t held, reserve, wants; /* connection slots */
	uint64_t connection_limit;
	uint64_t counted_since_wall_ms; /* figures were never reset since */
	uint64_t spare[9];
	uint64_t counters[BOARD_COUNTER_WORDS];
	uint64_t gauges[BOARD_GAUGE_WORDS]; /* int64_t, two's complement */
	struct board_hist hists[BOARD_HIST_SLOTS];
	struct board_poison poison[BOARD_POISON];
	struct board_session sessions[BOARD_SESSIONS];
	uint64_t orders[32]; /* the operator's wishes */
	uint64_t learned[BOARD_LEARNED]; /* its own layout,
					    agent/state/pace_store.c */
	struct board_rate rates[BOARD_RATES]; /* its own */
	struct board_ring sent; /* messages_sent */
	struct board_trouble trouble;
	struct board_alarm alarms[BOARD_ALARMS];
	char waits_for[BOARD_WHY]; /* what mail waits for; "": none does */
	/* Of alarms[i]: when it was met last, to a second, or to a minute if by
	 * an earlier process; 0: not known. */
	uint64_t alarms_met_wall_ms[BOARD_ALARMS];
	/* Behind waits_for and alarms[i].reply: board_long_text(). */
	char waits_for_more[BOARD_WHY_MORE];
	char alarms_reply_more[BOARD_ALARMS][BOARD_WHY_MORE];
	/* Those it started with, agent/settings/fingerprint.h. */
	uint64_t settings[BOARD_SETTINGS];
	uint64_t spare_rate[219 - BOARD_ALARMS -
			    (BOARD_ALARMS + 1) * BOARD_WHY_MORE / 8 -
			    BOARD_SETTINGS];
	uint64_t spare_end[48];
};

/* What was learned about one smarthost of an account. */
struct board_host {
	uint64_t key; /* board_hash() of the host; 0: row not in use */
	uint64_t depth; /* proven pipeline depth, 0 unknown */
	uint64_t messages; /* the peer closes after so many, 0 unknown */
	uint64_t rtt_us;
	uint64_t updated_wall_ms;
	uint64_t messages_wall_ms; /* when `messages` was found out */
	uint64_t manner; /* as the agent packs it, 0 nothing */
	uint64_t manner_wall_ms; /* when that was found out */
	uint64_t certificate_wall_ms; /* its end, as shown last; 0 unknown */
	uint64_t login_fault_wall_ms; /* port << 48 | AUTH led, and failed */
	uint64_t login_led_wall_ms; /* port << 48 | it was answered; 0: never */
	/* Mail was taken without a login: port << 48 | seconds since the epoch,
	 * of so many ports; 0: row not in use. */
	uint64_t stranger_taken[BOARD_PORTS];
	/* How it words its replies, as the agent packs it into 56 bits each;
	 * above them an octet each of the day when that was so, since the
	 * epoch. 0: unknown. */
	uint64_t wordings[2];
	char host[BOARD_NAME];
};

/* This host's share of one limit of an account that a fleet shares. Amounts are
 * connections, units of a quota, or thousandths of a unit in a rate's period;
 * shown as it was at board_fleet.told_wall_ms. */
struct board_fleet_limit {
	char unit[32]; /* "connections", "messages/1s", "octets/1d!" */
	uint64_t word; /* enum board_fleet_word; FREE: row not in use */
	uint64_t limit; /* of all hosts together */
	uint64_t base; /* ours with or without engine: limit / size */
	uint64_t share; /* what is obeyed now */
	uint64_t want; /* what could be used, as asked last */
	uint64_t target; /* a fair part, as answered last */
	uint64_t in_use; /* of connections and quotas */
	uint64_t until_wall_ms; /* the lease's end; 0: there is none */
	uint64_t answered_wall_ms; /* last OK; 0: none is known */
	uint64_t known; /* hosts that the engine has heard of */
	uint64_t renewals; /* answers that counted, since the file was made */
	uint64_t failures; /* questions without one */
	uint64_t over_us; /* time with more in use than the share */
	uint64_t spare[11];
};

/* What another host learned of the provider and this one obeys, in the order of
 * enum fleet_lesson_kind (fleet.h). */
struct board_fleet_lesson {
	uint64_t until_wall_ms; /* 0: nothing was heard */
	uint64_t value;
	char host[BOARD_NAME];
};

/* A fleet's account, as the lane sees it that speaks for this host. */
struct board_fleet {
	uint64_t told_wall_ms; /* each second while somebody speaks; 0: never */
	uint64_t size; /* lane_fleet_size; 0: no fleet */
	uint64_t ttl_ms, forget_ms;
	uint64_t is_up; /* 1: the engine answers */
	uint64_t since_wall_ms; /* ... or does not, since then */
	uint64_t alone_ms; /* all time without it, since the file was made */
	uint64_t epoch; /* of the process that speaks */
	uint64_t lane; /* its index + 1; check it */
	uint64_t spare[15];
	char name[BOARD_NAME]; /* lane_fleet_name */
	char engine[BOARD_NAME]; /* lane_fleet */
	char trouble[BOARD_WHY]; /* why it does not answer; "": it does */
	struct board_fleet_limit limits[BOARD_FLEET_LIMITS];
	struct board_fleet_lesson heard[BOARD_FLEET_LESSONS];
};

struct board_account {
	uint64_t key; /* board_hash() of the account; 0: row not in use */
	char label[BOARD_NAME]; /* board_label(): never a login */
	uint64_t used_wall_ms; /* last opened by a lane */
	uint64_t limit; /* configured: smallest of the live lanes */
	uint64_t limit_now; /* in force */
	uint64_t limited_until_wall_ms; /* whole limit back; 0 not limited */
	uint64_t held, resting; /* slots, all processes */
	uint64_t refusals, refused_wall_ms;
	uint64_t spare[15];
	char refusal[256]; /* the peer's words, printable */
	struct board_host hosts[BOARD_HOSTS];
	struct board_rate rates[BOARD_RATES]; /* shared by its lanes */
	uint64_t
	    spare_rate[BOARD_RATE_BYTES / 8 - BOARD_RATES * BOARD_RATE_WORDS];
	struct board_fleet fleet;
	uint64_t spare_end[14];
};

struct board_head {
	uint64_t magic, version, size;
	uint64_t accounts_off, account_size, account_count;
	uint64_t lanes_off, lane_size, lane_count;
	uint64_t made_wall_ms;
	uint64_t boot; /* of the last opener; monotonic times are its */
	uint64_t generations; /* last one given to a lane */
	uint64_t spare[500];
};

struct board {
	struct board_head head;
	struct board_account accounts[BOARD_ACCOUNTS];
	struct board_lane lanes[BOARD_LANES];
};

enum { BOARD_SIZE = sizeof(struct board) };

struct board_metric {
	const char *name, *help;
};

extern const struct board_metric board_counters[BOARD_COUNTER_COUNT];
extern const struct board_metric board_gauges[BOARD_GAUGE_COUNT];
extern const struct board_metric board_hists[BOARD_HIST_COUNT];

static inline uint64_t
board_load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static inline void
board_store(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

static inline void
board_bump(uint64_t *word, uint64_t n)
{
	(void)__atomic_fetch_add(word, n, __ATOMIC_RELAXED);
}

/* A fresh board at b (BOARD_SIZE octets, zeroed). */
void board_init(struct board *b, uint64_t now_wall_ms);

/* Is this a board of our version and size? false: why (of n octets) says what
 * is wrong. */
bool board_check(
    const struct board_head *h, uint64_t file_size, char *why, size_t n);

/* 64-bit hash of a name, never 0. Not secret: keep files that carry it 0600. */
uint64_t board_hash(const char *text);

/* What may be shown of an account's name, which is "host" or "host login"
 * (one blank between): its first word, or "account-HASH" when that holds an
 * "@" and so may be a login itself. n >= BOARD_NAME. */
void board_label(const char *account, char *label, size_t n);

/* Copies a string field: bounded, terminated, printable. n > 0. */
void board_text(const char *field, size_t field_size, char *text, size_t n);
/* Stores text in a string field, cut to fit, always terminated. */
void board_store_text(char *field, size_t field_size, const char *text);

/* Cuts text behind a word, with " ...", if it is longer than n - 1. */
void board_cut(char *to, size_t n, const char *text);

/* Likewise of a field that goes on in another one; what does not fit into both
 * is cut behind a word, with " ...". */
void board_long_text(const char field[BOARD_WHY],
    const char more[BOARD_WHY_MORE], char *text, size_t n);
void board_store_long(
    char field[BOARD_WHY], char more[BOARD_WHY_MORE], const char *text);

/* One more at now_s, seconds since the epoch. Several processes may. */
void board_ring_add(struct board_ring *r, uint64_t now_s);

/* How many in the span_s whole seconds before now_s: 1 to 60, or a multiple of
 * ten up to 3600, of which the first ten seconds count as if it had been even.
 */
uint64_t board_ring_sum(
    const struct board_ring *r, unsigned span_s, uint64_t now_s);

const char *board_session_state_name(uint64_t state);
const char *board_rate_unit_name(uint64_t unit);
const char *board_wait_name(uint64_t wait);
const char *board_fleet_word_name(uint64_t word);

/* The bucket that counts us, and the smallest value a bucket counts. */
unsigned board_hist_bucket(uint64_t us);
uint64_t board_hist_floor(unsigned bucket);
void board_hist_add(struct board_hist *h, uint64_t us);

/* The value below which a share (0 .. 1) of the observations lies, to within
 * one step (an eighth of an octave, upper end); 0 without observations. */
uint64_t board_hist_quantile(const struct board_hist *h, double share);

#endif
