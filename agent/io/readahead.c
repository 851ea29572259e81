#include "agent/io/readahead.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/log.h"
#include "common/base/mem.h"

enum { AHEAD_SIZE = 8192 }; /* one read of the socket */

struct readahead {
	int fd;
	char *data; /* AHEAD_SIZE octets, or NULL while it holds nothing */
	size_t off, end; /* what OpenSSL has not read of them */
	size_t budget; /* octets that may be read in this turn */
	bool is_allowed;
	bool is_last;
	bool is_empty; /* nothing was left in the socket, in this turn */
	bool is_cut; /* more was asked for than the budget had */
};

static void
say_again(BIO *bio)
{
	BIO_set_retry_read(bio);
	errno = EAGAIN;
}

/* False: nothing was had, as the BIO says by its flags. */
static bool
fill(struct readahead *r, BIO *bio, size_t size)
{
	size_t most = AHEAD_SIZE;
	ssize_t n;

	if (!r->is_allowed && size < most)
		most = size;
	if (r->budget < most)
		most = r->budget;
	if (r->is_empty && !r->is_last) {
		say_again(bio);
		return false;
	}
	if (r->data == NULL)
		r->data = mem_alloc(AHEAD_SIZE);
	n = recv(r->fd, r->data, most, 0);
	if (n < 0 &&
	    (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
		r->is_empty = errno != EINTR;
		BIO_set_retry_read(bio);
	}
	if (n == 0)
		BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
	if (n <= 0)
		return false;
	r->is_empty = (size_t)n < most;
	r->budget -= (size_t)n;
	r->off = 0;
	r->end = (size_t)n;
	return true;
}

/* BIO_read_ex() of this kind of BIO. */
static int
on_read(BIO *bio, char *p, size_t size, size_t *n_out)
{
	struct readahead *r = BIO_get_data(bio);
	size_t n;

	BIO_clear_retry_flags(bio);
	*n_out = 0;
	if (r->off == r->end) {
		if (r->budget == 0) {
			r->is_cut = true;
			say_again(bio);
			return 0;
		}
		if (!fill(r, bio, size))
			return 0;
	}
	n = r->end - r->off;
	if (n > size)
		n = size;
	memcpy(p, r->data + r->off, n);
	r->off += n;
	*n_out = n;
	return 1;
}

static long
on_control(BIO *bio, int command, long number, void *pointer)
{
	(void)number;
	(void)pointer;
	if (command == BIO_CTRL_EOF)
		return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
	return command == BIO_CTRL_FLUSH;
}

/* Made once, for the life of the process. */
static const BIO_METHOD *
method(void)
{
	static BIO_METHOD *made;

	if (made == NULL) {
		made = BIO_meth_new(
		    BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "readahead");
		if (made == NULL)
			log_fatal("out of memory");
		(void)BIO_meth_set_read_ex(made, on_read);
		(void)BIO_meth_set_ctrl(made, on_control);
	}
	return made;
}

struct readahead *
readahead_new(int fd)
{
	struct readahead *r = mem_zalloc(sizeof(*r));

	CHECK(fd >= 0);
	r->fd = fd;
	return r;
}

void
readahead_free(struct readahead **r)
{
	struct readahead *old = *r;

	*r = NULL;
	if (old == NULL)
		return;
	mem_free(old->data);
	mem_free(old);
}

void
readahead_attach(struct readahead *r, struct ssl_st *ssl)
{
	BIO *bio = BIO_new(method());

	if (bio == NULL)
		log_fatal("out of memory");
	BIO_set_data(bio, r);
	BIO_set_init(bio, 1);
	SSL_set0_rbio(ssl, bio);
}

void
readahead_allow(struct readahead *r)
{
	r->is_allowed = true;
}

void
readahead_begin(struct readahead *r, bool is_last)
{
	r->budget = READAHEAD_PER_TURN;
	r->is_last = is_last;
	r->is_empty = false;
	r->is_cut = false;
}

bool
readahead_is_drained(const struct readahead *r)
{
	return r->is_empty && r->off == r->end;
}

enum readahead_left
readahead_end(struct readahead *r)
{
	if (r->off < r->end)
		return READAHEAD_HELD;
	mem_free(r->data);
	r->data = NULL;
	return r->is_cut ? READAHEAD_CUT : READAHEAD_NOTHING;
}
