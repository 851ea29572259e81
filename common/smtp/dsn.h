/* dsn: what became of a recipient: enhanced status, reply code and text.
 *
 * A plain value of fixed size, filled where the fact is known and copied from
 * then on; nothing re-parses its text. `status` is always a valid RFC 3463
 * code and `text` is always one printable line (log_safe), cut at
 * DSN_TEXT_MAX octets between two UTF-8 characters. Secrets must not be
 * passed in. A zeroed struct is not valid: use dsn_set().
 */
#ifndef DSN_H
#define DSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	DSN_STATUS_SIZE = 12, /* "5.123.456" and its NUL fit */
	DSN_TEXT_MAX = 2400, /* a reply of 2048 octets and the words around */
};

/* What a deferral is counted as. Whoever has a better word than the reply code
 * sets it after dsn_set(). */
enum dsn_cause {
	DSN_CAUSE_NONE, /* a reply if smtp_code is set, else our own trouble */
	DSN_CAUSE_LOST, /* the session was lost, or out of step */
	DSN_CAUSE_RATE, /* a rate limit of the lane or its account */
	DSN_CAUSE_DOMAIN, /* a limit of the recipient's domain */
	DSN_CAUSE_PAUSE, /* the smarthost asked for a pause */
	DSN_CAUSE_WAIT, /* waited long enough for something else */
	DSN_CAUSE_UNREACHABLE, /* no session to be had */
	DSN_CAUSE_ALARM, /* the smarthost wants none of our mail */
	DSN_CAUSE_CONFIG, /* until somebody corrects a setting */
	DSN_CAUSE_CROWDED, /* the active queue needs room */
};

struct dsn {
	char status[DSN_STATUS_SIZE]; /* "4.4.2" */
	uint16_t smtp_code; /* 0: no reply, we made it up */
	enum dsn_cause cause;
	bool maybe_accepted; /* final dot sent, no reply was read: in doubt */
	char text[DSN_TEXT_MAX + 1];
};

/* Overwrites *dsn: smtp_code 0, cause NONE, maybe_accepted false (set
 * them afterwards).
 * Untrusted text may be an argument, never the format. A status that is not
 * valid is replaced by "4.3.0", so that a slip can only delay mail. */
void dsn_set(struct dsn *dsn, const char *status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "D.D.D", first 2, 4 or 5, then twice 1 to 3 digits, and nothing else. */
bool dsn_status_is_valid(const char *status);

/* Length of the valid status that p[0..n) begins with, followed by the end,
 * a blank or a tab; else 0. */
size_t dsn_status_length(const char *p, size_t n);

/* '2', '4' or '5'. */
char dsn_class(const struct dsn *dsn);

/* Replaces the first digit of the status (soft bounce: 5.x.y -> 4.x.y); the
 * reply code and text stay as the peer gave them. */
void dsn_set_class(struct dsn *dsn, char digit);

#endif
