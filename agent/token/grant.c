#include "agent/token/grant.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "agent/token/form.h"
#include "agent/token/jwt.h"
#include "agent/token/post.h"
#include "common/base/mem.h"

enum { ID_OCTETS = 16 };

#define JWT_BEARER_ASSERTION                                                   \
	"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#define JWT_BEARER_GRANT "urn:ietf:params:oauth:grant-type:jwt-bearer"

/* An assertion is accepted once where its identifier is looked at. */
static bool
make_id(char out[2 * ID_OCTETS + 1])
{
	unsigned char random[ID_OCTETS];

	if (RAND_bytes(random, ID_OCTETS) != 1)
		return false;
	for (int i = 0; i < ID_OCTETS; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", random[i]);
	return true;
}

static bool
add_assertion(const struct conf *conf, const struct jwt_claims *who,
    int64_t now_s, const char *name, struct buf *form, char *error, size_t n)
{
	struct jwt_claims claims = *who;
	char id[2 * ID_OCTETS + 1];
	char *jwt;

	if (!make_id(id)) {
		(void)snprintf(error, n, "no random numbers");
		return false;
	}
	claims.audience = conf->token_endpoint;
	claims.key_id = *conf->key_id != '\0' ? conf->key_id : NULL;
	claims.id = id;
	claims.issued_at_s = now_s - GRANT_SKEW_S;
	claims.expires_at_s = now_s + GRANT_LIFE_S;
	jwt = jwt_make(
	    conf->algorithm, conf->key, conf->certificate, &claims, error, n);
	if (jwt == NULL)
		return false;
	form_add(form, name, jwt);
	mem_wipe(jwt, strlen(jwt));
	mem_free(jwt);
	return true;
}

bool
grant_add_client(const struct conf *conf, int64_t now_s, struct buf *form,
    char *error, size_t n)
{
	struct jwt_claims claims = {
	    .issuer = conf->client_id, .subject = conf->client_id};

	if (*conf->authorization != '\0')
		return true;
	form_add(form, "client_id", conf->client_id);
	if (*conf->client_secret != '\0')
		form_add(form, "client_secret", conf->client_secret);
	if (*conf->certificate == '\0')
		return true;
	form_add(form, "client_assertion_type", JWT_BEARER_ASSERTION);
	return add_assertion(
	    conf, &claims, now_s, "client_assertion", form, error, n);
}

bool
grant_form(const struct conf *conf, const char *refresh_token, int64_t now_s,
    struct buf *form, char *error, size_t n)
{
	struct jwt_claims claims = {.issuer = conf->client_id,
	    .subject = conf->subject,
	    .scope = conf->scope};
	bool ok = true;

	switch (conf->flow) {
	case CONF_CLIENT_CREDENTIALS:
		form_add(form, "grant_type", "client_credentials");
		form_add(form, "scope", conf->scope);
		ok = grant_add_client(conf, now_s, form, error, n);
		break;
	case CONF_REFRESH_TOKEN:
		form_add(form, "grant_type", "refresh_token");
		form_add(form, "refresh_token", refresh_token);
		form_add(form, "scope", conf->scope);
		ok = grant_add_client(conf, now_s, form, error, n);
		break;
	case CONF_JWT_BEARER:
		form_add(form, "grant_type", JWT_BEARER_GRANT);
		ok = add_assertion(
		    conf, &claims, now_s, "assertion", form, error, n);
		break;
	}
	if (ok && !buf_ok(form)) {
		(void)snprintf(error, n, "the question is too long");
		ok = false;
	}
	return ok;
}
