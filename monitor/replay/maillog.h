/* maillog: the deliveries that a log of Postfix tells of.
 *
 *   ... postfix/smtp[5924]: 0DC7: to=<a@b>, ..., delay=65, delays=60/4/.9/.1,
 *       dsn=2.0.0, status=sent (250 Ok)
 *   ... postfix/qmgr[5920]: 0DC7: from=<c@d>, size=900, nrcpt=1 (queue active)
 *   ... postfix/qmgr[5920]: 0DC7: removed
 *   ... postfix/smtp[5924]: session=3k9x end=spent ... messages=50 ... age=9.1s
 *       dial=0.2s lane=fast
 *
 * Lines of other programs are passed over, but for the first with a queue ID,
 * and so is what is none of these. When a message came is the time of its first
 * delivery less its delay, and the nearest to that with the fraction of a
 * second that its queue ID has; it ends with its last recipient's. Where the ID
 * has none, lines with whole seconds are spread over theirs evenly, or mail
 * would come in bursts that never were. Times of day without a year, or an
 * offset, are taken as they stand, and of a new year when they go back by more
 * than half of one.
 *
 * Where several lanes log alike, a process is the lane's that one of its lines
 * names: maillog_owners_read() finds them, before the log is read for a lane. A
 * process is a number at a host; one that two lanes' processes had one after
 * the other is nobody's. Lines of several hosts in one log are taken together,
 * which is told.
 */
#ifndef MAILLOG_H
#define MAILLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAILLOG_PROGRAM = 64, MAILLOG_LANE = 64, MAILLOG_HOST = 256 };

struct maillog_owner {
	uint64_t process; /* of its host and number */
	char lane[MAILLOG_LANE]; /* "": nobody's */
};

struct maillog_owners {
	struct maillog_owner *v;
	size_t count;
};

/* Whose lines are read: those of the lane's processes and, if wanted, of those
 * of which nobody knows whose they are. */
struct maillog_choice {
	const struct maillog_owners *owners;
	const char *lane;
	bool takes_unknown;
};

struct maillog_message {
	int64_t came_ms; /* since the epoch, or what the log calls so */
	int64_t took_ms; /* until its last recipient was told of; -1: it was not
			    sent as far as the log goes */
	uint32_t rcpts, octets; /* octets 0: not known */
};

struct maillog {
	char program[MAILLOG_PROGRAM]; /* smtp, of postfix/smtp */
	struct maillog_message *messages; /* in the order of coming */
	size_t count;
	uint64_t lines;
	size_t vague; /* messages that came within a second or so, not known
			 when */
	size_t sessions; /* at once, at least; 0: not known */
	size_t unknown; /* messages of processes that may be another lane's */
	char host[MAILLOG_HOST]; /* of the first delivery */
	char other_host[MAILLOG_HOST]; /* of the first of another one, or "" */
	int64_t first_ms, last_ms;
	/* What cannot be had faster: */
	double before_ms; /* from the coming to the queue manager's hands */
	double answer_ms; /* from MAIL to the reply, at best */
	double dial_ms; /* half of them took no longer; 0: not known */
	double apart_ms; /* of two messages of one session, the dial taken off,
			    a guess at it where no line has one; 0: not known */
};

/* The processes of this program. fd is borrowed. False: error of n octets. */
bool maillog_owners_read(struct maillog_owners *owners, int fd,
    const char *program, char *error, size_t n);
void maillog_owners_fini(struct maillog_owners *owners);

/* Some process is this lane's. */
bool maillog_owners_have(const struct maillog_owners *owners, const char *lane);

/* Reads all of it. choice NULL: all of the program's lines. fd is borrowed.
 * False: error of n octets. */
bool maillog_read(struct maillog *log, int fd, const char *program,
    const struct maillog_choice *choice, char *error, size_t n);
void maillog_fini(struct maillog *log);

#endif
