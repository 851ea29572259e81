/* session_rig: a session on the bench, with made messages and fake time.
 *
 *   rig_add()    a request of one transaction, with its queue file in memory
 *   rig_assign() hands it to the session
 *   rig_expect() pulls what the session would send, and compares it
 *   rig_say()    is the server speaking
 *
 * What the session does with a transaction is recorded in its rig_message.
 * The envelope tells a model server what to do with the message: a sender
 * "s7.m550@from.test" is message 7, whose MAIL is to be answered with 550
 * (see struct rig_plan), a recipient "r7.2.450@to.test" is its recipient 2,
 * whose RCPT is to be answered with 450.
 *
 * A check that fails ends the test (cmocka).
 */
#ifndef SESSION_RIG_H
#define SESSION_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/request.h"
#include "agent/engine/session.h"
#include "test/support/queue_source.h"

/* How the server answers, as its manner is known. */
#define RIG_RSET "250 2.0.0 reset\r\n"
#define RIG_MAIL "250 2.1.0 sender ok\r\n"
#define RIG_RCPT "250 2.1.5 recipient ok\r\n"
#define RIG_TAKEN "250 2.0.0 taken\r\n"
#define RIG_SENT RIG_MAIL RIG_RCPT RIG_TAKEN
#define RIG_NEXT_SENT RIG_RSET RIG_SENT

enum { RIG_MESSAGES_MAX = 64, RIG_RCPTS_MAX = 64, RIG_TEXT_SIZE = 64 };

/* What a message is like; zero is a short healthy one to one recipient. */
struct rig_plan {
	size_t rcpts; /* 0: one */
	int rcpt_codes[RIG_RCPTS_MAX]; /* reply code; 0: accepted */
	int mail_code; /* .m: reply to MAIL; 0: accepted */
	int data_code; /* .d: reply to DATA, or to the first BDAT */
	int end_code; /* .e: reply to the end of data */
	size_t octets; /* about so much content beside two short lines */
	const char *sender; /* NULL: as above */
	const char *rcpt; /* of the first recipient; NULL: as above */
	int flags, sendopts; /* of the request */
	bool is_corrupt; /* the file ends before the X record */
	bool is_unreadable; /* reading fails near the end */
};

struct rig_message {
	struct rig_plan plan;
	size_t id; /* from 1 */
	struct request *req;
	struct transaction *t;
	struct queue_source source;
	struct buf file;
	struct buf octets; /* the content as BDAT carries it */
	char sender[RIG_TEXT_SIZE];
	char rcpts[RIG_RCPTS_MAX][RIG_TEXT_SIZE];
	bool is_inside; /* in the session */
	int done, returned, faults;
	bool was_fault; /* the latest return counted as a try */
	size_t copies; /* taken by the model server */
	bool taken[RIG_RCPTS_MAX]; /* for this recipient */
};

struct rig {
	struct settings set;
	struct ehlo ehlo;
	struct peer peer;
	struct manner manner; /* knows RIG_RSET .. RIG_TAKEN, for BDAT */
	struct moment now;
	struct session *session;
	struct buf out; /* as the link's: pulled, not yet written */
	bool is_kicked; /* on_changed since the last pull */
	bool is_over;
	enum session_end end;
	bool is_clean;
	char why[256];
	char login_news[128]; /* words, since rig_open() */
	struct rig_message *messages[RIG_MESSAGES_MAX];
	size_t count;
	void (*on_left)(void *ctx, struct rig_message *m); /* may be NULL */
	/* Replies that hold this text mean "later" (NULL: none). */
	const char *later;
	void *ctx;
};

/* PIPELINING (and CHUNKING), no SIZE; a session is not opened yet. */
void rig_init(struct rig *rig, enum session_mode mode);
void rig_fini(struct rig *rig);

/* What the session knows of the server's wording, from now on. */
void rig_teach(struct rig *rig, enum manner_answer answer, const char *reply);

/* A fresh session with rig->ehlo; a former one must be over. */
void rig_open(struct rig *rig);

struct rig_message *rig_add(struct rig *rig, const struct rig_plan *plan);
void rig_assign(struct rig *rig, struct rig_message *m);

/* rig_add() of a healthy message, and rig_assign(). */
struct rig_message *rig_send(struct rig *rig);

/* Pulls output; without writing it. */
struct slice rig_pull(struct rig *rig, size_t max);

/* Pulls until nothing comes, writes it all, and compares. */
void rig_expect(struct rig *rig, const char *text);

/* The kernel takes n octets of what was pulled. */
void rig_write(struct rig *rig, size_t n);

void rig_say(struct rig *rig, const char *text);
void rig_wait(struct rig *rig, int64_t ms);

/* Checks on the result of recipient i: outcome, reply code (0: ours), status
 * and, unless NULL, the text. */
void rig_check(const struct rig_message *m, size_t i, enum outcome outcome,
    int code, const char *status, const char *text);

/* The message has left the session and every recipient was sent. */
void rig_check_sent(const struct rig_message *m);

/* It came back once, as many times as a try as faults says. */
void rig_check_returned(const struct rig_message *m, int faults);

/* It is over in this way, and no message is inside. */
void rig_check_over(const struct rig *rig, enum session_end end, bool is_clean);

#endif
