#include "agent/token/answer.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/token/form.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/shared/tokenproto.h"

enum {
	SECRET_SHOWN = 8, /* so many octets of a secret would tell something */
	FORM_MAX = 64,
	INTERVAL_S = 5, /* RFC 8628 3.2 */
	INTERVAL_MAX_S = 60,
};

static void
garbage(struct answer *a, const char *why)
{
	a->kind = ANSWER_GARBAGE;
	(void)snprintf(a->text, sizeof(a->text), "%s", why);
}

static const char *
text_of(const json_t *json, const char *key)
{
	return json_string_value(json_object_get(json, key));
}

/* -1: not there; 0: no number that makes sense. */
static int64_t
number_of(const json_t *json, const char *key)
{
	const json_t *value = json_object_get(json, key);
	const char *digits = json_string_value(value);
	double seconds = 0;
	int used = 0;

	if (value == NULL)
		return -1;
	if (json_is_number(value))
		seconds = json_number_value(value);
	else if (digits == NULL ||
		 sscanf(digits, "%12lf%n", &seconds, &used) != 1 ||
		 digits[used] != '\0')
		return 0;
	if (!(seconds >= 1))
		return 0;
	return seconds > (double)ANSWER_LIFE_MAX_S ? ANSWER_LIFE_MAX_S
						   : (int64_t)seconds;
}

static bool
is_token(const char *text)
{
	return text != NULL && tokenproto_token_is_valid(slice_str(text));
}

static void
take_token(struct answer *a, const json_t *json)
{
	const char *token = text_of(json, "access_token");
	const char *refresh = text_of(json, "refresh_token");
	const char *type = text_of(json, "token_type");
	int64_t life_s = number_of(json, "expires_in");

	if (!is_token(token)) {
		garbage(a, "a malformed access token");
		return;
	}
	if (type != NULL && strcasecmp(type, "bearer") != 0) {
		garbage(a, "a token of another type than Bearer");
		return;
	}
	if (life_s == 0) {
		garbage(a, "a bad expires_in");
		return;
	}
	if (json_object_get(json, "refresh_token") != NULL &&
	    !is_token(refresh)) {
		garbage(a, "a malformed refresh token");
		return;
	}
	a->kind = ANSWER_TOKEN;
	a->access_token = mem_strdup(token);
	a->refresh_token = refresh != NULL ? mem_strdup(refresh) : NULL;
	a->life_s = life_s < 0 ? ANSWER_LIFE_UNKNOWN_S : life_s;
}

static char *
printable(const char *text)
{
	char *copy = mem_strndup(text, strnlen(text, ANSWER_DEVICE_MAX));

	log_safe(copy, strlen(copy));
	return copy;
}

static void
take_device(struct answer *a, const json_t *json)
{
	const char *code = text_of(json, "device_code");
	const char *user = text_of(json, "user_code");
	const char *uri = text_of(json, "verification_uri");

	if (uri == NULL)
		uri = text_of(json, "verification_url");
	if (!is_token(code) || user == NULL || uri == NULL) {
		garbage(a, "no codes");
		return;
	}
	a->kind = ANSWER_DEVICE;
	a->device_code = mem_strdup(code);
	a->user_code = printable(user);
	a->verification_uri = printable(uri);
	a->life_s = number_of(json, "expires_in");
	if (a->life_s < 1)
		a->life_s = ANSWER_DEVICE_LIFE_S;
	a->interval_s = number_of(json, "interval");
	if (a->interval_s < 1)
		a->interval_s = INTERVAL_S;
	if (a->interval_s > INTERVAL_MAX_S)
		a->interval_s = INTERVAL_MAX_S;
}

static void
cut_at(char *text, const char *begin)
{
	char *at = strstr(text, begin);

	if (at != NULL)
		*at = '\0';
}

/* From where a secret begins, as it is or as it stood in the form, the rest is
 * left out: the end of a long one may have been cut. */
static void
hide(char *text, const char *const *secrets, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char begin[SECRET_SHOWN + 1];
		struct buf form;

		if (secrets[i] == NULL || secrets[i][0] == '\0')
			continue;
		(void)snprintf(begin, sizeof(begin), "%s", secrets[i]);
		buf_init(&form, FORM_MAX);
		form_add(&form, "", begin);
		cut_at(text, begin);
		cut_at(text, buf_str(&form) + 1);
		buf_fini_secret(&form);
	}
	/* {"alg": of an assertion's header, in base64url */
	cut_at(text, "eyJhbGciO");
}

/* A word that the RFCs have may have letters of a short secret in it by
 * chance, and it decides what is done. */
static bool
is_known(const char *code)
{
	static const char *const known[] = {"invalid_request", "invalid_client",
	    "invalid_grant", "unauthorized_client", "unsupported_grant_type",
	    "invalid_scope", "access_denied", "unsupported_response_type",
	    "server_error",
	    "temporarily_unavailable", /* RFC 6749 4.1.2.1, 5.2 */
	    "authorization_pending", "slow_down",
	    "expired_token"}; /* 8628 3.5 */

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(code, known[i]) == 0)
			return true;
	return false;
}

static void
take_error(struct answer *a, const char *code, const json_t *json,
    const char *const *secrets, size_t count)
{
	const char *more = text_of(json, "error_description");
	char *text = more != NULL ? mem_strdup(more) : NULL;
	size_t n = text != NULL ? strlen(text) : 0;
	char *end;

	a->kind = ANSWER_ERROR;
	(void)snprintf(a->code, sizeof(a->code), "%s", code);
	if (!is_known(a->code))
		hide(a->code, secrets, count);
	log_safe(a->code, strlen(a->code));
	if (text == NULL) {
		(void)snprintf(a->text, sizeof(a->text), "%s", a->code);
		return;
	}
	hide(text, secrets, count);
	/* Microsoft's go on with identifiers of the request. */
	end = strstr(text, "\r\n");
	if (end == NULL)
		end = strstr(text, " Trace ID: ");
	if (end != NULL)
		*end = '\0';
	(void)snprintf(a->text, sizeof(a->text), "%s: %s", a->code, text);
	log_safe(a->text, strlen(a->text));
	mem_wipe(text, n);
	mem_free(text);
}

void
answer_parse(struct answer *out, struct slice body, const char *const *secrets,
    size_t count)
{
	json_t *json = NULL;

	memset(out, 0, sizeof(*out));
	if (body.n > 0 && body.n <= ANSWER_MAX)
		json = json_loadb(body.p, body.n, 0, NULL);
	if (body.n == 0)
		garbage(out, "an empty answer");
	else if (!json_is_object(json))
		garbage(out, "an answer that is no JSON object");
	else if (text_of(json, "error") != NULL)
		take_error(out, text_of(json, "error"), json, secrets, count);
	else if (json_object_get(json, "access_token") != NULL)
		take_token(out, json);
	else if (json_object_get(json, "device_code") != NULL)
		take_device(out, json);
	else
		garbage(out, "an answer without a token");
	json_decref(json);
}

static void
wipe(char **text)
{
	if (*text != NULL)
		mem_wipe(*text, strlen(*text));
	mem_free(*text);
	*text = NULL;
}

void
answer_free(struct answer *answer)
{
	wipe(&answer->access_token);
	wipe(&answer->refresh_token);
	wipe(&answer->device_code);
	wipe(&answer->user_code);
	wipe(&answer->verification_uri);
}

bool
answer_is_lasting(const struct answer *answer)
{
	static const char *const passing[] = {
	    "temporarily_unavailable", "server_error", "slow_down"};

	for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++)
		if (strcmp(answer->code, passing[i]) == 0)
			return false;
	return answer->kind == ANSWER_ERROR;
}
