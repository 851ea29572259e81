/* When there is no memory left, a library's request for some ends the process;
 * each in a child of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>
#include <malloc.h>
#include <openssl/evp.h>
#include <sasl/sasl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/io/library_memory.h"
#include "common/base/log.h"

enum { WITH_A_REASON = 40, ANSWERED, HANGS_S = 2 };

static void
end_as_told(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	if (level == LOG_LEVEL_FATAL &&
	    strcmp(line, "fatal: out of memory") == 0)
		_exit(WITH_A_REASON);
}

/* Takes what there is, down to the smallest piece. */
static void
exhaust(void)
{
	struct rlimit none = {0, 0};
	void *volatile p; /* so that no call is left out */

	assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
	for (size_t n = 1 << 24; n > 0; n /= 2)
		do
			p = malloc(n);
		while (p != NULL);
}

/* Without the claim OpenSSL 3.5 waits for itself for ever, which is no better
 * than an answer that there is none. */
static int
outcome(bool is_claimed, void (*ask)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		log_set_sink(end_as_told, NULL);
		if (is_claimed)
			library_memory_claim();
		(void)alarm(is_claimed ? 0 : HANGS_S);
		exhaust();
		ask();
		_exit(ANSWERED);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		return ANSWERED;
	if (!WIFEXITED(status))
		fail_msg("signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

static void
ask_openssl(void)
{
	(void)EVP_MD_CTX_new();
}

static void
ask_openssl_for_more(void)
{
	(void)OPENSSL_realloc(NULL, 100);
}

static void
ask_libevent(void)
{
	(void)event_config_new();
}

static void
ask_sasl(void)
{
	(void)sasl_client_init(NULL);
}

static void
nothing_is_refused_to(void (*ask)(void))
{
	assert_int_equal(outcome(true, ask), WITH_A_REASON);
	assert_int_equal(outcome(false, ask), ANSWERED);
}

static void
library_memory_is_had_by_openssl(void **state)
{
	(void)state;
	nothing_is_refused_to(ask_openssl);
	nothing_is_refused_to(ask_openssl_for_more);
}

static void
library_memory_is_had_by_libevent(void **state)
{
	(void)state;
	nothing_is_refused_to(ask_libevent);
}

static void
library_memory_is_had_by_sasl(void **state)
{
	(void)state;
	nothing_is_refused_to(ask_sasl);
}

/* As callers of OPENSSL_malloc() and OPENSSL_realloc() expect. */
static void
library_memory_of_no_size_is_none(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		library_memory_claim();
		if (OPENSSL_malloc(0) != NULL ||
		    OPENSSL_realloc(OPENSSL_malloc(5), 0) != NULL)
			_exit(1);
		_exit(ANSWERED);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), ANSWERED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(library_memory_is_had_by_openssl),
	    cmocka_unit_test(library_memory_is_had_by_libevent),
	    cmocka_unit_test(library_memory_is_had_by_sasl),
	    cmocka_unit_test(library_memory_of_no_size_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
