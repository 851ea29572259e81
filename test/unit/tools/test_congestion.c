/* The delay proxy's model of TCP. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/delayproxy/congestion.h"

enum {
	RTT_US = 100000,
	BEGIN_US = 1000000,
	INITIAL = 10 * CONGESTION_SEGMENT,
	RTO_US = RTT_US + CONGESTION_RTO_LEAST_US,
};

static void
begin(struct congestion *c, size_t initial, double loss)
{
	struct congestion_config config = {
	    .rtt_us = RTT_US, .initial = initial, .loss = loss};

	congestion_init(c, &config, 1);
}

/* Hands over so many segments; when the last arrives, in round trips from
 * now_us (the first flight's is 0.5). */
static double
send_all(struct congestion *c, int segments, int64_t now_us)
{
	int64_t at_us = 0;

	for (int i = segments; i > 0; i--)
		at_us = congestion_send(c, CONGESTION_SEGMENT,
		    (size_t)(i - 1) * CONGESTION_SEGMENT, 0, now_us);
	return (double)(at_us - now_us) / RTT_US;
}

static void
without_a_window_all_goes_at_once(void **state)
{
	struct congestion c;

	(void)state;
	begin(&c, 0, 0);
	assert_true(send_all(&c, 1000, BEGIN_US) == 0.5);
	congestion_fini(&c);
}

/* 10, 20, 40, 80 segments: 50 messages of 5 kB, 173 segments, take five round
 * trips and not one. */
static void
window_doubles_with_each_round_trip(void **state)
{
	static const struct {
		int segments;
		double rtts;
	} cases[] = {{1, 0.5}, {10, 0.5}, {11, 1.5}, {30, 1.5}, {31, 2.5},
	    {70, 2.5}, {71, 3.5}, {150, 3.5}, {173, 4.5}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct congestion c;

		begin(&c, INITIAL, 0);
		assert_true(
		    send_all(&c, cases[i].segments, BEGIN_US) == cases[i].rtts);
		congestion_fini(&c);
	}
}

static void
window_that_is_not_used_does_not_grow(void **state)
{
	struct congestion c;

	(void)state;
	begin(&c, INITIAL, 0);
	for (int i = 0; i < 100; i++)
		assert_true(send_all(&c, 2, BEGIN_US + i * RTT_US) == 0.5);
	assert_true(c.window == INITIAL);
	congestion_fini(&c);
}

static void
idle_time_takes_the_window_back(void **state)
{
	struct congestion c;
	int64_t us = BEGIN_US;

	(void)state;
	begin(&c, INITIAL, 0);
	assert_true(send_all(&c, 150, us) == 3.5);
	us += 4 * RTT_US;
	assert_true(send_all(&c, 70, us) == 0.5); /* it was 80 */
	us += RTT_US + RTO_US - 1000;
	assert_true(send_all(&c, 70, us) == 0.5);
	us += 20 * RTO_US;
	assert_true(send_all(&c, 10, us) == 0.5);
	us += RTT_US;
	assert_true(send_all(&c, 30, us) > 0.5);
	congestion_fini(&c);
}

static void
idle_time_is_nothing_if_so_wished(void **state)
{
	struct congestion_config config = {
	    .rtt_us = RTT_US, .initial = INITIAL, .keeps_idle = true};
	struct congestion c;

	(void)state;
	congestion_init(&c, &config, 1);
	assert_true(send_all(&c, 150, BEGIN_US) == 3.5);
	assert_true(send_all(&c, 70, BEGIN_US + 20 * RTO_US) == 0.5);
	congestion_fini(&c);
}

/* What follows at once tells of it soon. */
static void
lost_segment_costs_a_round_trip_or_an_rto(void **state)
{
	struct congestion c;
	int64_t at_us;

	(void)state;
	begin(&c, INITIAL, 1);
	at_us = congestion_send(&c, CONGESTION_SEGMENT,
	    (size_t)3 * CONGESTION_SEGMENT, 0, BEGIN_US);
	assert_int_equal(at_us - BEGIN_US, RTT_US / 2 + RTT_US);
	assert_true(c.window == INITIAL / 2.0);
	congestion_fini(&c);
	begin(&c, INITIAL, 1);
	at_us = congestion_send(&c, CONGESTION_SEGMENT,
	    (size_t)2 * CONGESTION_SEGMENT, 0, BEGIN_US);
	assert_int_equal(at_us - BEGIN_US, RTT_US / 2 + RTO_US);
	/* ... and another of the same flight halves nothing. */
	(void)congestion_send(&c, CONGESTION_SEGMENT, 0, 0, BEGIN_US);
	assert_true(c.window == INITIAL / 2.0);
	congestion_fini(&c);
}

static void
what_is_behind_a_lost_segment_waits(void **state)
{
	struct congestion c;
	int64_t first_us, second_us;

	(void)state;
	begin(&c, INITIAL, 1);
	first_us = congestion_send(&c, 1, 0, 0, BEGIN_US);
	c.config.loss = 0;
	second_us = congestion_send(&c, 1, 0, 0, BEGIN_US + 1);
	assert_int_equal(second_us, first_us);
	congestion_fini(&c);
}

/* Half of the window, and from there on one segment in each round trip. */
static void
after_a_loss_the_window_grows_slowly(void **state)
{
	struct congestion c;
	double before;

	(void)state;
	begin(&c, INITIAL, 0);
	assert_true(send_all(&c, 150, BEGIN_US) == 3.5);
	c.config.loss = 1;
	(void)congestion_send(&c, 1, 0, 0, BEGIN_US + 4 * RTT_US);
	c.config.loss = 0;
	before = c.window;
	(void)send_all(&c, 1000, BEGIN_US + 10 * RTT_US);
	assert_true(c.window > before && c.window < before + 50000);
	congestion_fini(&c);
}

static void
loss_is_as_often_as_it_was_asked_for(void **state)
{
	struct congestion c;
	int64_t us = BEGIN_US;
	int late = 0;

	(void)state;
	begin(&c, 0, 0.01);
	for (int i = 0; i < 100000; i++) {
		int64_t at_us = congestion_send(&c, 1, 0, 0, us);

		late += at_us > us + RTT_US / 2;
		us += 2 * RTO_US;
	}
	assert_true(late > 900 && late < 1100);
	congestion_fini(&c);
}

static void
line_is_busy_with_each_segment(void **state)
{
	struct congestion c;

	(void)state;
	begin(&c, 0, 0);
	for (int i = 1; i <= 10; i++)
		assert_int_equal(
		    congestion_send(&c, CONGESTION_SEGMENT, 0, 1000, BEGIN_US),
		    BEGIN_US + i * 1000 + RTT_US / 2);
	congestion_fini(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(without_a_window_all_goes_at_once),
	    cmocka_unit_test(window_doubles_with_each_round_trip),
	    cmocka_unit_test(window_that_is_not_used_does_not_grow),
	    cmocka_unit_test(idle_time_takes_the_window_back),
	    cmocka_unit_test(idle_time_is_nothing_if_so_wished),
	    cmocka_unit_test(lost_segment_costs_a_round_trip_or_an_rto),
	    cmocka_unit_test(what_is_behind_a_lost_segment_waits),
	    cmocka_unit_test(after_a_loss_the_window_grows_slowly),
	    cmocka_unit_test(loss_is_as_often_as_it_was_asked_for),
	    cmocka_unit_test(line_is_busy_with_each_segment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
