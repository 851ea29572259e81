/* manner: how one server may be talked to, and how it words its replies.
 *
 * Both are learned from what it answers, belong to a route, and outlive its
 * sessions. A manner that the server does not take is left for the next slower
 * one; days later the faster one is tried again:
 *
 *   SESSION_BDAT      whole messages back to back
 *   SESSION_OVERLAP   MAIL RCPT DATA behind the final dot, RFC 2920 3.1
 *   SESSION_GROUP     MAIL RCPT DATA together, nothing behind the final dot
 *   SESSION_LOCKSTEP  one command at a time
 *
 * The wording of a reply is its code, its enhanced status and its words; what
 * varies (a word with a digit or any sign in it: queue ids, addresses, times)
 * counts as one and the same. A wording that was seen in answer to one kind of
 * command, and never to another, tells a reply's place. Only replies whose
 * place was certain are learned.
 *
 * Engine: no system calls, time is an argument.
 */
#ifndef MANNER_H
#define MANNER_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/engine/pipeline.h"
#include "common/base/clock.h"
#include "common/smtp/reply.h"

enum session_mode {
	SESSION_BDAT,
	SESSION_OVERLAP,
	SESSION_GROUP,
	SESSION_LOCKSTEP
};

enum manner_answer {
	ANSWER_RSET,
	ANSWER_XFORWARD,
	ANSWER_MAIL,
	ANSWER_RCPT,
	ANSWER_CHUNK, /* of BDAT, not the last */
	ANSWER_END, /* to the end of data */
	ANSWER_KINDS,
};

enum {
	MANNER_WORDINGS = 4, /* of each kind; a name may stand for many hosts */
	/* A server lost its place so often, with fewer than so many messages
	 * in between: it does so because of how it is talked to. */
	MANNER_LOST_MAX = 3,
	MANNER_LOST_APART = 100,
};

#define MANNER_MEMORY_US (3 * 24 * 3600 * US_PER_S) /* three days */

struct manner {
	enum session_mode fastest; /* of those that were not refused */
	bool no_rset; /* RSET was refused */
	int64_t learned_us; /* when one of these was learned last; 0: none */
	uint64_t wordings[ANSWER_KINDS][MANNER_WORDINGS]; /* 0: none */
	unsigned next[ANSWER_KINDS]; /* to be written over */
	bool is_seen; /* an end of data was answered, since it was cleared */
	bool is_confirmed; /* a message was proven since they were learned */
	/* A first message was answered so that its end could not be told from
	 * the rest: no windows of BDAT before that is known. */
	bool is_ambiguous;
	/* It ended a session before the place of a refusal was proven, which
	 * was heard again therefore: it may do so each time. */
	bool hangs_up;
	int lost, taken_since; /* places lost; messages taken since then */
};

void manner_init(struct manner *m);

/* The manner as one small number, for the next process; 0: nothing is known
 * that would slow it down. */
int manner_pack(const struct manner *m);

/* What an earlier process knew, at learned_us of this clock (which may be
 * before its start). Days later, or malformed: ignored. */
void manner_load(
    struct manner *m, int packed, int64_t learned_us, int64_t now_us);

/* How the server words what has to be known to tell the ends of messages, one
 * wording of each kind, in the lower 56 bits of each; zeroes: it is not known.
 * / What an earlier process knew; malformed: ignored. */
void manner_pack_wordings(const struct manner *m, uint64_t packed_out[2]);
void manner_load_wordings(struct manner *m, const uint64_t packed[2]);

/* The fastest manner allowed now; forgets what was learned days ago. */
enum session_mode manner_fastest(struct manner *m, int64_t now_us);

/* The server does not take anything faster than mode: true when that is news.
 */
bool manner_slow_down(struct manner *m, enum session_mode mode, int64_t now_us);

/* RSET is refused, which every manner faster than SESSION_GROUP needs: true
 * when that is news. */
bool manner_without_rset(struct manner *m, int64_t now_us);

/* The replies of a session that talked in this manner could not be told apart
 * any more: nothing that was learned of their wording is relied on. True when
 * it was once too often, and the next slower manner is the fastest. */
bool manner_lost_place(
    struct manner *m, enum session_mode mode, int64_t now_us);

/* A message was taken, without any doubt. */
void manner_taken(struct manner *m);

/* The wording of a reply; never 0, less than 2^28. */
uint64_t manner_wording(const struct reply *reply);

/* Which kind of answer a command gets; ANSWER_KINDS: none that is learned. */
enum manner_answer manner_answer_to(enum command_kind kind);

/* A reply in an undoubted place. wording 0: nothing. */
void manner_learn(
    struct manner *m, enum manner_answer answer, uint64_t wording);

/* This kind of answer was worded so before, or nothing is known of it. */
bool manner_is_usual(
    const struct manner *m, enum manner_answer answer, uint64_t wording);

/* No kind of answer was. */
bool manner_is_new(const struct manner *m, uint64_t wording);

/* The only kind of answer that was ever worded so; ANSWER_KINDS: none, several,
 * or a kind that each session may meet is not known at all, so that it may be
 * worded like any other. */
enum manner_answer manner_only(const struct manner *m, uint64_t wording);

/* Some wording of this kind is the answer to nothing else. */
bool manner_is_known(const struct manner *m, enum manner_answer answer);

/* The end of each message of a window can be told from all else: answers of
 * the other kinds, XFORWARD perhaps left aside, are known, too. */
bool manner_tells_ends(const struct manner *m);

const char *manner_name(enum session_mode mode);

#endif
