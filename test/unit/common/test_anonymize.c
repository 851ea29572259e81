#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/smtp/anonymize.h"

/* A digest that shows of what: its octets, the text's from behind. */
static void
mirror(void *ctx, struct slice text, unsigned char out[ANONYMIZE_DIGEST_SIZE])
{
	(void)ctx;
	memset(out, 0, ANONYMIZE_DIGEST_SIZE);
	for (size_t i = 0; i < text.n && i < ANONYMIZE_DIGEST_SIZE; i++)
		out[i] = (unsigned char)text.p[text.n - 1 - i];
}

static const struct anonymize none = {.mode = ANONYMIZE_NONE};
static const struct anonymize smart = {.mode = ANONYMIZE_SMART};
static const struct anonymize hash = {ANONYMIZE_HASH, mirror, NULL};

static const char *
made_of(const struct anonymize *a, const char *text, const char *about)
{
	static struct buf out;

	buf_fini(&out);
	buf_init(&out, 8192);
	anonymize_text(a, slice_str(text), slice_str(about), &out);
	return buf_str(&out);
}

static const struct row {
	const char *text, *smart;
} rows[] = {
    /* delivery lines */
    {"ID: to=<john.doe@example.com>, relay=mx[192.0.2.1]:25, dsn=2.0.0, "
     "status=sent (250 2.0.0 Ok: queued as A)",
	"ID: to=<j***@example.com>, relay=mx[192.0.2.1]:25, dsn=2.0.0, "
	"status=sent (250 2.0.0 Ok: queued as A)"},
    {"ID: to=<john@a.example>, orig_to=<info+x@b.example>, relay=none",
	"ID: to=<j***@a.example>, orig_to=<i***@b.example>, relay=none"},
    {"to=<root>, orig_to=<postmaster>, from=<>,",
	"to=<r***>, orig_to=<p***>, from=<>,"},
    {"to=<\"john doe\"@example.com>, x", "to=<j***@example.com>, x"},
    {"to=<john doe@example.com>, x", "to=<j***@example.com>, x"},
    {"to=<jo>hn@example.com>, x", "to=<j***@example.com>, x"},
    {"to=<bob@example.com>, x", "to=<***@example.com>, x"},
    {"to=<j\xc3\xb6rg@b\xc3\xbc.example>, x", "to=<j***@b\xc3\xbc.example>, x"},
    {"to=<\xc3\xb6kten@example.com>, x", "to=<\xc3\xb6***@example.com>, x"},
    {"to=<john@[192.0.2.1]>, x", "to=<j***@[192.0.2.1]>, x"},
    {"to=<john", "to=<j***"},
    /* what servers say */
    {"550 5.1.1 <john@example.com>: Recipient address rejected",
	"550 5.1.1 <j***@example.com>: Recipient address rejected"},
    {"550 mailbox john@example.com.", "550 mailbox j***@example.com."},
    {"550 'john@example.com' unknown", "550 'j***@example.com' unknown"},
    {"a \"john doe\"@example.com b", "a \"j***@example.com b"},
    {"see https://x.example/?u=john%40example.com&p=1",
	"see https://x.example/?u=j***%40example.com&p=1"},
    {"why=\"host mx said: 550 john@x.example\" age=1s",
	"why=\"host mx said: 550 j***@x.example\" age=1s"},
    {"bounce-john=example.com@lists.example.org", "b***@lists.example.org"},
    {"SRS0=ab=cd=example.com=john@relay.example", "S***@relay.example"},
    {"john@example.com@relay.example", "j***@relay.example"},
    /* the local part alone, where a server speaks */
    {"to=<john@x.example>, status=bounced (host mx said: 550 user John "
     "unknown (in reply to RCPT TO command))",
	"to=<j***@x.example>, status=bounced (host mx said: 550 user j*** "
	"unknown (in reply to RCPT TO command))"},
    {"to=<john+tag@x.example>, status=sent (250 john: ok)",
	"to=<j***@x.example>, status=sent (250 j***: ok)"},
    {"to=<status@x.example>, dsn=2.0.0, status=sent (250 ok)",
	"to=<s***@x.example>, dsn=2.0.0, status=sent (250 ok)"},
    {"to=<550@x.example>, status=bounced (host m said: 550 no)",
	"to=<***@x.example>, status=bounced (host m said: 550 no)"},
    {"to=<mail@x.example>, status=sent (250 mail.x.example took it)",
	"to=<m***@x.example>, status=sent (250 mail.x.example took it)"},
    /* what is none */
    {"> mx[192.0.2.1]:25: <512 octets of content>",
	"> mx[192.0.2.1]:25: <512 octets of content>"},
    {"limit < 5 and > 3, a @ b, @example.com, \"open",
	"limit < 5 and > 3, a @ b, @example.com, \"open"},
    {"", ""},
};

static void
what_is_no_address_stays_and_what_is_keeps_its_domain(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_string_equal(
		    made_of(&smart, rows[i].text, ""), rows[i].smart);
		assert_string_equal(
		    made_of(&none, rows[i].text, ""), rows[i].text);
	}
}

static void
what_was_hidden_stays_as_it_is(void **state)
{
	static const struct anonymize *const both[] = {&smart, &hash};

	(void)state;
	for (size_t i = 0; i < 2 * (sizeof(rows) / sizeof(rows[0])); i++) {
		const struct row *row = &rows[i / 2];
		char once[4096];

		(void)snprintf(once, sizeof(once), "%s",
		    made_of(both[i % 2], row->text, ""));
		assert_string_equal(made_of(both[i % 2], once, ""), once);
	}
}

static void
a_hash_is_the_same_for_the_same_and_tells_nothing_else(void **state)
{
	(void)state;
	/* "moc" and "moc.elp" from behind */
	assert_string_equal(made_of(&hash, "to=<john@example.com>, x", ""),
	    "to=<6d6f632e656c706d@6d6f632e656c.invalid>, x");
	assert_string_equal(
	    made_of(&hash, "to=<root>, x", ""), "to=<40746f6f72000000>, x");
	/* case and quotes make no difference */
	assert_string_equal(made_of(&hash, "\"JOHN\"@b.c", ""),
	    "\"632e62406e686f6a@632e62400000.invalid");
	assert_string_equal(made_of(&hash, "john@b.C", ""),
	    "632e62406e686f6a@632e62400000.invalid");
	assert_string_equal(made_of(&hash, "u=john%40b.c", ""),
	    "u=632e62406e686f6a%40632e62400000.invalid");
	/* alone it is the same as with its domain */
	assert_string_equal(
	    made_of(&hash, "host m said: 550 john? (no john)", "john@b.c"),
	    "host m said: 550 632e62406e686f6a? (no 632e62406e686f6a)");
}

static void
an_address_that_a_text_is_about_is_looked_for_alone(void **state)
{
	(void)state;
	assert_string_equal(made_of(&smart, "550 john unknown", "john@x.y"),
	    "550 j*** unknown");
	assert_string_equal(made_of(&smart, "550 johnny unknown", "john@x.y"),
	    "550 johnny unknown");
	assert_string_equal(
	    made_of(&smart, "550 al unknown", "al@x.y"), "550 al unknown");
	assert_string_equal(
	    made_of(&smart, "550 john unknown", ""), "550 john unknown");
}

/* Nothing is read beyond what was given, nothing needs an end. */
static void
any_piece_of_a_text_is_taken(void **state)
{
	static const char whole[] =
	    "to=<\"a\\\"b\"@[192.0.2.1]>, x%40y.z <q@r> said: a@b@c. (\"d\"@e";

	(void)state;
	for (size_t from = 0; from < sizeof(whole); from++)
		for (size_t to = from; to < sizeof(whole); to++) {
			struct buf out;
			char *copy = test_malloc(to - from + 1);

			memcpy(copy, whole + from, to - from);
			buf_init(&out, 4096);
			anonymize_text(&hash, slice_of(copy, to - from),
			    slice_of("", 0), &out);
			assert_true(buf_ok(&out));
			buf_fini(&out);
			test_free(copy);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		what_is_no_address_stays_and_what_is_keeps_its_domain),
	    cmocka_unit_test(what_was_hidden_stays_as_it_is),
	    cmocka_unit_test(
		a_hash_is_the_same_for_the_same_and_tells_nothing_else),
	    cmocka_unit_test(
		an_address_that_a_text_is_about_is_looked_for_alone),
	    cmocka_unit_test(any_piece_of_a_text_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
