#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "agent/engine/request.h"
#include "common/base/mem.h"
#include "common/postfix/queueid.h"
#include "common/postfix/version.h"
#include "test/support/fixture.h"

static const struct timeval now = {2000000000, 5};

/* All lists of a captured request. */
static struct request *
decode(struct slice wire, const char **why_out)
{
	struct attr_reader list;
	struct request *req = NULL;
	size_t used;

	attr_reader_init(&list, REQUEST_BYTES_MAX, 64);
	while (wire.n > 0) {
		assert_int_equal(
		    attr_reader_feed(&list, wire.p, wire.n, &used), ATTR_LIST);
		wire = slice_of(wire.p + used, wire.n - used);
		if (req == NULL) {
			req = request_new(&list, now, 42, why_out);
			if (req == NULL)
				break;
		} else if (!request_add_rcpt(req, &list, why_out)) {
			request_free(&req);
			break;
		}
		if (request_is_complete(req))
			assert_int_equal(wire.n, 0);
	}
	attr_reader_fini(&list);
	return req;
}

static struct request *
decode_fixture(const char *name)
{
	const char *why = "";
	char *path = mem_printf("requests/%s.bin", name);
	struct request *req;
	struct buf wire;

	fixture_read(path, &wire);
	req = decode(buf_slice(&wire), &why);
	if (req == NULL)
		fail_msg("%s: %s", path, why);
	buf_fini(&wire);
	mem_free(path);
	return req;
}

static void
check_one(const char *name, void *ctx)
{
	struct request *req = decode_fixture(name);

	(void)ctx;
	assert_true(request_is_complete(req));
	assert_true(req->rcpt_count >= 1);
	assert_string_equal(req->queue_name, "active");
	assert_true(queueid_is_valid(slice_str(req->queue_id)));
	assert_true(req->content_off > 0 && req->size > 0);
	assert_true((req->flags & REQUEST_SUCCESS) != 0);
	assert_true(req->nexthop[0] != '\0');
	assert_true(req->times.arrival.tv_sec > 1700000000);
	assert_true(req->times.active.tv_sec >= req->times.arrival.tv_sec);
	assert_int_equal(req->times.handoff.tv_sec, now.tv_sec);
	assert_int_equal(req->received_us, 42);
	assert_int_equal(request_count(req, RCPT_WAITING), req->rcpt_count);
	for (size_t i = 0; i < req->rcpt_count; i++) {
		assert_true(req->rcpts[i].address[0] != '\0');
		assert_true(
		    req->rcpts[i].offset > 0 || req->rcpts[i].offset == -1);
	}
	request_free(&req);
	assert_null(req);
}

static void
request_reads_every_captured_request(void **state)
{
	(void)state;
	assert_true(fixture_each("requests", ".bin", check_one, NULL) > 50);
}

static void
request_has_the_values_of_the_worked_example(void **state)
{
	struct request *req = decode_fixture("one-rcpt.3.7.11");

	(void)state;
	assert_int_equal(req->flags, 3);
	assert_string_equal(req->queue_id, "4F69BA7A8B9");
	assert_int_equal(req->content_off, 676);
	assert_int_equal(req->size, 366);
	assert_string_equal(req->nexthop, "example.org");
	assert_int_equal(req->encoding, ENCODING_UNKNOWN);
	assert_string_equal(req->sender, "alice@example.com");
	assert_string_equal(req->envelope_id, "");
	assert_int_equal(req->times.arrival.tv_sec, 1795295012);
	assert_int_equal(req->times.arrival.tv_usec, 320473);
	assert_int_equal(req->times.active.tv_usec, 326430);
	assert_int_equal(req->rcpt_count, 1);
	assert_string_equal(req->rcpts[0].address, "bob@example.org");
	assert_string_equal(req->rcpts[0].original, "bob@example.org");
	assert_string_equal(req->rcpts[0].orcpt, "rfc822;bob@example.org");
	assert_int_equal(req->rcpts[0].offset, 657);
	assert_int_equal(req->rcpts[0].notify_flags, 0);
	assert_false(request_is_probe(req));
	request_free(&req);
}

static void
request_reads_dsn_and_options_under_old_and_new_names(void **state)
{
	static const struct {
		const char *name;
		int sendopts;
	} table[] = {
	    {"smtputf8.3.4.29", 15},
	    {"smtputf8.3.9.14", 15},
	    {"smtputf8.3.10.13", 15},
	    {"tls-required-no.3.12-20260821", SENDOPT_TLS_REQUIRED_NO},
	    {"requiretls.3.11.6", SENDOPT_REQUIRETLS},
	};
	struct request *req = decode_fixture("dsn-3rcpt");

	(void)state;
	assert_string_equal(req->envelope_id, "QQ314159+1");
	assert_int_equal(req->ret_flags, 1);
	assert_int_equal(
	    req->rcpts[0].notify_flags, NOTIFY_SUCCESS | NOTIFY_FAILURE);
	assert_int_equal(req->rcpts[1].notify_flags, NOTIFY_NEVER);
	assert_int_equal(req->rcpts[2].notify_flags, NOTIFY_DELAY);
	assert_string_equal(req->rcpts[0].orcpt, "rfc822;bob+tag@example.org");
	request_free(&req);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		req = decode_fixture(table[i].name);
		assert_int_equal(req->sendopts, table[i].sendopts);
		request_free(&req);
	}
	req = decode_fixture("longid-mta-vrfy-probe.3.7.11");
	assert_true(request_is_probe(req));
	assert_int_equal(req->flags & REQUEST_TRACE_MASK, REQUEST_MTA_VRFY);
	request_free(&req);
}

struct change {
	const char *name, *value; /* value NULL: leave the attribute out */
	bool in_rcpt;
};

/* A sound request with one attribute changed. */
static void
build(struct buf *out, const struct change *change)
{
	static const char *const common[][2] = {{"flags", "3"},
	    {"queue_name", "active"}, {"queue_id", "4F69BA7A8B9"},
	    {"offset", "676"}, {"size", "366"}, {"nexthop", "example.org"},
	    {"encoding", ""}, {"sendopts", "0"}, {"sender", "a@example.com"},
	    {"envelope_id", ""}, {"ret_flags", "0"}, {"time", ""},
	    {"sasl_username", ""}, {"recipient_count", "1"}};
	static const char *const rcpt[][2] = {{"original_recipient", ""},
	    {"recipient", "b@example.org"}, {"offset", "657"},
	    {"dsn_orig_rcpt", ""}, {"notify_flags", "0"}};

	buf_init(out, 100000);
	for (size_t i = 0; i < sizeof(common) / sizeof(common[0]) +
				   sizeof(rcpt) / sizeof(rcpt[0]);
	     i++) {
		bool in_rcpt = i >= sizeof(common) / sizeof(common[0]);
		const char *const *pair =
		    in_rcpt ? rcpt[i - sizeof(common) / sizeof(common[0])]
			    : common[i];
		const char *value = pair[1];

		if (in_rcpt && strcmp(pair[0], "original_recipient") == 0)
			attr_put_end(out);
		if (change->in_rcpt == in_rcpt && change->name != NULL &&
		    strcmp(change->name, pair[0]) == 0)
			value = change->value;
		if (value != NULL)
			attr_put_str(out, pair[0], slice_str(value));
	}
	attr_put_end(out);
}

static struct request *
decode_changed(const struct change *change)
{
	const char *why = NULL;
	struct buf wire;
	struct request *req;

	build(&wire, change);
	req = decode(buf_slice(&wire), &why);
	assert_true(req != NULL || why != NULL);
	buf_fini(&wire);
	return req;
}

static void
request_refuses_what_is_missing_or_malformed(void **state)
{
	static const struct change table[] = {
	    {"flags", NULL, false},
	    {"flags", "x", false},
	    {"queue_name", NULL, false},
	    {"queue_name", "../etc", false},
	    {"queue_name", "", false},
	    {"queue_id", NULL, false},
	    {"queue_id", "", false},
	    {"queue_id", "A/B", false},
	    {"queue_id", "..", false},
	    {"offset", NULL, false},
	    {"offset", "18446744073709551615", false},
	    {"size", "-3", false},
	    {"size", "18446744073709551615", false},
	    {"nexthop", NULL, false},
	    {"sender", NULL, false},
	    {"sendopts", NULL, false},
	    {"ret_flags", "3", false},
	    {"recipient_count", "0", false},
	    {"recipient_count", "20001", false},
	    {"recipient_count", "4294967295", false},
	    {"recipient", NULL, true},
	    {"original_recipient", NULL, true},
	    {"dsn_orig_rcpt", NULL, true},
	    {"notify_flags", NULL, true},
	    {"notify_flags", "1 ", true},
	    {"offset", NULL, true},
	    {"offset", "0", true},
	    {"offset", "18446744073709551614", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct request *req = decode_changed(&table[i]);

		if (req != NULL)
			fail_msg("took %s=%s", table[i].name,
			    table[i].value ? table[i].value : "(none)");
	}
}

static void
request_takes_odd_but_lawful_values(void **state)
{
	static const struct change table[] = {
	    {NULL, NULL, false},
	    {"sender", "", false},
	    {"nexthop", "", false},
	    {"offset", "18446744073709551615", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct request *req = decode_changed(&table[i]);

		assert_non_null(req);
		request_free(&req);
	}
}

static void
request_without_a_usable_time_uses_now(void **state)
{
	/* absent, of another size, no base64 */
	static const char *const times[] = {NULL, "", "AAAA", "!!!!"};

	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		struct change change = {"time", times[i], false};
		struct request *req = decode_changed(&change);

		assert_non_null(req);
		assert_int_equal(req->times.arrival.tv_sec, now.tv_sec);
		assert_int_equal(req->times.active.tv_usec, now.tv_usec);
		assert_int_equal(req->times.handoff.tv_sec, now.tv_sec);
		request_free(&req);
	}
}

static void
request_keeps_verdicts_and_the_first_hop_problem(void **state)
{
	struct request *req = decode_fixture("dsn-3rcpt");
	struct dsn first = {.status = "4.4.1", .text = "first"};
	struct dsn second = {.status = "4.4.2", .text = "second"};

	(void)state;
	request_decide(req, 1, verdict_new(OUTCOME_BOUNCE));
	assert_int_equal(req->rcpts[1].state, RCPT_DECIDED);
	assert_string_equal(req->rcpts[1].verdict->relay, "none");
	assert_int_equal(request_count(req, RCPT_WAITING), 2);
	assert_int_equal(request_count(req, RCPT_DECIDED), 1);
	request_set_hop(req, &first, "relay.example");
	request_set_hop(req, &second, NULL);
	assert_string_equal(req->hop->text, "first");
	assert_string_equal(req->hop_mta, "relay.example");
	request_free(&req);
}

static void
release_is_compared_by_its_two_numbers(void **state)
{
	(void)state;
	assert_false(version_has_greetings("3.4.29"));
	assert_false(version_has_greetings("3.5.27"));
	assert_true(version_has_greetings("3.6.0"));
	assert_true(version_has_greetings("3.12-20260821"));
	assert_true(version_has_greetings("4.0.0"));
	assert_true(version_has_greetings(""));
	assert_true(version_at_least("3.11-RC1", 3, 11));
	assert_false(version_at_least("3.9.14", 3, 11));
	assert_false(version_at_least("2.11", 3, 6));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(request_reads_every_captured_request),
	    cmocka_unit_test(request_has_the_values_of_the_worked_example),
	    cmocka_unit_test(
		request_reads_dsn_and_options_under_old_and_new_names),
	    cmocka_unit_test(request_refuses_what_is_missing_or_malformed),
	    cmocka_unit_test(request_takes_odd_but_lawful_values),
	    cmocka_unit_test(request_without_a_usable_time_uses_now),
	    cmocka_unit_test(request_keeps_verdicts_and_the_first_hop_problem),
	    cmocka_unit_test(release_is_compared_by_its_two_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
