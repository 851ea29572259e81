/* ipc: one question to a Postfix daemon on its UNIX socket.
 *
 *   connect -> [server: protocol=NAME] -> our list -> status=N -> close
 *
 * bounce, defer, trace, verify and flush all speak like this; since Postfix
 * 3.6 they greet first. Runs on the loop and never blocks; takes one
 * descriptor. A daemon that is not there, closes early, answers something
 * else or needs longer than ipc_timeout (IPC_TIMEOUT_MAX_MS at most) has not
 * answered; the reason is logged as a warning.
 *
 * Source: Postfix src/global/mail_command_client.c, mail_proto.h.
 */
#ifndef IPC_H
#define IPC_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/engine/settings.h"
#include "agent/io/loop.h"
#include "common/base/buf.h"

enum { IPC_TIMEOUT_MAX_MS = 600000 };

struct ipc;

/* status: the daemon's, 0 for success; only when is_answered. */
typedef void ipc_fn(void *ctx, bool is_answered, int32_t status);

/* path: "private/bounce", relative to the queue directory; protocol: what the
 * greeting must name. Takes the content of *request, a whole attribute list.
 * on_done comes from the loop exactly once, never from inside this call,
 * unless ipc_cancel() is called first; the handle is dead then. */
struct ipc *ipc_ask(struct loop *loop, const struct settings *set,
    const char *path, const char *protocol, struct buf *request,
    ipc_fn *on_done, void *ctx);

/* Closes at once; the daemon may or may not have obeyed. */
void ipc_cancel(struct ipc **ipc);

#endif
