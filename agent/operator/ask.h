/* ask: answers operators who ask this lane (common/shared/askproto.h).
 *
 * Within the turn of the loop in which the question is there. A few connections
 * at a time, each for a second at most and with one short question; whoever is
 * neither root nor this process's user is not answered. Without the directory,
 * or when the name cannot be had, nobody is answered and a warning says so.
 */
#ifndef ASK_H
#define ASK_H

#include "agent/io/loop.h"
#include "agent/state/statefile.h"
#include "common/base/buf.h"
#include "common/base/slice.h"

enum { ASK_CLIENTS_MAX = 8, ASK_TIME_MS = 1000, ASK_REST_MS = 200 };

struct ask;

/* question: the line without its end; the answer goes to out, without one. */
typedef void ask_fn(void *ctx, struct slice question, struct buf *out);

/* Takes the connection of a question that is answered for long: true, and fd is
 * its own. May be NULL. */
typedef bool ask_take_fn(void *ctx, struct slice question, int fd);

/* As mail_owner, also after chroot. May be NULL: nobody is answered. */
struct ask *ask_open(struct loop *loop, const struct statefile_dir *dir,
    const char *lane_name, ask_fn *fn, ask_take_fn *take, void *ctx);

/* The next process is to be asked: closes the socket. The name remains. */
void ask_close(struct ask **ask);

#endif
