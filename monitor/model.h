/* model: what there is to know of the lanes and accounts of a site, at one
 * moment, as plain values.
 *
 *   site (main.cf, master.cf) --.
 *   board, slots.*, rates.* ----+--> model --> sentences, JSON, metrics
 *   the clock ------------------'
 *
 * A lane is here when master.cf has it or the board does. Texts are printable
 * and terminated; counts of rows are bounded. Times ending in _wall_ms are
 * milliseconds since the epoch, 0 is never. Reading takes about a millisecond,
 * blocks on nothing but the disk, and disturbs no lane (boardfile.h).
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/state/token_store.h"
#include "common/base/clock.h"
#include "common/limits/rate.h"
#include "common/shared/board.h"
#include "common/shared/session_id.h"
#include "common/shared/steer.h"
#include "monitor/model_fleet.h"
#include "monitor/site.h"
#include "monitor/slotsfile.h"

enum {
	MODEL_SCHEMA = 1, /* of the JSON document; see model_json.h */
	MODEL_REPLY = 256,
	MODEL_SECONDS = 60, /* whose messages are told one by one */
	MODEL_ORDERS = 24, /* of a lane; more are kept and not shown */
	MODEL_TOKENS = TOKEN_STORE_ROWS,
	/* A token that ends so soon, and has had no successor for so long, is
	 * worth a call. */
	MODEL_TOKEN_ENDS_MS = 600000,
	MODEL_TOKEN_FAILS_MS = 30000,
};

/* A limit in force. */
struct model_rate {
	const char *unit; /* messages, recipients, octets, connections */
	char text[RATE_TEXT_SIZE]; /* as it is written in main.cf: 5/1s */
	double per_s; /* what it allows on average */
	bool is_quota;
	int64_t limit, used; /* of a quota, in the period that ends now */
	int64_t next_wall_ms; /* one more may go then; 0: at once */
};

struct model_session {
	char id[SESSION_ID_SIZE];
	char host[BOARD_NAME]; /* "": not known, or too long */
	char peer[BOARD_NAME]; /* the address */
	const char *state; /* dialing, idle, busy, closing */
	int64_t since_wall_ms, opened_wall_ms;
	uint64_t messages, in_flight, depth, octets;
};

struct model_host {
	char host[BOARD_NAME];
	uint64_t depth, messages; /* found out; 0: unknown */
	int64_t rtt_us, updated_wall_ms;
	int64_t certificate_wall_ms; /* the end of the one it showed last */
};

struct model_poison {
	char id[32];
	bool is_in_hand; /* else: it was at so many crashes */
	uint64_t crashes;
	int64_t since_wall_ms;
};

struct model_account {
	const char *directory; /* lane_state_directory; borrowed of the site */
	uint64_t key;
	char label[BOARD_NAME]; /* never a login */
	bool is_in_use; /* a lane that runs has it */
	int limit, limit_now; /* connections: configured, in force */
	int64_t limited_until_wall_ms;
	struct slotsfile slots;
	uint64_t refusals;
	int64_t refused_wall_ms;
	char refusal[MODEL_REPLY]; /* the provider's words */
	struct model_rate rates[BOARD_RATES];
	size_t rate_count;
	struct model_host hosts[BOARD_HOSTS];
	size_t host_count;
	struct model_fleet fleet; /* size 0: it has none */
};

struct model_alarm {
	int64_t since_wall_ms;
	int64_t met_wall_ms; /* the last time; 0: not known */
	char what[32]; /* login, blocked, certificate, token, outage */
	char where[BOARD_NAME], reply[BOARD_WHY_ALL];
};

enum model_process {
	MODEL_NOT_STARTED, /* no process since the board was made */
	MODEL_RUNNING,
	MODEL_STOPPED, /* the last process left in order */
	MODEL_CRASHED, /* the last process is gone, and did not say so */
};

struct model_lane {
	char name[BOARD_NAME];
	char class[32];
	const struct site_lane *site; /* NULL: master.cf has it no more */
	const char *directory;
	enum model_process process;
	bool has_figures; /* the board has an entry */
	uint64_t pid;
	int64_t started_wall_ms, beat_wall_ms, counted_since_wall_ms;
	int account; /* index of model.accounts; -1: none yet */
	int held, reserve, wants, connection_limit; /* slots */
	uint64_t counters[BOARD_COUNTER_COUNT];
	int64_t gauges[BOARD_GAUGE_COUNT];
	struct board_hist hists[BOARD_HIST_COUNT];
	struct model_rate rates[BOARD_RATES]; /* its own */
	size_t rate_count;
	struct model_session sessions[BOARD_SESSIONS];
	size_t session_count;
	/* messages delivered each second, over the last whole ... */
	double per_s_10s, per_s_1min, per_s_1h;
	unsigned sent_in[MODEL_SECONDS]; /* each second, the last one last */
	enum board_wait waits; /* what most of its mail waits for; */
	char waits_for[BOARD_WHY_ALL]; /* in words */
	int64_t trouble_wall_ms; /* the last: 0 there was none */
	char trouble[MODEL_REPLY];
	struct model_alarm alarms[BOARD_ALARMS]; /* that have not ended */
	size_t alarm_count;
	uint64_t settings[BOARD_SETTINGS]; /* it started with; pending.h */
	/* what operators asked of it, and is in force or will be; until_s by
	 * the wall clock as it is */
	struct steer_order orders[MODEL_ORDERS];
	size_t order_count;
	struct model_poison poison[BOARD_POISON];
	size_t poison_count;
};

/* A state directory that was looked at. */
struct model_board {
	const char *directory;
	uint64_t version; /* of the board; 0: none was read */
	int64_t made_wall_ms;
	bool is_bad; /* there is one, and it cannot be read: */
	bool is_forbidden; /* ... by whoever asks */
	char why[200]; /* one sentence; "": it was read */
	char steer_why[200]; /* likewise, of what operators asked for */
};

/* An access token, as its service shows it. */
struct model_token {
	char name[TOKENPROTO_NAME_MAX + 8];
	int64_t end_wall_ms; /* of the one that is held; 0: none is */
	int64_t failing_wall_ms; /* since when none is to be had; 0: it is */
	bool is_lasting; /* until somebody changes something */
	char reason[TOKEN_STORE_REASON_SIZE];
};

struct model {
	const struct site *site; /* borrowed */
	struct moment now;
	struct model_board *boards;
	size_t board_count;
	struct model_account *accounts;
	size_t account_count;
	struct model_lane *lanes; /* those of master.cf first, as there */
	size_t lane_count;
	struct model_token tokens[MODEL_TOKENS];
	size_t token_count;
};

/* site must live as long as the model. Never fails: what could not be read is
 * missing, and model.boards says why. */
struct model *model_read(const struct site *site, struct moment now);
void model_free(struct model **model);

/* By the service's name or the one on the board; NULL: there is none. */
const struct model_lane *model_find(const struct model *m, const char *name);

/* Of what an operator asks for: the lane of this name, by either of both; NULL:
 * each that master.cf has or that runs. */
bool model_is_asked_for(const struct model_lane *lane, const char *name);

/* Its board is there and cannot be read: nothing is known of its process, nor
 * of what it did. */
bool model_is_unseen(const struct model *m, const struct model_lane *lane);

/* Most sessions: what a process that runs has room for, or was asked for, or as
 * set. */
int model_connection_limit(const struct model_lane *lane);

/* Most sessions of all lanes of its account; 0: not known. */
int model_account_connection_limit(const struct model_lane *lane);

/* Fetches fail, and lanes will be without it soon, or until somebody acts. */
bool model_token_is_ending(const struct model_token *t, int64_t now_wall_ms);

const char *model_process_name(enum model_process process);

static inline int64_t
model_wall_ms(const struct model *m)
{
	return (int64_t)m->now.wall.tv_sec * 1000 + m->now.wall.tv_usec / 1000;
}

#endif
