/* answer: how a session decides on a reply and gives it; used by its parts.
 *
 *   ask: the normal reply -> script -> what will be said and its code
 *   (the caller changes its state by the code)
 *   give: delay, reply, ending, tarpit
 */
#ifndef SMARTHOST_ANSWER_H
#define SMARTHOST_ANSWER_H

#include "tools/smarthost/session.h"
#include "tools/smarthost/stats.h"

struct answer {
	const struct rule *rule; /* NULL: none applied; valid until given */
	const char *normal; /* borrowed */
	int code; /* as the client will see it; 0: nothing */
};

/* normal: "250 2.1.0 Ok", more lines after '\n' without a code. */
struct answer answer_ask(
    struct session *s, enum stage stage, const char *normal);

void answer_give(struct session *s, const struct answer *a);

/* Ask and give, for what changes no state. */
void answer_stage(struct session *s, enum stage stage, const char *normal);

/* Says it whatever the script thinks (the client's own errors). */
void answer_say(struct session *s, const char *text);
void answer_end(struct session *s, enum rule_end end);

/* Rules about going ahead without recipients; NULL when none. */
const struct rule *answer_go_ahead(struct session *s);

static inline bool
answer_is_ok(const struct answer *a)
{
	return a->code >= 200 && a->code < 300;
}

/* Parts of the dialogue in transaction.c; args: what follows the verb. */
void transaction_mail(struct session *s, struct slice args);
void transaction_rcpt(struct session *s, struct slice args);
void transaction_data(struct session *s);
void transaction_bdat(struct session *s, struct slice args);
void transaction_reset(struct session *s);

/* Content octets in MODE_DATA and MODE_BDAT. */
void transaction_input(struct session *s);

void session_violation(
    struct session *s, enum violation kind, const char *text);

#endif
