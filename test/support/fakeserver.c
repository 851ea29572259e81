#include "fakeserver.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum { DEADLINE_S = 10, HEARD_MAX = 1 << 20 };

struct fake_ca {
	X509 *cert;
	EVP_PKEY *key;
	char file[64];
};

struct fake_cert {
	X509 *cert;
	EVP_PKEY *key;
	SSL_CTX *ctx; /* one for all connections: tickets stay good */
};

struct fake {
	const char *const *script;
	struct fake_cert *cert;
	int listen_fd, fd, port;
	SSL *ssl;
	bool dribble;
	pthread_t thread;
	sem_t gone_on;
	bool is_joined;
	int resumed;
	struct buf heard;
	char error[512];
};

static const struct fake_cert_kind usual = {0};

static X509 *
make_cert(EVP_PKEY *key, const char *name, X509 *issuer, EVP_PKEY *issuer_key,
    bool is_ca, const struct fake_cert_kind *kind)
{
	static long serial;
	X509 *x = X509_new();
	X509_NAME *subject = X509_get_subject_name(x);
	char san[300];
	X509_EXTENSION *ext;

	(void)X509_set_version(x, 2);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
	(void)X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	(void)X509_gmtime_adj(
	    X509_getm_notAfter(x), kind->life_s != 0 ? kind->life_s : 86400);
	(void)X509_set_pubkey(x, key);
	(void)X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
	    (const unsigned char *)(is_ca ? name : "a server"), -1, -1, 0);
	(void)X509_set_issuer_name(
	    x, issuer != NULL ? X509_get_subject_name(issuer) : subject);
	ext = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints,
	    is_ca ? "critical,CA:TRUE" : "CA:FALSE");
	(void)X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
	if (!is_ca) {
		(void)snprintf(san, sizeof(san), "DNS:%s", name);
		ext =
		    X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
		(void)X509_add_ext(x, ext, -1);
		X509_EXTENSION_free(ext);
	}
	(void)X509_sign(x, issuer_key,
	    EVP_get_digestbyname(
		kind->digest != NULL ? kind->digest : "SHA256"));
	return x;
}

struct fake_ca *
fake_ca_new(const char *name)
{
	struct fake_ca *ca = mem_zalloc(sizeof(*ca));
	int fd;
	FILE *file;

	ca->key = EVP_EC_gen("P-256");
	ca->cert = make_cert(ca->key, name, NULL, ca->key, true, &usual);
	(void)snprintf(ca->file, sizeof(ca->file), "/tmp/fake-ca.XXXXXX");
	fd = mkstemp(ca->file);
	CHECK(fd >= 0);
	file = fdopen(fd, "w");
	(void)PEM_write_X509(file, ca->cert);
	(void)fclose(file);
	return ca;
}

void
fake_ca_free(struct fake_ca **ca)
{
	struct fake_ca *old = *ca;

	*ca = NULL;
	(void)unlink(old->file);
	X509_free(old->cert);
	EVP_PKEY_free(old->key);
	mem_free(old);
}

const char *
fake_ca_file(const struct fake_ca *ca)
{
	return ca->file;
}

struct fake_cert *
fake_cert_make(
    struct fake_ca *ca, const char *dns_name, const struct fake_cert_kind *kind)
{
	struct fake_cert *c = mem_zalloc(sizeof(*c));

	c->key = kind->rsa_bits != 0 ? EVP_RSA_gen((unsigned)kind->rsa_bits)
				     : EVP_EC_gen("P-256");
	c->cert = make_cert(c->key, dns_name, ca != NULL ? ca->cert : NULL,
	    ca != NULL ? ca->key : c->key, false, kind);
	c->ctx = SSL_CTX_new(TLS_server_method());
	/* A server may be as weak as it likes. */
	SSL_CTX_set_security_level(c->ctx, 0);
	(void)SSL_CTX_use_certificate(c->ctx, c->cert);
	(void)SSL_CTX_use_PrivateKey(c->ctx, c->key);
	return c;
}

struct fake_cert *
fake_cert_new(struct fake_ca *ca, const char *dns_name)
{
	return fake_cert_make(ca, dns_name, &usual);
}

struct ssl_ctx_st *
fake_cert_ctx(const struct fake_cert *cert)
{
	return cert->ctx;
}

void
fake_cert_speak(struct fake_cert *cert, int version)
{
	(void)SSL_CTX_set_min_proto_version(cert->ctx, version);
	(void)SSL_CTX_set_max_proto_version(cert->ctx, version);
}

void
fake_cert_send_key(struct fake_cert *cert)
{
#if OPENSSL_VERSION_NUMBER >= 0x30200000L
	static const unsigned char kinds[] = {
	    TLSEXT_cert_type_rpk, TLSEXT_cert_type_x509};

	CHECK(SSL_CTX_set1_server_cert_type(cert->ctx, kinds, sizeof(kinds)) ==
	      1);
#else
	log_panic("no raw public keys in this OpenSSL: %p", (void *)cert);
#endif
}

void
fake_cert_free(struct fake_cert **cert)
{
	struct fake_cert *old = *cert;

	*cert = NULL;
	X509_free(old->cert);
	EVP_PKEY_free(old->key);
	SSL_CTX_free(old->ctx);
	mem_free(old);
}

static void
put_digest(const unsigned char *digest, unsigned size, char *out, size_t n)
{
	for (size_t i = 0, at = 0; i < size && at + 4 < n; i++)
		at += (size_t)snprintf(
		    out + at, n - at, "%s%02X", i > 0 ? ":" : "", digest[i]);
}

void
fake_fingerprint(const struct fake_cert *cert, char *out, size_t n)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned size = 0;

	CHECK(X509_digest(cert->cert, EVP_sha256(), digest, &size) == 1);
	put_digest(digest, size, out, n);
}

void
fake_key_fingerprint(const struct fake_cert *cert, char *out, size_t n)
{
	unsigned char digest[EVP_MAX_MD_SIZE], *der = NULL;
	int length = i2d_PUBKEY(cert->key, &der);
	unsigned size = 0;

	CHECK(length > 0);
	CHECK(EVP_Digest(
		  der, (size_t)length, digest, &size, EVP_sha256(), NULL) == 1);
	OPENSSL_free(der);
	put_digest(digest, size, out, n);
}

static bool
fail(struct fake *f, const char *what, const char *detail)
{
	if (f->error[0] == '\0')
		(void)snprintf(
		    f->error, sizeof(f->error), "%.100s: %.300s", what, detail);
	return false;
}

static ssize_t
raw_read(struct fake *f, void *p, size_t n)
{
	return f->ssl != NULL ? SSL_read(f->ssl, p, (int)n) : read(f->fd, p, n);
}

static bool
raw_write(struct fake *f, const char *p, size_t n)
{
	size_t step = f->dribble ? 1 : n;

	for (size_t at = 0; at < n; at += step) {
		ssize_t rc = f->ssl != NULL
				 ? SSL_write(f->ssl, p + at, (int)step)
				 : send(f->fd, p + at, step, MSG_NOSIGNAL);

		if (rc != (ssize_t)step)
			return fail(f, "write failed", p);
	}
	return true;
}

static bool
read_line(struct fake *f, const char *prefix)
{
	char line[4096];
	size_t n = 0;

	for (;;) {
		if (n + 1 >= sizeof(line))
			return fail(f, "line too long", prefix);
		if (raw_read(f, line + n, 1) != 1)
			return fail(f, "no line came for", prefix);
		if (line[n] == '\n')
			break;
		n++;
	}
	if (n > 0 && line[n - 1] == '\r')
		n--;
	line[n] = '\0';
	(void)buf_addf(&f->heard, "%s\n", line);
	if (strncmp(line, prefix, strlen(prefix)) != 0) {
		(void)fail(f, prefix, line);
		return false;
	}
	return true;
}

static bool
accept_tls(struct fake *f)
{
	f->ssl = SSL_new(f->cert->ctx);
	(void)SSL_set_fd(f->ssl, f->fd);
	if (SSL_accept(f->ssl) != 1) {
		/* Often what the test wants: the client refused. */
		SSL_free(f->ssl);
		f->ssl = NULL;
		return false;
	}
	f->resumed += SSL_session_reused(f->ssl);
	return true;
}

static bool
accept_client(struct fake *f)
{
	struct timeval limit = {DEADLINE_S, 0};
	int on = 1;

	f->fd = accept(f->listen_fd, NULL, NULL);
	if (f->fd < 0)
		return fail(f, "accept", "nobody came");
	(void)setsockopt(f->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	(void)setsockopt(f->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	f->dribble = false;
	return true;
}

static void
hang_up(struct fake *f, bool reset)
{
	struct linger hard = {1, 0};

	if (f->fd < 0)
		return;
	if (reset)
		(void)setsockopt(
		    f->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	if (f->ssl != NULL)
		SSL_free(f->ssl);
	f->ssl = NULL;
	(void)close(f->fd);
	f->fd = -1;
}

static bool
sink(struct fake *f, long n, bool until_eof)
{
	char data[65536];

	while (until_eof || n > 0) {
		size_t want = sizeof(data);
		ssize_t got;

		if (!until_eof && (size_t)n < want)
			want = (size_t)n;
		got = raw_read(f, data, want);
		if (got <= 0)
			return until_eof ? true : fail(f, "sink", "short");
		if (until_eof)
			(void)buf_add(&f->heard, data, (size_t)got);
		n -= got;
	}
	return true;
}

/* Messages of TLS that carry no data. The client may cut us off. */
static bool
flood(struct fake *f, const char *kind)
{
	long count = strtol(kind + strcspn(kind, " "), NULL, 10);
	struct pollfd client = {.fd = SSL_get_fd(f->ssl)};
	int rc = 1;

	for (long i = 0; i < count && rc == 1; i++) {
		if (kind[0] == 'k')
			rc = SSL_key_update(
			    f->ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
		else if (kind[0] == 't')
			rc = SSL_new_session_ticket(f->ssl);
		else
			rc = SSL_renegotiate(f->ssl);
		if (rc == 1)
			rc = SSL_do_handshake(f->ssl);
		/* OpenSSL does not tell that a ticket could not be sent. */
		if (poll(&client, 1, 0) > 0 &&
		    (client.revents & (POLLERR | POLLHUP)) != 0)
			break;
	}
	return true;
}

static bool
await(struct fake *f)
{
	struct timespec end;

	(void)clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += DEADLINE_S;
	return sem_timedwait(&f->gone_on, &end) == 0 ||
	       fail(f, "await", "nobody says go on");
}

static bool
step(struct fake *f, const char *s)
{
	if (strncmp(s, "key ", 4) == 0 || strncmp(s, "ticket ", 7) == 0 ||
	    strncmp(s, "hello ", 6) == 0)
		return flood(f, s);
	if (strncmp(s, ">>", 2) == 0)
		return raw_write(f, s + 2, strlen(s + 2));
	if (s[0] == '>') {
		char *line = mem_printf("%s\r\n", s + 1);
		bool result = raw_write(f, line, strlen(line));

		mem_free(line);
		return result;
	}
	if (s[0] == '<')
		return read_line(f, s + 1);
	if (strcmp(s, "tls") == 0)
		return accept_tls(f);
	if (strcmp(s, "hang") == 0)
		return sink(f, 0, true);
	if (strncmp(s, "sink ", 5) == 0)
		return sink(f, strtol(s + 5, NULL, 10), false);
	if (strcmp(s, "dribble") == 0) {
		f->dribble = true;
		return true;
	}
	if (strcmp(s, "close") == 0 || strcmp(s, "reset") == 0) {
		hang_up(f, s[0] == 'r');
		return true;
	}
	if (strcmp(s, "await") == 0)
		return await(f);
	if (strcmp(s, "next") == 0) {
		hang_up(f, false);
		return accept_client(f);
	}
	return fail(f, "no such word in the script", s);
}

static void *
run_script(void *arg)
{
	struct fake *f = arg;
	bool ok = accept_client(f);

	for (size_t i = 0; ok && f->script[i] != NULL; i++) {
		ok = step(f, f->script[i]);
		/* After a failed handshake the script goes on at "next". */
		if (!ok && f->error[0] == '\0')
			while (f->script[i + 1] != NULL && !ok)
				if (strcmp(f->script[++i], "next") == 0)
					ok = step(f, "next");
	}
	hang_up(f, false);
	return NULL;
}

struct fake *
fake_start(const char *const *script, struct fake_cert *cert)
{
	struct fake *f = mem_zalloc(sizeof(*f));
	struct sockaddr_in sin = {.sin_family = AF_INET};
	socklen_t n = sizeof(sin);
	struct timeval limit = {DEADLINE_S, 0};

	f->script = script;
	f->cert = cert;
	f->fd = -1;
	buf_init(&f->heard, HEARD_MAX);
	f->listen_fd = socket(AF_INET, SOCK_STREAM, 0);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(bind(f->listen_fd, (void *)&sin, sizeof(sin)) == 0);
	CHECK(listen(f->listen_fd, 8) == 0);
	CHECK(getsockname(f->listen_fd, (void *)&sin, &n) == 0);
	(void)setsockopt(
	    f->listen_fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	f->port = ntohs(sin.sin_port);
	CHECK(sem_init(&f->gone_on, 0, 0) == 0);
	CHECK(pthread_create(&f->thread, NULL, run_script, f) == 0);
	return f;
}

int
fake_port(const struct fake *fake)
{
	return fake->port;
}

void
fake_go_on(struct fake *fake)
{
	(void)sem_post(&fake->gone_on);
}

const char *
fake_finish(struct fake *fake)
{
	if (!fake->is_joined)
		(void)pthread_join(fake->thread, NULL);
	fake->is_joined = true;
	(void)buf_str(&fake->heard);
	return fake->error[0] != '\0' ? fake->error : NULL;
}

const char *
fake_heard(const struct fake *fake)
{
	return fake->heard.data != NULL ? fake->heard.data : "";
}

int
fake_resumed(const struct fake *fake)
{
	return fake->resumed;
}

void
fake_free(struct fake **fake)
{
	struct fake *old = *fake;

	*fake = NULL;
	(void)fake_finish(old);
	(void)close(old->listen_fd);
	(void)sem_destroy(&old->gone_on);
	buf_fini(&old->heard);
	mem_free(old);
}

static void
nothing(void *ctx)
{
	(void)ctx;
}

bool
fake_run_until(struct loop *loop, const bool *flag)
{
	int64_t end_ms = clock_mono_ms() + DEADLINE_S * 1000;
	struct loop_timer *t = loop_timer_new(loop, nothing, NULL);

	loop_timer_at(t, end_ms);
	while (!*flag && clock_mono_ms() < end_ms)
		loop_once(loop);
	loop_timer_free(&t);
	return *flag;
}

int
fake_connect(int port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	sin.sin_port = htons((uint16_t)port);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(connect(fd, (void *)&sin, sizeof(sin)) == 0);
	CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	return fd;
}
