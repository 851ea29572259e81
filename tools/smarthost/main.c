/* smarthost: a mail provider's submission host, simulated for tests.
 *
 *   listeners -> conn (socket, TLS, timing) -> session (SMTP) -> ledger
 *                                                  |  asks script
 * README.md has the options, the script's words and the ledger's fields.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "tools/smarthost/conn.h"
#include "tools/smarthost/sim.h"
#include "tools/smarthost/tls.h"

enum { BACKLOG = 1024, ACCEPT_AT_ONCE = 64, SEGMENT = 1460 };

struct listener {
	struct sim *sim;
	bool is_tls;
	char bound[NI_MAXHOST + NI_MAXSERV + 4];
};

bool
sim_take_rate(struct sim *sim)
{
	const struct options *o = &sim->options;
	double now = (double)clock_mono_us();
	double room = o->rate_interval_us * (double)(o->rate_burst - 1);

	if (o->rate_interval_us <= 0)
		return true;
	if (sim->rate_tat_us < now)
		sim->rate_tat_us = now;
	if (sim->rate_tat_us - now > room)
		return false;
	sim->rate_tat_us += o->rate_interval_us;
	return true;
}

static unsigned
port_of(const struct sockaddr_storage *ss, socklen_t n)
{
	char port[NI_MAXSERV];

	if (getnameinfo((const struct sockaddr *)ss, n, NULL, 0, port,
		sizeof(port), NI_NUMERICSERV) != 0)
		return 0;
	return (unsigned)strtoul(port, NULL, 10);
}

static void
on_accept(evutil_socket_t fd, short what, void *ctx)
{
	struct listener *l = ctx;

	(void)what;
	for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
		struct sockaddr_storage ss;
		socklen_t n = sizeof(ss);
		int peer = accept4(fd, (struct sockaddr *)&ss, &n,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (peer < 0) {
			if (errno != EAGAIN && errno != ECONNABORTED)
				log_warn("accept: %s", strerror(errno));
			return;
		}
		conn_new(l->sim, peer, port_of(&ss, n), l->is_tls);
	}
}

/* "ADDR:PORT", IPv6 in brackets. */
static struct addrinfo *
look_up(const char *address)
{
	const char *colon = strrchr(address, ':');
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
	    .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
	struct addrinfo *found = NULL;
	char *host;
	size_t n;

	if (colon == NULL)
		log_fatal("%s: want ADDR:PORT", address);
	n = (size_t)(colon - address);
	host = n > 1 && address[0] == '[' ? mem_strndup(address + 1, n - 2)
					  : mem_strndup(address, n);
	if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
		log_fatal("%s: no numeric address and port", address);
	mem_free(host);
	return found;
}

static void
name_bound(struct listener *l, int fd)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);
	bool is_v6;

	if (getsockname(fd, (struct sockaddr *)&ss, &n) < 0 ||
	    getnameinfo((struct sockaddr *)&ss, n, host, sizeof(host), port,
		sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		log_fatal("getsockname: %s", strerror(errno));
	is_v6 = ss.ss_family == AF_INET6;
	(void)snprintf(l->bound, sizeof(l->bound), "%s%s%s:%s",
	    is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);
}

static void
set_size(int fd, int name, int size)
{
	if (size > 0)
		(void)setsockopt(fd, SOL_SOCKET, name, &size, sizeof(size));
}

static void
listen_at(struct sim *sim, struct listener *l, const char *address)
{
	const struct options *o = &sim->options;
	struct addrinfo *ai = look_up(address);
	struct event *ev;
	int one = 1, segment = SEGMENT, fd;

	fd = socket(
	    ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		log_fatal("%s: %s", address, strerror(errno));
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	/* Before listen(): the window of accepted sockets follows. */
	set_size(fd, SO_RCVBUF, o->recvbuf);
	set_size(fd, SO_SNDBUF, o->sndbuf);
	/* Loopback's segments of 64 kB do not fit a small window: it would
	 * only move when the persist timer fires. */
	if (o->recvbuf > 0 || o->sndbuf > 0)
		(void)setsockopt(
		    fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 ||
	    listen(fd, BACKLOG) < 0)
		log_fatal("%s: %s", address, strerror(errno));
	freeaddrinfo(ai);
	l->sim = sim;
	name_bound(l, fd);
	ev = event_new(sim->base, fd, EV_READ | EV_PERSIST, on_accept, l);
	CHECK(ev != NULL && event_add(ev, NULL) == 0);
}

static void
write_ready(const struct sim *sim, const struct listener *l)
{
	const char *path = sim->options.ready_file;
	char *temp = path ? mem_printf("%s.new", path) : NULL;
	FILE *f = path ? fopen(temp, "we") : stdout;

	if (f == NULL)
		log_fatal("%s: %s", path, strerror(errno));
	for (size_t i = 0; i < sim->options.listen_count; i++)
		fprintf(f, "%s %s\n", l[i].is_tls ? "tls" : "tcp", l[i].bound);
	if (path == NULL) {
		fflush(stdout);
		return;
	}
	if (fclose(f) != 0 || rename(temp, path) < 0)
		log_fatal("%s: %s", path, strerror(errno));
	mem_free(temp);
}

static void
write_out(struct sim *sim)
{
	ledger_flush(&sim->ledger);
	if (sim->transcript != NULL)
		fflush(sim->transcript);
	sim->stats.flood_bytes =
	    __atomic_load_n(sim->flood_octets, __ATOMIC_RELAXED);
	if (sim->options.stats != NULL &&
	    !stats_write(&sim->stats, sim->options.stats, clock_mono_ms()))
		log_warn("%s: %s", sim->options.stats, strerror(errno));
}

static void
on_ledger_time(evutil_socket_t fd, short what, void *ctx)
{
	struct sim *sim = ctx;

	(void)fd;
	(void)what;
	ledger_flush(&sim->ledger);
	if (sim->transcript != NULL)
		fflush(sim->transcript);
}

static void
on_stats_time(evutil_socket_t fd, short what, void *ctx)
{
	struct sim *sim = ctx;

	(void)fd;
	(void)what;
	stats_tick(&sim->stats, clock_mono_ms());
	write_out(sim);
}

static void
read_script(struct sim *sim, bool is_start)
{
	struct script *script;
	struct buf error;

	if (sim->options.script == NULL)
		return;
	buf_init(&error, 1024);
	script = script_read(sim->options.script, sim->options.seed, &error);
	if (script == NULL && is_start)
		log_fatal("%s: %s", sim->options.script, buf_str(&error));
	if (script == NULL) {
		log_warn("%s: %s", sim->options.script, buf_str(&error));
	} else {
		script_free(sim->script);
		sim->script = script;
		sim->stats.scripts_read++;
	}
	buf_fini(&error);
}

static void
on_signal(evutil_socket_t sig, short what, void *ctx)
{
	struct sim *sim = ctx;

	(void)what;
	switch (sig) {
	case SIGHUP:
		read_script(sim, false);
		write_out(sim);
		break;
	case SIGUSR1:
		write_out(sim);
		break;
	default:
		event_base_loopbreak(sim->base);
		break;
	}
}

static void
watch(struct sim *sim)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGUSR1, SIGHUP};
	struct timeval ledger_time = {0, 100000}, stats_time = {0, 200000};
	struct event *ev;

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		ev = evsignal_new(sim->base, signals[i], on_signal, sim);
		CHECK(ev != NULL && event_add(ev, NULL) == 0);
	}
	ev = event_new(sim->base, -1, EV_PERSIST, on_ledger_time, sim);
	CHECK(ev != NULL && event_add(ev, &ledger_time) == 0);
	ev = event_new(sim->base, -1, EV_PERSIST, on_stats_time, sim);
	CHECK(ev != NULL && event_add(ev, &stats_time) == 0);
}

static void
open_files(struct sim *sim)
{
	const struct options *o = &sim->options;

	if (!ledger_open(&sim->ledger, o->ledger, o->store, o->ledger_sync))
		log_fatal("ledger or store: %s", strerror(errno));
	if (o->transcript != NULL) {
		sim->transcript = fopen(o->transcript, "we");
		if (sim->transcript == NULL)
			log_fatal("%s: %s", o->transcript, strerror(errno));
	}
}

int
main(int argc, char **argv)
{
	static struct listener listeners[OPTIONS_LIST];
	static struct sim sim;

	options_parse(&sim.options, argc, argv);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGCHLD, SIG_IGN); /* nobody waits for a flood */
	sim.flood_octets = flood_counter();
	CHECK(sim.flood_octets != NULL);
	list_init(&sim.conns);
	sim.base = event_base_new();
	CHECK(sim.base != NULL);
	sim.tls = tls_context(&sim.options);
	read_script(&sim, true);
	open_files(&sim);
	for (size_t i = 0; i < sim.options.listen_count; i++) {
		listeners[i].is_tls = sim.options.listen[i].is_tls;
		listen_at(&sim, &listeners[i], sim.options.listen[i].address);
	}
	watch(&sim);
	write_out(&sim);
	write_ready(&sim, listeners);
	(void)event_base_dispatch(sim.base);
	while (!list_is_empty(&sim.conns))
		conn_free(
		    list_entry(list_first(&sim.conns), struct conn, link));
	write_out(&sim);
	ledger_close(&sim.ledger);
	if (sim.transcript != NULL)
		fclose(sim.transcript);
	script_free(sim.script);
	SSL_CTX_free(sim.tls);
	return 0;
}
