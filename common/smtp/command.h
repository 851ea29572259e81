/* command: builds SMTP command lines, CRLF included, at the end of a buf.
 *
 *   MAIL FROM:<a@x> SIZE=1234 BODY=8BITMIME ENVID=q RET=HDRS SMTPUTF8 AUTH=<>
 *       MT-PRIORITY=4
 *   RCPT TO:<b@y> ORCPT=rfc822;b@y NOTIFY=SUCCESS,FAILURE
 *
 * Parameters come in the order smtp(8) uses, then those that it has not.
 * Addresses are in internal form and are quoted here (address.h); ENVID and
 * ORCPT are given decoded. Every function returns false, and leaves the buffer
 * as it was, when a value cannot be put on one line without changing its
 * meaning: CR, LF or NUL in it, an address that address_to_smtp() refuses, a
 * line longer than COMMAND_LINE_MAX, or no room. Whether the server offered an
 * extension is the caller's to know.
 */
#ifndef COMMAND_H
#define COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/slice.h"

enum { COMMAND_LINE_MAX = 16384 }; /* octets, CRLF included */

enum command_body { BODY_NONE, BODY_7BIT, BODY_8BIT };

/* qmgr's values of ret_flags and notify_flags. */
enum { COMMAND_RET_FULL = 1, COMMAND_RET_HDRS = 2 };
enum {
	COMMAND_NOTIFY_NEVER = 1,
	COMMAND_NOTIFY_SUCCESS = 2,
	COMMAND_NOTIFY_FAILURE = 4,
	COMMAND_NOTIFY_DELAY = 8,
};

struct command_mail {
	struct slice sender; /* internal form; empty: <> */
	bool use_size;
	uint64_t size; /* octets */
	enum command_body body;
	bool use_dsn; /* off: envid and ret are not sent */
	struct slice envid; /* decoded; empty: none */
	int ret; /* COMMAND_RET_*, 0: none */
	bool smtputf8, requiretls;
	bool auth_empty; /* AUTH=<> */
	bool use_priority; /* MT-PRIORITY, RFC 6710 */
	int priority; /* -9 to 9 */
};

struct command_rcpt {
	struct slice recipient; /* internal form, not empty */
	bool use_dsn; /* off: none of what follows is sent */
	int notify_flags; /* COMMAND_NOTIFY_* bits, 0: none */
	struct slice orcpt; /* "type;address", decoded; may be empty: */
	struct slice original_recipient; /* then this, if not empty, as
					  * rfc822 or, with smtputf8 and when
					  * it is not ASCII, as utf-8 */
	bool smtputf8;
};

bool command_mail(struct buf *out, const struct command_mail *mail)
    __attribute__((warn_unused_result));
bool command_rcpt(struct buf *out, const struct command_rcpt *rcpt)
    __attribute__((warn_unused_result));

/* These fail only for want of room. */
bool command_data(struct buf *out);
bool command_bdat(struct buf *out, uint64_t n, bool is_last);
bool command_rset(struct buf *out);
bool command_quit(struct buf *out);
bool command_starttls(struct buf *out);

bool command_ehlo(struct buf *out, const char *name)
    __attribute__((warn_unused_result));
bool command_helo(struct buf *out, const char *name)
    __attribute__((warn_unused_result));

/* "verb argument", or "verb" when argument is empty; e.g. for AUTH. */
bool command_text(struct buf *out, const char *verb, struct slice argument)
    __attribute__((warn_unused_result));

#endif
