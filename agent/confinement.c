#include "agent/confinement.h"

#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/confine/confine.h"
#include "common/base/mem.h"
#include "common/base/slice.h"
#include "common/base/words.h"

/* A policy's tafile=NAME is opened when a dial needs it, and may be exchanged
 * meanwhile. */
static void
allow_anchors(void *ctx, const char *table, const char *key, const char *policy)
{
	struct confine *c = ctx;
	struct slice rest = slice_str(policy), word;

	(void)table;
	(void)key;
	while (words_next(&rest, &word)) {
		static const char name[] = "tafile=";
		char *path;

		if (word.n < sizeof(name) ||
		    strncasecmp(word.p, name, sizeof(name) - 1) != 0)
			continue;
		path = mem_strndup(
		    word.p + sizeof(name) - 1, word.n - sizeof(name) + 1);
		confine_allow_home_of(c, path);
		mem_free(path);
	}
}

/* What OpenSSL reads as it needs it, and not when it is told of. */
static void
allow_authorities(struct confine *c, const struct settings *set)
{
	const char *standard = getenv(X509_get_default_cert_dir_env());

	confine_allow_links(c, set->smtp_tls_CApath);
	if (strcasecmp(set->tls_append_default_CA, "yes") == 0)
		confine_allow_links(c,
		    standard != NULL ? standard : X509_get_default_cert_dir());
}

/* Of mechanism GSSAPI, where libkrb5 looks for them. */
static void
allow_tickets(struct confine *c)
{
	const char *cache = getenv("KRB5CCNAME");
	char path[64];

	(void)snprintf(
	    path, sizeof(path), "/tmp/krb5cc_%lu", (unsigned long)geteuid());
	if (cache == NULL)
		cache = path;
	if (strncmp(cache, "FILE:", 5) == 0)
		cache += 5;
	if (cache[0] == '/')
		(void)confine_allow(c, cache, FILES_READ);
}

void
confinement_enter(struct loop *loop, const struct settings *set,
    const struct dialing *dialing, const struct statefile_dir *state)
{
	struct confine c;
	char *error = NULL;

	confine_begin(
	    &c, set, loop, SYSCALLS_INET | SYSCALLS_FORK | SYSCALLS_MAKE_FILES);
	(void)confine_allow(&c, "active", FILES_READ | FILES_WRITE);
	if (state != NULL)
		confine_allow_fd(
		    &c, state->fd, FILES_READ | FILES_WRITE | FILES_MAKE);
	allow_authorities(&c, set);
	allow_tickets(&c);
	/* Tables that cannot be listed name none that could be known now. */
	(void)maps_each(dialing->policies, allow_anchors, &c, &error);
	mem_free(error);
	confine_enter(&c);
}
