#include "tools/smarthost/answer.h"

#include <ctype.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "tools/smarthost/conn.h"

static struct script_facts
facts_of(struct session *s)
{
	struct script_facts f = {
	    .sender = buf_slice(&s->env.sender),
	    .rcpt = buf_slice(&s->env.rcpts),
	    .login = slice_str(s->auth.login),
	    .conn_nr = s->conn->nr,
	    .msg_nr = s->msg_nr,
	    .rcpt_nr = s->env.rcpt_count,
	};

	return f;
}

static int
code_of(const char *p, size_t n)
{
	int code = 0;

	for (size_t i = 0; i < 3; i++) {
		if (i >= n || !isdigit((unsigned char)p[i]))
			return 0;
		code = code * 10 + (p[i] - '0');
	}
	return code;
}

struct answer
answer_ask(struct session *s, enum stage stage, const char *normal)
{
	struct answer a = {.normal = normal};
	struct script_facts f = facts_of(s);

	if (stage == STAGE_EOD && s->conn->sim->script != NULL) {
		f.subject = content_header(&s->content, "Subject");
		f.xid = content_header(&s->content, "X-Lane-Id");
	}
	if (stage == STAGE_RCPT) {
		f.rcpt = buf_slice(&s->env.rcpt);
		f.rcpt_nr = s->env.rcpt_tried;
	}
	a.rule = script_match(s->conn->sim->script, stage, &f, false);
	if (a.rule != NULL && a.rule->end == RULE_FLOOD)
		s->conn->flood = a.rule->flood;
	if (a.rule != NULL && a.rule->has_reply)
		a.code = code_of(a.rule->reply, a.rule->reply_n);
	else if (a.rule == NULL || a.rule->end == RULE_GO_ON ||
		 a.rule->is_silent)
		a.code = code_of(normal, strlen(normal));
	return a;
}

const struct rule *
answer_go_ahead(struct session *s)
{
	struct script_facts f = facts_of(s);

	return script_match(s->conn->sim->script, STAGE_DATA, &f, true);
}

/* Length of "x.y.z " in front of the text. */
static size_t
enhanced_length(const char *p, size_t n)
{
	size_t i = 0;

	for (unsigned dots = 0; i < n; i++) {
		if (p[i] == '.')
			dots++;
		else if (p[i] == ' ')
			return dots == 2 && i > 4 ? i + 1 : 0;
		else if (!isdigit((unsigned char)p[i]))
			return 0;
	}
	return 0;
}

/* "450 a\nb" becomes "450-a" CRLF "450 b" CRLF. */
static void
format(struct session *s, struct buf *out, const char *text, bool is_normal)
{
	const char *code = text, *line = text;

	while (line != NULL) {
		const char *nl = strchr(line, '\n');
		size_t n = nl ? (size_t)(nl - line) : strlen(line);

		if (n >= 3 && strncmp(line, code, 3) == 0 &&
		    (n == 3 || line[3] == ' ' || line[3] == '-')) {
			line += n > 3 ? 4 : 3;
			n -= n > 3 ? 4 : 3;
		}
		if (is_normal && !s->conn->sim->options.enhanced) {
			size_t skip = enhanced_length(line, n);

			line += skip;
			n -= skip;
		}
		buf_addf(
		    out, "%.3s%c%.*s\r\n", code, nl ? '-' : ' ', (int)n, line);
		line = nl ? nl + 1 : NULL;
	}
}

static void
log_reply(struct session *s, struct slice text)
{
	FILE *f = s->conn->sim->transcript;

	if (f == NULL)
		return;
	fprintf(f, "%llu S: %.*s", (unsigned long long)s->conn->nr, (int)text.n,
	    text.p);
	if (text.n == 0 || text.p[text.n - 1] != '\n')
		fputc('\n', f);
}

/* r: the rule that ordered it, or NULL. */
static void
send_text(
    struct session *s, const char *text, bool is_normal, const struct rule *r)
{
	struct buf out;

	buf_init(&out, SESSION_TEXT_MAX);
	format(s, &out, text, is_normal);
	if (r != NULL && r->is_extra)
		format(s, &out, text, is_normal);
	if (r != NULL && r->is_merged)
		out.len -= 2; /* the CRLF */
	log_reply(s, buf_slice(&out));
	conn_send(s->conn, buf_slice(&out).p, buf_len(&out),
	    r != NULL ? r->drip_ms : 0);
	buf_fini(&out);
}

/* Postfix waits before it answers the 10th error and all later ones, and
 * hangs up at the 20th; an accepted message clears the count. */
static void
before_error(struct session *s)
{
	const struct options *o = &s->conn->sim->options;

	s->conn->sim->stats.errors++;
	s->errors++;
	if (o->personality == PERSONALITY_POSTFIX &&
	    s->errors >= o->soft_errors && o->tarpit_ms > 0)
		conn_hold(s->conn, o->tarpit_ms);
}

static void
after_error(struct session *s)
{
	const struct options *o = &s->conn->sim->options;

	if (o->personality != PERSONALITY_POSTFIX ||
	    s->errors < o->hard_errors || s->conn->is_ending)
		return;
	send_text(s, "421 4.7.0 Error: too many errors", true, NULL);
	conn_then(s->conn, CONN_CLOSE);
}

void
answer_end(struct session *s, enum rule_end end)
{
	switch (end) {
	case RULE_GO_ON:
		break;
	case RULE_CLOSE:
		conn_then(s->conn, CONN_CLOSE);
		break;
	case RULE_RESET:
		conn_then(s->conn, CONN_RESET);
		break;
	case RULE_HALF_CLOSE:
		conn_then(s->conn, CONN_HALF_CLOSE);
		break;
	case RULE_STALL:
		conn_stall(s->conn, false);
		break;
	case RULE_FREEZE:
		conn_stall(s->conn, true);
		break;
	case RULE_FLOOD:
		conn_then(s->conn, CONN_FLOOD);
		break;
	}
}

static void
give_scripted(struct session *s, const struct answer *a)
{
	const struct rule *r = a->rule;

	s->conn->sim->stats.scripted++;
	if (r->drops_input)
		buf_reset(&s->conn->in);
	if (r->cut_after >= 0)
		conn_cut(s->conn, r->cut_after, r->is_cut_hard);
	if (r->delay_ms > 0)
		conn_hold(s->conn, r->delay_ms);
	if (r->has_reply && r->is_raw) {
		log_reply(s, slice_of(r->reply, r->reply_n));
		conn_send(s->conn, r->reply, r->reply_n, r->drip_ms);
	} else if (r->has_reply) {
		send_text(s, r->reply, false, r);
	} else if (r->end == RULE_GO_ON && !r->is_silent && a->normal[0]) {
		send_text(s, a->normal, true, r);
	}
	answer_end(s, r->end);
}

void
answer_give(struct session *s, const struct answer *a)
{
	if (a->code >= 400)
		before_error(s);
	if (a->rule != NULL)
		give_scripted(s, a);
	else if (a->normal[0] != '\0')
		send_text(s, a->normal, true, NULL);
	if (a->code >= 400)
		after_error(s);
}

void
answer_stage(struct session *s, enum stage stage, const char *normal)
{
	struct answer a = answer_ask(s, stage, normal);

	answer_give(s, &a);
}

void
answer_say(struct session *s, const char *text)
{
	struct answer a = {.normal = text, .code = code_of(text, strlen(text))};

	answer_give(s, &a);
}
