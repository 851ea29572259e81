#include "agent/token/post.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "agent/token/answer.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum { CLOCK_TOLERANCE_S = 60 };

struct post {
	struct curl_loop *curl; /* NULL: nobody's, see post_now() */
	CURL *easy;
	struct curl_slist *headers; /* a secret */
	struct curl_loop_call call;
	post_fn *fn;
	void *ctx;
	struct buf form, body;
	int64_t retry_after_s, clock_ahead_s;
	char error[CURL_ERROR_SIZE];
};

static size_t
take_body(char *octets, size_t size, size_t count, void *ctx)
{
	struct post *p = ctx;

	/* Less than all: libcurl gives up. */
	return buf_add(&p->body, octets, size * count) ? size * count : 0;
}

/* The value of the header called so, as text of at most 63 octets. */
static bool
is_header(struct slice line, const char *name, char value[64])
{
	size_t n = strlen(name);

	if (line.n <= n || strncasecmp(line.p, name, n) != 0)
		return false;
	(void)snprintf(value, 64, "%.*s",
	    (int)(line.n - n > 63 ? 63 : line.n - n), line.p + n);
	return true;
}

/* RFC 9110 10.2.3: seconds, or a date. */
static int64_t
seconds_of(const char *value)
{
	char *end;
	long seconds = strtol(value, &end, 10);
	time_t at;

	if (end != value && strspn(end, " \r\n") == strlen(end))
		return seconds > 0 ? seconds : 0;
	at = curl_getdate(value, NULL);
	return at > time(NULL) ? at - time(NULL) : 0;
}

static size_t
take_header(char *octets, size_t size, size_t count, void *ctx)
{
	struct slice line = slice_of(octets, size * count);
	struct post *p = ctx;
	char value[64];

	if (is_header(line, "Retry-After:", value)) {
		p->retry_after_s = seconds_of(value);
	} else if (is_header(line, "Date:", value)) {
		time_t there = curl_getdate(value, NULL);

		p->clock_ahead_s = there > 0 ? there - time(NULL) : 0;
		if (llabs(p->clock_ahead_s) <= CLOCK_TOLERANCE_S)
			p->clock_ahead_s = 0;
	}
	return line.n;
}

/* RFC 7617, if NAME.conf says so. */
static bool
add_authorization(struct post *p, const struct conf *conf)
{
	char *line;

	if (*conf->authorization == '\0')
		return true;
	line = mem_printf("Authorization: Basic %s", conf->authorization);
	p->headers = curl_slist_append(NULL, line);
	mem_wipe(line, strlen(line));
	mem_free(line);
	return p->headers != NULL;
}

static void
post_free(struct post *p)
{
	if (p->easy != NULL && p->curl != NULL)
		curl_loop_end(p->curl, p->easy);
	if (p->easy != NULL)
		curl_easy_cleanup(p->easy);
	if (p->headers != NULL)
		mem_wipe(p->headers->data, strlen(p->headers->data));
	curl_slist_free_all(p->headers);
	buf_fini_secret(&p->form);
	buf_fini_secret(&p->body);
	mem_free(p);
}

static void
finish(struct post *p, CURLcode code)
{
	struct post_result r = {.body = buf_slice(&p->body),
	    .retry_after_s = p->retry_after_s,
	    .clock_ahead_s = p->clock_ahead_s};
	char error[CURL_ERROR_SIZE];

	(void)curl_easy_getinfo(p->easy, CURLINFO_RESPONSE_CODE, &r.code);
	if (code != CURLE_OK) {
		(void)snprintf(error, sizeof(error), "%s",
		    code == CURLE_WRITE_ERROR ? "an answer that is too long"
		    : p->error[0] != '\0'     ? p->error
					      : curl_easy_strerror(code));
		r.error = error;
	}
	p->fn(p->ctx, &r);
	post_free(p);
}

static void
on_done(void *ctx, CURLcode result)
{
	finish(ctx, result);
}

#define SET(option, value)                                                     \
	(curl_easy_setopt(easy, CURLOPT_##option, value) == CURLE_OK)

static bool
set_security(const struct conf *conf, CURL *easy)
{
	struct curl_blob blob = {conf->ca, strlen(conf->ca), CURL_BLOB_COPY};

	return (blob.len == 0 ||
		   (SET(CAINFO_BLOB, &blob) && SET(CAPATH, NULL))) &&
	       SET(SSL_VERIFYPEER, 1L) && SET(SSL_VERIFYHOST, 2L) &&
	       SET(SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) &&
	       SET(PROTOCOLS_STR, "http,https") && SET(FOLLOWLOCATION, 0L) &&
	       SET(PROXY, conf->proxy) && SET(NOPROXY, "") &&
	       SET(NETRC, (long)CURL_NETRC_IGNORED);
}

static bool
set_options(
    struct post *p, const struct conf *conf, const char *url, CURL *easy)
{
	return SET(URL, url) && SET(ERRORBUFFER, p->error) &&
	       SET(NOSIGNAL, 1L) && SET(TIMEOUT_MS, (long)POST_TIMEOUT_MS) &&
	       SET(CONNECTTIMEOUT_MS, (long)POST_CONNECT_MS) &&
	       SET(FORBID_REUSE, 1L) && SET(FRESH_CONNECT, 1L) &&
	       SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
	       SET(USERAGENT, "postlane") && SET(WRITEFUNCTION, take_body) &&
	       SET(WRITEDATA, p) && SET(HEADERFUNCTION, take_header) &&
	       SET(HEADERDATA, p) && SET(POST, 1L) &&
	       SET(POSTFIELDSIZE, (long)buf_len(&p->form)) &&
	       SET(POSTFIELDS, buf_str(&p->form)) &&
	       SET(HTTPHEADER, p->headers) && set_security(conf, easy);
}

#undef SET

static struct post *
prepare(const struct conf *conf, const char *url, struct slice form,
    post_fn *fn, void *ctx)
{
	struct post *p = mem_zalloc(sizeof(*p));

	p->fn = fn;
	p->ctx = ctx;
	buf_init(&p->form, POST_FORM_MAX);
	buf_init(&p->body, ANSWER_MAX);
	/* Growing copies, and what is left behind cannot be wiped. */
	(void)buf_reserve(&p->body, ANSWER_MAX);
	p->easy = curl_easy_init();
	if (p->easy != NULL && buf_add_slice(&p->form, form) &&
	    add_authorization(p, conf) && set_options(p, conf, url, p->easy))
		return p;
	post_free(p);
	return NULL;
}

struct post *
post_start(struct curl_loop *curl, const struct conf *conf, const char *url,
    struct slice form, post_fn *fn, void *ctx)
{
	struct post *p = prepare(conf, url, form, fn, ctx);

	CHECK(fn != NULL);
	if (p == NULL)
		return NULL;
	p->call = (struct curl_loop_call){.fn = on_done, .ctx = p};
	if (!curl_loop_begin(curl, p->easy, &p->call)) {
		post_free(p);
		return NULL;
	}
	p->curl = curl;
	return p;
}

void
post_cancel(struct post **post)
{
	if (*post != NULL)
		post_free(*post);
	*post = NULL;
}

void
post_now(const struct conf *conf, const char *url, struct slice form,
    post_fn *fn, void *ctx)
{
	struct post *p = prepare(conf, url, form, fn, ctx);

	if (p == NULL)
		fn(ctx, &(struct post_result){
			    .error = "libcurl cannot be initialized"});
	else
		finish(p, curl_easy_perform(p->easy));
}
