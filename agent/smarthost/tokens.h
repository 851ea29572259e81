/* tokens: asks the token service ("lane token") for access tokens.
 *
 * One connection of tokenproto.h for each question: there is one for each dial.
 * Who was refused with a token asks again with its serial, and gets another, or
 * the same once more when it is not time to fetch another yet.
 */
#ifndef TOKENS_H
#define TOKENS_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/io/loop.h"
#include "common/shared/tokenproto.h"

/* Value of a password map behind the name of the user: the token called NAME.
 */
#define TOKENS_PREFIX "oauth2:"

enum { TOKENS_TIMEOUT_MS = 75000 }; /* the endpoint's 60 s and a little */

struct tokens_answer {
	enum tokenproto_status status;
	const char *token; /* only if OK */
	int64_t serial;
	const char *reason; /* unless OK */
	bool is_told; /* by the service, which tells the operator, too */
};

struct tokens;
struct tokens_query;

/* Valid during the call. */
typedef void tokens_fn(void *ctx, const struct tokens_answer *answer);

/* path, of the service's socket, is copied. */
struct tokens *tokens_new(
    struct loop *loop, const char *path, int64_t timeout_ms);

/* No query must be left. */
void tokens_free(struct tokens **tokens);

/* refused: the serial of the token that a server did not take, or 0. The
 * callback comes from the loop, once, unless cancelled. */
struct tokens_query *tokens_ask(struct tokens *tokens, const char *name,
    int64_t refused, tokens_fn *fn, void *ctx);
void tokens_cancel(struct tokens_query **query);

#endif
