/* checks: what smtp_header_checks and its like want done with a header or a
 * line.
 *
 * A header is asked for as a whole, its lines joined by LF: those that describe
 * content, and all of a part, in smtp_mime_header_checks; those of a nested
 * message in smtp_nested_header_checks; others in smtp_header_checks. A line of
 * the body, or a piece of a long one, in smtp_body_checks. What is found is
 * one of WARN, INFO, REPLACE, PREPEND, STRIP, IGNORE and DUNNO or OK, and
 * perhaps text; it is logged in smtp(8)'s words. What smtp(8) does not know
 * either (REJECT, HOLD, ...), or what needs text and has none, is logged and
 * passed over.
 *
 * Source: header_checks(5); Postfix src/global/header_body_checks.c.
 */
#ifndef CHECKS_H
#define CHECKS_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/rewriter.h"
#include "common/smtp/mime.h"

struct checks {
	struct rewriter header, mime_header, nested_header, body;
};

enum check_result {
	CHECK_KEEP, /* it stays as it is */
	CHECK_PREPEND, /* ... behind a line of what is in out */
	CHECK_REPLACE, /* what is in out stands in its place */
	CHECK_DROP,
	CHECK_FAILED, /* a table gave an error; logged */
};

/* There is a table, so that there is something to ask. */
bool checks_are_wanted(const struct checks *checks);
bool checks_want_body(const struct checks *checks);

/* out must be empty. text is borrowed, and ends with its first NUL. queue_id
 * NULL: nothing is logged, as what is found out is not done now. */
enum check_result checks_header(const struct checks *checks,
    const char *queue_id, enum mime_class class, enum header_kind kind,
    const char *text, struct buf *out);
enum check_result checks_body(const struct checks *checks, const char *queue_id,
    const char *text, struct buf *out);

#endif
