/* daemon: a stand-in for one of Postfix's bounce family, on the test's loop.
 *
 * Keeps the octets of the last request and answers in a given manner, which
 * may be changed at any time.
 */
#ifndef DAEMON_H
#define DAEMON_H

#include <stddef.h>
#include <stdint.h>

#include "agent/io/loop.h"
#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/postfix/attr.h"

enum daemon_manner {
	DAEMON_OBEY,
	DAEMON_REFUSE, /* status -1 */
	DAEMON_HANG_UP, /* after the request */
	DAEMON_HANG_UP_AT_ONCE,
	DAEMON_BABBLE, /* an answer without a status */
	DAEMON_STAY_SILENT,
	DAEMON_HOLD, /* obey when released */
	DAEMON_GREET_WRONGLY,
};

struct daemon_client {
	struct list link;
	struct daemon *server;
	struct loop_fd *watch;
	int fd;
	struct attr_reader list;
	struct buf octets;
};

struct daemon {
	struct loop *loop; /* NULL: closed */
	int listen_fd;
	struct loop_fd *watch;
	const char *path, *greeting;
	enum daemon_manner manner;
	size_t requests; /* complete ones */
	struct buf last; /* octets of the last request */
	struct list clients;
	size_t open, open_max;
};

/* Listens on path; greeting: the protocol it names first, or NULL. path and
 * greeting are borrowed. */
void daemon_open(struct daemon *d, struct loop *loop, const char *path,
    const char *greeting);

/* Drops all clients and removes the socket; again is harmless. */
void daemon_close(struct daemon *d);

/* Sends a list of one attribute. */
void daemon_say(struct daemon_client *c, const char *name, const char *value);

void daemon_drop(struct daemon_client *c);

#endif
