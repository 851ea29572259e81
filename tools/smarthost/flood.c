#include "tools/smarthost/flood.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/smarthost/forge.h"

enum { MIXED_ROW = 32, MIXED_ROWS = 5, FORGE_AT_ONCE = 500 };

uint64_t *
flood_counter(void)
{
	void *p = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p != MAP_FAILED ? p : NULL;
}

bool
flood_kind_of(struct slice word, enum flood_kind *kind_out)
{
	static const struct {
		const char *word;
		enum flood_kind kind;
	} kinds[] = {{"keyupdate", FLOOD_KEYUPDATE},
	    {"keyupdate-asking", FLOOD_KEYUPDATE_ASKING},
	    {"hellorequest", FLOOD_HELLOREQUEST}, {"ticket", FLOOD_TICKET},
	    {"empty", FLOOD_EMPTY}, {"warning", FLOOD_WARNING},
	    {"mixed", FLOOD_MIXED}, {"alert", FLOOD_ALERT},
	    {"broken", FLOOD_BROKEN}, {"truncated", FLOOD_TRUNCATED}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!slice_eq(word, kinds[i].word))
			continue;
		*kind_out = kinds[i].kind;
		return true;
	}
	return false;
}

static bool
send_one(SSL *ssl, enum flood_kind kind)
{
	int is_due = 0;

	switch (kind) {
	case FLOOD_KEYUPDATE:
		is_due = SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
		break;
	case FLOOD_KEYUPDATE_ASKING:
		is_due = SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED);
		break;
	case FLOOD_HELLOREQUEST:
		is_due = SSL_renegotiate(ssl);
		break;
	case FLOOD_TICKET:
		is_due = SSL_new_session_ticket(ssl);
		break;
	case FLOOD_EMPTY:
	case FLOOD_WARNING:
	case FLOOD_MIXED:
	case FLOOD_ALERT:
	case FLOOD_BROKEN:
	case FLOOD_TRUNCATED:
		break;
	}
	return is_due == 1 && SSL_do_handshake(ssl) == 1;
}

/* Not by OpenSSL, which would count the client's alerts and hang up. */
static void
throw_away(int fd, int flags)
{
	char part[4096];

	while (recv(fd, part, sizeof(part), flags) > 0)
		continue;
}

/* The nth of a flood: OpenSSL takes 32 empty records in a row and four
 * warnings; a warning ends a row of the former, data one of both. */
static size_t
forge_one(
    struct forge *f, enum flood_kind kind, uint64_t nth, unsigned char *out)
{
	static const unsigned char warnings[][2] = {
	    {SSL3_AL_WARNING, SSL_AD_UNRECOGNIZED_NAME},
	    {SSL3_AL_WARNING, SSL_AD_USER_CANCELLED}};
	static const char line[] = "250-mixed\r\n";
	uint64_t place = nth % MIXED_ROW, row = nth / MIXED_ROW;

	if (kind == FLOOD_WARNING ||
	    (kind == FLOOD_MIXED && place == MIXED_ROW - 1 &&
		row % MIXED_ROWS != MIXED_ROWS - 1))
		return forge_record(
		    f, SSL3_RT_ALERT, warnings[f->is_tls13], 2, out);
	if (kind == FLOOD_MIXED && place == MIXED_ROW - 1)
		return forge_record(f, SSL3_RT_APPLICATION_DATA,
		    &line[row / MIXED_ROWS % (sizeof(line) - 1)], 1, out);
	return forge_record(f, SSL3_RT_APPLICATION_DATA, "", 0, out);
}

static void
forge_all(SSL *ssl, int fd, const struct flood *flood, uint64_t *counter)
{
	unsigned char part[FORGE_AT_ONCE * FORGE_RECORD_MAX];
	struct forge f;
	uint64_t sent = 0, nth = 0;
	ssize_t n = 0;

	if (!forge_begin(&f, ssl))
		return;
	while (sent < flood->octets && n >= 0) {
		size_t used = 0;

		for (int i = 0; i < FORGE_AT_ONCE; i++)
			used += forge_one(&f, flood->kind, nth++, part + used);
		for (size_t at = 0; n >= 0 && at < used; at += (size_t)n) {
			n = send(fd, part + at, used - at, MSG_NOSIGNAL);
			if (n > 0)
				(void)__atomic_add_fetch(
				    counter, (uint64_t)n, __ATOMIC_RELAXED);
		}
		sent += used;
		throw_away(fd, MSG_DONTWAIT);
	}
	forge_end(&f);
	throw_away(fd, 0);
}

/* One record, as it should not be, and the end of what is sent. */
static void
forge_last(SSL *ssl, int fd, enum flood_kind kind, uint64_t *counter)
{
	static const unsigned char fatal[] = {
	    SSL3_AL_FATAL, SSL_AD_INTERNAL_ERROR};
	static const char line[] = "250 2.0.0 ok\r\n";
	unsigned char out[FORGE_RECORD_MAX];
	struct forge f;
	ssize_t sent;
	size_t n;

	if (!forge_begin(&f, ssl))
		return;
	n = kind == FLOOD_ALERT
		? forge_record(&f, SSL3_RT_ALERT, fatal, sizeof(fatal), out)
		: forge_record(&f, SSL3_RT_APPLICATION_DATA, line,
		      sizeof(line) - 1, out);
	if (kind == FLOOD_BROKEN && n > 0)
		out[n - 1] ^= 1;
	sent = send(fd, out, kind == FLOOD_TRUNCATED ? n / 2 : n, MSG_NOSIGNAL);
	if (sent > 0)
		(void)__atomic_add_fetch(
		    counter, (uint64_t)sent, __ATOMIC_RELAXED);
	(void)shutdown(fd, SHUT_WR);
	forge_end(&f);
	throw_away(fd, 0);
}

static void
send_all(SSL *ssl, int fd, const struct flood *flood, uint64_t *counter)
{
	BIO *wire = SSL_get_wbio(ssl);
	uint64_t before = BIO_number_written(wire), sent = 0;

	while (sent < flood->octets && send_one(ssl, flood->kind)) {
		uint64_t now = BIO_number_written(wire) - before;

		(void)__atomic_add_fetch(counter, now - sent, __ATOMIC_RELAXED);
		sent = now;
		throw_away(fd, MSG_DONTWAIT);
	}
	throw_away(fd, 0);
}

bool
flood_begin(SSL *ssl, int fd, const struct flood *flood, uint64_t *counter)
{
	pid_t parent = getpid(), pid = fork();

	if (pid != 0)
		return pid > 0;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || fcntl(fd, F_SETFL, 0) != 0)
		_exit(0);
	if (flood->kind >= FLOOD_ALERT)
		forge_last(ssl, fd, flood->kind, counter);
	else if (flood->kind >= FLOOD_EMPTY)
		forge_all(ssl, fd, flood, counter);
	else
		send_all(ssl, fd, flood, counter);
	_exit(0);
}
