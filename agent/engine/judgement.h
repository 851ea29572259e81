/* judgement: what a lane makes of a reply, at whatever stage it is said.
 *
 *   stage, reply ──rules──► outcome ─┬─► what becomes of the mail
 *                                    └─► how many witnesses it takes
 *
 * One function for the lane at work and for `lane -R`, which therefore give the
 * same answer. Pure: the lane acts on it (lane_replies.c), and keeps the
 * witnesses (route.h).
 *
 * What a reply can be about depends on where it is said. While a session is
 * being opened no message was named yet, so none is returned: it waits, and is
 * deferred when that takes too long. At RCPT smarthosts pass on what a
 * recipient's server told them, in words that read like their own: what stops
 * or pauses the lane there needs a recipient of a second domain, and is a pause
 * of JUDGEMENT_RCPT_PAUSE_US at most. To the end of a message an alarm is as
 * strong as its rule (rules.h, WITNESS). No rule is asked about a reply that
 * fits no such command: it belongs to something else.
 */
#ifndef JUDGEMENT_H
#define JUDGEMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/engine/rules.h"
#include "common/smtp/dsn.h"

enum {
	JUDGEMENT_RCPT_PAUSE_US = 300000000,
	/* A pause up to this is about the pace; a longer one is a quota that
	 * is used up, from which no rate can be learned. */
	JUDGEMENT_PACE_US = 300000000,
};

enum mail_fate {
	FATE_AS_WANTED, /* it is the reply that was hoped for */
	FATE_RETURNED, /* bounced: this recipient, or all of this message */
	FATE_DEFERRED, /* to the queue manager, likewise */
	FATE_ELSEWHERE, /* over another session at once */
	FATE_LATER, /* kept, tried again within lane_wait_limit */
	FATE_WAITS, /* nothing was named yet, or is any more */
	/* It answers something else: the session is closed, and the message
	 * goes over another one unless all of it was sent. */
	FATE_OUT_OF_STEP,
};

/* Who has to be told the same before the lane stops or pauses. */
enum witness {
	WITNESS_NONE, /* nobody else */
	WITNESS_SENDER, /* a message of another sender */
	WITNESS_DOMAIN, /* a recipient of another domain: an alarm, */
	WITNESS_DOMAIN_PAUSE, /* ... a pause */
	WITNESS_MESSAGE, /* another message: a long pause */
	WITNESS_SESSION, /* another session */
	WITNESS_ATTEMPT, /* another message, or the same one once more */
	/* Every session that lives: while one does, or has just been opened,
	 * a refused dial is tried again (route.h). */
	WITNESS_DIALS,
};

struct judgement {
	struct rule_hit hit; /* hit.file NULL: no rule, the code alone */
	enum rule_outcome outcome; /* as this stage allows */
	int64_t wait_us; /* of hit, as this stage allows */
	enum mail_fate fate; /* until the witness is there; and, */
	enum mail_fate confirmed; /* ... from then on */
	enum witness witness;
	char status[DSN_STATUS_SIZE]; /* what rules were asked; "" none */
};

/* code and text: as reply_text() makes it, one line with its codes. rules may
 * be NULL: the code alone counts. */
void judgement_of(struct judgement *j, const struct rules *rules,
    enum rule_stage stage, int code, const char *text, int64_t wall_s);

/* Said to commands that came in a group, after the first of them was accepted,
 * it may be about the group: the message is tried once more, one command at a
 * time, before this is judged. To the first BDAT of a session it may be about
 * that: then by DATA. */
bool judgement_is_heard_again(enum rule_stage stage, int code);

/* May it be for want of a login that mail is refused here? By codes alone: RFC
 * 4954 6 has 530 and 535; RFC 3463 3.8 has X.7 for security and policy. Servers
 * without enhanced codes refuse to relay with the codes of RFC 5321 for a
 * mailbox, a transaction or the order of commands (and Courier with 513). */
enum judgement_login {
	JUDGEMENT_LOGIN_NO,
	JUDGEMENT_LOGIN_MAYBE, /* it may as well be about this message */
	JUDGEMENT_LOGIN_YES,
};
enum judgement_login judgement_wants_login(
    enum rule_stage stage, int code, const char *status);

/* The whole of it in one word: an outcome of rules.h, or, where the code alone
 * counts, bounce, defer, elsewhere, wait or ok; "suspect" for an alarm that
 * needs a witness other than WITNESS_DIALS. */
const char *judgement_word(const struct judgement *j);
bool judgement_word_is_valid(struct slice word);

/* Sentences for the operator. */
const char *judgement_fate_words(enum mail_fate fate);
const char *judgement_witness_words(enum witness witness); /* "" for NONE */

#endif
