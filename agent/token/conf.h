/* conf: NAME.conf, which says how the access token NAME is fetched.
 *
 *   # at Office 365, as an application
 *   provider = office365
 *   flow = client_credentials
 *   tenant = contoso.example
 *   client_id = 11111111-2222-3333-4444-555555555555
 *   client_secret_file = work.secret
 *
 * One setting a line, "name = value"; lines that begin with "#" are remarks.
 * Nothing continues a line, nothing is expanded. A name that is not known, is
 * given twice, or has no place in that flow is an error, as is one that is
 * missing: a file is understood as a whole or not used at all. Paths are
 * absolute, or in the directory of NAME.conf.
 *
 * A provider sets token_endpoint, device_endpoint (or authorization_endpoint)
 * and scope; what the file says wins.
 *
 * Pure: text in, values out. Files are read by confdir.
 */
#ifndef TOKEN_CONF_H
#define TOKEN_CONF_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/slice.h"

enum {
	CONF_FILE_MAX = 65536, /* octets of any file of the directory */
	CONF_ERROR_SIZE = 400,
};

enum conf_flow {
	CONF_CLIENT_CREDENTIALS, /* RFC 6749 4.4 */
	CONF_REFRESH_TOKEN, /* RFC 6749 6 */
	CONF_JWT_BEARER, /* RFC 7523 2.1: a service account's key */
};

enum conf_algorithm { CONF_RS256, CONF_PS256 };

/* Where client_id and the secret stand (RFC 6749 2.3.1; the names are RFC
 * 7591's). */
enum conf_auth_method { CONF_SECRET_POST, CONF_SECRET_BASIC };

struct conf {
	char *name;
	enum conf_flow flow;
	enum conf_algorithm algorithm;
	enum conf_auth_method auth_method;
	/* each "" when it is not set */
	char *provider, *tenant;
	char *token_endpoint, *device_endpoint, *authorization_endpoint;
	char *scope, *client_id, *subject;
	char *client_secret, *client_secret_file;
	char *certificate_file, *key_file, *key_id, *service_account_file;
	char *refresh_token_file, *ca_file, *proxy;
	/* the contents of files: secrets, wiped by conf_free() */
	char *certificate, *key, *ca;
	/* What follows "Authorization: Basic ", by conf_finish(); "": the form
	 * says who we are. A secret. */
	char *authorization;
};

/* Reads text. False: error has one line, "line 3: unknown setting ...". conf is
 * to be freed in any case. */
bool conf_parse(struct conf *conf, const char *name, struct slice text,
    char *error, size_t n);

/* Takes what a service account's key file (JSON) says: client_email, key,
 * token_uri. False: what is missing. */
bool conf_take_service_account(
    struct conf *conf, struct slice json, char *error, size_t n);

/* When the secrets are there: makes what depends on them. */
void conf_finish(struct conf *conf);

void conf_free(struct conf *conf);

/* The host of token_endpoint, for log lines. */
struct slice conf_host(const struct conf *conf);

const char *conf_flow_name(enum conf_flow flow);

#endif
