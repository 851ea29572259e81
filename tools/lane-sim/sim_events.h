/* sim_events: what will happen, in order of time; at one time, as it was put.
 *
 * A heap of events that are used again, with the octets they carry: a world
 * that lives for days allocates nothing while it does.
 */
#ifndef SIM_EVENTS_H
#define SIM_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

enum sim_event_kind {
	SIM_DIAL_ARRIVES, /* at the provider */
	SIM_DIAL_ENDS,
	SIM_TO_PROVIDER, /* octets */
	SIM_TO_LANE,
	SIM_END_TO_LANE, /* of the connection */
	SIM_END_TO_PROVIDER,
	SIM_LOOK, /* at the account's connections */
	SIM_SECOND,
};

struct sim_conn;

struct sim_event {
	int64_t at_ms;
	uint64_t order;
	enum sim_event_kind kind;
	struct sim_conn *conn; /* or NULL */
	struct buf octets;
	struct sim_event *next; /* while it is spare */
};

struct sim_events {
	struct sim_event **heap, *spare;
	size_t count, room;
	uint64_t order;
};

void sim_events_fini(struct sim_events *q);

/* With no octets yet; add them before it is due. */
struct sim_event *sim_events_put(struct sim_events *q, int64_t at_ms,
    enum sim_event_kind kind, struct sim_conn *conn);

/* INT64_MAX: there is none. */
int64_t sim_events_next_ms(const struct sim_events *q);

/* The first one, to be given back when it has happened. */
struct sim_event *sim_events_take(struct sim_events *q);
void sim_events_give_back(struct sim_events *q, struct sim_event *e);

#endif
