/* request: one delivery request, its recipients and what became of them.
 *
 * Engine: no system calls. intake decodes it from the queue manager's
 * attributes, lane and session decide each recipient, report carries the
 * decisions out, and intake answers the queue manager when none is left.
 *
 *   RCPT_WAITING <-> RCPT_IN_FLIGHT <-> RCPT_DECIDED -> RCPT_HANDED_OVER
 *        |______________________________^                 -> RCPT_REPORTED
 *
 * Back: the session was lost, or the reply was another command's. Its life is
 * that of its recipients: it ends when all of them are reported.
 *
 * The strings live in blocks owned by the request, one for each attribute
 * list; a waiting request is small (well below 1 kB with one recipient).
 */
#ifndef REQUEST_H
#define REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>

#include "common/base/list.h"
#include "common/postfix/attr.h"
#include "common/postfix/delay.h"
#include "common/smtp/dsn.h"
#include "common/smtp/xforward.h"

struct answers;
struct message;
struct rewriting_rules;

/* `flags` of a request (Postfix deliver_request.h) */
enum {
	REQUEST_SUCCESS = 0x1, /* mark finished recipients */
	REQUEST_MTA_VRFY = 0x100, /* probe by verify(8) */
	REQUEST_USR_VRFY = 0x200, /* sendmail -bv */
	REQUEST_RECORD = 0x400, /* sendmail -v */
	REQUEST_REC_DLY_SENT = 0x2000, /* success after a delay notice */
	REQUEST_TRACE_ONLY = REQUEST_MTA_VRFY | REQUEST_USR_VRFY,
	REQUEST_TRACE_MASK = 0x2700, /* what the bounce family is told */
};

/* `sendopts`, in older releases `smtputf8` */
enum {
	SENDOPT_UTF8_REQUESTED = 1,
	SENDOPT_UTF8_NEEDED = 2 | 4 | 8, /* header, sender, recipient */
	SENDOPT_TLS_REQUIRED_NO = 16,
	SENDOPT_REQUIRETLS = 32,
};

/* DSN notify flags (RFC 3461 NOTIFY); 0 is "not given" */
enum {
	NOTIFY_NEVER = 1,
	NOTIFY_SUCCESS = 2,
	NOTIFY_FAILURE = 4,
	NOTIFY_DELAY = 8
};

enum { REQUEST_RCPT_MAX = 20000, REQUEST_BYTES_MAX = 16 << 20 };

/* `encoding` */
enum content_encoding {
	ENCODING_UNKNOWN, /* empty, or a word that says nothing to us */
	ENCODING_7BIT,
	ENCODING_8BIT,
};

enum outcome { OUTCOME_SENT, OUTCOME_DEFER, OUTCOME_BOUNCE };

/* What became of one recipient, complete enough to be logged and reported
 * after the session is gone. Heap; owned by the recipient. */
struct verdict {
	enum outcome outcome;
	struct dsn dsn; /* status; text = the reason as smtp(8) words it */
	char *diag_text; /* the server's reply, NULL when it said nothing */
	char *mta_name; /* host that said it, NULL likewise */
	char *relay; /* "host[addr]:port" or "none" */
	char *tls; /* word for `tls=` of Postfix 3.11+, or NULL */
	int conn_use; /* messages this session had carried, this included */
	bool dsn_offered; /* the server reports success itself */
	struct timeval conn_done; /* zero: no connection was made */
	struct timeval deliver_done; /* zero: take the time of the report */
};

enum rcpt_state {
	RCPT_WAITING, /* for a session */
	RCPT_IN_FLIGHT, /* with one */
	RCPT_DECIDED, /* it has a verdict */
	RCPT_HANDED_OVER, /* ... which is being reported: it is final */
	RCPT_REPORTED,
};

struct recipient {
	const char *address; /* as to be delivered, unquoted */
	const char *original; /* before aliasing, may be empty */
	const char *orcpt; /* "type;address", decoded, may be empty */
	int64_t offset; /* of its R record; -1: none */
	int notify_flags;
	enum rcpt_state state; /* request_set_rcpt_state() writes it */
	/* Place in its session's stream of the command whose reply decided it,
	 * or put it off; 0: we did. */
	uint64_t decided_off;
	struct verdict *verdict; /* NULL until RCPT_DECIDED */
};

struct request {
	int flags;
	int sendopts;
	int ret_flags; /* 0, 1 FULL, 2 HDRS */
	int64_t content_off, size;
	const char *queue_name, *queue_id, *nexthop;
	enum content_encoding encoding;
	const char *sender, *envelope_id, *sasl_username;
	const char *xforward[XFORWARD_ATTRIBUTES]; /* empty: not known */
	struct delay_times times;
	size_t rcpt_count; /* lists added so far */
	size_t rcpt_due; /* lists announced; equal once complete */
	struct recipient *rcpts;

	struct message *message; /* owned; NULL for probes */
	const struct rewriting_rules *rules; /* of what goes out; NULL: none */
	struct answers *answers; /* owned; for rules, NULL: none wanted */
	int64_t received_us; /* when the request was complete */
	int64_t decided_us; /* when report was given the last verdict so far */
	int64_t deadline_us; /* final reply due at the latest */
	bool is_corrupt; /* its content has no proper end */
	bool must_retry; /* a recipient is left for the queue manager */
	struct dsn *hop; /* owned; a problem of the site, or NULL */
	char *hop_mta; /* owned; name of that site, or NULL */

	void *owner; /* the intake connection */
	void *lane_data; /* the lane's own bookkeeping */
	struct request_block *blocks; /* the strings, one block a list */
	size_t bytes; /* in blocks, at most REQUEST_BYTES_MAX */
};

/* Starts a request from the common attribute list that Postfix's queue manager
 * sends (src/global/deliver_request.c). NULL when an attribute that matters is
 * missing or malformed; *why_out (static text) then says which. Recipients
 * follow with request_add_rcpt(). now/now_us stamp the hand-off time (unless
 * another agent had the message before) and received_us; deadline_us is left
 * to the caller. */
struct request *request_new(const struct attr_reader *list, struct timeval now,
    int64_t now_us, const char **why_out);

/* Adds one recipient list; true while more are due or complete, false when
 * the list is malformed. */
bool request_add_rcpt(
    struct request *req, const struct attr_reader *list, const char **why_out);

/* recipient_count lists have been added. */
bool request_is_complete(const struct request *req);

/* All memory, message and answers included. */
void request_free(struct request **req);

/* One move of the life of recipient i; CHECKs that it is allowed. */
void request_set_rcpt_state(
    struct request *req, size_t i, enum rcpt_state state);

/* Gives recipient i its verdict, owned from now on: RCPT_DECIDED. A second
 * verdict for the same recipient is a bug of ours. */
void request_decide(struct request *req, size_t i, struct verdict *verdict);

/* Takes the verdict of recipient i back: RCPT_IN_FLIGHT again. */
void request_undecide(struct request *req, size_t i);

/* Recipients in the given state. */
size_t request_count(const struct request *req, enum rcpt_state state);

/* A site problem for the final status; the first one stays. */
void request_set_hop(
    struct request *req, const struct dsn *dsn, const char *mta);

/* No recipient is to get the content. */
static inline bool
request_is_probe(const struct request *req)
{
	return (req->flags & REQUEST_TRACE_ONLY) != 0;
}

struct verdict *verdict_new(enum outcome outcome);
void verdict_free(struct verdict **verdict);

/* All its recipients are in the domain that is its nexthop. */
bool request_is_to_nexthop(const struct request *req);

#endif
