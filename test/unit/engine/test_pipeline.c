#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/engine/pipeline.h"

static void
commands_leave_in_the_order_they_came(void **state)
{
	static const enum command_kind kinds[] = {COMMAND_MAIL, COMMAND_RCPT,
	    COMMAND_RCPT, COMMAND_BDAT, COMMAND_BDAT_LAST, COMMAND_QUIT};
	struct pipeline p;

	(void)state;
	pipeline_init(&p);
	assert_null(pipeline_oldest(&p));
	for (size_t i = 0; i < 6; i++)
		pipeline_push(&p, kinds[i], NULL, i, 10 + i, 0);
	assert_int_equal(p.count, 6);
	for (size_t i = 0; i < 6; i++) {
		struct pipelined *c = pipeline_oldest(&p);

		assert_int_equal(c->kind, kinds[i]);
		assert_int_equal(c->rcpt, i);
		assert_int_equal(c->end_off - c->begin_off, 10 + i);
		assert_int_equal(c->begin_off, p.answered_off);
		pipeline_answered(&p, 0);
	}
	assert_null(pipeline_oldest(&p));
	assert_int_equal(p.count, 0);
	pipeline_fini(&p);
}

static void
octets_count_from_rendering_to_reply(void **state)
{
	struct pipeline p;

	(void)state;
	pipeline_init(&p);
	pipeline_push(&p, COMMAND_MAIL, NULL, 0, 30, 0);
	pipeline_push(&p, COMMAND_DATA, NULL, 0, 6, 0);
	assert_int_equal(pipeline_octets_unanswered(&p), 36);
	pipeline_written(&p, 36, 0);
	assert_int_equal(pipeline_octets_unanswered(&p), 36);
	pipeline_answered(&p, 0);
	assert_int_equal(pipeline_octets_unanswered(&p), 6);
	pipeline_answered(&p, 0);
	assert_int_equal(pipeline_octets_unanswered(&p), 0);
	pipeline_fini(&p);
}

static void
content_is_written_when_its_last_octet_is(void **state)
{
	struct pipeline p;
	struct pipelined *c;

	(void)state;
	pipeline_init(&p);
	pipeline_push(&p, COMMAND_BODY, NULL, 0, 0, 0);
	c = pipeline_oldest(&p);
	assert_true(pipelined_is_written(&p, c));
	pipeline_extend(&p, 100);
	assert_false(pipelined_is_written(&p, c));
	pipeline_written(&p, 99, 0);
	assert_false(pipelined_is_written(&p, c));
	pipeline_extend(&p, 1);
	pipeline_written(&p, 1, 0);
	assert_false(pipelined_is_written(&p, c));
	pipeline_written(&p, 1, 0);
	assert_true(pipelined_is_written(&p, c));
	/* What comes behind is not its own. */
	pipeline_push(&p, COMMAND_MAIL, NULL, 0, 30, 0);
	assert_true(pipelined_is_written(&p, c));
	assert_int_equal(pipeline_octets_unanswered(&p), 131);
	pipeline_fini(&p);
}

static void
timer_runs_for_the_oldest_command_alone(void **state)
{
	struct pipeline p;

	(void)state;
	pipeline_init(&p);
	pipeline_push(&p, COMMAND_MAIL, NULL, 0, 10, 100);
	assert_int_equal(p.timer_from_us, 100);
	pipeline_push(&p, COMMAND_RCPT, NULL, 0, 10, 200);
	assert_int_equal(p.timer_from_us, 100);
	/* On its way: progress is what counts. */
	pipeline_written(&p, 5, 300);
	assert_int_equal(p.timer_from_us, 300);
	pipeline_written(&p, 5, 400);
	assert_int_equal(p.timer_from_us, 400);
	/* Now its reply is waited for; what follows does not help it. */
	pipeline_written(&p, 10, 500);
	assert_int_equal(p.timer_from_us, 400);
	pipeline_answered(&p, 600);
	assert_int_equal(p.timer_from_us, 600);
	pipeline_answered(&p, 700);
	pipeline_push(&p, COMMAND_QUIT, NULL, 0, 6, 800);
	assert_int_equal(p.timer_from_us, 800);
	pipeline_fini(&p);
}

static void
storage_is_used_again(void **state)
{
	struct pipeline p;

	(void)state;
	pipeline_init(&p);
	for (size_t i = 0; i < 5; i++)
		pipeline_push(&p, COMMAND_RCPT, NULL, i, 10, 0);
	for (size_t i = 0; i < 1000; i++) {
		pipeline_answered(&p, 0);
		pipeline_push(&p, COMMAND_RCPT, NULL, i, 10, 0);
		assert_int_equal(p.count + p.spare_count, 5);
	}
	pipeline_fini(&p);
	assert_int_equal(p.count + p.spare_count, 0);
}

static void
content_may_have_to_go_out_at_a_rate(void **state)
{
	struct pipeline p;

	(void)state;
	pipeline_init(&p);
	p.min_per_s = 1000;
	pipeline_push(&p, COMMAND_BODY, NULL, 0, 10000, 5000000);
	assert_int_equal(p.timer_from_us, 5000000);
	pipeline_written(&p, 500, 7000000);
	assert_int_equal(p.timer_from_us, 5500000);
	pipeline_written(&p, 500, 8000000);
	assert_int_equal(p.timer_from_us, 6000000);
	/* never beyond the whole time */
	pipeline_written(&p, 8000, 9000000);
	assert_int_equal(p.timer_from_us, 9000000);
	pipeline_written(&p, 999, 30000000);
	assert_int_equal(p.timer_from_us, 9999000);
	/* now its reply is waited for */
	pipeline_written(&p, 1, 31000000);
	assert_int_equal(p.timer_from_us, 31000000);
	pipeline_written(&p, 0, 32000000);
	assert_int_equal(p.timer_from_us, 31000000);
	pipeline_fini(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(commands_leave_in_the_order_they_came),
	    cmocka_unit_test(octets_count_from_rendering_to_reply),
	    cmocka_unit_test(content_is_written_when_its_last_octet_is),
	    cmocka_unit_test(timer_runs_for_the_oldest_command_alone),
	    cmocka_unit_test(content_may_have_to_go_out_at_a_rate),
	    cmocka_unit_test(storage_is_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
