/* descriptors: how many a lane has, and what for.
 *
 *   limit = in use + kept + conversations + sessions + 2 x requests
 *
 * A request that is let in has two, its connection and its queue file, until
 * it is answered; a session has one, and can be had late. What it takes to
 * deliver a request is therefore set aside before any is let in: else requests
 * hold what the session that would carry them needs, and all stand still. Few
 * descriptors make a lane slow.
 *
 * Kept: files of the account, the resolver's sockets, the log's when it has to
 * be opened anew, and what else is opened now and then.
 */
#ifndef DESCRIPTORS_H
#define DESCRIPTORS_H

#include <stdbool.h>
#include <stddef.h>

enum { DESCRIPTORS_REQUEST = 2 }; /* connection and queue file */

struct descriptors {
	/* as it is */
	int limit; /* of this process */
	int in_use;
	/* what for */
	int kept;
	int conversations; /* with bounce(8), defer(8), ... at once */
	int sessions;
	int requests; /* inside at once */
};

/* The limit of this process, and what it has open below 65536. */
void descriptors_look(struct descriptors *d);

/* Shares out what is free: at most so many sessions and conversations; the
 * rest is for requests, since those that wait for a domain are many. False:
 * not even one of each can be had; needed is then the limit with which it
 * could. */
bool descriptors_plan(
    struct descriptors *d, int sessions, int conversations, int *needed_out);

#endif
