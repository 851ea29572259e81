#include "agent/engine/judgement.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "agent/engine/verdict.h"
#include "common/base/log.h"

enum { CODE_OCTETS = 4 }; /* with the blank or hyphen behind it */

/* The session is not there yet. */
static bool
is_dial(enum rule_stage stage)
{
	return stage == RULE_CONNECT || stage == RULE_EHLO ||
	       stage == RULE_STARTTLS || stage == RULE_AUTH;
}

/* The status behind a code, when its class is that of the code. */
static bool
take_status(const char *p, char class, char *out)
{
	size_t n;

	while (*p == ' ')
		p++;
	n = dsn_status_length(p, strlen(p));
	if (n == 0 || n >= DSN_STATUS_SIZE || *p != class)
		return false;
	memcpy(out, p, n);
	out[n] = '\0';
	return true;
}

/* Any line of a reply may be the one that has it: some servers send an empty
 * last line, some begin with a headline. Only where text[3] is a hyphen are
 * there several lines; elsewhere a second code is quoted, and not this one's.
 */
static void
find_status(const char *text, char *out)
{
	const char *p = text;

	out[0] = '\0';
	if (strlen(text) <= CODE_OCTETS ||
	    take_status(text + CODE_OCTETS, text[0], out) || text[3] != '-')
		return;
	while ((p = strchr(p + 1, ' ')) != NULL) {
		const char *at = p + 1;

		if (strncmp(at, text, 3) == 0 &&
		    (at[3] == '-' || at[3] == ' ') &&
		    take_status(at + CODE_OCTETS, text[0], out))
			return;
	}
}

static bool
is_wanted(enum rule_stage stage, int code)
{
	if (stage == RULE_DATA || (stage == RULE_AUTH && code / 100 == 3))
		return code / 100 == 3;
	return code / 100 == 2;
}

bool
judgement_is_heard_again(enum rule_stage stage, int code)
{
	return (stage == RULE_EOD && verdict_knows_no_bdat(code)) ||
	       (code == 503 && (stage == RULE_RCPT || stage == RULE_DATA));
}

/* As a session takes it (session_receive.c). */
static bool
is_out_of_step(enum rule_stage stage, int code)
{
	if (is_dial(stage) || stage == RULE_IDLE)
		return false;
	return code == 221 || code / 100 == (stage == RULE_DATA ? 2 : 3);
}

/* What follows from the code alone. */
static enum mail_fate
fate_by_code(enum rule_stage stage, int code)
{
	if (is_out_of_step(stage, code))
		return FATE_OUT_OF_STEP;
	if (stage != RULE_IDLE && is_wanted(stage, code))
		return FATE_AS_WANTED;
	if (is_dial(stage) || stage == RULE_RSET || stage == RULE_IDLE)
		return FATE_WAITS;
	/* The session has lost step, which is nothing against the message. */
	if (code == 421 || (stage == RULE_MAIL && code == 503))
		return FATE_ELSEWHERE;
	return code / 100 == 5 ? FATE_RETURNED : FATE_DEFERRED;
}

/* A login that is refused is one that nobody will repair but the operator;
 * only a rule that says "defer" knows better. */
static void
judge_login(struct judgement *j, int code)
{
	if (code / 100 == 5 &&
	    (j->outcome == RULE_OK || j->outcome == RULE_BOUNCE))
		j->outcome = RULE_ALARM;
}

/* At RCPT it may be the word of a recipient's server. */
static void
judge_rcpt(struct judgement *j)
{
	if (j->wait_us > JUDGEMENT_RCPT_PAUSE_US)
		j->wait_us = JUDGEMENT_RCPT_PAUSE_US;
	if (j->outcome == RULE_PAUSE)
		j->witness = WITNESS_DOMAIN_PAUSE;
	else if (j->outcome == RULE_ALARM && j->witness != WITNESS_SESSION)
		j->witness = WITNESS_DOMAIN;
}

static enum witness
witness_of(const struct judgement *j, enum rule_stage stage)
{
	if (j->outcome == RULE_PAUSE && j->wait_us > JUDGEMENT_PACE_US &&
	    (stage == RULE_DATA || stage == RULE_EOD))
		return WITNESS_MESSAGE;
	if (j->outcome != RULE_ALARM)
		return WITNESS_NONE;
	if (is_dial(stage))
		return WITNESS_DIALS;
	if (stage == RULE_RSET || stage == RULE_IDLE)
		return WITNESS_NONE; /* it is not about a message */
	switch (j->hit.witness) {
	case RULE_BY_ONE:
		break;
	case RULE_BY_SENDER:
		return WITNESS_SENDER;
	case RULE_BY_SESSION:
		return WITNESS_SESSION;
	}
	return WITNESS_NONE;
}

/* By the outcome, where mail was named. */
static enum mail_fate
fate_by_outcome(const struct judgement *j, enum mail_fate by_code)
{
	switch (j->outcome) {
	case RULE_OK:
		break;
	case RULE_RECONNECT:
	case RULE_CONNECTIONS:
		return FATE_ELSEWHERE;
	case RULE_SLOW:
	case RULE_PAUSE:
	case RULE_ALARM:
		return FATE_LATER;
	case RULE_DEFER:
	case RULE_SPLIT:
		return by_code == FATE_ELSEWHERE ? by_code : FATE_DEFERRED;
	case RULE_BOUNCE:
		return by_code == FATE_ELSEWHERE ? by_code : FATE_RETURNED;
	}
	return by_code;
}

/* Until somebody else was told so, too. */
static enum mail_fate
fate_unconfirmed(const struct judgement *j, enum mail_fate by_code)
{
	switch (j->witness) {
	case WITNESS_NONE:
	case WITNESS_DIALS:
		break;
	case WITNESS_SENDER:
	case WITNESS_DOMAIN:
	case WITNESS_DOMAIN_PAUSE:
	case WITNESS_MESSAGE:
		return by_code == FATE_ELSEWHERE ? by_code : FATE_DEFERRED;
	case WITNESS_SESSION:
		return FATE_ELSEWHERE;
	case WITNESS_ATTEMPT:
		return FATE_DEFERRED;
	}
	return j->confirmed;
}

void
judgement_of(struct judgement *j, const struct rules *rules,
    enum rule_stage stage, int code, const char *text, int64_t wall_s)
{
	enum mail_fate by_code = fate_by_code(stage, code);

	CHECK(text != NULL);
	*j = (struct judgement){.hit = {.outcome = RULE_OK}};
	find_status(text, j->status);
	if (by_code == FATE_AS_WANTED || by_code == FATE_OUT_OF_STEP) {
		j->fate = j->confirmed = by_code;
		return;
	}
	/* A MAIL that is out of step is no reply to this message. */
	if (rules != NULL && !(stage == RULE_MAIL && code == 503)) {
		struct rules_query q = {stage, code, j->status, text, wall_s};

		(void)rules_match(rules, &q, &j->hit);
	}
	j->outcome = j->hit.outcome;
	j->wait_us = j->hit.wait_us;
	if (stage == RULE_AUTH)
		judge_login(j, code);
	j->witness = witness_of(j, stage);
	if (stage == RULE_RCPT)
		judge_rcpt(j);
	j->confirmed =
	    by_code == FATE_WAITS ? FATE_WAITS : fate_by_outcome(j, by_code);
	j->fate =
	    by_code == FATE_WAITS ? FATE_WAITS : fate_unconfirmed(j, by_code);
}

enum judgement_login
judgement_wants_login(enum rule_stage stage, int code, const char *status)
{
	static const int unclear[] = {503, 513, 550, 551, 553, 554};

	if (stage != RULE_MAIL && stage != RULE_RCPT && stage != RULE_DATA &&
	    stage != RULE_EOD)
		return JUDGEMENT_LOGIN_NO;
	if (code == 530 || code == 535)
		return JUDGEMENT_LOGIN_YES;
	/* Whoever has let the content come has let us in. */
	if (code / 100 != 5 || stage == RULE_EOD)
		return JUDGEMENT_LOGIN_NO;
	/* Of MT-PRIORITY: too low, or the message too big for it. */
	if (strcmp(status, "5.7.15") == 0 || strcmp(status, "5.7.16") == 0)
		return JUDGEMENT_LOGIN_NO;
	if (status[0] != '\0')
		return strncmp(status, "5.7.", 4) == 0 ? JUDGEMENT_LOGIN_YES
						       : JUDGEMENT_LOGIN_NO;
	for (size_t i = 0; i < sizeof(unclear) / sizeof(unclear[0]); i++)
		if (code == unclear[i])
			return JUDGEMENT_LOGIN_MAYBE;
	return JUDGEMENT_LOGIN_NO;
}

static const char *const fate_names[] = {
    [FATE_AS_WANTED] = "ok",
    [FATE_RETURNED] = "bounce",
    [FATE_DEFERRED] = "defer",
    [FATE_ELSEWHERE] = "elsewhere",
    [FATE_LATER] = "later",
    [FATE_WAITS] = "wait",
    [FATE_OUT_OF_STEP] = "elsewhere",
};

const char *
judgement_word(const struct judgement *j)
{
	switch (j->outcome) {
	case RULE_OK:
	case RULE_DEFER:
	case RULE_BOUNCE:
		return fate_names[j->fate];
	case RULE_ALARM:
		return j->witness == WITNESS_NONE || j->witness == WITNESS_DIALS
			   ? rule_outcome_name(j->outcome)
			   : "suspect";
	case RULE_RECONNECT:
	case RULE_SLOW:
	case RULE_PAUSE:
	case RULE_CONNECTIONS:
	case RULE_SPLIT:
		break;
	}
	return rule_outcome_name(j->outcome);
}

bool
judgement_word_is_valid(struct slice word)
{
	static const char *const words[] = {"ok", "bounce", "defer",
	    "elsewhere", "wait", "reconnect", "slow", "pause", "connections",
	    "split", "alarm", "suspect"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (slice_eq(word, words[i]))
			return true;
	return false;
}

const char *
judgement_fate_words(enum mail_fate fate)
{
	switch (fate) {
	case FATE_AS_WANTED:
		return "as it should be";
	case FATE_RETURNED:
		return "returned to its sender";
	case FATE_DEFERRED:
		return "deferred";
	case FATE_ELSEWHERE:
		return "kept: it goes over another session at once";
	case FATE_LATER:
		return "kept: it is tried again, or deferred when that is "
		       "later than lane_wait_limit";
	case FATE_OUT_OF_STEP:
		return "kept: the session is closed, and it goes over another "
		       "one; deferred when all of it had been sent";
	case FATE_WAITS:
		break;
	}
	return "kept: it waits for a session, and is deferred after "
	       "lane_wait_limit, or when there is none";
}

const char *
judgement_witness_words(enum witness witness)
{
	switch (witness) {
	case WITNESS_NONE:
		break;
	case WITNESS_SENDER:
		return "when a message of another sender is told so, too";
	case WITNESS_DOMAIN:
	case WITNESS_DOMAIN_PAUSE:
		return "when a recipient of another domain is refused so, too";
	case WITNESS_MESSAGE:
		return "when another message is told so, too";
	case WITNESS_SESSION:
		return "when another session is told so, too";
	case WITNESS_ATTEMPT:
		return "when that is said a second time";
	case WITNESS_DIALS:
		return "when no session lives and none was opened a short "
		       "while ago, or further tries are refused, too";
	}
	return "";
}
