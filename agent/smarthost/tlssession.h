/* tlssession: TLS sessions of earlier connections, in memory, by key.
 *
 * At most TLS_KEYS_MAX keys with TLS_SESSIONS_PER_KEY sessions each; the
 * oldest go. A TLS 1.3 ticket leaves the cache when it is used, so that two
 * connections never show the same one (RFC 8446 C.4).
 *
 * A resumed session brings no certificate, so what its first handshake showed
 * must stand for it:
 *   - what comes before the judgement waits for it, and nothing is kept of a
 *     link that was judged bad, whenever it comes;
 *   - the time since the full handshake is counted through all resumptions: at
 *     most max_age_s and TLSSESSION_AGE_MAX_S;
 *   - no session outlives a certificate of the chain that was verified.
 */
#ifndef TLSSESSION_H
#define TLSSESSION_H

#include <stdbool.h>
#include <stdint.h>

enum { TLSSESSION_AGE_MAX_S = 3600 };

struct tlssession_cache;
struct ssl_st;
struct ssl_ctx_st;

/* Sets the context's callbacks. ctx is borrowed and outlives the cache; TLS
 * objects may outlive it. max_age_s of 0 or less: nothing is kept. */
struct tlssession_cache *tlssession_cache_new(
    struct ssl_ctx_st *ctx, int64_t max_age_s);
void tlssession_cache_free(struct tlssession_cache **cache);

/* Offers a session of key if there is one. */
void tlssession_use(
    struct tlssession_cache *cache, struct ssl_st *ssl, const char *key);

/* After the handshake of a link that was given to tlssession_use(): keep its
 * sessions, those to come as well, or none. */
void tlssession_judged(
    struct tlssession_cache *cache, struct ssl_st *ssl, bool is_good);

void tlssession_forget(struct tlssession_cache *cache, const char *key);

#endif
