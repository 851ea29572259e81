/* tlssession: TLS sessions of earlier connections, in memory, by key.
 *
 * At most TLS_KEYS_MAX keys with TLS_SESSIONS_PER_KEY sessions each; the
 * oldest go. A TLS 1.3 ticket leaves the cache when it is used, so that two
 * connections never show the same one (RFC 8446 C.4).
 */
#ifndef TLSSESSION_H
#define TLSSESSION_H

struct tlssession_cache;
struct ssl_st;
struct ssl_ctx_st;

/* Sets the context's callbacks. ctx is borrowed and outlives the cache; TLS
 * objects may outlive it. */
struct tlssession_cache *tlssession_cache_new(struct ssl_ctx_st *ctx);
void tlssession_cache_free(struct tlssession_cache **cache);

/* Offers a session of key if there is one, and keeps those to come. */
void tlssession_use(
    struct tlssession_cache *cache, struct ssl_st *ssl, const char *key);

void tlssession_forget(struct tlssession_cache *cache, const char *key);

#endif
