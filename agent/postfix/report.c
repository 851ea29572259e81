#include "agent/postfix/report.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/postfix/ipc.h"
#include "agent/postfix/logline.h"
#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/words.h"
#include "common/postfix/attr.h"
#include "common/smtp/address.h"

enum {
	APPEND_BYTES_MAX = 4 << 20, /* three addresses of intake's limit */
	PATH_BYTES_MAX = 256,
	FILTER_BYTES_MAX = 4096,
	STEPS_MAX = 3,
	VERIFY_TRIES = 3,
	VERIFY_AGAIN_MS = 1000,
};

/* `recipient_status` of a verify(8) update */
enum verify_status { VERIFY_OK = 0, VERIFY_DEFER = 1, VERIFY_BOUNCE = 2 };

enum step {
	STEP_BOUNCE,
	STEP_DEFER,
	STEP_TRACE,
	STEP_VERIFY_ORIGINAL,
	STEP_VERIFY,
	STEP_FLUSH,
};

/* One recipient on its way. */
struct job {
	struct list link; /* in report->waiting or ->active */
	struct report *report;
	struct request *req;
	size_t i;
	enum step steps[STEPS_MAX];
	size_t step_count, at;
	const char *word; /* of the delivery line */
	const char *action; /* of the DSN */
	bool is_logged, is_failed;
	int tries;
	struct ipc *ipc;
	struct loop_timer *retry_timer; /* NULL until needed */
};

struct report {
	struct loop *loop;
	const struct settings *set;
	report_fn *on_done;
	report_mark_fn *mark;
	void *ctx;
	const struct rewriter *verdicts; /* NULL: none */
	struct list waiting, active;
	size_t waiting_count, active_count, parallel;
	uint64_t failures;
};

static void run_step(struct job *job);

static struct recipient *
recipient(const struct job *job)
{
	return &job->req->rcpts[job->i];
}

static struct verdict *
verdict(const struct job *job)
{
	return recipient(job)->verdict;
}

/* --- what is said --- */

static void
put_recipient(struct buf *out, const struct recipient *r, int notify_flags)
{
	attr_put_str(out, "original_recipient", slice_str(r->original));
	attr_put_str(out, "recipient", slice_str(r->address));
	attr_put_long(out, "offset", r->offset);
	attr_put_str(out, "dsn_orig_rcpt", slice_str(r->orcpt));
	attr_put_int(out, "notify_flags", notify_flags);
}

static void
put_dsn(struct buf *out, const struct verdict *v, const char *action,
    const char *via)
{
	const char *diag = v->diag_text != NULL ? v->diag_text : "";
	const char *mta = v->mta_name != NULL ? v->mta_name : "";
	char *reason = via != NULL
			   ? mem_printf("delivery via %s: %s", via, v->dsn.text)
			   : mem_strdup(v->dsn.text);

	attr_put_str(out, "status", slice_str(v->dsn.status));
	attr_put_str(out, "diag_type", slice_str(diag[0] ? "smtp" : ""));
	attr_put_str(out, "diag_text", slice_str(diag));
	attr_put_str(out, "mta_type", slice_str(mta[0] ? "dns" : ""));
	attr_put_str(out, "mta_mname", slice_str(mta));
	attr_put_str(out, "action", slice_str(action));
	attr_put_str(out, "reason", slice_str(reason));
	mem_free(reason);
}

/* NOTIFY as far as it is left to us. */
static int
notify_flags(const struct recipient *r)
{
	const struct verdict *v = r->verdict;

	if (v->outcome == OUTCOME_SENT && v->dsn_offered)
		return r->notify_flags & ~NOTIFY_SUCCESS;
	return r->notify_flags;
}

static void
put_append(struct buf *out, const struct job *job, bool is_trace)
{
	const struct verdict *v = verdict(job);
	const char *via = NULL;

	if (is_trace && strcmp(v->relay, "none") != 0)
		via = v->relay;
	attr_put_int(out, "nrequest", 0); /* APPEND */
	attr_put_int(out, "flags", job->req->flags & REQUEST_TRACE_MASK);
	attr_put_str(out, "queue_id", slice_str(job->req->queue_id));
	put_recipient(out, recipient(job), notify_flags(recipient(job)));
	put_dsn(out, v, job->action, via);
}

static void
put_verify(struct buf *out, const struct job *job, const char *address)
{
	static const enum verify_status status[] = {
	    [OUTCOME_SENT] = VERIFY_OK,
	    [OUTCOME_DEFER] = VERIFY_DEFER,
	    [OUTCOME_BOUNCE] = VERIFY_BOUNCE,
	};

	attr_put_str(out, "request", slice_str("update"));
	attr_put_str(out, "address", slice_str(address));
	attr_put_int(
	    out, "recipient_status", (int32_t)status[verdict(job)->outcome]);
	attr_put_str(out, "reason", slice_str(verdict(job)->dsn.text));
}

static void
put_flush(struct buf *out, const struct job *job)
{
	attr_put_str(out, "request", slice_str("add"));
	attr_put_str(
	    out, "site", address_domain(slice_str(recipient(job)->address)));
	attr_put_str(out, "queue_id", slice_str(job->req->queue_id));
}

/* --- what is to be done --- */

static bool
is_own_or_parent(struct slice name, struct slice domain)
{
	if (name.n > 0 && name.p[0] == '.')
		name = slice_of(name.p + 1, name.n - 1);
	if (name.n == 0 || name.n > domain.n ||
	    strncasecmp(domain.p + domain.n - name.n, name.p, name.n) != 0)
		return false;
	return name.n == domain.n || domain.p[domain.n - name.n - 1] == '.';
}

/* fast_flush_domains as far as it is a plain list: tables, files and negated
 * names are passed over. flush(8) itself refuses what does not belong. */
static bool
is_flush_domain(const char *list, struct slice domain)
{
	struct slice rest = slice_str(list), name;

	while (domain.n > 0 && words_cut(&rest, WORDS_SEPARATORS, &name))
		if (memchr(name.p, ':', name.n) == NULL &&
		    memchr(name.p, '/', name.n) == NULL &&
		    is_own_or_parent(name, domain))
			return true;
	return false;
}

static void
add_step(struct job *job, enum step step)
{
	CHECK(job->step_count < STEPS_MAX);
	job->steps[job->step_count++] = step;
}

static void
plan_sent(struct job *job)
{
	int notify = notify_flags(recipient(job)), flags = job->req->flags;

	job->word = "sent";
	job->action = "relayed";
	if ((flags & REQUEST_RECORD) != 0 ||
	    ((flags & REQUEST_REC_DLY_SENT) != 0 &&
		(notify == 0 || (notify & NOTIFY_DELAY) != 0)))
		add_step(job, STEP_TRACE);
	if ((notify & NOTIFY_SUCCESS) != 0)
		add_step(job, STEP_TRACE);
}

static void
plan_defer(struct job *job)
{
	struct slice domain =
	    address_domain(slice_str(recipient(job)->address));

	job->word = "deferred";
	job->action = "delayed";
	add_step(job, STEP_DEFER);
	if ((job->req->flags & REQUEST_RECORD) != 0)
		add_step(job, STEP_TRACE);
	if (is_flush_domain(job->report->set->fast_flush_domains, domain))
		add_step(job, STEP_FLUSH);
}

static void
plan_bounce(struct job *job)
{
	if (job->report->set->soft_bounce) {
		job->word = "SOFTBOUNCE";
		job->action = "delayed";
		dsn_set_class(&verdict(job)->dsn, '4');
		add_step(job, STEP_DEFER);
	} else {
		job->word = "bounced";
		job->action = "failed";
		add_step(job, STEP_BOUNCE);
	}
	if ((job->req->flags & REQUEST_RECORD) != 0)
		add_step(job, STEP_TRACE);
}

static void
plan_probe(struct job *job)
{
	const struct recipient *r = recipient(job);
	bool is_good = r->verdict->outcome == OUTCOME_SENT;

	job->word = job->action = is_good ? "deliverable" : "undeliverable";
	if ((job->req->flags & REQUEST_MTA_VRFY) == 0) {
		add_step(job, STEP_TRACE);
	} else if (!is_good &&
		   !job->report->set->address_verify_negative_cache) {
		job->word = "undeliverable-but-not-cached";
	} else {
		if (r->original[0] != '\0' &&
		    strcmp(r->original, r->address) != 0)
			add_step(job, STEP_VERIFY_ORIGINAL);
		add_step(job, STEP_VERIFY);
	}
}

static void
plan(struct job *job)
{
	CHECK(job->ipc == NULL); /* a step under way would be lost */
	job->step_count = job->at = 0;
	if (request_is_probe(job->req)) {
		plan_probe(job);
		return;
	}
	switch (verdict(job)->outcome) {
	case OUTCOME_SENT:
		plan_sent(job);
		break;
	case OUTCOME_DEFER:
		plan_defer(job);
		break;
	case OUTCOME_BOUNCE:
		plan_bounce(job);
		break;
	}
}

/* A status of the wrong class would be believed by what reads the log and the
 * bounce files. */
static void
match_class(struct job *job)
{
	static const char digit[] = {
	    [OUTCOME_SENT] = '2',
	    [OUTCOME_DEFER] = '4',
	    [OUTCOME_BOUNCE] = '5',
	};
	struct dsn *dsn = &verdict(job)->dsn;
	char want = digit[verdict(job)->outcome];

	if (dsn_status_is_valid(dsn->status) && dsn_class(dsn) == want)
		return;
	log_warn("%s: status \"%s\" does not fit: replaced by %c.0.0",
	    job->req->queue_id, dsn->status, want);
	memcpy(dsn->status, "0.0.0", 6);
	dsn->status[0] = want;
}

/* A delivery stays one, and what was not delivered stays that. */
static bool
is_fit(const struct verdict *v, const char *text)
{
	if (dsn_status_length(text, strlen(text)) == 0)
		return false;
	return (text[0] == '2') == (v->outcome == OUTCOME_SENT);
}

static void
replace(struct verdict *v, const char *text)
{
	size_t n = dsn_status_length(text, strlen(text));
	uint16_t code = v->dsn.smtp_code;
	bool maybe_accepted = v->dsn.maybe_accepted;
	char status[DSN_STATUS_SIZE], *old = mem_strdup(v->dsn.text);

	CHECK(n > 0 && n < sizeof(status)); /* is_fit() */
	memcpy(status, text, n);
	status[n] = '\0';
	text += n + strspn(text + n, " \t");
	dsn_set(&v->dsn, status, "%s", *text != '\0' ? text : old);
	v->dsn.smtp_code = code;
	v->dsn.maybe_accepted = maybe_accepted;
	if (v->outcome != OUTCOME_SENT)
		v->outcome = status[0] == '4' ? OUTCOME_DEFER : OUTCOME_BOUNCE;
	mem_free(old);
}

/* smtp_delivery_status_filter. Without an answer the verdict stands, as with
 * smtp(8). */
static void
filter(struct job *job)
{
	struct verdict *v = verdict(job);
	struct buf value;
	char *text;

	if (job->report->verdicts == NULL)
		return;
	text = mem_printf("%s %s", v->dsn.status, v->dsn.text);
	buf_init(&value, FILTER_BYTES_MAX);
	if (rewriter_ask(job->report->verdicts, text, &value) ==
	    REWRITER_DONE) {
		if (is_fit(v, buf_str(&value)))
			replace(v, buf_str(&value));
		else
			log_warn("smtp_delivery_status_filter: bad status "
				 "code: %s",
			    buf_str(&value));
	}
	buf_fini(&value);
	mem_free(text);
}

/* --- doing it --- */

static void
write_line(struct job *job)
{
	if (job->is_logged)
		return;
	job->is_logged = true;
	logline_write(
	    job->report->set, job->req, job->i, job->word, clock_wall());
}

static void
mark(struct job *job)
{
	struct report *report = job->report;
	int64_t offset = recipient(job)->offset;

	if (offset >= 0 && !report->mark(report->ctx, job->req, offset))
		job->req->must_retry = true;
}

/* A delivered recipient was marked before. */
static void
settle_mark(struct job *job)
{
	bool is_soft = job->report->set->soft_bounce;

	if (request_is_probe(job->req)) {
		if (job->is_failed)
			job->req->must_retry = true;
		else
			mark(job);
		return;
	}
	switch (verdict(job)->outcome) {
	case OUTCOME_SENT:
		break;
	case OUTCOME_DEFER:
		job->req->must_retry = true;
		break;
	case OUTCOME_BOUNCE:
		if (is_soft)
			job->req->must_retry = true;
		else
			mark(job);
		break;
	}
}

static void
job_free(struct job *job)
{
	list_remove(&job->link);
	ipc_cancel(&job->ipc);
	loop_timer_free(&job->retry_timer);
	mem_free(job);
}

static void
start_waiting(struct report *report)
{
	while (report->active_count < report->parallel) {
		struct list *first = list_pop(&report->waiting);

		if (first == NULL)
			break;
		report->waiting_count--;
		list_push(&report->active, first);
		report->active_count++;
		run_step(list_entry(first, struct job, link));
	}
}

/* Everyone has been told. The request may be gone after on_done. */
static void
complete(struct job *job)
{
	struct report *report = job->report;
	struct request *req = job->req;
	size_t i = job->i;

	settle_mark(job);
	write_line(job);
	request_set_rcpt_state(req, i, RCPT_REPORTED);
	job_free(job);
	report->on_done(report->ctx, req, i);
}

static void
next_step(struct job *job)
{
	struct report *report = job->report;

	job->tries = 0;
	if (++job->at < job->step_count) {
		run_step(job);
		return;
	}
	CHECK(report->active_count > 0);
	report->active_count--;
	list_remove(&job->link);
	start_waiting(report);
	complete(job);
}

/* bounce(8) or trace(8) would not have it: the recipient stays queued. */
static void
fall_back(struct job *job)
{
	const struct settings *set = job->report->set;
	struct verdict *v = verdict(job);

	mem_free(v->diag_text);
	mem_free(v->mta_name);
	v->diag_text = v->mta_name = NULL;
	v->outcome = OUTCOME_DEFER;
	dsn_set(&v->dsn, "4.3.0", "%s or %s service failure",
	    set->bounce_service_name, set->trace_service_name);
	plan(job);
	run_step(job);
}

static const char *
step_service(const struct settings *set, enum step step)
{
	switch (step) {
	case STEP_BOUNCE:
		return set->bounce_service_name;
	case STEP_DEFER:
		return set->defer_service_name;
	case STEP_TRACE:
		return set->trace_service_name;
	case STEP_VERIFY_ORIGINAL:
	case STEP_VERIFY:
		return set->address_verify_service_name;
	case STEP_FLUSH:
		return set->flush_service_name;
	}
	return "";
}

static void
on_retry(void *ctx)
{
	run_step(ctx);
}

static void
verify_failed(struct job *job)
{
	struct loop *loop = job->report->loop;

	if (++job->tries < VERIFY_TRIES) {
		if (job->retry_timer == NULL)
			job->retry_timer = loop_timer_new(loop, on_retry, job);
		loop_timer_at(
		    job->retry_timer, loop_now_ms(loop) + VERIFY_AGAIN_MS);
		return;
	}
	job->is_failed = true;
	next_step(job);
}

static void
step_failed(struct job *job, enum step step)
{
	if (step != STEP_FLUSH) {
		job->report->failures++;
		log_warn("%s: %s service failure", job->req->queue_id,
		    step_service(job->report->set, step));
	}
	if (step == STEP_VERIFY || step == STEP_VERIFY_ORIGINAL) {
		verify_failed(job);
		return;
	}
	if (request_is_probe(job->req))
		job->is_failed = true;
	else if (verdict(job)->outcome == OUTCOME_BOUNCE) {
		fall_back(job);
		return;
	}
	next_step(job);
}

static void
on_answer(void *ctx, bool is_answered, int32_t status)
{
	struct job *job = ctx;
	enum step step = job->steps[job->at];

	CHECK(job->ipc != NULL && job->at < job->step_count);
	job->ipc = NULL;
	/* A deferral is logged before the less important steps. */
	if (step == STEP_DEFER && verdict(job)->outcome == OUTCOME_DEFER)
		write_line(job);
	if (is_answered && status == 0)
		next_step(job);
	else
		step_failed(job, step);
}

static void
run_step(struct job *job)
{
	struct report *report = job->report;
	enum step step = job->steps[job->at];
	const char *protocol = "delivery_status_protocol";
	const char *class = "private";
	char path[PATH_BYTES_MAX];
	struct buf out;

	CHECK(job->ipc == NULL && job->at < job->step_count);
	buf_init(&out, APPEND_BYTES_MAX);
	switch (step) {
	case STEP_BOUNCE:
	case STEP_DEFER:
	case STEP_TRACE:
		put_append(&out, job, step == STEP_TRACE);
		break;
	case STEP_VERIFY_ORIGINAL:
	case STEP_VERIFY:
		/* spelled so in Postfix */
		protocol = "address_verification_prrotocol";
		put_verify(&out, job,
		    step == STEP_VERIFY ? recipient(job)->address
					: recipient(job)->original);
		break;
	case STEP_FLUSH:
		protocol = "queue_flush_protocol";
		class = "public";
		put_flush(&out, job);
		break;
	}
	attr_put_end(&out);
	(void)snprintf(path, sizeof(path), "%s/%s", class,
	    step_service(report->set, step));
	job->ipc = ipc_ask(
	    report->loop, report->set, path, protocol, &out, on_answer, job);
	buf_fini(&out);
}

/* --- interface --- */

void
report_recipient(struct report *report, struct request *req, size_t i)
{
	struct job *job = mem_zalloc(sizeof(*job));

	CHECK(i < req->rcpt_count && req->rcpts[i].state == RCPT_HANDED_OVER);
	job->report = report;
	job->req = req;
	job->i = i;
	list_init(&job->link);
	match_class(job);
	filter(job);
	if (!request_is_probe(req) && verdict(job)->outcome == OUTCOME_SENT &&
	    (req->flags & REQUEST_SUCCESS) != 0)
		mark(job);
	plan(job);
	if (job->step_count == 0) {
		complete(job);
		return;
	}
	list_push(&report->waiting, &job->link);
	report->waiting_count++;
	start_waiting(report);
}

struct report *
report_new(struct loop *loop, const struct settings *set, report_fn *on_done,
    report_mark_fn *mark_fn, void *ctx)
{
	struct report *report = mem_zalloc(sizeof(*report));

	CHECK(on_done != NULL && mark_fn != NULL);
	report->loop = loop;
	report->set = set;
	report->on_done = on_done;
	report->mark = mark_fn;
	report->ctx = ctx;
	report->parallel = REPORT_PARALLEL;
	list_init(&report->waiting);
	list_init(&report->active);
	return report;
}

void
report_filter(struct report *report, const struct rewriter *verdicts)
{
	report->verdicts = verdicts;
}

void
report_limit(struct report *report, size_t parallel)
{
	CHECK(parallel > 0);
	report->parallel = parallel;
}

void
report_free(struct report **report)
{
	struct report *old = *report;
	struct list *link;

	*report = NULL;
	if (old == NULL)
		return;
	while ((link = list_first(&old->active)) != NULL ||
	       (link = list_first(&old->waiting)) != NULL)
		job_free(list_entry(link, struct job, link));
	mem_free(old);
}

size_t
report_pending(const struct report *report)
{
	return report->waiting_count + report->active_count;
}

uint64_t
report_failures(const struct report *report)
{
	return report->failures;
}
