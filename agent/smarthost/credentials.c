#include "agent/smarthost/credentials.h"

#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/slice.h"
#include "common/base/words.h"

/* Five forms of the sender, the host, the destination. */
enum { KEYS_MAX = 7, KEYS_SHOWN = 3, EXPLANATION_MAX = 2000 };

struct credentials {
	const struct settings *set;
	struct maps *maps;
};

struct credentials_query {
	struct credentials *credentials;
	char *keys[KEYS_MAX]; /* in order of look-up; */
	bool is_partial[KEYS_MAX]; /* a part of the sender's address */
	size_t count, at;
	credentials_fn *fn;
	void *ctx;
	struct maps_query *pending;
	bool is_stepping; /* step() is on the stack: it sees is_done */
	bool is_done;
};

struct credentials *
credentials_new(const struct settings *set, struct maps *maps)
{
	struct credentials *c = mem_zalloc(sizeof(*c));

	c->set = set;
	c->maps = maps;
	return c;
}

void
credentials_free(struct credentials **credentials)
{
	mem_free(*credentials);
	*credentials = NULL;
}

/* "[host]:port", "host:port", "[host]", "host" -> host. */
static char *
host_of(const char *nexthop)
{
	const char *colon;

	if (*nexthop == '[')
		return mem_strndup(nexthop + 1, strcspn(nexthop + 1, "]"));
	colon = strrchr(nexthop, ':');
	return mem_strndup(nexthop,
	    colon != NULL ? (size_t)(colon - nexthop) : strlen(nexthop));
}

/* Calls fn for each destination of a list, "[host]:port, host". */
static void
each_destination(struct credentials *c, const char *list,
    void (*fn)(struct credentials *, const char *host, const char *nexthop))
{
	struct slice rest = slice_str(list), word;

	while (words_cut(&rest, WORDS_SEPARATORS, &word)) {
		char *one = mem_strndup(word.p, word.n);
		char *host = host_of(one);

		fn(c, host, one);
		mem_free(host);
		mem_free(one);
	}
}

static void
preload(struct credentials *c, const char *host, const char *nexthop)
{
	maps_preload(c->maps, host);
	maps_preload(c->maps, nexthop);
}

void
credentials_preload(struct credentials *c, const char *nexthop)
{
	if (c->set->smtp_sasl_auth_enable)
		each_destination(c, nexthop, preload);
}

static void
add_key(struct credentials_query *q, char *key)
{
	q->keys[q->count++] = key;
}

static void
add_part(struct credentials_query *q, char *key)
{
	q->is_partial[q->count] = true;
	add_key(q, key);
}

/* Octets of the local part before the extension; all when it has none. As in
 * Postfix the mailer's own names and owner-list, list-request are whole. */
static size_t
bare_length(const char *local, size_t n, const char *delimiters)
{
	struct slice name = {local, n};
	size_t bare = 1;

	if (*delimiters == '\0' || n == 0 ||
	    slice_eq_nocase(name, "mailer-daemon") ||
	    slice_eq_nocase(name, "double-bounce"))
		return n;
	if (strchr(delimiters, '-') != NULL &&
	    ((n > 6 && strncasecmp(local, "owner-", 6) == 0) ||
		(n > 8 && strncasecmp(local + n - 8, "-request", 8) == 0)))
		return n;
	while (bare < n && strchr(delimiters, local[bare]) == NULL)
		bare++;
	return bare;
}

static void
add_sender(struct credentials_query *q, const char *sender)
{
	const struct settings *set = q->credentials->set;
	const char *at = strrchr(sender, '@');
	size_t n = at != NULL ? (size_t)(at - sender) : strlen(sender);
	size_t bare = bare_length(sender, n, set->recipient_delimiter);

	add_key(q, mem_strdup(sender));
	if (bare < n && at != NULL)
		add_part(q, mem_printf("%.*s%s", (int)bare, sender, at));
	if (at == NULL)
		return;
	if (strcasecmp(at + 1, set->myorigin) == 0) {
		add_part(q, mem_strndup(sender, n));
		if (bare < n)
			add_part(q, mem_strndup(sender, bare));
	}
	add_part(q, mem_strdup(at));
}

static void
query_free(struct credentials_query *q)
{
	for (size_t i = 0; i < q->count; i++)
		mem_free(q->keys[i]);
	mem_free(q);
}

static void
found(struct credentials_query *q, const char *value)
{
	const char *delimiter =
	    q->credentials->set->smtp_sasl_password_result_delimiter;
	char *user = mem_strdup(value);
	size_t len = strlen(user);
	char *cut = *delimiter != '\0' ? strstr(user, delimiter) : NULL;
	const char *password = "";

	if (cut != NULL) {
		*cut = '\0';
		password = cut + strlen(delimiter);
	}
	q->fn(q->ctx, MAPS_FOUND, user, password, NULL);
	mem_wipe(user, len);
	mem_free(user);
}

static bool step(struct credentials_query *q);

static void
on_map(void *ctx, enum maps_result result, const char *value, const char *error)
{
	struct credentials_query *q = ctx;

	q->pending = NULL;
	if (result == MAPS_NOT_FOUND && ++q->at < q->count) {
		/* Answers at once come from within step(), which goes on. */
		if (!q->is_stepping)
			(void)step(q);
		return;
	}
	CHECK(!q->is_done);
	q->is_done = true;
	if (result == MAPS_FOUND)
		found(q, value);
	else
		q->fn(q->ctx, result, NULL, NULL, error);
	if (!q->is_stepping)
		query_free(q);
}

/* Asks for one key after the other until one has to be waited for; true when
 * the query is over (and freed). */
static bool
step(struct credentials_query *q)
{
	struct maps_query *pending;

	q->is_stepping = true;
	do {
		pending =
		    (q->is_partial[q->at] ? maps_find_partial : maps_find)(
			q->credentials->maps, q->keys[q->at], on_map, q);
	} while (pending == NULL && !q->is_done);
	q->is_stepping = false;
	if (q->is_done)
		query_free(q);
	else
		q->pending = pending;
	return pending == NULL;
}

struct credentials_query *
credentials_find(struct credentials *c, const char *sender, const char *host,
    const char *nexthop, credentials_fn *fn, void *ctx)
{
	struct credentials_query *q;

	CHECK(fn != NULL);
	if (!c->set->smtp_sasl_auth_enable || maps_is_empty(c->maps)) {
		fn(ctx, MAPS_NOT_FOUND, NULL, NULL, NULL);
		return NULL;
	}
	q = mem_zalloc(sizeof(*q));
	q->credentials = c;
	q->fn = fn;
	q->ctx = ctx;
	if (c->set->smtp_sender_dependent_authentication && *sender != '\0')
		add_sender(q, sender);
	if (*host != '\0')
		add_key(q, mem_strdup(host));
	if (*nexthop != '\0')
		add_key(q, mem_strdup(nexthop));
	if (q->count == 0) {
		fn(ctx, MAPS_NOT_FOUND, NULL, NULL, NULL);
		query_free(q);
		return NULL;
	}
	return step(q) ? NULL : q;
}

void
credentials_cancel(struct credentials_query **query)
{
	if (*query == NULL)
		return;
	maps_cancel(&(*query)->pending);
	query_free(*query);
	*query = NULL;
}

/* ---- why there is none ------------------------------------------------- */

/* How much a key looks like the host. */
enum likeness { UNLIKE, SAME_DOMAIN, SAME_HOST };

/* Keys of one likeness, as text. */
struct keys {
	const char *host;
	enum likeness wanted;
	size_t count;
	char *shown[KEYS_SHOWN];
};

/* The last two labels. */
static const char *
domain_of(const char *host)
{
	const char *p = host + strlen(host);
	int dots = 0;

	while (p > host && (dots += p[-1] == '.') < 2)
		p--;
	return p;
}

static enum likeness
likeness(const char *key, const char *host)
{
	char *name = host_of(key);
	const char *domain = domain_of(host);
	enum likeness result = UNLIKE;

	if (strcasecmp(name, host) == 0)
		result = SAME_HOST;
	else if (strchr(domain, '.') != NULL &&
		 strcasecmp(domain_of(name), domain) == 0)
		result = SAME_DOMAIN;
	mem_free(name);
	return result;
}

static void
collect(void *ctx, const char *key)
{
	struct keys *keys = ctx;

	/* Those of senders are nobody's business. */
	if (strchr(key, '@') != NULL ||
	    likeness(key, keys->host) != keys->wanted)
		return;
	if (keys->count < KEYS_SHOWN)
		keys->shown[keys->count] = mem_strdup(key);
	keys->count++;
}

static void
find_keys(const struct credentials *c, struct keys *keys, const char *host)
{
	static const enum likeness order[] = {SAME_HOST, SAME_DOMAIN, UNLIKE};

	*keys = (struct keys){.host = host};
	for (size_t i = 0; keys->count == 0 && i < 3; i++) {
		keys->wanted = order[i];
		maps_each_key(c->maps, collect, keys);
	}
}

static void
keys_fini(struct keys *keys)
{
	for (size_t i = 0; i < keys->count && i < KEYS_SHOWN; i++)
		mem_free(keys->shown[i]);
}

static void
add_keys(struct buf *text, const struct keys *keys)
{
	for (size_t i = 0; i < keys->count && i < KEYS_SHOWN; i++)
		(void)buf_addf(
		    text, "%s%s", i > 0 ? ", " : " (it has: ", keys->shown[i]);
	if (keys->count > KEYS_SHOWN)
		(void)buf_addf(text, " and %zu more", keys->count - KEYS_SHOWN);
	if (keys->count > 0)
		(void)buf_add_char(text, ')');
}

static char *
explain(const struct credentials *c, const char *sender, const char *nexthop,
    const struct keys *keys)
{
	bool has_sender =
	    c->set->smtp_sender_dependent_authentication && *sender != '\0';
	char *names = maps_names(c->maps), *result;
	struct buf text;

	buf_init(&text, EXPLANATION_MAX);
	(void)buf_addf(&text, "no login for %s%s%s in %s",
	    has_sender ? sender : "", has_sender ? " or " : "", nexthop, names);
	add_keys(&text, keys);
	mem_free(names);
	result = mem_strdup(buf_str(&text));
	buf_fini(&text);
	return result;
}

char *
credentials_explain(const struct credentials *c, const char *sender,
    const char *host, const char *nexthop)
{
	struct keys keys;
	char *text;

	if (!c->set->smtp_sasl_auth_enable)
		return NULL;
	if (maps_is_empty(c->maps))
		return mem_printf("no login for %s: smtp_sasl_password_maps is "
				  "empty",
		    nexthop);
	find_keys(c, &keys, host);
	text = explain(c, sender, nexthop, &keys);
	keys_fini(&keys);
	return text;
}

static void
note_result(void *ctx, enum maps_result result, const char *user,
    const char *password, const char *error)
{
	bool *is_absent = ctx;

	(void)user;
	(void)password;
	(void)error;
	*is_absent = result == MAPS_NOT_FOUND;
}

static void
note_sender(void *ctx, const char *key)
{
	bool *has_senders = ctx;

	*has_senders = *has_senders || strchr(key, '@') != NULL;
}

static void
check(struct credentials *c, const char *host, const char *nexthop)
{
	bool is_absent = false;
	struct credentials_query *query =
	    credentials_find(c, "", host, nexthop, note_result, &is_absent);
	struct keys keys;
	char *text;

	/* What has to be asked for is found out when it is needed. */
	credentials_cancel(&query);
	if (!is_absent)
		return;
	find_keys(c, &keys, host);
	text = credentials_explain(c, "", host, nexthop);
	if (maps_is_empty(c->maps) ||
	    (keys.count > 0 && keys.wanted == SAME_HOST))
		log_warn("%s", text);
	else
		log_info("%s", text);
	mem_free(text);
	keys_fini(&keys);
}

void
credentials_check(struct credentials *c, const char *nexthops)
{
	bool has_senders = false;

	if (!c->set->smtp_sasl_auth_enable)
		return;
	if (c->set->smtp_sender_dependent_authentication)
		maps_each_key(c->maps, note_sender, &has_senders);
	if (!has_senders)
		each_destination(c, nexthops, check);
}
