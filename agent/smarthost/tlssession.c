#include "agent/smarthost/tlssession.h"

#include <openssl/ssl.h>
#include <string.h>
#include <time.h>

#include "agent/smarthost/tls.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum { HELD_MAX = 4 };

/* A session and when it must not be offered any more, in wall time. */
struct kept {
	SSL_SESSION *session;
	int64_t until_s;
};

struct entry {
	struct list link; /* in the cache, most recently used last */
	char *key;
	struct kept kept[TLS_SESSIONS_PER_KEY]; /* oldest first */
	int count;
};

/* What is known of one TLS object, as its ex_data. */
struct note {
	char *key;
	enum { UNJUDGED, GOOD, BAD } verdict;
	int64_t until_s; /* of its sessions; from the one offered, or judged */
	SSL_SESSION *held[HELD_MAX]; /* came before the judgement */
	int held_count;
};

struct tlssession_cache {
	struct list entries;
	int count;
	SSL_CTX *ctx; /* borrowed */
	int64_t max_age_s;
	int ssl_index; /* ex_data of an SSL: its note */
};

static void
entry_free(struct tlssession_cache *cache, struct entry *entry)
{
	list_remove(&entry->link);
	cache->count--;
	for (int i = 0; i < entry->count; i++)
		SSL_SESSION_free(entry->kept[i].session);
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
	SSL_SESSION_free(entry->kept[0].session);
	entry->count--;
	memmove(&entry->kept[0], &entry->kept[1],
	    (size_t)entry->count * sizeof(entry->kept[0]));
}

static void
keep(struct tlssession_cache *cache, const struct note *note,
    SSL_SESSION *session)
{
	struct entry *entry = find_or_add(cache, note->key);

	if (entry->count == TLS_SESSIONS_PER_KEY)
		drop_first(entry);
	entry->kept[entry->count].session = session;
	entry->kept[entry->count++].until_s = note->until_s;
}

/* 1: the reference is ours from now on. */
static int
on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct tlssession_cache *cache =
	    SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct note *note;

	if (cache == NULL || cache->max_age_s <= 0)
		return 0;
	note = SSL_get_ex_data(ssl, cache->ssl_index);
	if (note == NULL || note->verdict == BAD)
		return 0;
	if (note->verdict == GOOD)
		keep(cache, note, session);
	else if (note->held_count < HELD_MAX)
		note->held[note->held_count++] = session;
	else
		return 0;
	return 1;
}

static void
drop_held(struct note *note)
{
	while (note->held_count > 0)
		SSL_SESSION_free(note->held[--note->held_count]);
}

static void
on_free_note(void *parent, void *value, CRYPTO_EX_DATA *data, int index,
    long arg, void *argp)
{
	struct note *note = value;

	(void)parent;
	(void)data;
	(void)index;
	(void)arg;
	(void)argp;
	if (note == NULL)
		return;
	drop_held(note);
	mem_free(note->key);
	mem_free(note);
}

struct tlssession_cache *
tlssession_cache_new(struct ssl_ctx_st *ctx, int64_t max_age_s)
{
	struct tlssession_cache *cache = mem_zalloc(sizeof(*cache));

	CHECK(max_age_s >= 0);
	cache->ctx = ctx;
	cache->max_age_s =
	    max_age_s < TLSSESSION_AGE_MAX_S ? max_age_s : TLSSESSION_AGE_MAX_S;
	list_init(&cache->entries);
	cache->ssl_index =
	    SSL_get_ex_new_index(0, NULL, NULL, NULL, on_free_note);
	if (cache->ssl_index < 0)
		log_fatal("out of memory");
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

/* OpenSSL has a name of its own for it where a long may have 32 bits, and since
 * 3.4 warns of the other. */
static int64_t
made_s(const SSL_SESSION *session)
{
#if OPENSSL_VERSION_NUMBER >= 0x30300000L
	return (int64_t)SSL_SESSION_get_time_ex(session);
#else
	return (int64_t)SSL_SESSION_get_time(session);
#endif
}

static bool
is_usable(const struct kept *kept, int64_t now_s)
{
	const SSL_SESSION *session = kept->session;

	return kept->until_s > now_s && SSL_SESSION_is_resumable(session) &&
	       made_s(session) + SSL_SESSION_get_timeout(session) > now_s;
}

void
tlssession_use(
    struct tlssession_cache *cache, struct ssl_st *ssl, const char *key)
{
	struct entry *entry = find(cache, key);
	struct note *note = mem_zalloc(sizeof(*note));
	int64_t now_s = time(NULL);

	note->key = mem_strdup(key);
	(void)SSL_set_ex_data(ssl, cache->ssl_index, note);
	while (entry != NULL && entry->count > 0) {
		struct kept *last = &entry->kept[entry->count - 1];
		bool is_good = is_usable(last, now_s);

		if (is_good) {
			(void)SSL_set_session(ssl, last->session);
			note->until_s = last->until_s;
			if (SSL_SESSION_get_protocol_version(last->session) <
			    TLS1_3_VERSION)
				return;
		}
		SSL_SESSION_free(last->session);
		entry->count--;
		if (is_good)
			return;
	}
}

/* Seconds until the certificate ends; a date that cannot be read is past. */
static int64_t
left_s(const X509 *cert)
{
	int days = 0, seconds = 0;

	if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert)) !=
	    1)
		return 0;
	return (int64_t)days * 86400 + seconds;
}

/* When the sessions of a full handshake end. */
static int64_t
full_until_s(const struct tlssession_cache *cache, SSL *ssl)
{
	STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
	int64_t age_s = cache->max_age_s;

	/* Without trust there is none, and its dates decided nothing. */
	if (SSL_get_verify_result(ssl) == X509_V_OK)
		for (int i = 0; i < sk_X509_num(chain); i++)
			if (left_s(sk_X509_value(chain, i)) < age_s)
				age_s = left_s(sk_X509_value(chain, i));
	return (int64_t)time(NULL) + age_s;
}

void
tlssession_judged(
    struct tlssession_cache *cache, struct ssl_st *ssl, bool is_good)
{
	struct note *note = SSL_get_ex_data(ssl, cache->ssl_index);

	CHECK(note != NULL && note->verdict == UNJUDGED);
	note->verdict = is_good ? GOOD : BAD;
	if (!SSL_session_reused(ssl))
		note->until_s = full_until_s(cache, ssl);
	for (int i = 0; is_good && i < note->held_count; i++) {
		keep(cache, note, note->held[i]);
		note->held[i] = NULL; /* the cache's */
	}
	drop_held(note);
}

void
tlssession_forget(struct tlssession_cache *cache, const char *key)
{
	struct entry *entry = find(cache, key);

	if (entry != NULL)
		entry_free(cache, entry);
}
