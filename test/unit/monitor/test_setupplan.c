#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "agent/settings/params.h"
#include "monitor/setupplan.h"

/* A site of these services, and a main.cf of these settings. */
struct bench {
	struct site site;
	struct mastercf_entry entries[2];
	struct main_cf_setting settings[2];
	struct main_cf cf;
	struct setupplan_conf conf;
	struct setupplan plan;
	char error[300];
};

static char config[] = "config_directory", directory[] = "/etc/pf";

static void
begin(struct bench *b)
{
	memset(b, 0, sizeof(*b));
	params_init(&b->site.set);
	assert_true(
	    params_set(&b->site.set, params_find(config), directory, NULL));
	b->cf.v = b->settings;
	b->site.entries = b->entries;
	b->conf = (struct setupplan_conf){.cf = &b->cf,
	    .transport_maps = "",
	    .sender_relayhosts = "",
	    .sender_transports = "",
	    .verify_sender_transports = "",
	    .default_transport = "smtp"};
}

static void
write_main(struct bench *b, char *name, char *value)
{
	b->settings[b->cf.count++] =
	    (struct main_cf_setting){.name = name, .value = value};
}

static bool
make(struct bench *b, const char *nexthop, const char *name)
{
	return setupplan_make(&b->plan, &b->site, &b->conf, nexthop, name,
	    b->error, sizeof(b->error));
}

static void
end(struct bench *b)
{
	for (size_t i = 0; i < b->site.entry_count; i++)
		mastercf_fini(&b->entries[i]);
	setupplan_fini(&b->plan);
	settings_free(&b->site.set);
}

static bool
has_line(const struct setupplan *p, const char *line)
{
	for (size_t i = 0; i < p->line_count; i++)
		if (strcmp(p->lines[i], line) == 0)
			return true;
	return false;
}

static void
setupplan_has_what_two_lanes_need(void **state)
{
	struct bench b;

	(void)state;
	begin(&b);
	assert_true(make(&b, "[mx.example]:587", ""));
	assert_int_equal(b.plan.conflict_count, 0);
	assert_string_equal(
	    b.plan.maps, "transport_maps = texthash:/etc/pf/lane_transport");
	assert_true(
	    has_line(&b.plan, "fast_destination_concurrency_limit = 2000"));
	assert_true(
	    has_line(&b.plan, "slow_initial_destination_concurrency = 44"));
	assert_true(has_line(&b.plan, "fast_destination_rate_delay = 0s"));
	assert_true(has_line(&b.plan, "default_transport = slow"));
	assert_true(
	    has_line(&b.plan, "address_verify_default_transport = smtp"));
	assert_non_null(
	    strstr(b.plan.entries[0], "fast/unix = fast unix - - n - 1 lane -o "
				      "lane_smarthost=[mx.example]:587 "));
	assert_non_null(strstr(b.plan.entries[1], " class=slow"));
	end(&b);
}

static void
setupplan_of_a_name_shares_nothing_with_another(void **state)
{
	struct bench b;

	(void)state;
	begin(&b);
	b.conf.transport_maps = "hash:/x texthash:/etc/pf/lane_transport";
	assert_true(make(&b, "[mx.example]:587", "ses"));
	assert_string_equal(b.plan.fast, "ses_fast");
	assert_string_equal(b.plan.login, "/etc/pf/ses_login");
	assert_string_equal(b.plan.record, "/etc/pf/ses_setup.json");
	assert_string_equal(b.plan.maps,
	    "transport_maps = hash:/x texthash:/etc/pf/lane_transport "
	    "texthash:/etc/pf/ses_transport");
	end(&b);
}

static void
setupplan_is_not_taken_in_by_a_table_whose_name_goes_on(void **state)
{
	struct bench b;

	(void)state;
	begin(&b);
	b.conf.transport_maps = "texthash:/etc/pf/lane_transport.old";
	assert_true(make(&b, "[mx.example]:587", ""));
	assert_string_equal(b.plan.maps,
	    "transport_maps = texthash:/etc/pf/lane_transport.old "
	    "texthash:/etc/pf/lane_transport");
	end(&b);
}

static void
setupplan_puts_slow_in_the_place_of_smtp(void **state)
{
	char name[] = "default_transport", value[] = "$mine";
	struct bench b;

	(void)state;
	begin(&b);
	write_main(&b, name, value);
	assert_true(make(&b, "[mx.example]:587", ""));
	assert_true(b.plan.is_default);
	assert_null(b.plan.why_not);
	assert_string_equal(b.plan.usual, "default_transport = slow");
	assert_false(has_line(&b.plan, "default_transport = slow"));
	assert_true(
	    has_line(&b.plan, "address_verify_default_transport = smtp"));
	end(&b);
}

static void
setupplan_leaves_a_default_that_is_somebodys(void **state)
{
	char name[] = "default_transport", value[] = "relay";
	struct bench b;

	(void)state;
	begin(&b);
	write_main(&b, name, value);
	b.conf.default_transport = value;
	assert_true(make(&b, "[mx.example]:587", ""));
	assert_null(b.plan.usual);
	assert_false(b.plan.is_default);
	assert_non_null(b.plan.why_not);
	assert_false(has_line(&b.plan, "default_transport = slow"));
	end(&b);
}

static void
setupplan_leaves_senders_with_a_relay_to_smtp(void **state)
{
	struct bench b;

	(void)state;
	begin(&b);
	assert_true(make(&b, "[mx.example]:587", ""));
	assert_null(b.plan.senders);
	end(&b);
	begin(&b);
	b.conf.sender_relayhosts = "hash:/a, $b";
	b.conf.sender_transports = "hash:/c";
	b.conf.verify_sender_transports = "hash:/c";
	assert_true(make(&b, "[mx.example]:587", ""));
	assert_true(b.plan.is_default);
	assert_string_equal(b.plan.senders,
	    "sender_dependent_default_transport_maps = "
	    "hash:/c pipemap:{unionmap:{hash:/a, $b}, static:smtp}");
	assert_true(has_line(&b.plan,
	    "address_verify_sender_dependent_default_transport_maps = "
	    "hash:/c"));
	end(&b);
}

/* A provider as setupprovider_find() has it. */
static void
know(struct setupprovider *known, char *name, const char *file)
{
	struct buf errors;

	buf_init(&errors, 1000);
	*known =
	    (struct setupprovider){.why = SETUPPROVIDER_HOST, .name = name};
	provider_set_init(&known->set);
	assert_true(provider_parse(&known->set.chosen, "x.conf",
	    slice_str(file), known->set.rules, &errors));
	buf_fini(&errors);
}

#define THREE_CONNECTIONS                                                      \
	"source A 2026-11 a page\n"                                            \
	"limit connections 3 per account published A\n"                        \
	"limit messages 30/1m per account observed A\n"                        \
	"limit messages 5000/1d! per account observed A\n"                     \
	"limit messages-per-connection 7 per session disputed A\n"

static void
setupplan_has_the_limits_of_a_provider(void **state)
{
	char name[] = "acme";
	struct setupprovider known;
	struct bench b;

	(void)state;
	begin(&b);
	know(&known, name, THREE_CONNECTIONS);
	b.conf.provider = &known;
	assert_true(make(&b, "[mx.example]:587", ""));
	assert_string_equal(b.plan.provider, "acme");
	for (size_t i = 0; i < 2; i++) {
		assert_non_null(
		    strstr(b.plan.entries[i], " -o lane_provider=acme "));
		assert_non_null(
		    strstr(b.plan.entries[i], " ${lane_provider?{}}"));
	}
	/* One of three is always fast's, which has no more. */
	assert_non_null(strstr(b.plan.entries[0],
	    " -o lane_connection_limit=3 -o lane_connection_reserve=1 "));
	assert_int_equal(b.plan.limit_count, 2);
	assert_string_equal(
	    b.plan.limits[0].setting, "lane_account_connection_limit = 3");
	assert_string_equal(
	    b.plan.limits[0].reason, "published, a page, read 2026-11");
	assert_string_equal(b.plan.limits[1].setting,
	    "lane_account_message_rate_limit = 30/1m 5000/1d!");
	end(&b);
	provider_set_fini(&known.set);
}

static void
setupplan_lets_limits_of_main_cf_win(void **state)
{
	char name[] = "acme", limit[] = "lane_account_connection_limit";
	char value[] = "2";
	struct setupprovider known;
	struct bench b;

	(void)state;
	begin(&b);
	know(&known, name, THREE_CONNECTIONS);
	b.conf.provider = &known;
	write_main(&b, limit, value);
	b.site.set.lane_account_connection_limit = 2;
	assert_true(make(&b, "[mx.example]:587", ""));
	assert_string_equal(
	    b.plan.limits[0].setting, "lane_account_connection_limit = 2");
	assert_string_equal(
	    b.plan.limits[0].reason, "of main.cf, which wins; of acme: 3");
	assert_non_null(
	    strstr(b.plan.entries[0], " -o lane_connection_reserve=1 "));
	end(&b);
	provider_set_fini(&known.set);
}

static void
setupplan_of_nobody_names_no_provider(void **state)
{
	char none[] = "", somebody[] = "acme";
	struct setupprovider known = {.name = none};
	struct bench b;

	(void)state;
	begin(&b);
	b.conf.provider = &known;
	assert_true(make(&b, "[mx.example]:587", ""));
	assert_null(b.plan.provider);
	assert_null(strstr(b.plan.entries[0], "lane_provider"));
	assert_null(strstr(b.plan.entries[0], "lane_connection_limit"));
	assert_non_null(
	    strstr(b.plan.entries[0], " -o lane_connection_reserve=4 "));
	end(&b);
	/* --provider none, where main.cf has one */
	begin(&b);
	known.why = SETUPPROVIDER_ASKED;
	b.conf.provider = &known;
	assert_true(params_set(
	    &b.site.set, params_find("lane_provider"), somebody, NULL));
	assert_true(make(&b, "[mx.example]:587", ""));
	assert_non_null(strstr(b.plan.entries[1], " -o lane_provider= "));
	end(&b);
}

static void
setupplan_reserves_nothing_of_one_connection(void **state)
{
	struct bench b;

	(void)state;
	begin(&b);
	b.site.set.lane_account_connection_limit = 1;
	assert_true(make(&b, "[mx.example]:587", ""));
	assert_null(strstr(b.plan.entries[0], "lane_connection_reserve"));
	assert_non_null(
	    strstr(b.plan.entries[1], " -o lane_connection_limit=1 "));
	end(&b);
}

static void
setupplan_names_what_is_there_and_different(void **state)
{
	char same[] = "fast_destination_concurrency_limit", is[] = "2000";
	char other[] = "slow_destination_concurrency_limit", was[] = "20";
	struct bench b;

	(void)state;
	begin(&b);
	write_main(&b, same, is);
	write_main(&b, other, was);
	assert_true(mastercf_parse(
	    &b.entries[b.site.entry_count++], "slow unix - - n - - smtp"));
	assert_true(make(&b, "[mx.example]:587", ""));
	assert_int_equal(b.plan.conflict_count, 2);
	assert_non_null(strstr(b.plan.conflicts[0],
	    "slow_destination_concurrency_limit = 20 already, not 44"));
	assert_non_null(strstr(b.plan.conflicts[1], "a service slow"));
	assert_false(
	    has_line(&b.plan, "fast_destination_concurrency_limit = 2000"));
	end(&b);
}

static void
setupplan_refuses_words_that_would_break_an_entry(void **state)
{
	static const char *const nexthops[] = {
	    "", "[a]:1, [b]:2", "[a]:25 -o x=y", "{a}", "$myhostname", "[a"};
	static const char *const names[] = {
	    "Ses", "1st", "a_b", "a b", "abcdefghijklmnopqrstuvwxyzabcdef"};
	struct bench b;

	(void)state;
	begin(&b);
	for (size_t i = 0; i < sizeof(nexthops) / sizeof(nexthops[0]); i++) {
		assert_false(make(&b, nexthops[i], ""));
		assert_non_null(strstr(b.error, "bad nexthop: "));
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_false(make(&b, "[a]:25", names[i]));
		assert_non_null(strstr(b.error, "bad option: --name "));
	}
	end(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(setupplan_has_what_two_lanes_need),
	    cmocka_unit_test(setupplan_of_a_name_shares_nothing_with_another),
	    cmocka_unit_test(
		setupplan_is_not_taken_in_by_a_table_whose_name_goes_on),
	    cmocka_unit_test(setupplan_puts_slow_in_the_place_of_smtp),
	    cmocka_unit_test(setupplan_leaves_a_default_that_is_somebodys),
	    cmocka_unit_test(setupplan_has_the_limits_of_a_provider),
	    cmocka_unit_test(setupplan_lets_limits_of_main_cf_win),
	    cmocka_unit_test(setupplan_of_nobody_names_no_provider),
	    cmocka_unit_test(setupplan_reserves_nothing_of_one_connection),
	    cmocka_unit_test(setupplan_leaves_senders_with_a_relay_to_smtp),
	    cmocka_unit_test(setupplan_names_what_is_there_and_different),
	    cmocka_unit_test(setupplan_refuses_words_that_would_break_an_entry),
	};

	return cmocka_run_group_tests_name("setupplan", tests, NULL, NULL);
}
