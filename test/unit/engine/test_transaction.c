#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/engine/message.h"
#include "agent/engine/request.h"
#include "agent/engine/transaction.h"
#include "common/base/mem.h"
#include "test/support/queue_source.h"

static struct request *
make_request(size_t rcpts)
{
	struct request *req = mem_zalloc(sizeof(*req));

	req->rcpts = mem_zarray(rcpts, sizeof(*req->rcpts));
	req->rcpt_count = req->rcpt_due = rcpts;
	return req;
}

static void
transaction_takes_the_waiting_recipients(void **state)
{
	struct request *req = make_request(5);
	struct transaction *t;

	(void)state;
	req->rcpts[0].state = RCPT_REPORTED;
	req->rcpts[3].state = RCPT_IN_FLIGHT;
	t = transaction_new(req, 77);
	assert_int_equal(t->count, 3);
	assert_int_equal(t->rcpts[0], 1);
	assert_int_equal(t->rcpts[1], 2);
	assert_int_equal(t->rcpts[2], 4);
	assert_int_equal(t->waiting_since_us, 77);
	assert_int_equal(t->state, TRANSACTION_WAITING);
	transaction_free(&t);
	assert_null(t);
	transaction_free(&t);
	request_free(&req);
}

static void
reset_forgets_the_attempt_and_keeps_the_life(void **state)
{
	struct request *req = make_request(3);
	struct transaction *t = transaction_new(req, 77);

	(void)state;
	for (size_t i = 0; i < 3; i++)
		request_set_rcpt_state(req, i, RCPT_IN_FLIGHT);
	request_decide(req, 1, verdict_new(OUTCOME_BOUNCE));
	assert_int_equal(transaction_undecided(t), 2);
	assert_true(transaction_is_open(t, 0));
	assert_false(transaction_is_open(t, 1));
	transaction_set_state(t, TRANSACTION_ASSIGNED);
	transaction_set_state(t, TRANSACTION_RENDERING);
	transaction_set_state(t, TRANSACTION_AWAITING);
	t->mail = MAIL_REFUSED;
	t->rcpts_accepted = t->rcpts_answered = t->commands_unanswered = 2;
	t->is_failed = t->is_bad_sequence = true;
	t->last_off = 1000;
	t->began_us = 5;
	t->began.tv_sec = 5;
	t->tries = 2;
	transaction_reset(t);
	assert_int_equal(t->count, 2);
	assert_int_equal(t->rcpts[0], 0);
	assert_int_equal(t->rcpts[1], 2);
	assert_int_equal(req->rcpts[0].state, RCPT_WAITING);
	assert_int_equal(req->rcpts[1].state, RCPT_DECIDED);
	assert_int_equal(req->rcpts[2].state, RCPT_WAITING);
	assert_int_equal(t->state, TRANSACTION_WAITING);
	assert_int_equal(t->mail, MAIL_UNANSWERED);
	assert_int_equal(
	    t->rcpts_accepted + t->rcpts_answered + t->commands_unanswered, 0);
	assert_false(t->is_failed || t->is_bad_sequence);
	assert_int_equal(t->last_off, 0);
	assert_int_equal(t->began_us, 0);
	assert_int_equal(t->began.tv_sec, 0);
	assert_int_equal(t->tries, 2);
	assert_int_equal(t->waiting_since_us, 77);
	transaction_free(&t);
	request_free(&req);
}

static void
freed_transaction_leaves_its_list(void **state)
{
	struct request *req = make_request(1);
	struct transaction *t = transaction_new(req, 0);
	struct list waiting;

	(void)state;
	list_init(&waiting);
	list_push(&waiting, &t->link);
	t->last_error = mem_zalloc(sizeof(*t->last_error));
	transaction_free(&t);
	assert_true(list_is_empty(&waiting));
	request_free(&req);
}

static void
part_takes_who_is_put_in(void **state)
{
	struct request *req = make_request(3);
	struct transaction *t = transaction_new_part(req, 2, 77);

	(void)state;
	assert_int_equal(t->count, 0);
	assert_true(t->is_part);
	t->rcpts[t->count++] = 0;
	t->rcpts[t->count++] = 2;
	transaction_set_state(t, TRANSACTION_ASSIGNED);
	request_set_rcpt_state(req, 0, RCPT_IN_FLIGHT);
	request_set_rcpt_state(req, 2, RCPT_IN_FLIGHT);
	request_decide(req, 0, verdict_new(OUTCOME_BOUNCE));
	transaction_reset(t);
	/* Who is decided stays known, behind the others. */
	assert_int_equal(t->count, 1);
	assert_int_equal(t->total, 2);
	assert_int_equal(t->rcpts[0], 2);
	assert_int_equal(t->rcpts[1], 0);
	transaction_free(&t);
	request_free(&req);
}

static void
part_reads_the_content_by_itself(void **state)
{
	static const char file[] = "N\1aX\0";
	struct request *req = make_request(1);
	struct transaction *whole, *part;
	struct queue_source source;

	(void)state;
	whole = transaction_new(req, 0);
	part = transaction_new_part(req, 1, 0);
	assert_null(transaction_message(whole)); /* a probe */
	assert_null(transaction_message(part));
	queue_source_init(&source, slice_of(file, sizeof(file) - 1));
	req->message = message_new(queue_source_of(&source), 0, 998);
	assert_ptr_equal(transaction_message(whole), req->message);
	assert_ptr_not_equal(transaction_message(part), req->message);
	assert_ptr_equal(transaction_message(part), part->message);
	transaction_free(&part);
	transaction_free(&whole);
	request_free(&req);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(transaction_takes_the_waiting_recipients),
	    cmocka_unit_test(reset_forgets_the_attempt_and_keeps_the_life),
	    cmocka_unit_test(freed_transaction_leaves_its_list),
	    cmocka_unit_test(part_takes_who_is_put_in),
	    cmocka_unit_test(part_reads_the_content_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
