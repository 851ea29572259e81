#include "tools/smarthost/flood.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

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
	    {"hellorequest", FLOOD_HELLOREQUEST}, {"ticket", FLOOD_TICKET}};

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
	if (getppid() == parent && fcntl(fd, F_SETFL, 0) == 0)
		send_all(ssl, fd, flood, counter);
	_exit(0);
}
