#include "agent/smarthost/tlssession.h"

#include <openssl/ssl.h>
#include <string.h>
#include <time.h>

#include "agent/smarthost/tls.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"

struct entry {
	struct list link; /* in the cache, most recently used last */
	char *key;
	SSL_SESSION *sessions[TLS_SESSIONS_PER_KEY]; /* oldest first */
	int count;
};

struct tlssession_cache {
	struct list entries;
	int count;
	SSL_CTX *ctx; /* borrowed */
	int ssl_index; /* ex_data of an SSL: its key */
};

static void
entry_free(struct tlssession_cache *cache, struct entry *entry)
{
	list_remove(&entry->link);
	cache->count--;
	for (int i = 0; i < entry->count; i++)
		SSL_SESSION_free(entry->sessions[i]);
	mem_free(entry->key);
	mem_free(entry);
}

static struct entry *
find(struct tlssession_cache *cache, const char *key)
{
	list_each (it, &cache->entries) {
		struct entry *entry = list_entry(it, struct entry, link);

		if (strcmp(entry->key, key) == 0)
			return entry;
	}
	return NULL;
}

static struct entry *
find_or_add(struct tlssession_cache *cache, const char *key)
{
	struct entry *entry = find(cache, key);

	if (entry == NULL) {
		if (cache->count == TLS_KEYS_MAX)
			entry_free(
			    cache, list_entry(list_first(&cache->entries),
				       struct entry, link));
		entry = mem_zalloc(sizeof(*entry));
		entry->key = mem_strdup(key);
		cache->count++;
	} else {
		list_remove(&entry->link);
	}
	list_push(&cache->entries, &entry->link);
	return entry;
}

static void
drop_first(struct entry *entry)
{
	SSL_SESSION_free(entry->sessions[0]);
	entry->count--;
	memmove(&entry->sessions[0], &entry->sessions[1],
	    (size_t)entry->count * sizeof(entry->sessions[0]));
}

/* 1: the reference is ours from now on. */
static int
on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct tlssession_cache *cache =
	    SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const char *key;
	struct entry *entry;

	if (cache == NULL)
		return 0;
	key = SSL_get_ex_data(ssl, cache->ssl_index);
	if (key == NULL)
		return 0;
	entry = find_or_add(cache, key);
	if (entry->count == TLS_SESSIONS_PER_KEY)
		drop_first(entry);
	entry->sessions[entry->count++] = session;
	return 1;
}

static void
on_free_key(void *parent, void *key, CRYPTO_EX_DATA *data, int index, long arg,
    void *argp)
{
	(void)parent;
	(void)data;
	(void)index;
	(void)arg;
	(void)argp;
	mem_free(key);
}

struct tlssession_cache *
tlssession_cache_new(struct ssl_ctx_st *ctx)
{
	struct tlssession_cache *cache = mem_zalloc(sizeof(*cache));

	cache->ctx = ctx;
	list_init(&cache->entries);
	cache->ssl_index =
	    SSL_get_ex_new_index(0, NULL, NULL, NULL, on_free_key);
	CHECK(cache->ssl_index >= 0);
	(void)SSL_CTX_set_app_data(ctx, cache);
	(void)SSL_CTX_set_session_cache_mode(
	    ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_new_session);
	return cache;
}

void
tlssession_cache_free(struct tlssession_cache **cache)
{
	struct tlssession_cache *old = *cache;

	*cache = NULL;
	if (old == NULL)
		return;
	while (!list_is_empty(&old->entries))
		entry_free(old,
		    list_entry(list_first(&old->entries), struct entry, link));
	/* A TLS object may outlive us. */
	(void)SSL_CTX_set_app_data(old->ctx, NULL);
	mem_free(old);
}

void
tlssession_use(
    struct tlssession_cache *cache, struct ssl_st *ssl, const char *key)
{
	struct entry *entry = find(cache, key);
	long now = (long)time(NULL);
	SSL_SESSION *session;

	(void)SSL_set_ex_data(ssl, cache->ssl_index, mem_strdup(key));
	while (entry != NULL && entry->count > 0) {
		session = entry->sessions[entry->count - 1];
		if (SSL_SESSION_is_resumable(session) &&
		    SSL_SESSION_get_time(session) +
			    SSL_SESSION_get_timeout(session) >
			now) {
			(void)SSL_set_session(ssl, session);
			if (SSL_SESSION_get_protocol_version(session) <
			    TLS1_3_VERSION)
				return;
			SSL_SESSION_free(session);
			entry->count--;
			return;
		}
		SSL_SESSION_free(session);
		entry->count--;
	}
}

void
tlssession_forget(struct tlssession_cache *cache, const char *key)
{
	struct entry *entry = find(cache, key);

	if (entry != NULL)
		entry_free(cache, entry);
}
