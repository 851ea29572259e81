/* message: the content of a queue file as a stream of SMTP octets.
 *
 *   queue file -> record_reader [-> rewriting] -> content -> the caller's
 * buffer
 *
 * Resumable and bounded: message_read() adds a stretch and stops; between two
 * calls the message may give its window back (message_release), after which it
 * holds well under 1 kB and still knows its place. A message can be read any
 * number of times, once per session it is tried on, each time from its first
 * octet (message_rewind). Makes no system calls itself; the source does.
 *
 * The end is the X record and nothing else. A file that stops earlier, or has
 * any other record in its content, is MESSAGE_CORRUPT, and the caller must not
 * let the peer see an end of data. MESSAGE_IO_ERROR is a read that failed:
 * says nothing about the file, and so does MESSAGE_TABLE_ERROR, a table that
 * was asked (rewriting.h). MESSAGE_TOO_DEEP is content that cannot be converted
 * for this server. All last until message_rewind().
 *
 * Source: Postfix src/smtp/smtp_proto.c; RFC 5321 4.1.1.4, RFC 3030.
 */
#ifndef MESSAGE_H
#define MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/postfix/record.h"

struct answers;
struct message;
struct rewriting_rules;

enum message_result {
	MESSAGE_MORE,
	MESSAGE_END,
	MESSAGE_CORRUPT,
	MESSAGE_IO_ERROR,
	MESSAGE_TABLE_ERROR,
	MESSAGE_TOO_DEEP,
};

/* message_read() goes over its max by less than this. */
enum { MESSAGE_SLACK = 8192 };

/* content_off: the first content record, the request's `offset` (a pointer
 * record is fine). line_length_limit: smtp_line_length_limit, 0 for none.
 * Ready to be read with dot stuffing. src must outlive the message. */
struct message *message_new(
    struct record_source src, int64_t content_off, int line_length_limit);

/* What is to become of its lines; both are borrowed. Before it is read. */
void message_set_rules(struct message *m, const struct rewriting_rules *rules,
    const char *queue_id);

/* Where answers of tables are that do not answer at once; borrowed. */
void message_set_answers(struct message *m, struct answers *answers);

/* Has those answers want what the addresses in its headers need, as far as can
 * be said with what they know. At its first octet then. false: a table gave an
 * error; logged. */
bool message_foresee(struct message *m);

/* To be converted to 7 bit (mime.h), or not (the default), from the next rewind
 * on. Needs rules, for the limits in them. */
void message_set_conversion(struct message *m, bool to_7bit);

/* Another reader of the same content, at its first octet, so that two
 * sessions can read at once. Less than 1 kB while it does not read. */
struct message *message_dup(const struct message *m);

/* Frees *m, which may be NULL, and sets it to NULL. */
void message_free(struct message **m);

/* From the first octet: dot_stuffing true for DATA, false for BDAT. */
void message_rewind(struct message *m, bool dot_stuffing);

/* Appends octets until max or more were added (at most max + MESSAGE_SLACK),
 * or the message ends. MESSAGE_END: the X record was read and the last CRLF is
 * in out; it is returned by the call that appends the last octet, also when
 * max was reached exactly there, so a message that fits needs one call. After
 * the end nothing is appended and MESSAGE_END is repeated.
 * Never overflows out: when its maximum leaves no room for MESSAGE_SLACK
 * octets more, nothing is appended and MESSAGE_MORE is returned. */
enum message_result message_read(struct message *m, struct buf *out, size_t max)
    __attribute__((warn_unused_result));

/* Gives back the window while the message waits. Done by itself at the end. */
void message_release(struct message *m);

/* Octets appended since the last rewind: the size on the wire at the end. */
uint64_t message_octets(const struct message *m);

/* Of the content read so far, in this round or an earlier one. */
bool message_was_folded(const struct message *m);

#endif
