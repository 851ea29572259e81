/* TLS to a server that has to prove its name. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/io/tls_client.h"
#include "test/support/fakeserver.h"

enum { WAIT_MS = 10000, TEXT_SIZE = 64 };

static struct fake_ca *ca;
static struct fake_cert *cert;
static struct tls_authorities *authorities;

static void
await(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
}

static enum tls_step
greet(struct tls_client *c, int fd)
{
	enum tls_step step;

	while ((step = tls_client_greet(c)) == TLS_STEP_READ ||
	       step == TLS_STEP_WRITE)
		await(fd, step == TLS_STEP_READ ? POLLIN : POLLOUT);
	return step;
}

/* -1: the connection is over. */
static ssize_t
read_all(struct tls_client *c, int fd, char out[TEXT_SIZE])
{
	size_t used = 0;
	ssize_t n;

	for (;;) {
		n = tls_client_read(c, out + used, TEXT_SIZE - 1 - used);
		if (n < 0 && errno == EAGAIN)
			await(fd, POLLIN);
		else if (n <= 0)
			break;
		else
			used += (size_t)n;
	}
	out[used] = '\0';
	return n;
}

static void
what_is_said_arrives_by_octets(void **state)
{
	static const char *const script[] = {
	    "tls", "<hello", "dribble", ">and good bye", NULL};
	struct fake *fake = fake_start(script, cert);
	int fd = fake_connect(fake_port(fake));
	struct tls_client *c = tls_client_begin(authorities, fd, "good.test");
	char text[TEXT_SIZE];

	(void)state;
	assert_int_equal(greet(c, fd), TLS_STEP_DONE);
	assert_int_equal(tls_client_write(c, "hello\r\n", 7), 7);
	(void)read_all(c, fd, text);
	assert_string_equal(text, "and good bye\r\n");
	assert_null(fake_finish(fake));
	tls_client_free(&c);
	fake_free(&fake);
	(void)close(fd);
}

/* The server that shows of is no good for host, and why says so. */
static void
is_refused(struct fake_cert *of, const char *host, const char *why)
{
	static const char *const script[] = {"tls", NULL};
	struct fake *fake = fake_start(script, of);
	int fd = fake_connect(fake_port(fake));
	struct tls_client *c = tls_client_begin(authorities, fd, host);

	assert_int_equal(greet(c, fd), TLS_STEP_FAILED);
	assert_non_null(strstr(tls_client_why(c), why));
	(void)fake_finish(fake);
	tls_client_free(&c);
	fake_free(&fake);
	(void)close(fd);
}

static void
name_has_to_be_the_one_that_was_dialed(void **state)
{
	(void)state;
	is_refused(cert, "other.test", "mismatch");
	is_refused(cert, "127.0.0.1", "mismatch");
	is_refused(cert, "good.test.other", "mismatch");
}

static void
another_authority_is_none(void **state)
{
	struct fake_ca *other = fake_ca_new("other");
	struct fake_cert *theirs = fake_cert_new(other, "good.test");

	(void)state;
	is_refused(theirs, "good.test", "not trusted");
	fake_cert_free(&theirs);
	fake_ca_free(&other);
}

/* With the signal as it is in a program that has said nothing of it. */
static void
connection_that_is_gone_is_an_error_and_no_signal(void **state)
{
	static const char *const script[] = {"reset", NULL};
	struct fake *fake = fake_start(script, cert);
	int fd = fake_connect(fake_port(fake));
	struct tls_client *c = tls_client_begin(authorities, fd, "good.test");
	char octet;

	(void)state;
	assert_ptr_not_equal(signal(SIGPIPE, SIG_DFL), SIG_ERR);
	assert_null(fake_finish(fake));
	await(fd, POLLHUP);
	/* it has told of the reset once: from now on writing is EPIPE */
	(void)!read(fd, &octet, 1);
	assert_int_equal(greet(c, fd), TLS_STEP_FAILED);
	assert_string_equal(tls_client_why(c), strerror(EPIPE));
	tls_client_free(&c);
	fake_free(&fake);
	(void)close(fd);
}

static void
end_in_the_middle_is_told(void **state)
{
	static const char *const script[] = {"tls", "close", NULL};
	struct fake *fake = fake_start(script, cert);
	int fd = fake_connect(fake_port(fake));
	struct tls_client *c = tls_client_begin(authorities, fd, "good.test");
	char text[TEXT_SIZE];

	(void)state;
	assert_int_equal(greet(c, fd), TLS_STEP_DONE);
	assert_int_equal(read_all(c, fd, text), -1);
	assert_string_equal(tls_client_why(c), "closed by the server");
	assert_string_equal(text, "");
	assert_null(fake_finish(fake));
	tls_client_free(&c);
	fake_free(&fake);
	(void)close(fd);
}

static void
file_without_certificates_is_refused(void **state)
{
	char why[TLS_CLIENT_WHY_SIZE];

	(void)state;
	assert_null(tls_authorities_read("/nowhere/ca.pem", why, sizeof(why)));
	assert_non_null(strstr(why, "No such file"));
	assert_null(tls_authorities_read("/dev/null", why, sizeof(why)));
	assert_non_null(strstr(why, "has no certificates that can be read"));
}

static int
set_up(void **state)
{
	char why[TLS_CLIENT_WHY_SIZE];

	(void)state;
	ca = fake_ca_new("ours");
	cert = fake_cert_new(ca, "good.test");
	authorities = tls_authorities_read(fake_ca_file(ca), why, sizeof(why));
	return authorities != NULL ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	tls_authorities_free(&authorities);
	fake_cert_free(&cert);
	fake_ca_free(&ca);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_said_arrives_by_octets),
	    cmocka_unit_test(name_has_to_be_the_one_that_was_dialed),
	    cmocka_unit_test(another_authority_is_none),
	    cmocka_unit_test(connection_that_is_gone_is_an_error_and_no_signal),
	    cmocka_unit_test(end_in_the_middle_is_told),
	    cmocka_unit_test(file_without_certificates_is_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
