#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/settings/params.h"
#include "common/base/mem.h"
#include "monitor/setupprovider.h"

static struct settings set;
static struct setupprovider known;
static char error[512];

static void
look_in(const char *directory)
{
	char *copy = mem_strdup(directory);

	params_init(&set);
	assert_true(params_set(
	    &set, params_find("lane_provider_directory"), copy, NULL));
	mem_free(copy);
}

static bool
find(const char *nexthop, const char *wanted)
{
	return setupprovider_find(
	    &known, &set, nexthop, wanted, error, sizeof(error));
}

static void
is_of(const char *nexthop, const char *name)
{
	if (!find(nexthop, NULL))
		fail_msg("%s: %s", nexthop, error);
	if (strcmp(known.name, name) != 0)
		fail_msg("%s is of \"%s\"", nexthop, known.name);
	assert_int_equal(known.why,
	    name[0] != '\0' ? SETUPPROVIDER_HOST : SETUPPROVIDER_UNKNOWN);
	setupprovider_fini(&known);
}

static void
setupprovider_knows_the_hosts_of_the_files_we_ship(void **state)
{
	(void)state;
	look_in("providers");
	is_of("[smtp.socketlabs.com]:2525", "socketlabs");
	is_of("smtp.sendgrid.net:587", "sendgrid");
	is_of("[email-smtp.eu-west-1.amazonaws.com]:587", "ses");
	is_of("[SMTP.Office365.com]:587", "office365");
	is_of("[smtp.gmail.com]:465", "gmail");
	is_of("[smtp-relay.gmail.com]:587", "gmail-relay");
	is_of("[smtp.office365.com.mx.example]:587", "");
	is_of("[mail.example.com]:587", "");
	is_of("[127.0.0.1]:2525", "");
	is_of("[broken", "");
	settings_free(&set);
}

static void
setupprovider_takes_what_is_asked_for(void **state)
{
	(void)state;
	look_in("providers");
	assert_true(find("[smtp.socketlabs.com]:2525", "ses"));
	assert_string_equal(known.name, "ses");
	assert_int_equal(known.why, SETUPPROVIDER_ASKED);
	assert_int_equal(setupprovider_connections(&known), 0);
	setupprovider_fini(&known);
	assert_true(find("[smtp.socketlabs.com]:2525", "none"));
	assert_string_equal(known.name, "");
	assert_int_equal(setupprovider_connections(&known), 0);
	setupprovider_fini(&known);
	assert_true(find("[mail.example.com]:587", "office365"));
	assert_int_equal(setupprovider_connections(&known), 3);
	setupprovider_fini(&known);
	assert_false(find("[mail.example.com]:587", "sess"));
	assert_non_null(strstr(error, "lane_provider = sess: cannot read "));
	assert_non_null(strstr(error, "must be authsmtp, emailit, "));
	assert_false(find("[mail.example.com]:587", ""));
	assert_non_null(strstr(error, "must be a name or none"));
	settings_free(&set);
}

static void
write_file(const char *directory, const char *name, const char *text)
{
	char *path = mem_printf("%s/%s", directory, name);
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	mem_free(path);
}

static void
remove_file(const char *directory, const char *name)
{
	char *path = mem_printf("%s/%s", directory, name);

	assert_int_equal(unlink(path), 0);
	mem_free(path);
}

static void
setupprovider_asks_which_one_is_meant(void **state)
{
	char directory[] = "/tmp/setupprovider.XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(directory));
	look_in(directory);
	is_of("[mail.a.example]:587", "");
	write_file(directory, "a.conf", "host mail.a.example\n");
	write_file(directory, "b.conf", "host *.a.example\n");
	is_of("[other.a.example]:587", "b");
	assert_false(find("[mail.a.example]:587", NULL));
	assert_non_null(
	    strstr(error, "mail.a.example is a host of a and of b"));
	assert_true(find("[mail.a.example]:587", "a"));
	setupprovider_fini(&known);
	/* a file that is wrong might have it */
	write_file(directory, "b.conf", "hosts mail.a.example\n");
	assert_false(find("[mail.a.example]:587", NULL));
	assert_non_null(strstr(error, "b.conf:1: bad word \"hosts\""));
	assert_non_null(strstr(error, "--provider"));
	assert_true(find("[mail.a.example]:587", "a"));
	setupprovider_fini(&known);
	assert_false(find("[mail.a.example]:587", "b"));
	remove_file(directory, "a.conf");
	remove_file(directory, "b.conf");
	assert_int_equal(rmdir(directory), 0);
	is_of("[mail.a.example]:587", "");
	settings_free(&set);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(
		setupprovider_knows_the_hosts_of_the_files_we_ship),
	    cmocka_unit_test(setupprovider_takes_what_is_asked_for),
	    cmocka_unit_test(setupprovider_asks_which_one_is_meant),
	};

	return cmocka_run_group_tests_name("setupprovider", tests, NULL, NULL);
}
