#include "tools/smarthost/auth.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/log.h"

static const char *const mech_names[] = {
    "PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "OAUTHBEARER"};

enum {
	MECH_COUNT = sizeof(mech_names) / sizeof(mech_names[0]),
	ASK_S = 30, /* for an answer at --tokens */
};

static void
encode(char *out, size_t out_size, const char *text)
{
	size_t n = strlen(text);

	CHECK((n + 2) / 3 * 4 < out_size);
	(void)EVP_EncodeBlock(
	    (unsigned char *)out, (const unsigned char *)text, (int)n);
}

/* Base64 to text with a NUL behind it; false when it is none or too long. */
static bool
decode(struct slice in, char out[AUTH_TEXT], size_t *n_out)
{
	size_t pad = 0;
	int n;

	if (slice_eq(in, "=")) /* RFC 4954 4: an empty response */
		in.n = 0;
	if (in.n % 4 != 0 || in.n / 4 * 3 >= AUTH_TEXT)
		return false;
	while (pad < 2 && pad < in.n && in.p[in.n - 1 - pad] == '=')
		pad++;
	n = in.n ? EVP_DecodeBlock((unsigned char *)out,
		       (const unsigned char *)in.p, (int)in.n)
		 : 0;
	if (n < 0 || (size_t)n < pad)
		return false;
	*n_out = (size_t)n - pad;
	out[*n_out] = '\0';
	return true;
}

static const char *
password_of(const struct options *o, const char *login)
{
	size_t n = strlen(login);

	for (size_t i = 0; i < o->user_count; i++)
		if (strncmp(o->users[i], login, n) == 0 &&
		    o->users[i][n] == ':')
			return o->users[i] + n + 1;
	return NULL;
}

static enum auth_result
judge(struct auth *a, const struct options *o, const char *password)
{
	const char *want = password_of(o, a->login);

	if (o->user_count == 0)
		return AUTH_OK;
	return want && strcmp(want, password) == 0 ? AUTH_OK : AUTH_WRONG;
}

static void
set_login(struct auth *a, const char *text, size_t n)
{
	(void)snprintf(a->login, sizeof(a->login), "%.*s", (int)n, text);
}

/* authzid NUL authcid NUL password (RFC 4616). */
static enum auth_result
take_plain(struct auth *a, const struct options *o, const char *text, size_t n)
{
	const char *id = memchr(text, '\0', n), *pass;

	if (id == NULL)
		return AUTH_SYNTAX;
	id++;
	pass = memchr(id, '\0', n - (size_t)(id - text));
	if (pass == NULL)
		return AUTH_SYNTAX;
	set_login(a, id, (size_t)(pass - id));
	if (o->no_authzid && *text != '\0')
		return AUTH_WRONG;
	return judge(a, o, pass + 1);
}

/* "login" blank, then the HMAC-MD5 of our challenge in hex (RFC 2195). */
static enum auth_result
take_cram(struct auth *a, const struct options *o, const char *text)
{
	const char *blank = strrchr(text, ' '), *password;
	unsigned char md[EVP_MAX_MD_SIZE];
	char hex[2 * EVP_MAX_MD_SIZE + 1];
	unsigned n = 0;

	if (blank == NULL)
		return AUTH_SYNTAX;
	set_login(a, text, (size_t)(blank - text));
	if (o->user_count == 0)
		return AUTH_OK;
	password = password_of(o, a->login);
	if (password == NULL)
		return AUTH_WRONG;
	if (HMAC(EVP_md5(), password, (int)strlen(password),
		(const unsigned char *)a->nonce, strlen(a->nonce), md,
		&n) == NULL)
		return AUTH_WRONG;
	for (unsigned i = 0; i < n; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", md[i]);
	return strcmp(hex, blank + 1) == 0 ? AUTH_OK : AUTH_WRONG;
}

static enum auth_result
take_login(struct auth *a, const struct options *o, const char *text, size_t n)
{
	if (a->step++ > 0)
		return judge(a, o, text);
	set_login(a, text, n);
	encode(a->challenge, sizeof(a->challenge), "Password:");
	return AUTH_MORE;
}

/* Somebody behind a socket is told the line, and says "y". */
static bool
is_vouched_for(
    const struct sockaddr_un *address, const char *login, const char *token)
{
	struct timeval limit = {ASK_S, 0};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char said = 'n';

	if (fd >= 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ==
		0 &&
	    connect(fd, (const struct sockaddr *)address, sizeof(*address)) ==
		0 &&
	    dprintf(fd, "%s %s\n", login, token) > 0 && read(fd, &said, 1) != 1)
		said = 'n';
	if (fd >= 0)
		(void)close(fd);
	return said == 'y';
}

/* A line "NAME TOKEN" of the file; it is read anew for each login. */
static bool
is_known_token(const char *path, const char *login, const char *token)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	FILE *f = fopen(path, "r");
	char *line = NULL;
	size_t size = 0, n = strlen(login);
	bool is_known = false;

	if (f == NULL && errno == ENXIO) { /* it is a socket */
		(void)snprintf(
		    address.sun_path, sizeof(address.sun_path), "%s", path);
		return is_vouched_for(&address, login, token);
	}
	while (f != NULL && !is_known && getline(&line, &size, f) > 0) {
		line[strcspn(line, "\n")] = '\0';
		is_known = strncmp(line, login, n) == 0 && line[n] == ' ' &&
			   strcmp(line + n + 1, token) == 0;
	}
	free(line);
	if (f != NULL)
		(void)fclose(f);
	return is_known;
}

/* What follows "auth=Bearer ", up to two ^A at the end; NULL: there is none. */
static const char *
token_of(char *text, size_t n)
{
	char *token = memmem(text, n, "\001auth=Bearer ", 13);

	if (token == NULL || n < 2 || memcmp(text + n - 2, "\001\001", 2) != 0)
		return NULL;
	token += 13;
	token[strcspn(token, "\001")] = '\0';
	return *token != '\0' ? token : NULL;
}

/* The acknowledgement: nothing (XOAUTH2), one ^A (OAUTHBEARER). */
static enum auth_result
take_acknowledgement(const struct auth *a, const char *text, size_t n)
{
	bool is_right =
	    a->mech == AUTH_XOAUTH2 ? n == 0 : n == 1 && text[0] == '\001';

	return is_right ? AUTH_WRONG : AUTH_SYNTAX;
}

/* "user=NAME ^A auth=Bearer TOKEN ^A ^A", "n,a=NAME, ^A host=.. ^A port=.. ^A
 * auth=Bearer TOKEN ^A ^A". */
static enum auth_result
take_token(struct auth *a, const struct options *o, char *text, size_t n)
{
	static const char *const begins[] = {
	    [AUTH_XOAUTH2] = "user=", [AUTH_OAUTHBEARER] = "n,a="};
	size_t skip = strlen(begins[a->mech]);
	const char *token;

	if (a->is_refused)
		return take_acknowledgement(a, text, n);
	if (o->token_asked && a->step++ == 0) {
		a->challenge[0] = '\0';
		return AUTH_MORE;
	}
	if (strncmp(text, begins[a->mech], skip) != 0)
		return AUTH_SYNTAX;
	set_login(a, text + skip, strcspn(text + skip, "\001,"));
	token = token_of(text, n);
	if (token == NULL)
		return AUTH_SYNTAX;
	if (o->tokens == NULL || is_known_token(o->tokens, a->login, token))
		return AUTH_OK;
	a->is_refused = true;
	encode(a->challenge, sizeof(a->challenge),
	    a->mech == AUTH_XOAUTH2
		? "{\"status\":\"401\",\"schemes\":\"bearer\","
		  "\"scope\":\"https://mail.example/\"}"
		: "{\"status\":\"invalid_token\","
		  "\"scope\":\"https://mail.example/\"}");
	return AUTH_MORE;
}

enum auth_result
auth_line(struct auth *a, const struct options *o, struct slice line)
{
	char text[AUTH_TEXT];
	enum auth_result result = AUTH_SYNTAX;
	size_t n;

	if (slice_eq(line, "*") || !decode(line, text, &n))
		return AUTH_SYNTAX;
	switch (a->mech) {
	case AUTH_PLAIN:
		result = take_plain(a, o, text, n);
		break;
	case AUTH_LOGIN:
		result = take_login(a, o, text, n);
		break;
	case AUTH_CRAM_MD5:
		result = take_cram(a, o, text);
		break;
	case AUTH_XOAUTH2:
	case AUTH_OAUTHBEARER:
		result = take_token(a, o, text, n);
		break;
	}
	return result;
}

static bool
is_offered(const struct options *o, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = o->mechs; *p != '\0';) {
		size_t len = strcspn(p, " ,");

		if (len == n && strncasecmp(p, name, n) == 0)
			return true;
		p += len + strspn(p + len, " ,");
	}
	return false;
}

enum auth_result
auth_start(struct auth *a, const struct options *o, struct slice args)
{
	size_t len = 0, mech;
	unsigned char random[8];
	uint64_t value;

	*a = (struct auth){0};
	while (len < args.n && args.p[len] != ' ')
		len++;
	for (mech = 0; mech < MECH_COUNT; mech++)
		if (slice_eq_nocase(slice_of(args.p, len), mech_names[mech]) &&
		    is_offered(o, mech_names[mech]))
			break;
	switch (mech) {
	case AUTH_LOGIN:
		encode(a->challenge, sizeof(a->challenge), "Username:");
		break;
	case AUTH_CRAM_MD5:
		CHECK(RAND_bytes(random, sizeof(random)) == 1);
		memcpy(&value, random, sizeof(value));
		(void)snprintf(a->nonce, sizeof(a->nonce), "<%llx@%s>",
		    (unsigned long long)value, "smarthost");
		encode(a->challenge, sizeof(a->challenge), a->nonce);
		break;
	case MECH_COUNT:
		return AUTH_UNKNOWN;
	default:
		break;
	}
	a->mech = (enum auth_mech)mech;
	if (len == args.n)
		return AUTH_MORE;
	if (mech == AUTH_CRAM_MD5) /* takes no initial response */
		return AUTH_SYNTAX;
	return auth_line(a, o, slice_of(args.p + len + 1, args.n - len - 1));
}
