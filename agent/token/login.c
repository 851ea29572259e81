#include "agent/token/login.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/token/answer.h"
#include "agent/token/form.h"
#include "agent/token/grant.h"
#include "agent/token/post.h"
#include "agent/token/refresh_file.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
	SLOWER_S = 5, /* RFC 8628 3.5 */
	SLOWEST_S = 60,
	PASTE_MAX = 16384,
	RANDOM_OCTETS = 32,
};

/* Nobody listens there: the address is what is wanted. */
#define REDIRECT "http://127.0.0.1:1/"

struct asked {
	struct answer answer;
	bool is_heard;
	long code; /* of HTTP */
	/* what was secret in the question, as service.c has it */
	const char *secrets[4];
};

static int
fail(const char *what)
{
	(void)fprintf(stderr, "lane: %s\n", what);
	return 1;
}

static void
on_answer(void *ctx, const struct post_result *r)
{
	struct asked *a = ctx;
	char text[CURL_ERROR_SIZE];

	if (r->error != NULL) {
		(void)snprintf(text, sizeof(text), "%s", r->error);
		log_safe(text, strlen(text));
		(void)fail(text);
		return;
	}
	a->is_heard = true;
	a->code = r->code;
	answer_parse(&a->answer, r->body, a->secrets,
	    sizeof(a->secrets) / sizeof(a->secrets[0]));
}

/* Adds who we are, and asks. code and verifier (may be NULL): what is secret in
 * form. False: said why. a->answer is to be freed if true. */
static bool
ask(const struct conf *conf, const char *url, struct buf *form,
    const char *code, const char *verifier, struct asked *a)
{
	char error[CONF_ERROR_SIZE];

	*a = (struct asked){.secrets = {conf->client_secret,
				conf->authorization, code, verifier}};
	if (grant_add_client(conf, time(NULL), form, error, sizeof(error)))
		post_now(conf, url, buf_slice(form), on_answer, a);
	else
		(void)fail(error);
	buf_fini_secret(form);
	return a->is_heard;
}

/* What the endpoint said instead of what was asked for. */
static int
refuse(const struct asked *a)
{
	(void)fprintf(stderr, "lane: %ld %s\n", a->code,
	    a->answer.text[0] != '\0' ? a->answer.text
				      : "with an unexpected answer");
	return 1;
}

static int
keep(const struct confdir_entry *e, const struct answer *a)
{
	if (a->refresh_token == NULL)
		return fail("logged in, but no refresh token was given: the "
			    "scope must allow it (offline_access)");
	if (!refresh_file_write(e->refresh_fd, a->refresh_token)) {
		(void)fprintf(stderr, "lane: %s: %s\n",
		    e->conf.refresh_token_file, strerror(errno));
		return 1;
	}
	(void)printf(
	    "The refresh token is stored in %s.\n", e->conf.refresh_token_file);
	return 0;
}

static bool
is_error(const struct answer *a, const char *code)
{
	return a->kind == ANSWER_ERROR && strcmp(a->code, code) == 0;
}

static time_t
uptime_s(void)
{
	struct timespec now = {0, 0};

	(void)clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec;
}

static int
expired(void)
{
	return fail("the code has expired, nobody logged in with it in time");
}

/* -1: to be asked again; else the exit status. What may pass by itself is said
 * and waited for, as long as the code is good. */
static int
look_at_poll(
    const struct confdir_entry *e, const struct asked *a, int64_t *interval_s)
{
	if (a->answer.kind == ANSWER_TOKEN)
		return keep(e, &a->answer);
	if (is_error(&a->answer, "authorization_pending"))
		return -1;
	if (is_error(&a->answer, "slow_down")) {
		*interval_s += SLOWER_S;
		return -1;
	}
	if (is_error(&a->answer, "expired_token"))
		return expired();
	(void)refuse(a);
	return a->code == 429 || a->code >= 500 ||
		       is_error(&a->answer, "temporarily_unavailable") ||
		       is_error(&a->answer, "server_error")
		   ? -1
		   : 1;
}

/* Asks until the person has decided, or the code has expired. */
static int
poll_device(const struct confdir_entry *e, const struct answer *device)
{
	time_t end = uptime_s() + (time_t)device->life_s;
	int64_t interval_s = device->interval_s;

	while (uptime_s() + interval_s < end) {
		struct asked a;
		struct buf form;
		int status = -1;

		(void)sleep((unsigned)interval_s);
		buf_init(&form, POST_FORM_MAX);
		form_add(&form, "grant_type",
		    "urn:ietf:params:oauth:grant-type:device_code");
		form_add(&form, "device_code", device->device_code);
		if (ask(&e->conf, e->conf.token_endpoint, &form,
			device->device_code, NULL, &a)) {
			status = look_at_poll(e, &a, &interval_s);
			answer_free(&a.answer);
		} else if ((interval_s *= 2) > SLOWEST_S) {
			interval_s = SLOWEST_S;
		}
		if (status >= 0)
			return status;
	}
	return expired();
}

static int
by_device(const struct confdir_entry *e)
{
	const struct conf *conf = &e->conf;
	struct asked a;
	struct buf form;
	int status;

	buf_init(&form, POST_FORM_MAX);
	form_add(&form, "scope", conf->scope);
	if (!ask(conf, conf->device_endpoint, &form, NULL, NULL, &a))
		return 1;
	if (a.answer.kind != ANSWER_DEVICE) {
		status = refuse(&a);
	} else {
		(void)printf("Open %s, enter %s and log in as the sender.\n",
		    a.answer.verification_uri, a.answer.user_code);
		(void)fflush(stdout);
		status = poll_device(e, &a.answer);
	}
	answer_free(&a.answer);
	return status;
}

/* ---- by the address that a browser shows ----------------------------------
 */

static bool
random_hex(char out[2 * RANDOM_OCTETS + 1])
{
	unsigned char octets[RANDOM_OCTETS];

	if (RAND_bytes(octets, RANDOM_OCTETS) != 1)
		return false;
	for (int i = 0; i < RANDOM_OCTETS; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", octets[i]);
	return true;
}

/* RFC 7636 4.2: base64url of SHA-256, 43 characters. */
static void
challenge_of(const char *verifier, char out[64])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	out[0] = '\0';
	if (EVP_Digest(
		verifier, strlen(verifier), md, &n, EVP_sha256(), NULL) != 1)
		return;
	(void)EVP_EncodeBlock((unsigned char *)out, md, (int)n);
	for (char *p = out; *p != '\0'; p++) {
		if (*p == '+')
			*p = '-';
		else if (*p == '/')
			*p = '_';
		else if (*p == '=')
			*p = '\0';
	}
}

char *
login_query_value(const char *url, const char *name)
{
	const char *p = strchr(url, '?');
	size_t n = strlen(name);

	while (p != NULL) {
		p++;
		if (strncmp(p, name, n) == 0 && p[n] == '=') {
			size_t len = strcspn(p + n + 1, "&# \r\n");
			int out = 0;
			char *raw =
			    curl_easy_unescape(NULL, p + n + 1, (int)len, &out);
			char *copy =
			    raw != NULL ? mem_strndup(raw, (size_t)out) : NULL;

			curl_free(raw);
			return copy;
		}
		p = strchr(p, '&');
	}
	return NULL;
}

static void
tell_address(const struct conf *conf, const char *state, const char *challenge)
{
	struct buf query;

	buf_init(&query, POST_FORM_MAX);
	form_add(&query, "response_type", "code");
	form_add(&query, "client_id", conf->client_id);
	form_add(&query, "redirect_uri", REDIRECT);
	form_add(&query, "scope", conf->scope);
	form_add(&query, "state", state);
	form_add(&query, "code_challenge", challenge);
	form_add(&query, "code_challenge_method", "S256");
	form_add(&query, "access_type", "offline");
	form_add(&query, "prompt", "consent");
	(void)printf("Open this in a browser and log in as the sender:\n\n"
		     "%s%c%s\n\n"
		     "The browser then cannot show a page at " REDIRECT
		     "...: copy that\naddress, all of it, and enter it here:\n",
	    conf->authorization_endpoint,
	    strchr(conf->authorization_endpoint, '?') != NULL ? '&' : '?',
	    buf_str(&query));
	(void)fflush(stdout);
	buf_fini(&query);
}

static int
exchange(const struct confdir_entry *e, const char *code, const char *verifier)
{
	const struct conf *conf = &e->conf;
	struct asked a;
	struct buf form;
	int status;

	buf_init(&form, POST_FORM_MAX);
	form_add(&form, "grant_type", "authorization_code");
	form_add(&form, "code", code);
	form_add(&form, "redirect_uri", REDIRECT);
	form_add(&form, "code_verifier", verifier);
	if (!ask(conf, conf->token_endpoint, &form, code, verifier, &a))
		return 1;
	status =
	    a.answer.kind == ANSWER_TOKEN ? keep(e, &a.answer) : refuse(&a);
	answer_free(&a.answer);
	return status;
}

/* The address that was pasted: RFC 6749 4.1.2. */
static int
take_address(const struct confdir_entry *e, const char *line, const char *state,
    const char *verifier)
{
	char *code = login_query_value(line, "code");
	char *given = login_query_value(line, "state");
	char *error = login_query_value(line, "error");
	int status;

	if (given == NULL || strcmp(given, state) != 0 ||
	    (code == NULL && error == NULL)) {
		status = fail("that is not the address of this login");
	} else if (code == NULL) {
		log_safe(error, strlen(error));
		status = fail(error);
	} else {
		status = exchange(e, code, verifier);
	}
	if (code != NULL)
		mem_wipe(code, strlen(code));
	mem_free(code);
	mem_free(given);
	mem_free(error);
	return status;
}

static int
by_address(const struct confdir_entry *e)
{
	char state[2 * RANDOM_OCTETS + 1], verifier[2 * RANDOM_OCTETS + 1];
	char challenge[64], *line;
	int status;

	if (!random_hex(state) || !random_hex(verifier))
		return fail("no random numbers");
	challenge_of(verifier, challenge);
	tell_address(&e->conf, state, challenge);
	line = mem_zalloc(PASTE_MAX);
	status = fgets(line, PASTE_MAX, stdin) != NULL
		     ? take_address(e, line, state, verifier)
		     : fail("no address was entered");
	mem_wipe(line, PASTE_MAX);
	mem_free(line);
	return status;
}

int
login_run(const struct confdir_entry *entry)
{
	const struct conf *conf = &entry->conf;

	if (entry->error != NULL)
		return fail(entry->error);
	if (conf->flow != CONF_REFRESH_TOKEN) {
		(void)fprintf(stderr,
		    "lane: nobody has to log in for flow = %s\n",
		    conf_flow_name(conf->flow));
		return 2;
	}
	if (*conf->device_endpoint != '\0')
		return by_device(entry);
	if (*conf->authorization_endpoint != '\0')
		return by_address(entry);
	return fail("device_endpoint (or authorization_endpoint, or provider) "
		    "is missing");
}
