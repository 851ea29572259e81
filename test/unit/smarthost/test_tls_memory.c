/* OpenSSL is short of memory once, at one place of tls_new() after the other:
 * with POSTLANE_LONG at each, else at every eleventh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/smarthost/tls.h"
#include "common/base/log.h"
#include "test/support/dialbench.h"

/* How a child ends. */
enum { WELL = 40, WITH_A_REASON, NOT_REACHED, TOLD_AS_WRONG, LESS_TRUST };

static long until_failure; /* 0: none comes */

static bool
is_to_fail(void)
{
	if (until_failure == 0 || --until_failure > 0)
		return false;
	errno = ENOMEM;
	return true;
}

static void *
failing_malloc(size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return is_to_fail() ? NULL : malloc(n);
}

static void *
failing_realloc(void *p, size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return is_to_fail() ? NULL : realloc(p, n);
}

static void
plain_free(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	free(p);
}

static void
die_as_told(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	if (level == LOG_LEVEL_FATAL &&
	    strcmp(line, "fatal: out of memory") == 0)
		_exit(WITH_A_REASON);
}

static int
trusted(const struct tls *tls, const struct settings *set)
{
	struct tlspolicy policy;
	char error[200];
	SSL *ssl;

	assert_true(tlspolicy_init(&policy, set, error, sizeof(error)));
	ssl = tls_open((struct tls *)(uintptr_t)tls, &policy, "localhost",
	    "localhost", "key", error, sizeof(error));
	assert_non_null(ssl);
	return sk_X509_OBJECT_num(X509_STORE_get0_objects(
	    SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl))));
}

static void
live(const struct settings *set, long place)
{
	struct tls *tls;

	log_set_sink(die_as_told, NULL);
	until_failure = place;
	tls = tls_new(set);
	if (until_failure > 0)
		_exit(NOT_REACHED);
	if (tls_error(tls) != NULL)
		_exit(TOLD_AS_WRONG);
	_exit(trusted(tls, set) == 1 ? WELL : LESS_TRUST);
}

static int
outcome(const struct settings *set, long place)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		live(set, place);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status))
		fail_msg("place %ld: signal %d", place, WTERMSIG(status));
	return WEXITSTATUS(status);
}

/* A lane that took it for a wrong parameter, or did without an authority, would
 * do so until the next reload. */
static void
tls_short_of_memory_is_no_wrong_parameter(void **state)
{
	struct bench b;
	long place = 1, step = getenv("POSTLANE_LONG") != NULL ? 1 : 11;
	int how;

	(void)state;
	bench_begin(&b);
	bench_set(&b, "smtp_tls_security_level", "secure");
	bench_set(&b, "smtp_tls_CAfile", fake_ca_file(bench_ca));
	for (; (how = outcome(&b.set, place)) != NOT_REACHED; place += step)
		if (how != WELL && how != WITH_A_REASON)
			fail_msg("place %ld: %d", place, how);
	assert_true(place > 100);
	print_message("%ld places\n", place);
	bench_end(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tls_short_of_memory_is_no_wrong_parameter),
	};

	if (CRYPTO_set_mem_functions(
		failing_malloc, failing_realloc, plain_free) != 1)
		return 1;
	return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}
