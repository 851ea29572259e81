/* mail_world_private: the inside of the world, for its two files alone. */
#ifndef MAIL_WORLD_PRIVATE_H
#define MAIL_WORLD_PRIVATE_H

#include "test/model/mail_world.h"

#include "agent/engine/lane.h"
#include "common/base/list.h"
#include "test/support/queue_source.h"

enum {
	OUT_MAX = 4 << 20,
	CONTENT_MAX = 1 << 20,
	LARGE_OCTETS = 70000, /* two chunks */
	LINE_OCTETS = 900,
	EVENTS_MAX = 4000, /* of a run; more is going round in circles */
	KICKS_MAX = 100,
	CONNS_MAX = 2,
	STOP_WAIT_US = 3000000, /* as in agent.c */
	DRAIN_WAIT_US = 60000000,
	PULL_MAX = 65536,
};

/* What the process is about; see agent/phase.h. */
enum life {
	LIFE_SERVING,
	LIFE_DRAINING, /* reload: the next process follows */
	LIFE_STOPPING,
	LIFE_LAST, /* all is decided: sessions say QUIT */
};

struct conn {
	struct list link;
	struct mail_world *w;
	struct route *route;
	struct lane_session *ls; /* NULL while dialling */
	struct buf out; /* pulled, and not taken by the kernel */
	bool has_output, is_told_closed, is_slow;
	struct server server;
};

struct mail {
	struct request *req; /* NULL: nobody has it */
	struct queue_source source;
	char sender[24], queue_id[16];
	char rcpts[LEDGER_RCPTS][24];
	size_t index[LEDGER_RCPTS]; /* of the request's recipients: ours */
	size_t left; /* of them undecided */
};

struct mail_world {
	const struct model *model;
	struct explore *x;
	struct settings set;
	struct ehlo ehlo;
	struct peer peer;
	struct ledger ledger;
	struct server_site site;
	struct buf files[LEDGER_MAILS], contents[LEDGER_MAILS];
	struct mail mails[LEDGER_MAILS];

	struct moment now;
	struct lane *lane;
	struct list conns;
	enum life life;
	int64_t timer_us, finale_us;
	bool is_kick_due, is_dying, was_aborted, is_told;
	bool had_end; /* a process of this run was made to end */
	uint64_t events, run_events;
};

static inline struct conn *
conn_of(struct list *link)
{
	return list_entry(link, struct conn, link);
}

void model_conn_free(struct conn *c);

/* The dialogue, if it is told. */
void model_tell(const struct mail_world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void model_tell_octets(
    const struct conn *c, const char *way, const char *p, size_t n);

/* What a lane asks of those around it. */
struct lane_ops model_lane_ops(struct mail_world *w);

#endif
