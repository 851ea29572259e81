/* pipeline: the commands in flight on one session, strictly in order.
 *
 *   rendered ---------------------------------------------> time
 *      RSET MAIL RCPT RCPT BDAT(LAST)  RSET MAIL RCPT BDAT ...
 *       ^oldest: the next reply is its             ^written so far
 *
 * SMTP replies carry no number: the only thing that says which command a
 * reply belongs to is its place (RFC 2920 3.1). So every command is entered
 * here the moment its octets are rendered and leaves when its reply was read.
 * Positions are octets of the whole stream, so that after a lost connection
 * one comparison tells whether the peer can have seen a command.
 *
 *   octets_unanswered  rendered octets whose command has no reply yet; what
 *                      lane_pipeline_bytes bounds
 *
 * Only the oldest command has a running timer: a server that answers slowly,
 * but answers, is not timed out for what stands behind.
 */
#ifndef PIPELINE_H
#define PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/list.h"

struct transaction;

enum command_kind {
	COMMAND_AUTH, /* with its initial response, in front of all else */
	COMMAND_RSET,
	COMMAND_XFORWARD_CLIENT,
	COMMAND_XFORWARD_PROTOCOL,
	COMMAND_MAIL,
	COMMAND_RCPT,
	COMMAND_DATA,
	COMMAND_BODY, /* content and final dot, after 354 */
	COMMAND_BDAT,
	COMMAND_BDAT_LAST,
	COMMAND_QUIT,
};

struct pipelined {
	struct list link;
	enum command_kind kind;
	struct transaction *owner; /* NULL: nobody is left who cares */
	size_t rcpt; /* index into owner's recipients, for RCPT */
	uint64_t begin_off, end_off; /* place in the stream of octets */
};

struct pipeline {
	struct list awaiting; /* rendered, reply not read */
	size_t count;
	uint64_t rendered_off, written_off, answered_off;
	int64_t timer_from_us; /* the oldest command is waited for since */
	/* Octets a second that must go out, else the time is running; 0: each
	 * write begins it anew. */
	int64_t min_per_s;
	struct list spare; /* commands to use again */
	size_t spare_count;
};

void pipeline_init(struct pipeline *p);
void pipeline_fini(struct pipeline *p);

/* A command of n octets was appended to the output. */
void pipeline_push(struct pipeline *p, enum command_kind kind,
    struct transaction *owner, size_t rcpt, size_t n, int64_t now_us);

/* n octets were appended that belong to the newest command (the content that
 * follows DATA's 354 is entered before it is complete). */
void pipeline_extend(struct pipeline *p, size_t n);

/* n more octets were taken by the kernel. */
void pipeline_written(struct pipeline *p, size_t n, int64_t now_us);

/* The oldest command, whose reply comes next; NULL: none was asked for. */
struct pipelined *pipeline_oldest(const struct pipeline *p);

/* Its reply was read: the command is gone. */
void pipeline_answered(struct pipeline *p, int64_t now_us);

/* The command's last octet was taken by the kernel. */
static inline bool
pipelined_is_written(const struct pipeline *p, const struct pipelined *c)
{
	return p->written_off >= c->end_off;
}

static inline uint64_t
pipeline_octets_unanswered(const struct pipeline *p)
{
	return p->rendered_off - p->answered_off;
}

#endif
