#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/io/resolvconf.h"

static void
read_text(struct resolvconf *conf, const char *text)
{
	char path[] = "/tmp/pl-resolvconf-XXXXXX";
	int fd = mkstemp(path);
	size_t n = strlen(text);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, n), n);
	(void)close(fd);
	resolvconf_read(conf, path);
	(void)unlink(path);
}

static void
resolvconf_reads_what_the_c_library_reads(void **state)
{
	static const struct {
		const char *text, *domains;
		int ndots, timeout_s, attempts, servers, rotate;
	} cases[] = {
	    {"search a.test b.test.\n", "a.test b.test", 1, 5, 2, 1, 0},
	    {"search a.test\ndomain c.test\n", "c.test", 1, 5, 2, 1, 0},
	    {"domain c.test d.test\nsearch a.test\n", "a.test", 1, 5, 2, 1, 0},
	    {"search .\n", "", 1, 5, 2, 1, 0},
	    {"search x\noptions ndots:5 timeout:2 attempts:1 rotate\n", "x", 5,
		2, 1, 1, 1},
	    {"search x\noptions ndots:99 timeout:99 attempts:99\n", "x", 15, 30,
		5, 1, 0},
	    {"search x\noptions timeout:0 attempts:0\n", "x", 1, 1, 1, 1, 0},
	    {"search x\noptions timeout:x ndots: edns0 trust-ad\n", "x", 1, 5,
		2, 1, 0},
	    {"search x\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n", "x", 1,
		5, 2, 2, 0},
	    {"search x\n#options ndots:3\n;search y\n", "x", 1, 5, 2, 1, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct resolvconf conf;
		char domains[600] = "";
		size_t used = 0;

		read_text(&conf, cases[i].text);
		for (size_t d = 0; d < conf.domain_count; d++)
			used += (size_t)snprintf(domains + used,
			    sizeof(domains) - used, "%s%s", d > 0 ? " " : "",
			    conf.domains[d]);
		assert_string_equal(domains, cases[i].domains);
		assert_int_equal(conf.ndots, cases[i].ndots);
		assert_int_equal(conf.timeout_s, cases[i].timeout_s);
		assert_int_equal(conf.attempts, cases[i].attempts);
		assert_int_equal(conf.server_count, cases[i].servers);
		assert_int_equal(conf.rotate, cases[i].rotate);
	}
}

static void
resolvconf_obeys_the_environment(void **state)
{
	struct resolvconf conf;

	(void)state;
	assert_int_equal(setenv("LOCALDOMAIN", "e.test f.test", 1), 0);
	assert_int_equal(setenv("RES_OPTIONS", "attempts:3", 1), 0);
	read_text(&conf, "search a.test\noptions timeout:4\n");
	assert_int_equal(conf.domain_count, 2);
	assert_string_equal(conf.domains[0], "e.test");
	assert_int_equal(resolvconf_patience_ms(&conf), 12000);
	assert_int_equal(unsetenv("LOCALDOMAIN"), 0);
	assert_int_equal(unsetenv("RES_OPTIONS"), 0);
}

/* A name that would not fit is asked for by no other. */
static void
resolvconf_makes_no_name_that_is_cut(void **state)
{
	char text[400], name[RESOLVCONF_NAME_SIZE], out[RESOLVCONF_NAME_SIZE];
	struct resolvconf conf;

	(void)state;
	memset(name, 'a', sizeof(name));
	name[250] = '\0';
	(void)snprintf(text, sizeof(text), "search long.test\n");
	read_text(&conf, text);
	assert_true(resolvconf_name(&conf, RESOLVCONF_DEFNAMES, name, 0, out));
	assert_string_equal(out, "");
	assert_true(resolvconf_name(&conf, RESOLVCONF_DEFNAMES, name, 1, out));
	assert_string_equal(out, name);
	assert_false(resolvconf_name(&conf, RESOLVCONF_DEFNAMES, name, 2, out));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(resolvconf_reads_what_the_c_library_reads),
	    cmocka_unit_test(resolvconf_obeys_the_environment),
	    cmocka_unit_test(resolvconf_makes_no_name_that_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
