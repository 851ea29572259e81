/* What trivial-rewrite(8) answers, however its octets come. */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/postfix/attr.h"
#include "monitor/transports.h"
#include "test/support/statedir.h"

static void
put_answer(struct buf *out, const char *transport)
{
	attr_put_str(out, "flags", slice_str("0"));
	attr_put_str(out, "transport", slice_str(transport));
	attr_put_end(out);
}

static void
send_all(int fd, const struct buf *b, size_t most)
{
	struct slice s = buf_slice(b);

	for (size_t at = 0; at < s.n; at += most)
		if (send(fd, s.p + at, s.n - at < most ? s.n - at : most,
			MSG_NOSIGNAL) <= 0)
			_exit(1);
}

enum { SIGNALS = 50 };

static void
on_signal(int signo)
{
	(void)signo;
}

/* It greets, and answers twice with that: at once, octet by octet, and with
 * two answers where one was asked for. */
static void
service(void *ctx, int in, int out)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), fd;
	char question[4096];
	struct buf b;

	(void)snprintf(
	    at.sun_path, sizeof(at.sun_path), "%.80s/private", (char *)ctx);
	(void)mkdir(at.sun_path, 0700);
	(void)snprintf(at.sun_path, sizeof(at.sun_path),
	    "%.80s/private/rewrite", (char *)ctx);
	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) != 0 ||
	    listen(listener, 1) != 0)
		_exit(1);
	statedir_tell(out, 'r');
	fd = accept(listener, NULL, NULL);
	buf_init(&b, sizeof(question));
	attr_put_str(&b, "protocol", slice_str("rewrite_protocol"));
	attr_put_end(&b);
	put_answer(&b, "first:relay");
	(void)recv(fd, question, sizeof(question), 0);
	send_all(fd, &b, sizeof(question));
	buf_reset(&b);
	put_answer(&b, "second:");
	(void)recv(fd, question, sizeof(question), 0);
	send_all(fd, &b, 1);
	buf_reset(&b);
	put_answer(&b, "third:");
	put_answer(&b, "fourth:");
	(void)recv(fd, question, sizeof(question), 0);
	send_all(fd, &b, sizeof(question));
	(void)recv(fd, question, sizeof(question), 0);
	/* Whoever waits hears signals, and then the answer. */
	for (int i = 0; i < SIGNALS; i++) {
		(void)kill(getppid(), SIGUSR1);
		(void)poll(NULL, 0, 1);
	}
	buf_reset(&b);
	put_answer(&b, "fifth:");
	send_all(fd, &b, sizeof(question));
	(void)statedir_hear(in);
	(void)unlink(at.sun_path);
	*strrchr(at.sun_path, '/') = '\0';
	(void)rmdir(at.sun_path);
	buf_fini(&b);
}

static void
transports_are_read_in_whatever_pieces_they_come(void **state)
{
	static const char *const expected[] = {
	    "first:relay", "second:", "third:", "fourth:"};
	/* Without SA_RESTART. */
	const struct sigaction action = {.sa_handler = on_signal};
	struct statedir_child child;
	struct transports *t;
	char rcpt[32];

	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	statedir_fork(&child, service, *state);
	assert_int_equal(statedir_hear(child.from), 'r');
	t = transports_open(*state, "rewrite");
	for (size_t i = 0; i < 2 * sizeof(expected) / sizeof(expected[0]);
	     i++) {
		(void)snprintf(rcpt, sizeof(rcpt), "%zu@to.test", i % 4);
		assert_string_equal(
		    transports_of(t, "from@test", rcpt), expected[i % 4]);
	}
	assert_string_equal(
	    transports_of(t, "from@test", "5@to.test"), "fifth:");
	statedir_tell(child.to, 'd');
	assert_int_equal(statedir_end(&child, 0), 0);
	/* It hung up: what is known is, more is not. */
	assert_null(transports_of(t, "from@test", "new@to.test"));
	assert_non_null(strstr(transports_why(t), "rewrite"));
	assert_string_equal(
	    transports_of(t, "from@test", "0@to.test"), "first:relay");
	transports_close(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    IN_STATEDIR(transports_are_read_in_whatever_pieces_they_come),
	};

	return cmocka_run_group_tests_name("transports", tests, NULL, NULL);
}
