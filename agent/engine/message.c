#include "agent/engine/message.h"

#include "agent/engine/rewriting.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/smtp/content.h"

/* A record is encoded in parts of at most PART_MAX octets. Even a limit of 2
 * (each octet folded) makes no more than four octets of one, so the last part
 * stays within MESSAGE_SLACK. */
enum { PART_MAX = 1024 };

struct message {
	struct record_source source;
	int64_t content_off;
	struct record_reader reader;
	struct content content;
	struct record record; /* being encoded, valid while has_record */
	size_t done; /* octets of it that were encoded */
	bool has_record;
	const struct rewriting_rules *rules; /* NULL: none */
	struct answers *answers;
	const char *queue_id;
	bool to_7bit, is_at_end;
	struct rewriting *rewriting; /* NULL: lines are sent as they are */
	enum message_result result; /* MESSAGE_MORE while there is more */
	uint64_t octets;
};

struct message *
message_new(
    struct record_source src, int64_t content_off, int line_length_limit)
{
	struct message *m = mem_zalloc(sizeof(*m));

	m->source = src;
	m->content_off = content_off;
	content_init(&m->content, line_length_limit, true);
	CHECK(content_room(&m->content, PART_MAX) < MESSAGE_SLACK);
	record_reader_init(&m->reader, src, content_off);
	message_rewind(m, true);
	return m;
}

struct message *
message_dup(const struct message *m)
{
	struct message *dup =
	    message_new(m->source, m->content_off, (int)m->content.limit);

	message_set_rules(dup, m->rules, m->queue_id);
	dup->answers = m->answers;
	return dup;
}

void
message_set_rules(struct message *m, const struct rewriting_rules *rules,
    const char *queue_id)
{
	m->rules = rules;
	m->queue_id = queue_id;
}

void
message_set_answers(struct message *m, struct answers *answers)
{
	m->answers = answers;
}

void
message_set_conversion(struct message *m, bool to_7bit)
{
	m->to_7bit = to_7bit;
}

void
message_free(struct message **m)
{
	if (*m == NULL)
		return;
	record_reader_fini(&(*m)->reader);
	rewriting_free(&(*m)->rewriting);
	mem_free(*m);
	*m = NULL;
}

void
message_rewind(struct message *m, bool dot_stuffing)
{
	record_reader_fini(&m->reader);
	record_reader_init(&m->reader, m->source, m->content_off);
	content_restart(&m->content, dot_stuffing);
	rewriting_free(&m->rewriting);
	if (rewriting_is_wanted(m->rules, m->to_7bit))
		m->rewriting = rewriting_new(
		    m->rules, m->answers, m->queue_id, m->to_7bit);
	m->has_record = false;
	m->is_at_end = false;
	m->done = 0;
	m->octets = 0;
	m->result = MESSAGE_MORE;
}

void
message_release(struct message *m)
{
	/* What is rewritten was copied. */
	if (m->rewriting != NULL) {
		record_reader_release(&m->reader);
		return;
	}
	/* The record lies in the window: it has to be read once more, and
	 * `done` says how much of it to pass over then. */
	if (m->has_record)
		record_reader_again(&m->reader);
	m->has_record = false;
	record_reader_release(&m->reader);
}

/* Makes m->record the one to encode now; any result but MORE is final. */
static enum message_result
next_record(struct message *m)
{
	switch (record_reader_next(&m->reader, &m->record)) {
	case RECORD_OK:
		break;
	case RECORD_EOF:
	case RECORD_CORRUPT:
		return MESSAGE_CORRUPT;
	case RECORD_IO_ERROR:
		return MESSAGE_IO_ERROR;
	}
	if (m->record.type == RECORD_TYPE_XTRA)
		return MESSAGE_END;
	if (m->record.type != RECORD_TYPE_NORM &&
	    m->record.type != RECORD_TYPE_CONT)
		return MESSAGE_CORRUPT;
	/* Only a file that was changed under us can be shorter now. */
	if (m->done > m->record.data.n)
		return MESSAGE_CORRUPT;
	m->has_record = true;
	return MESSAGE_MORE;
}

/* Encodes the rest of the record, or a part of it. A part that is not the
 * rest leaves at least one octet behind, see content.h. */
static void
encode_part(struct message *m, struct buf *out)
{
	struct slice rest =
	    slice_of(m->record.data.p + m->done, m->record.data.n - m->done);
	bool is_rest = rest.n <= PART_MAX;

	CHECK(m->has_record && m->done <= m->record.data.n);
	if (!is_rest)
		rest.n = PART_MAX;
	content_put(&m->content, rest,
	    is_rest && m->record.type == RECORD_TYPE_NORM, out);
	m->done = is_rest ? 0 : m->done + rest.n;
	m->has_record = !is_rest;
}

static void
finish(struct message *m, enum message_result result, struct buf *out)
{
	if (result == MESSAGE_END)
		content_end(&m->content, out);
	m->result = result;
	rewriting_free(&m->rewriting);
	m->has_record = false;
	record_reader_release(&m->reader);
}

/* The next piece of the rewritten lines stands in for a record. */
static enum message_result
next_piece(struct message *m)
{
	enum rewriting_result rewritten = REWRITING_OK;
	enum message_result result;
	bool ends_line;

	while (!rewriting_take(m->rewriting, &m->record.data, &ends_line)) {
		if (m->is_at_end)
			return MESSAGE_END;
		result = next_record(m);
		m->has_record = false;
		if (result == MESSAGE_MORE) {
			rewritten = rewriting_put(m->rewriting, m->record.data,
			    m->record.type == RECORD_TYPE_NORM);
		} else if (result == MESSAGE_END) {
			m->is_at_end = true;
			rewritten = rewriting_end(m->rewriting);
		} else {
			return result;
		}
		if (rewritten == REWRITING_TOO_DEEP)
			return MESSAGE_TOO_DEEP;
		if (rewritten != REWRITING_OK)
			return MESSAGE_TABLE_ERROR;
	}
	m->record.type = ends_line ? RECORD_TYPE_NORM : RECORD_TYPE_CONT;
	m->has_record = true;
	return MESSAGE_MORE;
}

bool
message_foresee(struct message *m)
{
	struct rewriting *ahead = rewriting_foresee(m->rules, m->answers);
	enum rewriting_result rewritten = REWRITING_OK;
	enum message_result result = MESSAGE_MORE;

	message_rewind(m, true);
	while (rewritten == REWRITING_OK && !rewriting_is_past_headers(ahead) &&
	       (result = next_record(m)) == MESSAGE_MORE)
		rewritten = rewriting_put(
		    ahead, m->record.data, m->record.type == RECORD_TYPE_NORM);
	/* Whatever else ends it is for those who send it to find out. */
	if (rewritten == REWRITING_OK && result == MESSAGE_END)
		rewritten = rewriting_end(ahead);
	rewriting_free(&ahead);
	message_rewind(m, true);
	return rewritten != REWRITING_FAILED;
}

enum message_result
message_read(struct message *m, struct buf *out, size_t max)
{
	size_t before = buf_len(out);
	size_t room = out->max > before ? out->max - before : 0;

	if (room < MESSAGE_SLACK)
		return m->result;
	if (max > room - MESSAGE_SLACK)
		max = room - MESSAGE_SLACK;
	while (m->result == MESSAGE_MORE) {
		if (!m->has_record) {
			enum message_result result = m->rewriting != NULL
							 ? next_piece(m)
							 : next_record(m);

			if (result != MESSAGE_MORE) {
				finish(m, result, out);
				break;
			}
		}
		if (buf_len(out) - before >= max)
			break;
		encode_part(m, out);
	}
	m->octets += buf_len(out) - before;
	return m->result;
}

uint64_t
message_octets(const struct message *m)
{
	return m->octets;
}

bool
message_was_folded(const struct message *m)
{
	return m->content.was_folded;
}
