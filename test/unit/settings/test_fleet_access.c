#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/settings/fleet_access.h"
#include "common/base/mem.h"
#include "test/support/scratch.h"

static void
places_are_sockets_or_hosts_with_ports(void **state)
{
	static const struct {
		const char *text, *path, *host;
		int port;
		bool is_tls;
	} rows[] = {
	    {"unix:/run/redis/redis.sock", "/run/redis/redis.sock", "", 0,
		false},
	    {"redis.example:6379", "", "redis.example", 6379, false},
	    {"10.0.0.5:1", "", "10.0.0.5", 1, false},
	    {"[2001:db8::5]:65535", "", "2001:db8::5", 65535, false},
	    {"tls:redis.example:6379", "", "redis.example", 6379, true},
	    {"tls:[2001:db8::5]:6380", "", "2001:db8::5", 6380, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fleet_access a = {.path = "?", .host = "?", .port = 9};
		char why[200];

		assert_true(
		    fleet_access_parse(rows[i].text, &a, why, sizeof(why)));
		assert_string_equal(a.path, rows[i].path);
		assert_string_equal(a.host, rows[i].host);
		assert_int_equal(a.port, rows[i].port);
		assert_int_equal(a.is_tls, rows[i].is_tls);
	}
}

static void
what_is_no_place_is_refused_in_words(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
	    {"", "must be unix:/path"},
	    {"redis", "must be unix:/path"},
	    {"redis:", "must be unix:/path"},
	    {":6379", "must be unix:/path"},
	    {"[]:6379", "must be unix:/path"},
	    {"redis:0", "must be unix:/path"},
	    {"redis:65536", "must be unix:/path"},
	    {"redis:+5", "must be unix:/path"},
	    {"redis:6379x", "must be unix:/path"},
	    {"a b:6379", "must be unix:/path"},
	    {"redis://host:6379", "must be unix:/path"},
	    {"user@host:6379", "must be unix:/path"},
	    {"2001:db8::5:6379", "an IPv6 address must have"},
	    {"unix:redis.sock", "a whole path"},
	    {"unix:", "a whole path"},
	    {"tls:redis", "must be unix:/path"},
	    {"tls:unix:/path", "must be unix:/path"},
	    {"rediss://redis:6379", "must be unix:/path"},
	    {"tls://redis:6379", "must be unix:/path"},
	};
	char path[120] = "unix:/", why[200];
	struct fleet_access a;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_false(
		    fleet_access_parse(rows[i].text, &a, why, sizeof(why)));
		assert_non_null(strstr(why, rows[i].why));
	}
	memset(path + 6, 'x', 106);
	assert_true(fleet_access_parse(path, &a, why, sizeof(why)));
	path[112] = 'x';
	assert_false(fleet_access_parse(path, &a, why, sizeof(why)));
}

/* What a file with these octets says. */
static bool
read_from(
    const char *octets, size_t count, struct fleet_access *a, char why[300])
{
	char *path = mem_printf("%s/password", scratch_dir());
	FILE *f = fopen(path, "we");
	bool is_read;

	assert_non_null(f);
	assert_int_equal(fwrite(octets, 1, count, f), count);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, 0600), 0);
	is_read = fleet_access_password(path, a, why, 300);
	mem_free(path);
	return is_read;
}

static void
passwords_are_one_line_with_or_without_a_user(void **state)
{
	static const struct {
		const char *text, *user, *password;
	} rows[] = {{"secret\n", "", "secret"}, {"secret", "", "secret"},
	    {"secret\r\n\n", "", "secret"},
	    {"lane se:cr@et\n", "lane", "se:cr@et"},
	    {"lane\tsecret", "lane", "secret"}};
	struct fleet_access a;
	char why[300];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(
		    read_from(rows[i].text, strlen(rows[i].text), &a, why));
		assert_string_equal(a.user, rows[i].user);
		assert_string_equal(a.password, rows[i].password);
	}
	assert_true(fleet_access_password("", &a, why, sizeof(why)));
	assert_string_equal(a.user, "");
	assert_string_equal(a.password, "");
	fleet_access_forget(&a);
}

static void
what_is_no_password_is_refused_and_not_shown(void **state)
{
	static const char *const rows[] = {"", "\n", " secret\n", "lane \n",
	    "lane secret more\n", "secret\nmore\n", "lane  secret\n"};
	char big[2000], why[300];
	struct fleet_access a;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_false(read_from(rows[i], strlen(rows[i]), &a, why));
		assert_non_null(strstr(why, "must have one line"));
		assert_null(strstr(why, "secret"));
	}
	assert_false(read_from("sec\0ret\n", 8, &a, why));
	memset(big, 'x', sizeof(big));
	assert_false(read_from(big, sizeof(big), &a, why));
	assert_false(read_from(big, 512, &a, why));
	assert_true(read_from(big, 511, &a, why));
	assert_false(fleet_access_password("/nowhere/at/all", &a, why, 300));
	assert_string_equal(
	    why, "cannot read /nowhere/at/all: No such file or directory");
	assert_false(fleet_access_password(scratch_dir(), &a, why, 300));
	assert_non_null(strstr(why, "it is no file"));
}

static void
a_file_that_others_may_read_is_refused(void **state)
{
	static const mode_t modes[] = {0604, 0640, 0602, 0666, 0610};
	char *path = mem_printf("%s/open", scratch_dir());
	FILE *f = fopen(path, "we");
	struct fleet_access a;
	char why[300];

	(void)state;
	assert_non_null(f);
	assert_true(fputs("secret\n", f) >= 0);
	assert_int_equal(fclose(f), 0);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		assert_int_equal(chmod(path, modes[i]), 0);
		assert_false(fleet_access_password(path, &a, why, 300));
		assert_non_null(
		    strstr(why, "must not be accessible by others"));
		assert_string_equal(a.password, "");
	}
	assert_int_equal(chmod(path, 0400), 0);
	assert_true(fleet_access_lock(&a));
	assert_true(fleet_access_password(path, &a, why, 300));
	assert_string_equal(a.password, "secret");
	fleet_access_forget(&a);
	mem_free(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(places_are_sockets_or_hosts_with_ports),
	    cmocka_unit_test(what_is_no_place_is_refused_in_words),
	    cmocka_unit_test(passwords_are_one_line_with_or_without_a_user),
	    cmocka_unit_test(what_is_no_password_is_refused_and_not_shown),
	    cmocka_unit_test(a_file_that_others_may_read_is_refused),
	};

	return cmocka_run_group_tests_name("fleet_access", tests, NULL, NULL);
}
