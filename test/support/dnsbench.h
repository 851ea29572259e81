/* dnsbench: a resolver and the name server that it asks, on one loop.
 *
 * The server knows some names below .test; what is not among them does not
 * exist, "broken.test" is a failure and "mute.test" is never answered.
 */
#ifndef DNSBENCH_H
#define DNSBENCH_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/engine/settings.h"
#include "agent/io/loop.h"
#include "agent/io/resolver.h"
#include "agent/smarthost/candidate.h"
#include "common/base/buf.h"

struct dnsbench {
	struct settings set;
	struct loop *loop;
	struct resolver *resolver;
	int fd; /* of the name server */
	struct loop_fd *watch;
	int dead_fd; /* of one that never answers */
	int questions, first_questions;
	struct buf asked; /* names, one blank before each */
	struct buf got; /* what was found, one blank before each */
	bool is_done;
	bool says_ad; /* the server, of all that it answers */
	bool has_do, has_ad; /* what the last question had */
	bool is_secure; /* the answer */
	char origin[RESOLVER_HOST_SIZE]; /* ... and of which name it is */
	enum resolver_status status;
	struct candidates *candidates;
	struct candidate_rests rests;
};

/* settings: "name=value;name=value"; first_is_dead: two servers. */
void dnsbench_begin_with(struct dnsbench *b, const char *settings,
    const char *resolv_conf, bool first_is_dead);
void dnsbench_begin(struct dnsbench *b, const char *protocols);
void dnsbench_end(struct dnsbench *b);

void dnsbench_set(struct dnsbench *b, const char *name, const char *value);

/* "address:port" of the server. */
void dnsbench_address(const struct dnsbench *b, char *out, size_t size);

/* A socket on a free port of loopback; "address:port" goes to out. */
int dnsbench_socket(char *out, size_t size);

/* Answers what arrived at b->fd. */
void dnsbench_on_question(void *ctx, bool readable, bool writable);

/* Appends what was found to b->got. */
void dnsbench_on_answer(void *ctx, const struct resolver_answer *answer);

/* Asks and waits; what was found, one blank before each. */
const char *dnsbench_find(struct dnsbench *b, const char *name, bool mx);

#endif
