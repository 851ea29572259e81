/* lane_world_private: the inside of the world, for its three files alone. */
#ifndef LANE_WORLD_PRIVATE_H
#define LANE_WORLD_PRIVATE_H

#include "test/support/lane_world.h"

enum event_kind { EVENT_DIALLED, EVENT_TO_SERVER, EVENT_TO_LANE, EVENT_CLOSE };

struct event {
	struct list link;
	int64_t at_ms;
	enum event_kind kind;
	struct world_conn *conn;
	struct buf octets;
};

static inline struct event *
event_of(struct list *link)
{
	return list_entry(link, struct event, link);
}

/* The world as its lane sees it. */
struct lane_ops world_lane_ops(struct world *w);

enum { WORLD_OUT_MAX = 8 << 20 };

struct event *world_event_new(
    struct world_conn *c, enum event_kind kind, int64_t at_ms);
void world_event_free(struct event *e);

/* Its events, too. */
void world_conn_free(struct world_conn *c);

/* One command or stretch of content of c->in; false: nothing complete is
 * left. */
bool world_server_eat(struct world_conn *c);

#endif
