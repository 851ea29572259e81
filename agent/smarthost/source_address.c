#include "agent/smarthost/source_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/words.h"

/* The addresses of one family that this host goes by, as far as it matters. */
struct own {
	size_t ipv4, ipv6; /* different ones; 2 stands for more */
	struct sockaddr_in first_ipv4;
	struct sockaddr_in6 first_ipv6;
};

static void
add_ipv4(struct own *own, const struct sockaddr_in *sin)
{
	if (own->ipv4 == 0)
		own->first_ipv4 = *sin;
	else if (sin->sin_addr.s_addr == own->first_ipv4.sin_addr.s_addr)
		return;
	own->ipv4++;
}

static void
add_ipv6(struct own *own, const struct sockaddr_in6 *sin6)
{
	if (own->ipv6 == 0)
		own->first_ipv6 = *sin6;
	else if (memcmp(&sin6->sin6_addr, &own->first_ipv6.sin6_addr,
		     sizeof(sin6->sin6_addr)) == 0)
		return;
	own->ipv6++;
}

static void
add(struct own *own, const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		add_ipv4(own, (const void *)sa);
	else if (sa->sa_family == AF_INET6)
		add_ipv6(own, (const void *)sa);
}

/* inet_interfaces = all. */
static void
add_all(struct own *own)
{
	struct ifaddrs *list;

	if (getifaddrs(&list) != 0)
		return; /* then nothing is a single one */
	for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next)
		if (i->ifa_addr != NULL && (i->ifa_flags & IFF_UP) != 0)
			add(own, i->ifa_addr);
	freeifaddrs(list);
}

static bool
add_host(struct own *own, const char *host)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;

	if (getaddrinfo(host, NULL, &hints, &list) != 0)
		return false;
	for (const struct addrinfo *i = list; i != NULL; i = i->ai_next)
		add(own, i->ai_addr);
	freeaddrinfo(list);
	return true;
}

static bool
add_listed(struct own *own, const char *list, char *why, size_t why_size)
{
	struct slice rest = slice_str(list), word;

	while (words_cut(&rest, WORDS_SEPARATORS, &word)) {
		char *host = mem_strndup(word.p, word.n);
		char *bare = *host == '['
				 ? mem_strndup(host + 1, strcspn(host + 1, "]"))
				 : mem_strdup(host);
		bool is_found = add_host(own, bare);

		if (!is_found)
			(void)snprintf(why, why_size,
			    "bad parameter: inet_interfaces = %s: host not "
			    "found",
			    host);
		mem_free(bare);
		mem_free(host);
		if (!is_found)
			return false;
	}
	return true;
}

static bool
is_loopback(const struct in_addr *addr)
{
	return ntohl(addr->s_addr) >> 24 == IN_LOOPBACKNET;
}

static bool
take_own(struct source_address *s, const char *interfaces, char *why,
    size_t why_size)
{
	struct own own = {0};

	if (strcmp(interfaces, "loopback-only") == 0)
		return true;
	if (strcmp(interfaces, "all") == 0)
		add_all(&own);
	else if (!add_listed(&own, interfaces, why, why_size))
		return false;
	if (!s->is_set_ipv4 && own.ipv4 == 1 &&
	    !is_loopback(&own.first_ipv4.sin_addr)) {
		s->has_ipv4 = true;
		s->ipv4.sin_addr = own.first_ipv4.sin_addr;
	}
	if (!s->is_set_ipv6 && own.ipv6 == 1 &&
	    !IN6_IS_ADDR_LOOPBACK(&own.first_ipv6.sin6_addr)) {
		s->has_ipv6 = true;
		s->ipv6.sin6_addr = own.first_ipv6.sin6_addr;
		s->ipv6.sin6_scope_id = own.first_ipv6.sin6_scope_id;
	}
	return true;
}

/* "192.0.2.1" or "[192.0.2.1]". */
static bool
parse(int family, const char *text, void *out)
{
	char bare[INET6_ADDRSTRLEN + 1];
	size_t n = strlen(text);

	if (*text == '[') {
		if (text[n - 1] != ']')
			return false;
		text++;
		n -= 2;
	}
	if (n >= sizeof(bare))
		return false;
	(void)snprintf(bare, sizeof(bare), "%.*s", (int)n, text);
	return inet_pton(family, bare, out) == 1;
}

static bool
take_set(struct source_address *s, const struct settings *set, char *why,
    size_t why_size)
{
	const char *text = set->smtp_bind_address;

	if (*text != '\0' && !parse(AF_INET, text, &s->ipv4.sin_addr)) {
		(void)snprintf(why, why_size,
		    "bad parameter: smtp_bind_address = %s: must be an "
		    "IPv4 address",
		    text);
		return false;
	}
	s->has_ipv4 = s->is_set_ipv4 = *text != '\0';
	text = set->smtp_bind_address6;
	if (*text != '\0' && !parse(AF_INET6, text, &s->ipv6.sin6_addr)) {
		(void)snprintf(why, why_size,
		    "bad parameter: smtp_bind_address6 = %s: must be an "
		    "IPv6 address",
		    text);
		return false;
	}
	s->has_ipv6 = s->is_set_ipv6 = *text != '\0';
	return true;
}

bool
source_address_init(struct source_address *s, const struct settings *set,
    char *why, size_t why_size)
{
	*s = (struct source_address){
	    .must_bind = set->smtp_bind_address_enforce,
	    .ipv4 = {.sin_family = AF_INET},
	    .ipv6 = {.sin6_family = AF_INET6},
	};
	return take_set(s, set, why, why_size) &&
	       take_own(s, set->inet_interfaces, why, why_size);
}

static void
warn(const struct source_address *s, int family)
{
	char text[INET6_ADDRSTRLEN] = "";
	const void *addr = family == AF_INET6 ? (const void *)&s->ipv6.sin6_addr
					      : (const void *)&s->ipv4.sin_addr;
	int saved = errno;

	(void)inet_ntop(family, addr, text, sizeof(text));
	log_warn("bind %s: %s", text, strerror(saved));
}

bool
source_address_bind(const struct source_address *s, int fd, int family)
{
	bool is_v6 = family == AF_INET6;
	const void *sa = is_v6 ? (const void *)&s->ipv6 : &s->ipv4;
	socklen_t n = is_v6 ? sizeof(s->ipv6) : sizeof(s->ipv4);

	CHECK(fd >= 0 && (family == AF_INET || family == AF_INET6));
	if (!(is_v6 ? s->has_ipv6 : s->has_ipv4) || bind(fd, sa, n) == 0)
		return true;
	warn(s, family);
	return !(s->must_bind && (is_v6 ? s->is_set_ipv6 : s->is_set_ipv4));
}
