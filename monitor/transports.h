/* transports: which transport Postfix chooses for mail, as trivial-rewrite(8)
 * says it now.
 *
 * One connection to $queue_directory/private/rewrite, answers kept by sender
 * and recipient. Blocks, TRANSPORTS_WAIT_MS at most for each answer; who did
 * not answer in time is not asked again.
 *
 * Source: Postfix src/global/resolve_clnt.c, rewrite_clnt.c, mail_proto.h.
 */
#ifndef TRANSPORTS_H
#define TRANSPORTS_H

#include <stdbool.h>

enum { TRANSPORTS_WAIT_MS = 2000 };

struct transports;

/* Never NULL. rewrite_service: the parameter rewrite_service_name. */
struct transports *transports_open(
    const char *queue_directory, const char *rewrite_service);
void transports_close(struct transports **t);

/* The transport's name, valid until the next call; NULL: it is not known, and
 * transports_why() says why. */
const char *transports_of(
    struct transports *t, const char *sender, const char *rcpt);
const char *transports_why(const struct transports *t);

#endif
