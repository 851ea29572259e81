/* post: one question to a token endpoint, by libcurl.
 *
 * POST of application/x-www-form-urlencoded; the answer is kept up to
 * ANSWER_MAX octets. The certificate must be valid, by the authorities of
 * ca_file or by the system's. Redirects are not followed (a question with
 * secrets is asked of nobody else), nothing is taken from the environment: a
 * proxy is used when NAME.conf names one.
 */
#ifndef TOKEN_POST_H
#define TOKEN_POST_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/io/curl_loop.h"
#include "agent/token/conf.h"
#include "common/base/buf.h"

enum {
	/* An answer that is not awaited has a refresh token in it that the
	 * endpoint holds for used. */
	POST_TIMEOUT_MS = 60000,
	POST_CONNECT_MS = 10000,
	POST_FORM_MAX = 65536
};

struct post_result {
	const char *error; /* there is no answer: why; NULL: there is one */
	long code; /* of HTTP */
	struct slice body;
	int64_t retry_after_s; /* 0: it did not say */
	/* What its clock was ahead of ours, in seconds; 0: it did not say. */
	int64_t clock_ahead_s;
};

struct post;

/* Valid during the call, which comes from the loop, once. */
typedef void post_fn(void *ctx, const struct post_result *result);

/* form is copied, and wiped in the end. conf is borrowed as long as it lasts:
 * authorization, ca and proxy are used. NULL: libcurl refuses to work. */
struct post *post_start(struct curl_loop *curl, const struct conf *conf,
    const char *url, struct slice form, post_fn *fn, void *ctx);
void post_cancel(struct post **post);

/* The same, waiting for it: for programs on a terminal. fn is called from
 * inside. */
void post_now(const struct conf *conf, const char *url, struct slice form,
    post_fn *fn, void *ctx);

#endif
