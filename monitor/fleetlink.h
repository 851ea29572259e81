/* fleetlink: a question to the engine of a fleet, for who looks.
 *
 * Found and entered as a lane does it (agent/settings/fleet_access.h), on a
 * connection of its own, so that no lane's is disturbed. Blocks: three seconds
 * at most for the connection, six for each reply, which may have 4 MB; the
 * first that does not come is the end. What an engine says is printable when it
 * is shown, and never has the password.
 */
#ifndef FLEETLINK_H
#define FLEETLINK_H

#include <hiredis/hiredis.h>
#include <stdbool.h>

#include "agent/settings/fleet_access.h"

struct settings;

enum { FLEETLINK_WHY_SIZE = 256, FLEETLINK_SHA_SIZE = 41 };

struct fleetlink {
	struct fleet_access access; /* to be hidden in what it says */
	int fd; /* -1: there is none */
	struct tls_authorities *authorities; /* NULL: no TLS is asked for */
	struct tls_client *tls;
	redisReader *reader;
	char why[FLEETLINK_WHY_SIZE]; /* why not */
	/* The first command that it would not do, with its words; "": none. */
	char refused[FLEETLINK_WHY_SIZE];
};

static inline bool
fleetlink_is_open(const struct fleetlink *l)
{
	return l->fd >= 0;
}

/* By lane_fleet and lane_fleet_password_file. False: why has it. Close it in
 * any case. */
bool fleetlink_open(struct fleetlink *l, const struct settings *set);
void fleetlink_close(struct fleetlink *l);

/* The caller frees it, by freeReplyObject(). NULL: no reply (why) or an error
 * (refused). what: the command's name in words for people. */
redisReply *fleetlink_ask(
    struct fleetlink *l, const char *what, int argc, const char **argv);

/* The name of a script for EVALSHA. False: as NULL above. */
bool fleetlink_load(
    struct fleetlink *l, const char *script, char sha[FLEETLINK_SHA_SIZE]);

#endif
