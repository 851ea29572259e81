/* queuefind: one message in Postfix's queue.
 *
 * By its queue id, in whatever queue it is at this moment: looked for by name,
 * in the directories of hash_queue_names as well. Nothing is locked.
 */
#ifndef QUEUEFIND_H
#define QUEUEFIND_H

#include <stdbool.h>
#include <stddef.h>

#include "monitor/envelope.h"
#include "monitor/site.h"

enum { QUEUEFIND_REASON = 512 };

struct queuefind {
	const char *queue; /* incoming, active, deferred, hold, corrupt; NULL */
	struct envelope envelope; /* when it could be read, else empty */
	bool has_envelope;
};

/* False: there is no such message, or nothing can be known, and error (of n
 * octets) says why: it is "" when there is just none. */
bool queuefind_open(struct queuefind *f, const struct site *site,
    const char *id, char *error, size_t n);
void queuefind_close(struct queuefind *f);

/* Why a recipient was deferred the last time, as defer(8) keeps it. False: it
 * has nothing to say. rcpt in any case of letters. */
bool queuefind_reason(const struct site *site, const char *id, const char *rcpt,
    char *reason, size_t n);

#endif
