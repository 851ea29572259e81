#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/smtp/ehlo.h"

/* Parses the reply `text` to EHLO. */
static struct ehlo
parse(const char *text, unsigned discard_mask)
{
	struct reply_parser parser;
	struct ehlo ehlo;
	size_t used;

	reply_parser_init(&parser);
	assert_int_equal(
	    reply_feed(&parser, text, strlen(text), &used), REPLY_DONE);
	ehlo_parse(reply_get(&parser), discard_mask, &ehlo);
	reply_parser_fini(&parser);
	return ehlo;
}

static const char full[] =
    "250-mx.example.com greets you\r\n250-PIPELINING\r\n250-SIZE 35882577\r\n"
    "250-ETRN\r\n250-StartTLS\r\n250-AUTH PLAIN login SCRAM-SHA-256\r\n"
    "250-AUTH=PLAIN LOGIN CRAM-MD5\r\n250-ENHANCEDSTATUSCODES\r\n"
    "250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n250-REQUIRETLS\r\n"
    "250-LIMITS MAILMAX=50 RCPTMAX=100 RCPTDOMAINMAX=1 X=y\r\n"
    "250 CHUNKING\r\n";

static void
ehlo_reads_every_keyword(void **state)
{
	struct ehlo e = parse(full, 0);

	(void)state;
	assert_true(e.is_esmtp && e.pipelining && e.chunking);
	assert_true(e.eightbitmime && e.smtputf8 && e.dsn && e.starttls);
	assert_true(e.requiretls && e.enhancedstatuscodes && e.auth);
	assert_true(e.size_offered);
	assert_int_equal(e.size_limit, 35882577);
	assert_string_equal(e.auth_mechs, "PLAIN LOGIN SCRAM-SHA-256 CRAM-MD5");
	assert_string_equal(e.domain, "mx.example.com");
	assert_int_equal(e.limits_mailmax, 50);
	assert_int_equal(e.limits_rcptmax, 100);
	assert_int_equal(e.limits_rcptdomainmax, 1);
}

static void
ehlo_discards_what_it_is_told(void **state)
{
	unsigned mask;
	char bad[32];
	struct ehlo e;

	(void)state;
	assert_true(
	    ehlo_discard_mask("chunking, Pipelining\tAUTH,size,silent-discard",
		&mask, bad, sizeof bad));
	e = parse(full, mask);
	assert_false(e.chunking || e.pipelining || e.auth || e.size_offered);
	assert_string_equal(e.auth_mechs, "");
	assert_int_equal(e.size_limit, 0);
	assert_true(e.dsn && e.starttls && e.eightbitmime);
}

static void
ehlo_reads_the_profile_of_mt_priority(void **state)
{
	struct ehlo e = parse("250-mx\r\n250 mt-priority MIXER\r\n", 0);

	(void)state;
	assert_true(e.mt_priority);
	assert_string_equal(e.mt_profile, "MIXER");
	e = parse("250-mx\r\n250 MT-PRIORITY\r\n", 0);
	assert_true(e.mt_priority);
	assert_string_equal(e.mt_profile, "");
	e = parse(
	    "250-mx\r\n250 MT-PRIORITY a-name-that-nobody-registered\r\n", 0);
	assert_true(e.mt_priority);
	assert_string_equal(e.mt_profile, "");
	e = parse(
	    "250-mx\r\n250 MT-PRIORITY NSEP\r\n", EHLO_DISCARD_MT_PRIORITY);
	assert_false(e.mt_priority);
	assert_false(parse(full, 0).mt_priority);
}

static void
ehlo_smtputf8_comes_with_8bitmime(void **state)
{
	unsigned mask;
	char bad[8];
	struct ehlo e;

	(void)state;
	e = parse("250-mx\r\n250 SMTPUTF8\r\n", 0);
	assert_true(e.smtputf8 && e.eightbitmime);
	assert_true(ehlo_discard_mask("8bitmime", &mask, bad, sizeof bad));
	e = parse("250-mx\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n", mask);
	assert_true(e.smtputf8 && e.eightbitmime);
	e = parse("250-mx\r\n250 8BITMIME\r\n", mask);
	assert_false(e.smtputf8 || e.eightbitmime);
}

static void
ehlo_discard_words_have_a_bit_each(void **state)
{
	static const char words[] =
	    "8bitmime auth etrn pipelining size verp vrfy xclient xforward "
	    "starttls enhancedstatuscodes dsn smtputf8 chunking requiretls "
	    "silent-discard";
	unsigned mask;
	char bad[8] = "-", text[256], small[10];

	(void)state;
	assert_true(ehlo_discard_mask(words, &mask, bad, sizeof bad));
	assert_int_equal(mask, 0xffff);
	ehlo_discard_text(mask, text, sizeof text);
	assert_string_equal(text, words);
	ehlo_discard_text(
	    EHLO_DISCARD_DSN | EHLO_DISCARD_AUTH, small, sizeof small);
	assert_string_equal(small, "auth dsn");
	ehlo_discard_text(0, text, sizeof text);
	assert_string_equal(text, "");
	assert_true(ehlo_discard_mask(" , ", &mask, bad, sizeof bad));
	assert_int_equal(mask, 0);
}

static void
ehlo_unknown_discard_word_is_told_and_skipped(void **state)
{
	unsigned mask;
	char bad[8];

	(void)state;
	assert_false(ehlo_discard_mask(
	    "dsn verylongword x chunking", &mask, bad, sizeof bad));
	assert_int_equal(mask, EHLO_DISCARD_DSN | EHLO_DISCARD_CHUNKING);
	assert_string_equal(bad, "verylon");
}

static void
ehlo_first_line_is_no_keyword(void **state)
{
	struct ehlo e = parse("250-PIPELINING\r\n250 DSN\r\n", 0);

	(void)state;
	assert_false(e.pipelining);
	assert_true(e.dsn);
	assert_string_equal(e.domain, "PIPELINING");
}

static void
ehlo_refused_offers_nothing(void **state)
{
	struct ehlo e = parse("502-x\r\n502-PIPELINING\r\n502 DSN\r\n", 0);

	(void)state;
	assert_false(e.is_esmtp || e.pipelining || e.dsn);
}

static void
ehlo_garbage_lines_are_no_keywords(void **state)
{
	struct ehlo e = parse("250-mx\r\nPIPELINING\r\n250 DSN\r\n", 0);

	(void)state;
	assert_false(e.pipelining);
	assert_true(e.dsn);
}

static void
ehlo_size_takes_any_number(void **state)
{
	static const struct {
		const char *in;
		bool offered;
		uint64_t limit;
	} t[] = {
	    {"250-x\r\n250 SIZE\r\n", true, 0},
	    {"250-x\r\n250 SIZE 0\r\n", true, 0},
	    {"250-x\r\n250 SIZE=10240000\r\n", true, 10240000},
	    {"250-x\r\n250 size   12 34\r\n", true, 12},
	    {"250-x\r\n250 SIZE 18446744073709551615\r\n", true, UINT64_MAX},
	    {"250-x\r\n250 SIZE 18446744073709551616\r\n", true, 0},
	    {"250-x\r\n250 SIZE 99999999999999999999999\r\n", true, 0},
	    {"250-x\r\n250 SIZE -5\r\n", true, 0},
	    {"250-x\r\n250 SIZE 5k\r\n", true, 0},
	    {"250-x\r\n250 SIZES 5\r\n", false, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct ehlo e = parse(t[i].in, 0);

		assert_int_equal(e.size_offered, t[i].offered);
		assert_true(e.size_limit == t[i].limit);
	}
}

static void
ehlo_keyword_cut_off_does_not_count(void **state)
{
	struct buf text;
	struct ehlo e;

	(void)state;
	buf_init(&text, 10000);
	/* The text's bound falls into the number of SIZE. */
	(void)buf_add_str(&text, "250-mx\r\n250-PIPELINING\r\n250-");
	for (int i = 0; i < 2000; i++)
		(void)buf_add_char(&text, 'X');
	(void)buf_add_str(&text, "\r\n250-");
	for (int i = 0; i < 2044; i++)
		(void)buf_add_char(&text, 'X');
	(void)buf_add_str(&text, "\r\n250 SIZE 358825770000\r\n");
	e = parse(buf_str(&text), 0);
	assert_true(e.pipelining);
	assert_int_equal(e.size_limit, 0);
	buf_fini(&text);
}

static void
ehlo_auth_list_is_bounded_and_clean(void **state)
{
	struct buf text;
	struct ehlo e;

	(void)state;
	e = parse("250-x\r\n250 AUTH PLAIN B\"AD L\x01 PLAIN plain\r\n", 0);
	assert_true(e.auth);
	assert_string_equal(e.auth_mechs, "PLAIN");
	e = parse("250-x\r\n250 AUTH LOGIN,PLAIN, CRAM-MD5;NTLM\r\n", 0);
	assert_string_equal(e.auth_mechs, "LOGIN PLAIN CRAM-MD5 NTLM");
	e = parse("250-x\r\n250 AUTH\r\n", 0);
	assert_true(e.auth);
	assert_string_equal(e.auth_mechs, "");
	buf_init(&text, 10000);
	(void)buf_add_str(&text, "250-x\r\n250 AUTH");
	for (int i = 0; i < 100; i++)
		(void)buf_addf(&text, " MECHANISM-%d", i);
	(void)buf_add_str(&text, "\r\n");
	e = parse(buf_str(&text), 0);
	assert_true(strlen(e.auth_mechs) < EHLO_AUTH_SIZE);
	assert_non_null(strstr(e.auth_mechs, "MECHANISM-30 MECHANISM-31"));
	buf_fini(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ehlo_reads_every_keyword),
	    cmocka_unit_test(ehlo_discards_what_it_is_told),
	    cmocka_unit_test(ehlo_reads_the_profile_of_mt_priority),
	    cmocka_unit_test(ehlo_smtputf8_comes_with_8bitmime),
	    cmocka_unit_test(ehlo_discard_words_have_a_bit_each),
	    cmocka_unit_test(ehlo_unknown_discard_word_is_told_and_skipped),
	    cmocka_unit_test(ehlo_first_line_is_no_keyword),
	    cmocka_unit_test(ehlo_refused_offers_nothing),
	    cmocka_unit_test(ehlo_garbage_lines_are_no_keywords),
	    cmocka_unit_test(ehlo_size_takes_any_number),
	    cmocka_unit_test(ehlo_keyword_cut_off_does_not_count),
	    cmocka_unit_test(ehlo_auth_list_is_bounded_and_clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
