/* What an account knows of its smarthosts: whose it is, how old, and which row
 * gives way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "agent/state/board_hosts.h"
#include "common/shared/board.h"
#include "test/support/statedir.h"

enum { DAY_MS = 24 * 3600 * 1000 };

static struct board_writer *
writer(const char *dir, const char *lane)
{
	char error[256] = "";
	struct board_writer *w =
	    board_writer_open(dir, lane, lane, error, sizeof(error));

	assert_string_equal(error, "");
	assert_non_null(w);
	return w;
}

static void
hosts_depth_and_messages_belong_to_the_account(void **state)
{
	struct board_writer *w = writer(*state, "fast");
	struct board_writer *other = writer(*state, "slow");
	char host[32];
	int64_t age_ms;

	assert_int_equal(board_hosts_depth(w, "a.example"), 0);
	board_hosts_set_depth(w, "a.example", 8); /* no account yet: nothing */
	assert_true(board_writer_set_account(w, "smtp.example.com joe"));
	assert_true(board_writer_set_account(other, "smtp.example.com jim"));
	board_hosts_set_depth(w, "a.example", 8);
	board_hosts_set_messages(w, "a.example", 50);
	assert_int_equal(board_hosts_depth(w, "a.example"), 8);
	assert_int_equal(board_hosts_messages(w, "a.example", &age_ms), 50);
	assert_in_range(age_ms, 0, 60000);
	board_writer_account(w)->hosts[0].messages_wall_ms -= 7200000;
	assert_int_equal(board_hosts_messages(w, "a.example", &age_ms), 50);
	assert_in_range(age_ms, 7200000, 7260000);
	/* A clock that was set back. */
	board_writer_account(w)->hosts[0].messages_wall_ms += 14400000;
	assert_int_equal(board_hosts_messages(w, "a.example", &age_ms), 50);
	assert_int_equal(age_ms, 0);
	assert_int_equal(board_hosts_messages(w, "b.example", &age_ms), 0);
	assert_int_equal(board_hosts_depth(w, "b.example"), 0);
	assert_int_equal(board_hosts_depth(other, "a.example"), 0);
	assert_true(board_writer_set_account(other, "smtp.example.com joe"));
	assert_int_equal(board_hosts_depth(other, "a.example"), 8);
	board_writer_account(w)->hosts[0].depth = UINT64_MAX;
	assert_int_equal(board_hosts_depth(w, "a.example"), 10000);
	for (int i = 0; i < 3 * BOARD_HOSTS; i++) {
		(void)snprintf(host, sizeof(host), "h%d.example", i);
		board_hosts_set_depth(w, host, i + 1);
		assert_int_equal(board_hosts_depth(w, host), i + 1);
	}
	board_writer_close(&w);
	board_writer_close(&other);
}

/* Where there is no login it is nobody's account, and a port's own. */
static void
hosts_mail_without_login_is_of_host_and_port(void **state)
{
	struct board_writer *w = writer(*state, "fast");
	int64_t age_ms;

	assert_true(board_writer_set_account(w, "a.example"));
	assert_false(board_hosts_stranger(w, "a.example", 25, &age_ms));
	board_hosts_set_stranger(w, "a.example", 25);
	assert_true(board_writer_set_account(w, "a.example joe"));
	assert_true(board_hosts_stranger(w, "a.example", 25, &age_ms));
	assert_in_range(age_ms, 0, 60000);
	assert_false(board_hosts_stranger(w, "a.example", 587, &age_ms));
	assert_false(board_hosts_stranger(w, "b.example", 25, &age_ms));
	/* The port heard of longest ago gives way. */
	for (unsigned port = 1; port <= BOARD_PORTS + 1; port++) {
		board_hosts_set_stranger(w, "c.example", port);
		assert_true(
		    board_hosts_stranger(w, "c.example", port, &age_ms));
		board_writer_account(w)
		    ->hosts[0]
		    .stranger_taken[port - 1 < BOARD_PORTS ? port - 1 : 0] -=
		    100 - port;
	}
	assert_false(board_hosts_stranger(w, "c.example", 1, &age_ms));
	assert_true(board_hosts_stranger(w, "c.example", 2, &age_ms));
	board_writer_close(&w);
}

static void
hosts_certificate_ends_when_it_says(void **state)
{
	struct board_writer *w = writer(*state, "fast");
	const struct board_host *h;

	assert_true(board_writer_set_account(w, "mx.example"));
	board_hosts_set_certificate(w, "mx.example", 1800000000);
	h = board_writer_account(w)->hosts;
	assert_string_equal(h->host, "mx.example");
	assert_int_equal(h->certificate_wall_ms, INT64_C(1800000000000));
	board_writer_close(&w);
}

/* The day goes into what is left of the two words. */
static void
hosts_wordings_know_their_day(void **state)
{
	static const uint64_t packed[2] = {
	    (UINT64_C(1) << 56) - 1, UINT64_C(0x123456789abcde)};
	struct board_writer *w = writer(*state, "fast");
	struct board_host *row;
	uint64_t got[2];
	int64_t days;

	assert_true(board_writer_set_account(w, "a.example"));
	assert_false(board_hosts_wordings(w, "a.example", got, &days));
	board_hosts_set_wordings(w, "a.example", packed);
	assert_true(board_hosts_wordings(w, "a.example", got, &days));
	assert_memory_equal(got, packed, sizeof(packed));
	assert_in_range(days, 0, 1);
	assert_false(board_hosts_wordings(w, "b.example", got, &days));
	row = &board_writer_account(w)->hosts[0];
	/* Of yesterday; the day is below the reach of its lower octet. */
	row->wordings[1] -= UINT64_C(1) << 56;
	if (row->wordings[1] >> 56 != 0xff) {
		assert_true(board_hosts_wordings(w, "a.example", got, &days));
		assert_memory_equal(got, packed, sizeof(packed));
		assert_in_range(days, 1, 2);
	}
	/* Of a clock that was ahead by 256 days. */
	row->wordings[0] += UINT64_C(1) << 56;
	assert_false(board_hosts_wordings(w, "a.example", got, &days));
	board_writer_close(&w);
}

static void
hosts_manner_has_an_age(void **state)
{
	struct board_writer *w = writer(*state, "fast");
	int64_t age_ms;

	assert_true(board_writer_set_account(w, "a.example"));
	assert_int_equal(board_hosts_manner(w, "a.example", &age_ms), 0);
	board_hosts_set_manner(w, "a.example", 5);
	board_writer_account(w)->hosts[0].manner_wall_ms -= DAY_MS;
	assert_int_equal(board_hosts_manner(w, "a.example", &age_ms), 5);
	assert_in_range(age_ms, DAY_MS, DAY_MS + 60000);
	assert_int_equal(board_hosts_manner(w, "b.example", &age_ms), 0);
	board_writer_close(&w);
}

static void
hosts_login_is_what_was_found_last(void **state)
{
	struct board_writer *w = writer(*state, "fast");
	int64_t age_ms;

	assert_true(board_writer_set_account(w, "a.example"));
	assert_int_equal(board_hosts_login(w, "a.example", 587, &age_ms),
	    BOARD_LOGIN_UNKNOWN);
	board_hosts_set_login(w, "a.example", 587, BOARD_LOGIN_LED);
	assert_int_equal(
	    board_hosts_login(w, "a.example", 587, &age_ms), BOARD_LOGIN_LED);
	/* At another port there may be another server. */
	assert_int_equal(board_hosts_login(w, "a.example", 465, &age_ms),
	    BOARD_LOGIN_UNKNOWN);
	board_hosts_set_login(w, "a.example", 587, BOARD_LOGIN_FAULT);
	assert_int_equal(
	    board_hosts_login(w, "a.example", 465, &age_ms), BOARD_LOGIN_FAULT);
	board_writer_account(w)->hosts[0].login_fault_wall_ms -= DAY_MS;
	assert_int_equal(
	    board_hosts_login(w, "a.example", 587, &age_ms), BOARD_LOGIN_FAULT);
	assert_in_range(age_ms, DAY_MS, DAY_MS + 60000);
	/* Both at once, as a torn file may have it: the careful one. */
	board_writer_account(w)->hosts[0].login_led_wall_ms =
	    board_writer_account(w)->hosts[0].login_fault_wall_ms;
	assert_int_equal(
	    board_hosts_login(w, "a.example", 587, &age_ms), BOARD_LOGIN_FAULT);
	board_writer_close(&w);
}

/* A row that gives way leaves nothing of its host to the next one. */
static void
hosts_row_begins_empty(void **state)
{
	static const uint64_t packed[2] = {1, 2};
	struct board_writer *w = writer(*state, "fast");
	uint64_t got[2];
	int64_t age;
	char host[32];

	assert_true(board_writer_set_account(w, "a.example"));
	for (int i = 0; i < 2 * BOARD_HOSTS; i++) {
		(void)snprintf(host, sizeof(host), "h%d.example", i);
		if (i < BOARD_HOSTS) {
			board_hosts_set_depth(w, host, 3);
			board_hosts_set_messages(w, host, 50);
			board_hosts_set_manner(w, host, 4);
			board_hosts_set_wordings(w, host, packed);
			board_hosts_set_login(w, host, 587, BOARD_LOGIN_LED);
			board_hosts_set_stranger(w, host, 25);
			continue;
		}
		board_hosts_set_rtt(w, host, 1);
		assert_int_equal(board_hosts_depth(w, host), 0);
		assert_int_equal(board_hosts_messages(w, host, &age), 0);
		assert_int_equal(board_hosts_manner(w, host, &age), 0);
		assert_false(board_hosts_wordings(w, host, got, &age));
		assert_int_equal(
		    board_hosts_login(w, host, 587, &age), BOARD_LOGIN_UNKNOWN);
		assert_false(board_hosts_stranger(w, host, 25, &age));
	}
	board_writer_close(&w);
}

static void
hosts_without_a_board_are_unknown(void **state)
{
	uint64_t got[2];
	int64_t age;

	(void)state;
	board_hosts_set_depth(NULL, "a.example", 1);
	board_hosts_set_messages(NULL, "a.example", 1);
	board_hosts_set_manner(NULL, "a.example", 1);
	board_hosts_set_wordings(NULL, "a.example", (uint64_t[]){1, 2});
	board_hosts_set_login(NULL, "a.example", 587, BOARD_LOGIN_LED);
	board_hosts_set_stranger(NULL, "a.example", 25);
	board_hosts_set_rtt(NULL, "a.example", 1);
	board_hosts_set_certificate(NULL, "a.example", 1);
	assert_int_equal(board_hosts_depth(NULL, "a.example"), 0);
	assert_int_equal(board_hosts_messages(NULL, "a.example", &age), 0);
	assert_int_equal(board_hosts_manner(NULL, "a.example", &age), 0);
	assert_false(board_hosts_wordings(NULL, "a.example", got, &age));
	assert_int_equal(board_hosts_login(NULL, "a.example", 587, &age),
	    BOARD_LOGIN_UNKNOWN);
	assert_false(board_hosts_stranger(NULL, "a.example", 25, &age));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_STATEDIR(hosts_depth_and_messages_belong_to_the_account),
	    IN_STATEDIR(hosts_mail_without_login_is_of_host_and_port),
	    IN_STATEDIR(hosts_certificate_ends_when_it_says),
	    IN_STATEDIR(hosts_wordings_know_their_day),
	    IN_STATEDIR(hosts_manner_has_an_age),
	    IN_STATEDIR(hosts_login_is_what_was_found_last),
	    IN_STATEDIR(hosts_row_begins_empty),
	    cmocka_unit_test(hosts_without_a_board_are_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
