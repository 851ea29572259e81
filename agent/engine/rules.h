/* rules: what the replies of a smarthost mean beyond their code.
 *
 *   reply STAGES CODE STATUS PATTERN OUTCOME [by WITNESS]
 *         [for TIME | until HH:MM] [# why]
 *
 *   reply eod,mail 454 4.7.* /sending rate exceeded/ slow   # account's rate
 *   reply any 5xx * /try again in ([0-9]+) *(sec|min|hour)/ pause for \1\2
 *   reply connect 421 * /too many connections/ connections
 *
 * STAGES   connect (the greeting), ehlo, starttls, auth, mail, rcpt, data
 *          (reply to DATA), eod (to the end of the content, BDAT included),
 *          rset, idle (a 421 nobody asked for), any; several with commas
 * CODE     three digits, x for any digit: 421, 45x, 5xx; * for any
 * STATUS   enhanced code, * for any number: 4.7.0, 4.7.*; * for any or none
 * PATTERN  /extended regular expression/ without regard to case, \/ for a
 *          slash, tried on the reply as one line, code included; * for any
 * OUTCOME  ok           as the code says, and nothing else: ends the search
 *          reconnect    this session is used up; says nothing about the mail
 *          slow         too fast: the lane slows down
 *          pause        nothing goes for some time (needs for or until)
 *          connections  too many connections: the budget shrinks
 *          alarm        nothing goes until somebody looks: login, blacklist
 *          defer        this mail is to be tried again, also after a 5xx
 *          bounce       this mail is returned, also after a 4xx
 *          split        too many recipients: the rest of them go in another
 *                       transaction
 * WITNESS  sender, session: the alarm waits until a message of another sender,
 *          or another session, is told so, too, with nothing accepted between
 * TIME     30s, 5m, 1h, 1d; \1s: the number that group 1 found, in seconds
 *          (m, h, d likewise); \1\2: the unit is the word group 2 found
 * HH:MM    the next time it is that late, UTC; "midnight" is 00:00
 *
 * The mail that got the reply is bounced only by "bounce", and by "ok" or no
 * rule with a 5xx; every other outcome keeps it. The first rule that matches
 * decides: own rules are added before the provider's, these before the general
 * ones.
 *
 * Engine; regular expressions come from the administrator, the text from the
 * peer and is cut to DSN_TEXT_MAX octets.
 */
#ifndef RULES_H
#define RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/slice.h"

enum rule_stage {
	RULE_CONNECT,
	RULE_EHLO,
	RULE_STARTTLS,
	RULE_AUTH,
	RULE_MAIL,
	RULE_RCPT,
	RULE_DATA,
	RULE_EOD,
	RULE_RSET,
	RULE_IDLE,
	RULE_STAGES
};

enum rule_outcome {
	RULE_OK,
	RULE_RECONNECT,
	RULE_SLOW,
	RULE_PAUSE,
	RULE_CONNECTIONS,
	RULE_ALARM,
	RULE_DEFER,
	RULE_BOUNCE,
	RULE_SPLIT,
};

/* Whose word an alarm needs beside the first one's. */
enum rule_witness { RULE_BY_ONE, RULE_BY_SENDER, RULE_BY_SESSION };

enum {
	RULES_MAX = 2000, /* in one table */
	RULES_FILE_MAX = 256 * 1024, /* octets of a file */
	RULES_ERROR_SIZE = 320,
};

#define RULES_WAIT_MAX_US (24 * 3600 * US_PER_S)

struct rules;

struct rules_query {
	enum rule_stage stage;
	int code;
	const char *status; /* "" when the reply had none */
	const char *text; /* one line, code included */
	int64_t wall_s; /* seconds since the epoch, for "until" */
};

struct rule_hit {
	enum rule_outcome outcome;
	enum rule_witness witness;
	int64_t wait_us; /* 0: the rule says nothing about time */
	const char *file; /* NULL: no rule, outcome is RULE_OK */
	int line;
	const char *why;
	/* the strings are the table's */
};

struct rules *rules_new(void);
void rules_free(struct rules **rules);
size_t rules_count(const struct rules *rules);

/* A rule is missing because there was no memory for it, not for its text. */
bool rules_have_lacked_memory(const struct rules *rules);

/* Adds the rule of one line, of which the word "reply" is already gone. false:
 * error says what is wrong and what is allowed. */
bool rules_add_line(struct rules *rules, const char *file, int line,
    struct slice rest, char *error, size_t error_size);

/* Adds a file's text of nothing but reply lines. Each line that is wrong adds
 * "FILE:LINE: ..." and LF to errors, and false is returned; the others count
 * all the same. */
bool rules_add_text(struct rules *rules, const char *file, struct slice text,
    struct buf *errors);

/* Always fills *hit; false when no rule matches. */
bool rules_match(const struct rules *rules, const struct rules_query *query,
    struct rule_hit *hit);

const char *rule_outcome_name(enum rule_outcome outcome);
const char *rule_outcome_words(enum rule_outcome outcome); /* a sentence */
const char *rule_stage_name(enum rule_stage stage);
bool rule_stage_find(struct slice name, enum rule_stage *out);

/* "connect, ehlo, ..." for error texts. */
void rule_stage_names(char *out, size_t n);

#endif
