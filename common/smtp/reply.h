/* reply: incremental parser of SMTP replies (RFC 5321 4.2, RFC 2034).
 *
 *   "250-first CRLF 250 2.1.0 last CRLF"  ->  code 250, status "2.1.0",
 *                                             text "250-first\n250 2.1.0 last"
 *
 * Octets go in as they arrive, in any portions; one reply comes out at a time
 * and what follows it is left for the next call. Lines end in LF, with or
 * without CR. As in smtp(8) the last line decides: its code is the reply's
 * code, whatever the continuation lines said. A line that does not begin with
 * three digits and "-", " " or the line's end is garbage: it is kept in the
 * text, flagged and skipped; the caller warns, and does not reuse the session.
 *
 * Bounds: REPLY_LINE_MAX octets of a line are kept (the rest is dropped) and
 * REPLY_TEXT_MAX octets of the whole; beyond, lines are only parsed. A line of
 * more than REPLY_LINE_LIMIT octets, a reply of more than REPLY_LINES_LIMIT
 * lines or with more than REPLY_GARBAGE_LIMIT garbage lines is REPLY_BAD:
 * nobody knows then where the next reply begins, and the caller must close.
 *
 * A rewriter may put other text in the place of each line before anything is
 * read from it, as smtp(8) does with smtp_reply_filter. A reply line of the
 * server is one whatever the new text looks like, and its own "-" or " " says
 * whether the reply ends there: a reply that is waited for once more, or taken
 * for two, is a message that goes twice. So text with a code and "-" in the
 * place of the last line is the last line; with a code and no "-" in the place
 * of a continuation line it decides, and the server's lines behind it are
 * passed over. Text without a code is only text in a continuation line, and in
 * the last line it is not used. What the server said is believed then, but for
 * a 5xx: the rewriter may have meant to soften that, and it is 450. The same
 * where the rewriter fails for one of the lines. Only where no line of the
 * server has a code does a reply end where the rewriter says so.
 */
#ifndef REPLY_H
#define REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/rewriter.h"
#include "common/smtp/dsn.h"

enum {
	REPLY_LINE_MAX = 2048,
	REPLY_TEXT_MAX = 4096,
	REPLY_LINE_LIMIT = 65536,
	REPLY_LINES_LIMIT = 2000,
	REPLY_GARBAGE_LIMIT = 1000,
	REPLY_PEER_SIZE = 352,
};

struct reply {
	/* 200..599; any other value (0..999) was sent so by a broken server
	 * and is a protocol error wherever it stands. */
	int code;
	/* As the server said it; differs from code only by the rewriter, and
	 * is code where the server's line was no reply line. */
	int sent_code;
	/* From the last line when its class is that of the code, else "d.0.0";
	 * "5.5.0" when the code has no class (3xx, or out of range), which is
	 * right for a 3xx where none belongs. */
	char status[DSN_STATUS_SIZE];
	bool has_status; /* the status stood in the reply */
	bool had_garbage; /* at least one line was no reply line */
	bool rewriter_failed; /* for one of the lines, which is as sent */
	bool codes_differ; /* of its lines, as the server sent them */
	bool is_cut; /* text was dropped because of the bounds */
	struct buf text; /* printable lines with their codes, LF between */
};

enum reply_result {
	REPLY_MORE, /* all octets were taken, no reply is complete */
	REPLY_DONE, /* reply_get() has it */
	REPLY_BAD, /* final: see above */
};

/* Embedded in the caller's object; the members are private. */
struct reply_parser {
	struct reply reply;
	char line[REPLY_LINE_MAX];
	size_t line_len; /* octets kept of the line so far */
	size_t line_total; /* octets seen of it */
	char sent[REPLY_LINE_MAX]; /* the last line, before the rewriter */
	size_t sent_len;
	size_t text_end, text_lines; /* of the text: where its last line
				      * begins, and how many there are */
	size_t lines, garbage_lines;
	int first_code; /* of the current reply; -1: none yet */
	bool is_started; /* some octet of the current reply was seen */
	bool is_decided; /* its code is known, whatever lines follow */
	bool is_done; /* reply is complete: the next feed starts anew */
	bool is_bad;
	const struct rewriter *rewriter; /* NULL: none */
	char peer[REPLY_PEER_SIZE]; /* for the log */
};

void reply_parser_init(struct reply_parser *parser);
void reply_parser_fini(struct reply_parser *parser);

/* Has lines rewritten from now on; host, addr and port name the peer in the
 * log. The rewriter is borrowed. */
void reply_parser_rewrite(struct reply_parser *parser,
    const struct rewriter *rewriter, const char *host, const char *addr,
    const char *port);

/* Takes octets up to the end of one reply; *used_out says how many. */
enum reply_result reply_feed(struct reply_parser *parser, const char *p,
    size_t n, size_t *used_out) __attribute__((warn_unused_result));

/* After REPLY_DONE: the reply, borrowed until the next feed. After REPLY_MORE
 * or REPLY_BAD its text is what was read so far (for a log line). */
const struct reply *reply_get(const struct reply_parser *parser);

/* After REPLY_DONE, with a sent_code of the server: what the rewriter gave
 * cannot be used, and why. The server's last line is, a 5xx as said above. */
void reply_distrust_rewriter(struct reply_parser *parser, const char *why);

/* The rewriter left it in its class. */
static inline bool
reply_is_as_sent(const struct reply *reply)
{
	return reply->code / 100 == reply->sent_code / 100;
}

/* Some octets of a reply were read, but not its end. */
bool reply_is_partial(const struct reply_parser *parser);

/* The text as one printable line, LF -> blank, cut to n - 1 octets. */
void reply_text(const struct reply *reply, char *out, size_t n);

#endif
