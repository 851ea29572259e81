#include "agent/engine/request.h"

#include <string.h>
#include <strings.h>

#include "agent/engine/answers.h"
#include "agent/engine/message.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/postfix/queueid.h"

/* The `time` attribute is a native struct of five struct timeval and an int
 * (src/global/msg_stats.h); only the form of 64-bit systems is known here. */
enum {
	TIME_BLOB_SIZE = 88,
	TIME_ARRIVAL_OFF = 0,
	TIME_ACTIVE_OFF = 16,
	TIME_HANDOFF_OFF = 32,
};

struct request_block {
	struct request_block *next;
	char text[];
};

/* A string that is taken over from a list: where it goes. */
struct wanted {
	const char *name;
	const char **field;
	struct slice value;
	bool is_optional; /* empty where the list has none */
};

/* Copies all values into one new block. */
static bool
keep_strings(struct request *req, const struct attr_reader *list,
    struct wanted *wanted, size_t count, const char **why_out)
{
	struct request_block *block;
	size_t total = 0;
	char *at;

	for (size_t i = 0; i < count; i++) {
		if (!attr_find(list, wanted[i].name, &wanted[i].value) &&
		    !wanted[i].is_optional) {
			*why_out = wanted[i].name;
			return false;
		}
		total += wanted[i].value.n + 1;
	}
	if (total > REQUEST_BYTES_MAX - req->bytes) {
		*why_out = "too many octets";
		return false;
	}
	block = mem_alloc(sizeof(*block) + total);
	block->next = req->blocks;
	req->blocks = block;
	req->bytes += total;
	at = block->text;
	for (size_t i = 0; i < count; i++) {
		if (wanted[i].value.n > 0)
			memcpy(at, wanted[i].value.p, wanted[i].value.n);
		at[wanted[i].value.n] = '\0';
		*wanted[i].field = at;
		at += wanted[i].value.n + 1;
	}
	return true;
}

static bool
read_numbers(struct request *req, const struct attr_reader *list,
    int32_t *rcpts_out, const char **why_out)
{
	int32_t flags, sendopts, ret_flags;

	/* The name changed with Postfix 3.10, place and meaning did not. */
	if (!attr_get_int(list, "sendopts", &sendopts) &&
	    !attr_get_int(list, "smtputf8", &sendopts))
		*why_out = "sendopts";
	else if (!attr_get_int(list, "flags", &flags))
		*why_out = "flags";
	else if (!attr_get_long(list, "offset", &req->content_off) ||
		 req->content_off < 0)
		*why_out = "offset";
	else if (!attr_get_long(list, "size", &req->size) || req->size < 0)
		*why_out = "size";
	else if (!attr_get_int(list, "ret_flags", &ret_flags) ||
		 ret_flags < 0 || ret_flags > 2)
		*why_out = "ret_flags";
	else if (!attr_get_int(list, "recipient_count", rcpts_out) ||
		 *rcpts_out < 1 || *rcpts_out > REQUEST_RCPT_MAX)
		*why_out = "recipient_count";
	else {
		req->flags = flags;
		req->sendopts = sendopts;
		req->ret_flags = ret_flags;
		return true;
	}
	return false;
}

static enum content_encoding
encoding_of(const char *word)
{
	if (strcmp(word, "8bit") == 0)
		return ENCODING_8BIT;
	return strcmp(word, "7bit") == 0 ? ENCODING_7BIT : ENCODING_UNKNOWN;
}

static bool
read_strings(
    struct request *req, const struct attr_reader *list, const char **why_out)
{
	const char *encoding = "", **from = req->xforward;
	struct wanted wanted[] = {
	    {"queue_name", &req->queue_name, {NULL, 0}, false},
	    {"queue_id", &req->queue_id, {NULL, 0}, false},
	    {"nexthop", &req->nexthop, {NULL, 0}, false},
	    {"encoding", &encoding, {NULL, 0}, false},
	    {"sender", &req->sender, {NULL, 0}, false},
	    {"envelope_id", &req->envelope_id, {NULL, 0}, false},
	    {"sasl_username", &req->sasl_username, {NULL, 0}, false},
	    {"log_client_name", &from[XFORWARD_NAME], {NULL, 0}, true},
	    {"log_client_address", &from[XFORWARD_ADDR], {NULL, 0}, true},
	    {"log_client_port", &from[XFORWARD_PORT], {NULL, 0}, true},
	    {"log_protocol_name", &from[XFORWARD_PROTO], {NULL, 0}, true},
	    {"log_helo_name", &from[XFORWARD_HELO], {NULL, 0}, true},
	    {"log_ident", &from[XFORWARD_IDENT], {NULL, 0}, true},
	    {"rewrite_context", &from[XFORWARD_SOURCE], {NULL, 0}, true},
	};

	if (!keep_strings(
		req, list, wanted, sizeof(wanted) / sizeof(wanted[0]), why_out))
		return false;
	req->encoding = encoding_of(encoding);
	if (!queueid_queue_name_is_valid(slice_str(req->queue_name)))
		*why_out = "queue_name";
	else if (!queueid_is_valid(slice_str(req->queue_id)))
		*why_out = "queue_id";
	else
		return true;
	return false;
}

/* False when the octets hold no time, or none at all was set. */
static bool
decode_time(const char *p, struct timeval *out)
{
	int64_t sec, usec;

	memcpy(&sec, p, sizeof(sec));
	memcpy(&usec, p + sizeof(sec), sizeof(usec));
	if (sec <= 0 || sec > INT64_C(1) << 40 || usec < 0 || usec > 999999)
		return false;
	out->tv_sec = (time_t)sec;
	out->tv_usec = (suseconds_t)usec;
	return true;
}

/* Times only matter for the log: whatever is wrong with them, "now" will do. */
static void
read_times(
    struct request *req, const struct attr_reader *list, struct timeval now)
{
	struct delay_times *times = &req->times;
	struct buf blob;

	times->arrival = times->active = times->handoff = now;
	buf_init(&blob, TIME_BLOB_SIZE);
	if (attr_get_data(list, "time", &blob) &&
	    buf_len(&blob) == TIME_BLOB_SIZE) {
		const char *p = buf_slice(&blob).p;

		(void)decode_time(p + TIME_ARRIVAL_OFF, &times->arrival);
		if (!decode_time(p + TIME_ACTIVE_OFF, &times->active))
			times->active = times->arrival;
		(void)decode_time(p + TIME_HANDOFF_OFF, &times->handoff);
	}
	buf_fini(&blob);
}

struct request *
request_new(const struct attr_reader *list, struct timeval now, int64_t now_us,
    const char **why_out)
{
	struct request *req = mem_zalloc(sizeof(*req));
	int32_t rcpts = 0;

	if (!read_numbers(req, list, &rcpts, why_out) ||
	    !read_strings(req, list, why_out)) {
		request_free(&req);
		return NULL;
	}
	read_times(req, list, now);
	req->received_us = now_us;
	req->rcpt_due = (size_t)rcpts;
	req->rcpts = mem_zarray(req->rcpt_due, sizeof(*req->rcpts));
	return req;
}

bool
request_add_rcpt(
    struct request *req, const struct attr_reader *list, const char **why_out)
{
	struct recipient *r;
	int32_t notify;

	CHECK(req->rcpt_count < req->rcpt_due);
	r = &req->rcpts[req->rcpt_count];
	struct wanted wanted[] = {
	    {"recipient", &r->address, {NULL, 0}, false},
	    {"original_recipient", &r->original, {NULL, 0}, false},
	    {"dsn_orig_rcpt", &r->orcpt, {NULL, 0}, false},
	};
	if (!attr_get_long(list, "offset", &r->offset) ||
	    (r->offset <= 0 && r->offset != -1)) {
		*why_out = "offset of a recipient";
		return false;
	}
	if (!attr_get_int(list, "notify_flags", &notify)) {
		*why_out = "notify_flags";
		return false;
	}
	if (!keep_strings(
		req, list, wanted, sizeof(wanted) / sizeof(wanted[0]), why_out))
		return false;
	r->notify_flags = notify;
	req->rcpt_count++;
	return true;
}

bool
request_is_complete(const struct request *req)
{
	return req->rcpt_count == req->rcpt_due;
}

void
request_free(struct request **req)
{
	struct request *r = *req;

	*req = NULL;
	if (r == NULL)
		return;
	CHECK(r->rcpt_count <= r->rcpt_due);
	for (size_t i = 0; i < r->rcpt_count; i++)
		verdict_free(&r->rcpts[i].verdict);
	while (r->blocks != NULL) {
		struct request_block *block = r->blocks;

		r->blocks = block->next;
		mem_free(block);
	}
	message_free(&r->message);
	answers_free(&r->answers);
	mem_free(r->rcpts);
	mem_free(r->hop);
	mem_free(r->hop_mta);
	mem_free(r);
}

#define TO(state) (1u << (state))

static const unsigned rcpt_moves[] = {
    [RCPT_WAITING] = TO(RCPT_IN_FLIGHT) | TO(RCPT_DECIDED),
    [RCPT_IN_FLIGHT] = TO(RCPT_WAITING) | TO(RCPT_DECIDED),
    [RCPT_DECIDED] = TO(RCPT_IN_FLIGHT) | TO(RCPT_HANDED_OVER),
    [RCPT_HANDED_OVER] = TO(RCPT_REPORTED),
    [RCPT_REPORTED] = 0,
};

void
request_set_rcpt_state(struct request *req, size_t i, enum rcpt_state state)
{
	struct recipient *r;

	CHECK(i < req->rcpt_count);
	r = &req->rcpts[i];
	CHECK((rcpt_moves[r->state] & TO(state)) != 0);
	r->state = state;
	CHECK((r->verdict != NULL) == (state >= RCPT_DECIDED));
}

void
request_decide(struct request *req, size_t i, struct verdict *verdict)
{
	CHECK(i < req->rcpt_count);
	CHECK(req->rcpts[i].verdict == NULL);
	req->rcpts[i].verdict = verdict;
	request_set_rcpt_state(req, i, RCPT_DECIDED);
}

void
request_undecide(struct request *req, size_t i)
{
	CHECK(i < req->rcpt_count && req->rcpts[i].state == RCPT_DECIDED);
	verdict_free(&req->rcpts[i].verdict);
	request_set_rcpt_state(req, i, RCPT_IN_FLIGHT);
}

size_t
request_count(const struct request *req, enum rcpt_state state)
{
	size_t count = 0;

	for (size_t i = 0; i < req->rcpt_count; i++)
		count += req->rcpts[i].state == state;
	return count;
}

void
request_set_hop(struct request *req, const struct dsn *dsn, const char *mta)
{
	if (req->hop != NULL)
		return;
	req->hop = mem_alloc(sizeof(*req->hop));
	*req->hop = *dsn;
	if (mta != NULL && mta[0] != '\0')
		req->hop_mta = mem_strdup(mta);
}

struct verdict *
verdict_new(enum outcome outcome)
{
	struct verdict *v = mem_zalloc(sizeof(*v));

	v->outcome = outcome;
	v->relay = mem_strdup("none");
	return v;
}

void
verdict_free(struct verdict **verdict)
{
	struct verdict *v = *verdict;

	*verdict = NULL;
	if (v == NULL)
		return;
	mem_free(v->diag_text);
	mem_free(v->mta_name);
	mem_free(v->relay);
	mem_free(v->tls);
	mem_free(v);
}

bool
request_is_to_nexthop(const struct request *req)
{
	for (size_t i = 0; i < req->rcpt_count; i++) {
		const char *at = strrchr(req->rcpts[i].address, '@');

		if (at == NULL || strcasecmp(at + 1, req->nexthop) != 0)
			return false;
	}
	return req->rcpt_count > 0;
}
