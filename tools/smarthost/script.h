/* script: rules that make the simulator answer, or fail, differently.
 *
 * One rule a line, the first that applies is used:
 *   STAGE [if KEY MATCH [and KEY MATCH]...] [nth N|every N|times N|prob P]...
 *       ACTION...
 * README.md has the words. Matching counts (nth, every, times) are kept in
 * the rule. The text may come from a file written by a test: errors are
 * returned, never fatal here.
 */
#ifndef SMARTHOST_SCRIPT_H
#define SMARTHOST_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/slice.h"
#include "tools/smarthost/flood.h"

#define STAGES(X)                                                              \
	X(CONNECT, "connect")                                                  \
	X(GREETING, "greeting")                                                \
	X(EHLO, "ehlo")                                                        \
	X(STARTTLS, "starttls")                                                \
	X(TLS, "tls")                                                          \
	X(AUTH, "auth")                                                        \
	X(MAIL, "mail")                                                        \
	X(RCPT, "rcpt")                                                        \
	X(DATA, "data")                                                        \
	X(BDAT, "bdat")                                                        \
	X(EOD, "eod")                                                          \
	X(RSET, "rset")                                                        \
	X(NOOP, "noop")                                                        \
	X(QUIT, "quit")

#define STAGE_ENUM(id, name) STAGE_##id,
enum stage { STAGES(STAGE_ENUM) STAGE_COUNT };
#undef STAGE_ENUM

/* What a rule may be asked about; text not known yet is empty. */
struct script_facts {
	struct slice sender, rcpt, subject, xid, login;
	uint64_t conn_nr, msg_nr, rcpt_nr;
};

enum rule_end {
	RULE_GO_ON,
	RULE_CLOSE, /* after what was said */
	RULE_RESET, /* the same with RST */
	RULE_HALF_CLOSE, /* says nothing more after that, and reads on */
	RULE_STALL, /* read on, say nothing more */
	RULE_FREEZE, /* neither read nor write */
	RULE_FLOOD, /* flood.h; as close without TLS */
};

struct rule {
	enum rule_end end;
	bool has_reply, is_raw; /* reply is sent; raw: exactly as it is */
	char *reply;
	size_t reply_n;
	bool is_silent; /* no reply although the command counts */
	bool is_extra; /* the reply is given twice */
	bool drops_input; /* what came with the command is not read */
	bool is_merged; /* the reply's line has no end: the next goes on it */
	bool is_as_commands; /* the chunk's octets are read as commands */
	bool is_accept; /* message counts as taken, whatever is said */
	bool is_go_ahead; /* 354 although no recipient was accepted */
	unsigned delay_ms, drip_ms;
	struct flood flood;
	int64_t cut_after; /* octets still read before the cut; -1: none */
	bool is_cut_hard;
};

struct script;

/* NULL on error, with "line N: why" in error. */
struct script *script_parse(const char *text, uint64_t seed, struct buf *error);
struct script *script_read(const char *path, uint64_t seed, struct buf *error);
void script_free(struct script *s);

/* The rule to apply, counting its use; NULL when none. s may be NULL.
 * go_ahead_only: consider just the rules with that action. */
const struct rule *script_match(struct script *s, enum stage stage,
    const struct script_facts *facts, bool go_ahead_only);

/* "mail" and so on. */
const char *stage_name(enum stage stage);

#endif
