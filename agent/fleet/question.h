/* question: what a fleet's script is asked and answers, as Redis has it.
 *
 * The layout is that of share/fleet/renew.lua. Pure. An answer is a peer's:
 * what is none, or says what no engine can mean, is refused.
 */
#ifndef QUESTION_H
#define QUESTION_H

#include <hiredis/hiredis.h>
#include <stdbool.h>

#include "common/shared/fleet_lessons.h"

enum {
	QUESTION_ARGS = 25,
	QUESTION_KEY_SIZE = 128,
	QUESTION_NUMBER_SIZE = 24,
};

struct question {
	int argc;
	const char *argv[QUESTION_ARGS];
	/* what argv points to */
	char keys[3][QUESTION_KEY_SIZE];
	char numbers[QUESTION_ARGS][QUESTION_NUMBER_SIZE];
	char terms[QUESTION_KEY_SIZE];
	char lessons[FLEET_LESSONS_SIZE];
};

/* EVALSHA sha for unit ("connections") of an account; q and sha are borrowed.
 * has_lessons: q's are told, and others' are asked for. */
void question_make(struct question *out, const char *sha, const char *account,
    const char *unit, const struct fleet_terms *terms,
    const struct fleet_question *q, bool has_lessons);

/* HSET of the terms that this host goes by, for who compares hosts. */
void question_make_terms(struct question *out, const char *account,
    const char *unit, const struct fleet_terms *terms, const char *host);

/* False: it is none to q. */
bool question_read_answer(const redisReply *reply,
    const struct fleet_terms *terms, const struct fleet_question *q,
    struct fleet_answer *out);

#endif
