/* ares_loop: a channel of c-ares on the loop.
 *
 * Its sockets and its next time-out are watched; answers come by the callbacks
 * of the questions, from the loop or from within ares_query(). The channel is
 * set up as resolv.conf(5) says.
 */
#ifndef ARES_LOOP_H
#define ARES_LOOP_H

#include <ares.h>
#include <stdbool.h>

#include "agent/io/loop.h"
#include "agent/io/resolvconf.h"

struct ares_loop;

struct ares_loop_setup {
	const struct resolvconf *conf; /* patience, and order of the servers */
	/* Instead of those that c-ares finds in resolv.conf, as for
	 * ares_set_servers_ports_csv(3); or NULL. */
	const char *servers;
	bool is_cacheless; /* each question is asked */
};

/* ares_library_init() was called. Not ARES_SUCCESS: *out is NULL. */
int ares_loop_new(struct ares_loop **out, struct loop *loop,
    const struct ares_loop_setup *setup);

/* Ends all questions, each with its callback. */
void ares_loop_free(struct ares_loop **a);

/* For questions; ares_loop_asked() after each. */
ares_channel ares_loop_channel(const struct ares_loop *a);
void ares_loop_asked(struct ares_loop *a);

#endif
