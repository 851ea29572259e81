#include "agent/engine/checks.h"

#include <string.h>

#include "common/base/log.h"
#include "common/base/slice.h"

enum { VALUE_MAX = 1 << 20, LOGGED_OCTETS = 200 };

struct check {
	const struct rewriter *table;
	const char *param; /* of the table */
	const char *where; /* header or body */
	const char *queue_id, *text; /* queue_id NULL: in silence */
	bool is_header;
};

static void
log_action(const struct check *c, const char *action, const char *argument)
{
	if (c->queue_id == NULL)
		return;
	log_info("%s: %s: %s %.*s%s%s", c->queue_id, action, c->where,
	    LOGGED_OCTETS, c->text, argument[0] != '\0' ? ": " : "", argument);
}

/* The text that an action has to have. */
static bool
has_argument(const struct check *c, const char *action, const char *argument)
{
	bool is_empty = argument[0] == '\0';

	if (!is_empty &&
	    (!c->is_header || header_name_length(slice_str(argument)) > 0))
		return true;
	if (c->queue_id == NULL)
		return false;
	if (is_empty)
		log_warn("%s action without text in %s map", action, c->param);
	else
		log_warn("bad %s header text \"%s\" in %s map -- need "
			 "\"headername: headervalue\"",
		    action, argument, c->param);
	return false;
}

static enum check_result
put(const struct check *c, const char *action, const char *logged,
    enum check_result result, const char *argument, struct buf *out)
{
	if (!has_argument(c, action, argument))
		return CHECK_KEEP;
	log_action(c, logged, argument);
	return buf_add_str(out, argument) ? result : CHECK_FAILED;
}

/* value: an action and, perhaps, its argument. */
static enum check_result
act(const struct check *c, const char *value, struct buf *out)
{
	size_t n = strcspn(value, " \t");
	struct slice word = slice_of(value, n);
	const char *argument = value + n + strspn(value + n, " \t\r\n\v\f");

	if (slice_eq_nocase(word, "WARN")) {
		log_action(c, "warning", argument);
	} else if (slice_eq_nocase(word, "INFO")) {
		log_action(c, "info", argument);
	} else if (slice_eq_nocase(word, "REPLACE")) {
		return put(
		    c, "REPLACE", "replace", CHECK_REPLACE, argument, out);
	} else if (slice_eq_nocase(word, "PREPEND")) {
		return put(
		    c, "PREPEND", "prepend", CHECK_PREPEND, argument, out);
	} else if (slice_eq_nocase(word, "STRIP")) {
		log_action(c, "strip", argument);
		return CHECK_DROP;
	} else if (slice_eq_nocase(word, "IGNORE")) {
		return CHECK_DROP;
	} else if (!slice_eq_nocase(word, "DUNNO") &&
		   !slice_eq_nocase(word, "OK") && c->queue_id != NULL) {
		log_warn("unsupported command in %s map: %s", c->param, value);
	}
	return CHECK_KEEP;
}

static enum check_result
ask(const struct check *c, struct buf *out)
{
	enum check_result result = CHECK_KEEP;
	struct buf value;

	CHECK(buf_len(out) == 0);
	buf_init(&value, VALUE_MAX);
	switch (rewriter_ask(c->table, c->text, &value)) {
	case REWRITER_KEPT:
		break;
	case REWRITER_DONE:
		result = act(c, buf_str(&value), out);
		break;
	case REWRITER_UNKNOWN: /* refused at start */
	case REWRITER_FAILED:
		if (c->queue_id != NULL)
			log_warn("%s: smtp %s checks lookup error", c->queue_id,
			    c->where);
		result = CHECK_FAILED;
		break;
	}
	buf_fini(&value);
	return result;
}

bool
checks_are_wanted(const struct checks *checks)
{
	return checks->header.fn != NULL || checks->mime_header.fn != NULL ||
	       checks->nested_header.fn != NULL || checks_want_body(checks);
}

bool
checks_want_body(const struct checks *checks)
{
	return checks->body.fn != NULL;
}

enum check_result
checks_header(const struct checks *checks, const char *queue_id,
    enum mime_class class, enum header_kind kind, const char *text,
    struct buf *out)
{
	bool is_mime = class == MIME_MULTIPART || kind == HEADER_MIME ||
		       kind == HEADER_CONTENT_TYPE ||
		       kind == HEADER_CONTENT_ENCODING;
	struct check c = {&checks->header, "smtp_header_checks", "header",
	    queue_id, text, true};

	if (is_mime) {
		c.table = &checks->mime_header;
		c.param = "smtp_mime_header_checks";
	} else if (class == MIME_NESTED) {
		c.table = &checks->nested_header;
		c.param = "smtp_nested_header_checks";
	}
	return ask(&c, out);
}

enum check_result
checks_body(const struct checks *checks, const char *queue_id, const char *text,
    struct buf *out)
{
	struct check c = {
	    &checks->body, "smtp_body_checks", "body", queue_id, text, false};

	return ask(&c, out);
}
