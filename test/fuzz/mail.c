#include "test/fuzz/mail.h"

#include <stdio.h>
#include <string.h>

#include "agent/engine/message.h"
#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/postfix/record.h"

enum {
	TEXT_MAX = 80,
	FILE_OCTETS_MAX = 1 << 20,
	RECORDS_MAX = 24,
	RECORD_MAX = 120, /* the length fits one octet */
	DEADLINE_US = 1000000,
};

/* ---- the input ---------------------------------------------------------- */

unsigned
input_octet(struct input *in)
{
	if (in->n == 0)
		return 0;
	in->n--;
	return *in->p++;
}

struct slice
input_take(struct input *in, size_t n)
{
	struct slice s;

	if (n > in->n)
		n = in->n;
	s = slice_of((const char *)in->p, n);
	in->p += n;
	in->n -= n;
	return s;
}

char *
input_text(struct input *in, size_t max)
{
	struct slice s = input_take(in, input_octet(in) % max);
	char *text = mem_alloc(s.n + 1);

	for (size_t i = 0; i < s.n; i++)
		text[i] = s.p[i] != '\0' ? s.p[i] : 'x';
	text[s.n] = '\0';
	return text;
}

/* ---- messages ----------------------------------------------------------- */

static ssize_t
read_at(void *ctx, char *p, size_t n, int64_t off)
{
	const struct mail *m = ctx;

	CHECK(off >= 0 && (uint64_t)off <= m->file_size);
	if (n > m->file_size - (size_t)off)
		n = m->file_size - (size_t)off;
	memcpy(p, m->file + off, n);
	return (ssize_t)n;
}

static const char *
text(struct mail *m, struct input *in)
{
	CHECK(m->text_count < MAIL_TEXTS);
	m->texts[m->text_count] = input_text(in, TEXT_MAX);
	return m->texts[m->text_count++];
}

/* Any octets, or records of them with a proper end. */
static void
make_file(struct mail *m, struct input *in, bool is_proper)
{
	struct buf b;

	buf_init(&b, FILE_OCTETS_MAX);
	if (!is_proper)
		(void)buf_add_slice(
		    &b, input_take(
			    in, input_octet(in) * (1 + input_octet(in) % 8)));
	for (size_t left = is_proper ? input_octet(in) % RECORDS_MAX : 0;
	     left > 0; left--) {
		struct slice s = input_take(in, input_octet(in) % RECORD_MAX);

		(void)buf_add_char(&b, input_octet(in) % 2 != 0
					   ? RECORD_TYPE_CONT
					   : RECORD_TYPE_NORM);
		(void)buf_add_char(&b, (char)s.n);
		(void)buf_add_slice(&b, s);
	}
	if (is_proper)
		(void)buf_add(&b, "X\0E\0", 4);
	m->file_size = buf_len(&b);
	m->file = mem_alloc(m->file_size + 1);
	memcpy(m->file, buf_slice(&b).p, m->file_size);
	buf_fini(&b);
}

static void
make_request(struct mail *m, struct input *in, int64_t now_us)
{
	struct request *req = mem_zalloc(sizeof(*req));
	unsigned flags = input_octet(in);

	req->queue_name = "active";
	req->queue_id = "4FuzzId";
	req->nexthop = "mx.test";
	req->encoding = (enum content_encoding)(flags % 3);
	req->ret_flags = (int)(flags / 4 % 3);
	req->flags = (flags & 0x40) != 0 ? REQUEST_TRACE_ONLY : 0;
	req->deadline_us =
	    (flags & 0x80) != 0 ? now_us + DEADLINE_US : INT64_MAX;
	req->sendopts = (int)input_octet(in);
	req->size = (int64_t)input_octet(in) * 100;
	req->sender = text(m, in);
	req->envelope_id = text(m, in);
	req->sasl_username = "";
	req->rcpt_due = 1 + input_octet(in) % MAIL_RCPTS_MAX;
	req->rcpts = mem_zarray(req->rcpt_due, sizeof(*req->rcpts));
	for (; req->rcpt_count < req->rcpt_due; req->rcpt_count++) {
		struct recipient *r = &req->rcpts[req->rcpt_count];

		r->address = text(m, in);
		r->original = text(m, in);
		r->orcpt = text(m, in);
		r->notify_flags = (int)input_octet(in) % 16;
	}
	req->owner = m;
	m->req = req;
}

static void
make_parts(struct mail *m, bool is_split, int64_t now_us)
{
	struct request *req = m->req;
	size_t half = req->rcpt_count / 2, i = 0;

	if (!is_split || half == 0) {
		m->parts[0] = transaction_new(req, now_us);
		return;
	}
	m->parts[0] = transaction_new_part(req, half, now_us);
	m->parts[1] = transaction_new_part(req, req->rcpt_count - half, now_us);
	for (; i < req->rcpt_count; i++) {
		struct transaction *t = m->parts[i >= half];

		t->rcpts[t->count++] = (uint32_t)i;
	}
}

struct mail *
mail_new(struct input *in, int line_length_limit, int64_t now_us)
{
	struct mail *m = mem_zalloc(sizeof(*m));
	unsigned shape = input_octet(in);

	make_request(m, in, now_us);
	make_file(m, in, shape % 4 != 0);
	if (!request_is_probe(m->req))
		m->req->message = message_new(
		    (struct record_source){read_at, m, (int64_t)m->file_size},
		    shape % 8 == 7
			? (int64_t)(input_octet(in) % (m->file_size + 1))
			: 0,
		    line_length_limit);
	make_parts(m, (shape & 0x80) != 0, now_us);
	m->parts[0]->has_other_host = (shape & 0x40) != 0;
	return m;
}

void
mail_free(struct mail **m)
{
	struct mail *old = *m;

	*m = NULL;
	for (size_t i = 0; i < MAIL_PARTS; i++) {
		CHECK(!old->is_inside[i]);
		transaction_free(&old->parts[i]);
	}
	request_free(&old->req);
	for (size_t i = 0; i < old->text_count; i++)
		mem_free(old->texts[i]);
	mem_free(old->file);
	mem_free(old);
}

struct mail *
mail_of(const struct transaction *t)
{
	return t->req->owner;
}

size_t
mail_part(const struct mail *m, const struct transaction *t)
{
	size_t i = 0;

	while (m->parts[i] != t) {
		i++;
		CHECK(i < MAIL_PARTS);
	}
	return i;
}

void
mail_assign(struct mail *m, struct session *s, struct moment now)
{
	for (size_t i = 0; i < MAIL_PARTS; i++) {
		struct transaction *t = m->parts[i];

		if (t == NULL || m->is_inside[i] || session_is_finishing(s))
			continue;
		m->is_inside[i] = true;
		session_assign(s, t, now);
	}
}

void
mail_on_left(struct mail *m, struct transaction *t)
{
	struct request *req = m->req;
	size_t part = mail_part(m, t);

	CHECK(m->is_inside[part]);
	m->is_inside[part] = false;
	for (size_t i = 0; i < t->total; i++) {
		if (req->rcpts[t->rcpts[i]].state != RCPT_DECIDED)
			continue;
		request_set_rcpt_state(req, t->rcpts[i], RCPT_HANDED_OVER);
		request_set_rcpt_state(req, t->rcpts[i], RCPT_REPORTED);
	}
	if (t->state == TRANSACTION_DONE)
		transaction_free(&m->parts[part]);
	if (request_count(req, RCPT_REPORTED) == req->rcpt_count)
		request_free(&m->req);
}

/* ---- the log ------------------------------------------------------------ */

int LLVMFuzzerInitialize(int *argc, char ***argv);

static void
tell_panic(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	if (level >= LOG_LEVEL_FATAL)
		(void)fprintf(stderr, "%s\n", line);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	log_set_sink(tell_panic, NULL);
	return 0;
}
