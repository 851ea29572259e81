#include "agent/io/tls_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/log.h"
#include "common/base/mem.h"

struct tls_authorities {
	SSL_CTX *ctx;
};

struct tls_client {
	SSL *ssl;
	int fd;
	bool has_ended; /* what the server sends */
	char why[TLS_CLIENT_WHY_SIZE];
};

/* ---- authorities --------------------------------------------------------- */

struct tls_authorities *
tls_authorities_read(const char *file, char *why, size_t n)
{
	struct tls_authorities *a = mem_zalloc(sizeof(*a));
	const char *reason;

	a->ctx = SSL_CTX_new(TLS_client_method());
	if (a->ctx == NULL ||
	    SSL_CTX_set_min_proto_version(a->ctx, TLS1_2_VERSION) != 1)
		log_fatal("out of memory");
	(void)SSL_CTX_set_options(a->ctx, SSL_OP_NO_RENEGOTIATION);
	(void)SSL_CTX_set_mode(a->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
					   SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_verify(a->ctx, SSL_VERIFY_PEER, NULL);
	ERR_clear_error();
	errno = 0;
	if (SSL_CTX_load_verify_locations(a->ctx, file, NULL) == 1)
		return a;
	reason = errno != 0 ? strerror(errno)
			    : ERR_reason_error_string(ERR_peek_error());
	(void)snprintf(why, n, "%s has no certificates that can be read: %s",
	    file, reason != NULL ? reason : "not PEM");
	ERR_clear_error();
	tls_authorities_free(&a);
	return NULL;
}

void
tls_authorities_free(struct tls_authorities **authorities)
{
	struct tls_authorities *a = *authorities;

	*authorities = NULL;
	if (a == NULL)
		return;
	SSL_CTX_free(a->ctx);
	mem_free(a);
}

/* ---- the socket ---------------------------------------------------------- */

/* OpenSSL's own writes by write(2), which raises SIGPIPE; and postlane, which
 * uses this, has to end by that signal when its output is a closed pipe. */
static int
put(BIO *bio, const char *p, int n)
{
	const struct tls_client *c = BIO_get_data(bio);
	ssize_t done = send(c->fd, p, (size_t)n, MSG_NOSIGNAL);

	BIO_clear_retry_flags(bio);
	if (done < 0 && BIO_sock_non_fatal_error(errno))
		BIO_set_retry_write(bio);
	return (int)done;
}

static int
get(BIO *bio, char *p, int n)
{
	struct tls_client *c = BIO_get_data(bio);
	ssize_t done = recv(c->fd, p, (size_t)n, 0);

	BIO_clear_retry_flags(bio);
	c->has_ended = done == 0;
	if (done < 0 && BIO_sock_non_fatal_error(errno))
		BIO_set_retry_read(bio);
	return (int)done;
}

static long
control(BIO *bio, int what, long number, void *pointer)
{
	const struct tls_client *c = BIO_get_data(bio);

	(void)number;
	(void)pointer;
	if (what == BIO_CTRL_EOF)
		return c->has_ended;
	/* nothing is kept back */
	return what == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO *
bio_new(struct tls_client *c)
{
	static BIO_METHOD *method; /* for the life of the process */
	BIO *bio;

	if (method == NULL)
		method = BIO_meth_new(
		    BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
	if (method == NULL || BIO_meth_set_write(method, put) != 1 ||
	    BIO_meth_set_read(method, get) != 1 ||
	    BIO_meth_set_ctrl(method, control) != 1)
		log_fatal("out of memory");
	bio = BIO_new(method);
	if (bio == NULL)
		log_fatal("out of memory");
	BIO_set_data(bio, c);
	BIO_set_init(bio, 1);
	return bio;
}

/* ---- a connection -------------------------------------------------------- */

/* For whom its certificate has to be. An address has no SNI (RFC 6066 3). */
static bool
expect(SSL *ssl, const char *host)
{
	unsigned char octets[sizeof(struct in6_addr)];
	char *name; /* SSL_set_tlsext_host_name() wants a writable one */
	bool is_set;

	if (inet_pton(AF_INET, host, octets) == 1 ||
	    inet_pton(AF_INET6, host, octets) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(
			   SSL_get0_param(ssl), host) == 1;
	name = mem_strdup(host);
	is_set = SSL_set_tlsext_host_name(ssl, name) == 1 &&
		 SSL_set1_host(ssl, name) == 1;
	mem_free(name);
	return is_set;
}

struct tls_client *
tls_client_begin(
    const struct tls_authorities *authorities, int fd, const char *host)
{
	struct tls_client *c = mem_zalloc(sizeof(*c));
	BIO *bio = bio_new(c);

	c->fd = fd;
	c->ssl = SSL_new(authorities->ctx);
	if (c->ssl == NULL || !expect(c->ssl, host))
		log_fatal("out of memory");
	SSL_set_bio(c->ssl, bio, bio);
	SSL_set_connect_state(c->ssl);
	return c;
}

void
tls_client_free(struct tls_client **client)
{
	struct tls_client *c = *client;

	*client = NULL;
	if (c == NULL)
		return;
	SSL_free(c->ssl);
	mem_free(c);
}

static void
explain(struct tls_client *c, int error, int os_error)
{
	unsigned long code = ERR_peek_error();
	long verdict = SSL_get_verify_result(c->ssl);
	const char *reason = ERR_reason_error_string(code);

	if (verdict != X509_V_OK)
		(void)snprintf(c->why, sizeof(c->why),
		    "its certificate is not trusted: %s",
		    X509_verify_cert_error_string(verdict));
	else if (error == SSL_ERROR_SYSCALL && os_error != 0)
		(void)snprintf(
		    c->why, sizeof(c->why), "%s", strerror(os_error));
	else if (error == SSL_ERROR_ZERO_RETURN || error == SSL_ERROR_SYSCALL ||
		 ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		(void)snprintf(c->why, sizeof(c->why), "closed by the server");
	else
		(void)snprintf(c->why, sizeof(c->why), "TLS: %s",
		    reason != NULL ? reason : "failed");
	ERR_clear_error();
}

enum tls_step
tls_client_greet(struct tls_client *c)
{
	int result, error, os_error;

	ERR_clear_error();
	errno = 0;
	result = SSL_do_handshake(c->ssl);
	os_error = errno;
	if (result == 1)
		return TLS_STEP_DONE;
	error = SSL_get_error(c->ssl, result);
	if (error == SSL_ERROR_WANT_READ)
		return TLS_STEP_READ;
	if (error == SSL_ERROR_WANT_WRITE)
		return TLS_STEP_WRITE;
	explain(c, error, os_error);
	return TLS_STEP_FAILED;
}

/* What recv() or send() would have for it. */
static ssize_t
result_of(struct tls_client *c, int result, int os_error)
{
	int error;

	if (result > 0)
		return result;
	error = SSL_get_error(c->ssl, result);
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
		errno = EAGAIN;
		return -1;
	}
	explain(c, error, os_error);
	if (error == SSL_ERROR_ZERO_RETURN)
		return 0;
	errno = EPROTO;
	return -1;
}

static int
bounded(size_t n)
{
	return n > INT_MAX ? INT_MAX : (int)n;
}

ssize_t
tls_client_read(struct tls_client *c, char *p, size_t n)
{
	int result;

	ERR_clear_error();
	errno = 0;
	result = SSL_read(c->ssl, p, bounded(n));
	return result_of(c, result, errno);
}

ssize_t
tls_client_write(struct tls_client *c, const char *p, size_t n)
{
	int result;

	ERR_clear_error();
	errno = 0;
	result = SSL_write(c->ssl, p, bounded(n));
	return result_of(c, result, errno);
}

const char *
tls_client_why(const struct tls_client *c)
{
	return c->why;
}
