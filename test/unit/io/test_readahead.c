/* What OpenSSL reads through its BIO: how much in a turn, what is held, and
 * when a socket is taken for empty. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/io/readahead.h"

enum { MUCH = 3 * READAHEAD_PER_TURN };

struct reader {
	SSL_CTX *ctx;
	SSL *ssl;
	BIO *bio; /* of ssl */
	struct readahead *ahead;
	int fd, peer;
};

static int
setup(void **state)
{
	static struct reader r;
	int fds[2], size = 2 * MUCH;

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(
	    setsockopt(fds[1], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)),
	    0);
	r.fd = fds[0];
	r.peer = fds[1];
	r.ctx = SSL_CTX_new(TLS_client_method());
	r.ssl = SSL_new(r.ctx);
	r.ahead = readahead_new(r.fd);
	readahead_attach(r.ahead, r.ssl);
	r.bio = SSL_get_rbio(r.ssl);
	readahead_begin(r.ahead, false);
	*state = &r;
	return 0;
}

static int
teardown(void **state)
{
	struct reader *r = *state;

	SSL_free(r->ssl);
	SSL_CTX_free(r->ctx);
	readahead_free(&r->ahead);
	(void)close(r->fd);
	(void)close(r->peer);
	return 0;
}

static void
send_text(struct reader *r, const char *text)
{
	assert_int_equal(
	    write(r->peer, text, strlen(text)), (ssize_t)strlen(text));
}

/* Reads at most n octets, which are these. */
static void
assert_read(struct reader *r, size_t n, const char *want)
{
	char got[256];
	size_t n_got = 0;

	assert_in_range(n, 1, sizeof(got));
	assert_int_equal(BIO_read_ex(r->bio, got, n, &n_got), 1);
	assert_int_equal(n_got, strlen(want));
	assert_memory_equal(got, want, n_got);
}

static void
assert_again(struct reader *r)
{
	char got[16];
	size_t n;

	assert_int_equal(BIO_read_ex(r->bio, got, sizeof(got), &n), 0);
	assert_int_equal(n, 0);
	assert_true(BIO_should_retry(r->bio));
	assert_true(BIO_should_read(r->bio));
	assert_int_equal(BIO_eof(r->bio), 0);
}

static int
left_in_socket(const struct reader *r)
{
	int n = -1;

	assert_int_equal(ioctl(r->fd, FIONREAD, &n), 0);
	return n;
}

static void
ahead_reads_what_is_asked_for_until_it_is_allowed_more(void **state)
{
	struct reader *r = *state;

	send_text(r, "0123456789");
	assert_read(r, 4, "0123");
	assert_int_equal(left_in_socket(r), 6);
	assert_int_equal(readahead_end(r->ahead), READAHEAD_NOTHING);
	readahead_allow(r->ahead);
	readahead_begin(r->ahead, false);
	assert_read(r, 4, "4567");
	assert_int_equal(left_in_socket(r), 0);
	assert_false(readahead_is_drained(r->ahead));
	assert_int_equal(readahead_end(r->ahead), READAHEAD_HELD);
	/* What is held outlives the turn. */
	readahead_begin(r->ahead, false);
	assert_read(r, 4, "89");
	assert_int_equal(readahead_end(r->ahead), READAHEAD_NOTHING);
}

static void
ahead_takes_a_socket_that_gave_less_for_empty(void **state)
{
	struct reader *r = *state;

	readahead_allow(r->ahead);
	send_text(r, "one");
	assert_false(readahead_is_drained(r->ahead));
	assert_read(r, 16, "one");
	assert_true(readahead_is_drained(r->ahead));
	send_text(r, "two");
	assert_again(r);
	assert_int_equal(left_in_socket(r), 3);
	assert_int_equal(readahead_end(r->ahead), READAHEAD_NOTHING);
	/* The next turn looks. */
	readahead_begin(r->ahead, false);
	assert_read(r, 16, "two");
	/* So does a last one, always. */
	readahead_begin(r->ahead, true);
	assert_again(r);
	assert_true(readahead_is_drained(r->ahead));
	send_text(r, "three");
	assert_read(r, 16, "three");
}

static void
ahead_gives_so_much_a_turn_and_all_in_the_end(void **state)
{
	static unsigned char sent[MUCH], got[MUCH];
	struct reader *r = *state;
	size_t n, done = 0;
	int turns = 0;

	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (unsigned char)(i * 7 + i / 251);
	assert_int_equal(write(r->peer, sent, sizeof(sent)), MUCH);
	readahead_allow(r->ahead);
	while (done < sizeof(got)) {
		size_t before = done;

		readahead_begin(r->ahead, turns == 1);
		/* Odd pieces, as OpenSSL asks: a head, a record. */
		while (BIO_read_ex(r->bio, got + done,
			   done % 2 == 0 ? 5 : sizeof(got) - done, &n) == 1) {
			done += n;
			if (done == sizeof(got))
				break;
		}
		assert_in_range(done - before, 1, READAHEAD_PER_TURN);
		if (done < sizeof(got)) {
			assert_true(BIO_should_retry(r->bio));
			assert_false(readahead_is_drained(r->ahead));
			assert_int_equal(
			    readahead_end(r->ahead), READAHEAD_CUT);
		}
		turns++;
	}
	assert_int_equal(turns, 3);
	assert_memory_equal(got, sent, sizeof(got));
}

static void
ahead_tells_the_end_after_what_came_before_it(void **state)
{
	struct reader *r = *state;
	char got[4];
	size_t n;

	readahead_allow(r->ahead);
	send_text(r, "last");
	assert_int_equal(shutdown(r->peer, SHUT_WR), 0);
	assert_read(r, 16, "last");
	readahead_begin(r->ahead, false);
	assert_int_equal(BIO_read_ex(r->bio, got, sizeof(got), &n), 0);
	assert_false(BIO_should_retry(r->bio));
	assert_int_equal(BIO_eof(r->bio), 1);
}

static void
ahead_tells_an_error(void **state)
{
	struct reader *r = *state;
	char got[4];
	size_t n;
	int other = open("/dev/null", O_RDONLY);

	/* No socket: recv() fails. */
	assert_true(other >= 0);
	assert_int_equal(dup2(other, r->fd), r->fd);
	(void)close(other);
	assert_int_equal(BIO_read_ex(r->bio, got, sizeof(got), &n), 0);
	assert_false(BIO_should_retry(r->bio));
	assert_int_equal(BIO_eof(r->bio), 0);
}

#define READER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    READER(ahead_reads_what_is_asked_for_until_it_is_allowed_more),
	    READER(ahead_takes_a_socket_that_gave_less_for_empty),
	    READER(ahead_gives_so_much_a_turn_and_all_in_the_end),
	    READER(ahead_tells_the_end_after_what_came_before_it),
	    READER(ahead_tells_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
