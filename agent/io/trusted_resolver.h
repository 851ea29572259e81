/* trusted_resolver: smtp_tls_dane_resolver, whose word about DNSSEC is taken.
 *
 *   "127.0.0.1"   "127.0.0.53:53"   "[::1]:5353"
 *
 * Nothing protects what a resolver says on its way: it must be on this host, at
 * an address of loopback. Port 53 where there is none. One alone: a second one
 * that does not validate would be asked where the first calls a name bogus.
 */
#ifndef TRUSTED_RESOLVER_H
#define TRUSTED_RESOLVER_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/engine/settings.h"

enum { TRUSTED_RESOLVER_SIZE = 512, TRUSTED_RESOLVER_WHY_SIZE = 300 };

/* The value as c-ares takes it, "[::1]:5353"; false: why says what is wrong. An
 * empty one is wrong, too. */
bool trusted_resolver_server(const char *value, char *server_out, size_t size,
    char *why_out, size_t why_size);

/* What the DANE levels lack, "smtp_tls_dane_resolver, ..."; NULL: nothing. */
const char *trusted_resolver_missing(const struct settings *set);

/* The settings say that names are asked of it. */
bool trusted_resolver_is_wanted(const struct settings *set);

#endif
