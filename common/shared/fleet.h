/* fleet: what the hosts of a fleet and their engine say to each other.
 *
 *   host A  --question, each second--> engine (Redis)   remembers who has what
 *           <--answer: a share, until--
 *   host B  ...
 *
 * Several hosts share one limit of an account exactly: its connections, one of
 * its rates (in thousandths of a unit) or one of its quotas. base = limit /
 * size is a host's own, engine or not; what others do not want of theirs is
 * lent, for a time. fleet_share.h is the host's half; the engine's half is the
 * script share/fleet/renew.lua, which Redis runs, and fleet_engine.h is the
 * same in C for tests and simulation.
 *
 * At no time hosts hold more than the limit, whatever becomes of questions,
 * answers, hosts, the engine and its memory, because of these rules
 * (test/model/model_fleet tries them, test/model/seeded takes them away):
 *
 *   1 a share grows only by the answer to the last question, within a second;
 *   2 it shrinks only by the host's own word, which each question repeats:
 *     what a host holds is what it said, or was given since, if that is more;
 *   3 a loan ends no later than the leases, confirmed by them, of those whose
 *     base it is;
 *   4 a host that has less than its base and hears nothing of the engine waits
 *     until its lease is over for certain before it takes its base back;
 *   5 an engine that has forgotten, or whose clock was set, lends nothing for a
 *     whole lease, or until every host has told what it holds.
 *
 * Beside its question of the account's connections a host tells what it has
 * learned of the provider, and hears what the others have: see lessons below.
 *
 * Times are microseconds: those of the engine's clock (named engine_us, or in
 * an answer) are never compared with those of a host's own.
 */
#ifndef FLEET_H
#define FLEET_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
	FLEET_HOSTS_MAX = 64,
	FLEET_NAME_SIZE = 64, /* a host's name, [A-Za-z0-9._-], and NUL */
	FLEET_LIFE_SIZE = 64,
	/* What comes later than this is no answer any more. */
	FLEET_ANSWER_US = 1000000,
	/* By so much a lender's idea of its lease's end may be too early: the
	 * way of an answer, and what the engine's clock is set back by without
	 * anybody's notice. */
	FLEET_GUARD_US = 2200000,
};

/* What all hosts of a fleet must agree on, for one limit. */
struct fleet_terms {
	int64_t size; /* hosts, 1 .. FLEET_HOSTS_MAX */
	int64_t limit; /* in units of the limit */
	int64_t minimum; /* left to a host that was forgotten; <= base */
	int64_t ttl_us; /* how long a share is good for */
	/* How long what was used counts: the period of a quota and an eighth of
	 * it, since clocks go differently; else 0. */
	int64_t linger_us;
	/* So long after its last answer others may count on a host's having
	 * gone down to minimum, as it did after three quarters of that; 0:
	 * never. At least twice ttl_us. */
	int64_t forget_us;
};

static inline int64_t
fleet_least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static inline int64_t
fleet_most(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static inline int64_t
fleet_base(const struct fleet_terms *terms)
{
	return terms->limit / terms->size;
}

/* A clock that was set forward by no more is not noticed; loans end so much
 * earlier. */
static inline int64_t
fleet_slack_us(const struct fleet_terms *terms)
{
	return terms->ttl_us / 4;
}

/* A host's name, as keys and rows of the engine can have it. */
static inline bool
fleet_is_name(const char *name)
{
	size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				"abcdefghijklmnopqrstuvwxyz0123456789._-");

	return n > 0 && n < FLEET_NAME_SIZE && name[n] == '\0';
}

/* ---- lessons ---------------------------------------------------------------
 *
 *   host A  is asked to pause for 60 s --its next question--> engine
 *   host B  <--the next answer: FLEET_PAUSE, 59 s, A--        has A's row
 *
 * What one host was told by the provider the others obey before they are told
 * it themselves. Rules:
 *
 *   1 a host tells what it learned itself, never what it heard, with each of
 *     its questions, as how long it still lasts; what it does not repeat is
 *     over. So nothing goes round in circles, an engine that has forgotten
 *     knows it again a second later, and no host's clock is believed;
 *   2 of each kind the engine answers with the one of other hosts that lasts
 *     longest, of hosts that are not gone, and keeps it as long as was told: a
 *     host that dies cannot take it back;
 *   3 only who may have a share tells and hears (FLEET_OK);
 *   4 a lesson makes a host slower, never faster, and for half of the time at
 *     most (agent/engine/fleet_heard.h), whatever an engine says;
 *   5 a kind that is not known is ignored, and said once in the log.
 *
 * Numbers alone, since no reply's text is the engine's affair. Question and
 * answer have one of each kind at most.
 */
enum fleet_lesson_kind {
	/* Nothing is wanted of the account. */
	FLEET_PAUSE,
	/* A connection was refused to the host that says so; value: how many it
	 * keeps to now, more each time that it tries until it has all. */
	FLEET_FEWER,
	/* The host's mail is refused until somebody looks; value:
	 * fleet_refusal() (fleet_lessons.h). */
	FLEET_BLOCKED,
	FLEET_KINDS, /* that are known here */
};

enum { FLEET_LESSONS = 8 }; /* kinds that an engine carries */

/* The longest that is told. */
#define FLEET_LESSON_MAX_US (INT64_C(86400) * 1000000)

struct fleet_lesson {
	int64_t left_us; /* 0: there is none of this kind */
	int64_t value; /* 0 .. 2^53 */
	char host[FLEET_NAME_SIZE]; /* whose; "" in a question */
};

/* ---- question and answer ------------------------------------------------- */

struct fleet_question {
	/* Who asks: a name is one process at a time. epoch grows with each
	 * process of a host, nonce tells two of one epoch apart, number grows
	 * with each question. */
	char host[FLEET_NAME_SIZE];
	uint64_t nonce;
	int64_t epoch, number;
	int64_t want; /* so much it could use */
	int64_t cap; /* so much it obeys now; */
	int64_t in_use; /* that, or more: what it has begun goes on */
	/* Of its last answer: the lease's end, 0: it is over; how much of it is
	 * left by the host's own clock; */
	int64_t echo;
	int64_t left_us;
	/* the engine's time, 0: there was none; how long ago it was asked for;
	 * and in which life of the engine. */
	int64_t seen;
	int64_t since_us;
	char life[FLEET_LIFE_SIZE];
	struct fleet_lesson lessons[FLEET_LESSONS]; /* of its own */
};

enum fleet_word {
	FLEET_OK,
	FLEET_STALE, /* another process has that name */
	FLEET_TWICE, /* this question, or a later one, was answered before */
	FLEET_FULL, /* there are size hosts, and this is none of them */
};

/* Without FLEET_OK only word, known and at mean anything. */
struct fleet_answer {
	enum fleet_word word;
	int64_t share; /* at most so much */
	int64_t end; /* until then, by the engine's clock, */
	int64_t at; /* which was at this */
	int64_t known; /* hosts that the engine has heard of */
	int64_t
	    target; /* a fair part, which may be more than can be lent yet */
	char life[FLEET_LIFE_SIZE];
	struct fleet_lesson lessons[FLEET_LESSONS]; /* of other hosts */
};

#endif
