#include "agent/smarthost/sasl.h"

#include <errno.h>
#include <limits.h>
#include <sasl/sasl.h>
#include <sasl/saslutil.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/smarthost/bearer.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/words.h"
#include "common/shared/tokenproto.h"

enum { SASL_WORD_MAX = 64, DECODED_MAX = SASL_CHALLENGE_MAX };

struct sasl {
	sasl_conn_t *conn;
	char *user;
	sasl_secret_t *secret;
	size_t secret_size;
	sasl_callback_t callbacks[4];
	const char *mech;
	bool is_done;
	/* with a token, and without the library */
	struct bearer *bearer;
	char *host, *token;
};

static const struct {
	const char *word;
	unsigned flag;
} option_words[] = {
    {"noplaintext", SASL_SEC_NOPLAINTEXT},
    {"noactive", SASL_SEC_NOACTIVE},
    {"nodictionary", SASL_SEC_NODICTIONARY},
    {"forward_secrecy", SASL_SEC_FORWARD_SECRECY},
    {"noanonymous", SASL_SEC_NOANONYMOUS},
    {"mutual_auth", SASL_SEC_MUTUAL_AUTH},
};

static int
on_log(void *ctx, int level, const char *message)
{
	(void)ctx;
	if (level == SASL_LOG_FAIL)
		log_warn("SASL authentication failure: %s", message);
	else if (level == SASL_LOG_ERR || level == SASL_LOG_WARN)
		log_warn("SASL authentication problem: %s", message);
	else if (level == SASL_LOG_NOTE)
		log_debug("SASL authentication info: %s", message);
	/* Deeper levels may print passwords. */
	return SASL_OK;
}

/* At each login the library asks getaddrinfo(3) for the canonical name of this
 * host, if its name has no dot. Where the hosts file does not have it name
 * servers are asked, and all mail of the lane waits: ten seconds where they are
 * silent. So this process has a name that ends in a dot, in a name space of its
 * own (uts_namespaces(7)) which nobody else sees. It takes root; a container
 * without the right to it has the name of its host in its hosts file. */
static void
end_host_name(void)
{
	char name[HOST_NAME_MAX + 2] = "";
	size_t n;

	if (gethostname(name, HOST_NAME_MAX + 1) != 0 ||
	    strchr(name, '.') != NULL)
		return;
	n = strlen(name);
	name[n++] = '.';
	if (unshare(CLONE_NEWUTS) != 0 || sethostname(name, n) != 0)
		log_debug("a login may ask name servers for %s: %s", name,
		    strerror(errno));
}

bool
sasl_open(const char **why_out)
{
	static const sasl_callback_t callbacks[] = {
	    {SASL_CB_LOG, (int (*)(void))(uintptr_t)on_log, NULL},
	    {SASL_CB_LIST_END, NULL, NULL},
	};
	int rc = sasl_client_init(callbacks);

	end_host_name();
	if (rc == SASL_OK)
		return true;
	if (rc == SASL_NOMEM)
		log_fatal("out of memory");
	*why_out = sasl_errstring(rc, NULL, NULL);
	return false;
}

void
sasl_close(void)
{
	(void)sasl_client_done();
}

static bool
option_flags(
    const char *options, unsigned *flags_out, char *bad, size_t bad_size)
{
	struct slice list = slice_str(options), word;
	size_t count = sizeof(option_words) / sizeof(option_words[0]);
	size_t i;

	*flags_out = 0;
	while (words_cut(&list, WORDS_SEPARATORS, &word)) {
		for (i = 0; i < count; i++)
			if (slice_eq_nocase(word, option_words[i].word))
				break;
		if (i == count) {
			(void)snprintf(
			    bad, bad_size, "%.*s", (int)word.n, word.p);
			return false;
		}
		*flags_out |= option_words[i].flag;
	}
	return true;
}

static int
get_user(void *ctx, int id, const char **result, unsigned *len)
{
	const struct sasl *sasl = ctx;

	(void)id;
	*result = sasl->user;
	if (len != NULL)
		*len = (unsigned)strlen(sasl->user);
	return SASL_OK;
}

static int
get_password(sasl_conn_t *conn, void *ctx, int id, sasl_secret_t **secret_out)
{
	struct sasl *sasl = ctx;

	if (conn == NULL || secret_out == NULL || id != SASL_CB_PASS)
		return SASL_BADPARAM;
	*secret_out = sasl->secret;
	return SASL_OK;
}

/* The library stores all callbacks as one type and casts them back by id. One
 * that it does not find it does without: no authorisation identity is sent. */
static void
set_callbacks(struct sasl *sasl, bool has_authzid)
{
	size_t n = 0;

	sasl->callbacks[n++] = (sasl_callback_t){
	    SASL_CB_AUTHNAME, (int (*)(void))(uintptr_t)get_user, sasl};
	sasl->callbacks[n++] = (sasl_callback_t){
	    SASL_CB_PASS, (int (*)(void))(uintptr_t)get_password, sasl};
	if (has_authzid)
		sasl->callbacks[n++] = (sasl_callback_t){
		    SASL_CB_USER, (int (*)(void))(uintptr_t)get_user, sasl};
	sasl->callbacks[n] = (sasl_callback_t){SASL_CB_LIST_END, NULL, NULL};
}

/* What noanonymous and noplaintext forbid a token is not: it goes over TLS
 * alone. The others it cannot do. */
static struct sasl *
new_bearer(struct sasl *sasl, const struct sasl_login *login, unsigned flags,
    char *why, size_t why_size)
{
	const unsigned can = SASL_SEC_NOANONYMOUS | SASL_SEC_NOPLAINTEXT;

	if ((flags & ~can) != 0)
		(void)snprintf(why, why_size,
		    "an access token cannot do what the security options ask "
		    "for, \"%s\"",
		    login->options);
	else if (!tokenproto_token_is_valid(slice_str(login->token)))
		(void)snprintf(why, why_size, "the access token is none");
	if (why[0] != '\0') {
		sasl_free(&sasl);
		return NULL;
	}
	sasl->user = mem_strdup(login->user);
	sasl->host = mem_strdup(login->host);
	sasl->token = mem_strdup(login->token);
	sasl->bearer = mem_zalloc(sizeof(*sasl->bearer));
	*sasl->bearer = (struct bearer){.user = sasl->user,
	    .host = sasl->host,
	    .token = sasl->token,
	    .port = login->port};
	return sasl;
}

struct sasl *
sasl_new(const struct sasl_login *login, char *why, size_t why_size)
{
	struct sasl *sasl = mem_zalloc(sizeof(*sasl));
	size_t n;
	sasl_security_properties_t props = {0};
	char bad[SASL_WORD_MAX];
	unsigned flags = 0;
	int rc;

	CHECK(login->user != NULL &&
	      (login->token != NULL || login->password != NULL));
	if (!option_flags(login->options, &flags, bad, sizeof(bad))) {
		(void)snprintf(why, why_size,
		    "bad per-session SASL security properties: %s", bad);
		sasl_free(&sasl);
		return NULL;
	}
	if (login->token != NULL) {
		why[0] = '\0';
		return new_bearer(sasl, login, flags, why, why_size);
	}
	n = strlen(login->password);
	sasl->user = mem_strdup(login->user);
	sasl->secret_size = sizeof(*sasl->secret) + n;
	sasl->secret = mem_zalloc(sasl->secret_size);
	sasl->secret->len = n;
	memcpy(sasl->secret->data, login->password, n);
	set_callbacks(sasl, login->has_authzid);
	rc = sasl_client_new(
	    "smtp", login->host, NULL, NULL, sasl->callbacks, 0, &sasl->conn);
	/* No SASL layer: TLS does that, and nobody expects it in SMTP. */
	props.security_flags = flags;
	if (rc == SASL_OK)
		rc = sasl_setprop(sasl->conn, SASL_SEC_PROPS, &props);
	if (rc != SASL_OK) {
		(void)snprintf(
		    why, why_size, "%s", sasl_errstring(rc, NULL, NULL));
		sasl_free(&sasl);
	}
	return sasl;
}

void
sasl_free(struct sasl **sasl)
{
	struct sasl *old = *sasl;

	*sasl = NULL;
	if (old == NULL)
		return;
	if (old->conn != NULL)
		sasl_dispose(&old->conn);
	if (old->user != NULL)
		mem_wipe(old->user, strlen(old->user));
	mem_free(old->user);
	if (old->secret != NULL)
		mem_wipe(old->secret, old->secret_size);
	mem_free(old->secret);
	if (old->token != NULL)
		mem_wipe(old->token, strlen(old->token));
	mem_free(old->token);
	mem_free(old->host);
	mem_free(old->bearer);
	mem_free(old);
}

static bool
encode(struct buf *out, const char *p, unsigned n)
{
	unsigned size = (n + 2) / 3 * 4 + 1, used = 0;
	char *room;

	if (size > SASL_LINE_MAX)
		return false;
	room = buf_reserve(out, size);
	if (room == NULL || sasl_encode64(p, n, room, size, &used) != SASL_OK)
		return false;
	buf_commit(out, used);
	return true;
}

static bool
start_bearer(struct sasl *sasl, const char *offered, struct buf *out, char *why,
    size_t why_size)
{
	struct buf message;
	bool ok;

	sasl->mech = bearer_choose(sasl->bearer, slice_str(offered));
	if (sasl->mech == NULL) {
		(void)snprintf(why, why_size,
		    "an access token needs XOAUTH2 or OAUTHBEARER, and the "
		    "server offers %s",
		    offered);
		return false;
	}
	buf_init(&message, SASL_LINE_MAX);
	ok = bearer_message(sasl->bearer, &message) &&
	     encode(out, buf_slice(&message).p, (unsigned)buf_len(&message));
	buf_fini_secret(&message);
	if (!ok)
		(void)snprintf(why, why_size, "response too long");
	return ok;
}

bool
sasl_start(struct sasl *sasl, const char *offered, const char **mech_out,
    struct buf *out, bool *has_initial_out, char *why, size_t why_size)
{
	const char *p = NULL;
	unsigned n = 0;
	int rc;

	CHECK(!sasl->is_done && sasl->mech == NULL);
	*has_initial_out = sasl->bearer != NULL;
	if (sasl->bearer != NULL) {
		bool ok = start_bearer(sasl, offered, out, why, why_size);

		*mech_out = sasl->mech;
		return ok;
	}
	rc = sasl_client_start(sasl->conn, offered, NULL, &p, &n, &sasl->mech);
	if (rc != SASL_OK && rc != SASL_CONTINUE) {
		(void)snprintf(
		    why, why_size, "%s", sasl_errstring(rc, NULL, NULL));
		return false;
	}
	sasl->is_done = rc == SASL_OK;
	*mech_out = sasl->mech;
	if (p == NULL)
		return true;
	*has_initial_out = true;
	if (n == 0)
		return buf_add_char(out, '=');
	if (encode(out, p, n))
		return true;
	(void)snprintf(why, why_size, "response too long");
	return false;
}

/* What is no Base64 is an answer, too: no. */
static bool
next_bearer(struct sasl *sasl, const char *decoded, unsigned n, struct buf *out,
    char *why, size_t why_size)
{
	struct buf message;
	bool ok;

	buf_init(&message, SASL_LINE_MAX);
	ok = bearer_answer(sasl->bearer, slice_of(decoded, n), &message) &&
	     (buf_len(&message) == 0 || encode(out, buf_slice(&message).p,
					    (unsigned)buf_len(&message)));
	buf_fini_secret(&message);
	if (!ok)
		(void)snprintf(
		    why, why_size, "%s", "the server is out of step");
	return ok;
}

bool
sasl_next(struct sasl *sasl, struct slice challenge, struct buf *out, char *why,
    size_t why_size)
{
	char decoded[DECODED_MAX];
	const char *p = NULL;
	unsigned got = 0, n = 0;
	int rc = SASL_BADPROT;

	if (slice_eq(challenge, "="))
		challenge.n = 0;
	if (challenge.n < DECODED_MAX)
		rc = sasl_decode64(challenge.p, (unsigned)challenge.n, decoded,
		    sizeof(decoded), &got);
	if (sasl->bearer != NULL)
		return next_bearer(sasl, rc == SASL_OK ? decoded : "?",
		    rc == SASL_OK ? got : 1, out, why, why_size);
	/* Anything else, "incomplete" included, is no Base64 line. */
	if (rc != SASL_OK)
		rc = SASL_BADPROT;
	else
		rc = sasl_client_step(sasl->conn, decoded, got, NULL, &p, &n);
	mem_wipe(decoded, sizeof(decoded));
	if (rc != SASL_OK && rc != SASL_CONTINUE) {
		(void)snprintf(
		    why, why_size, "%s", sasl_errstring(rc, NULL, NULL));
		return false;
	}
	sasl->is_done = rc == SASL_OK;
	if (p == NULL || n == 0 || encode(out, p, n))
		return true;
	(void)snprintf(why, why_size, "response too long");
	return false;
}

const char *
sasl_refusal(const struct sasl *sasl)
{
	return sasl->bearer != NULL ? sasl->bearer->refusal : "";
}

bool
sasl_is_done(const struct sasl *sasl)
{
	return sasl->is_done;
}

bool
sasl_is_mutual(const struct sasl *sasl)
{
	static const char *const mutual[] = {
	    "SCRAM-", "GSS", "DIGEST-MD5", "GS2-"};

	for (size_t i = 0; i < sizeof(mutual) / sizeof(mutual[0]); i++)
		if (sasl->mech != NULL &&
		    strncasecmp(sasl->mech, mutual[i], strlen(mutual[i])) == 0)
			return true;
	return false;
}

static bool
same_word(struct slice a, struct slice b)
{
	return a.n == b.n && strncasecmp(a.p, b.p, a.n) == 0;
}

static bool
filter_allows(const char *filter, struct slice mech, const char **error_out)
{
	struct slice list = slice_str(filter), word;
	bool had_word = false;

	*error_out = NULL;
	while (words_cut(&list, WORDS_SEPARATORS, &word)) {
		bool allow = true;

		had_word = true;
		while (word.n > 0 && *word.p == '!') {
			allow = !allow;
			word.p++;
			word.n--;
		}
		/* The last word of a list: its value means nothing. */
		if (word.n >= 7 && memcmp(word.p, "static:", 7) == 0)
			return allow;
		if (memchr(word.p, '/', word.n) != NULL ||
		    memchr(word.p, ':', word.n) != NULL) {
			*error_out = "files and tables are not supported in "
				     "smtp_sasl_mechanism_filter";
			return false;
		}
		if (same_word(word, mech))
			return allow;
	}
	return !had_word;
}

bool
sasl_filter(const char *filter, const char *offered, char *out, size_t n,
    const char **error_out)
{
	struct slice list = slice_str(offered), mech;
	size_t used = 0;

	out[0] = '\0';
	*error_out = NULL;
	while (words_cut(&list, WORDS_SEPARATORS, &mech)) {
		if (!filter_allows(filter, mech, error_out)) {
			if (*error_out != NULL)
				return false;
			continue;
		}
		if (used + mech.n + 2 > n)
			break;
		if (used > 0)
			out[used++] = ' ';
		memcpy(out + used, mech.p, mech.n);
		used += mech.n;
		out[used] = '\0';
	}
	return true;
}
