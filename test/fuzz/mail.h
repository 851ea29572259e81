/* mail: what a fuzzer's input says as choices, and messages that are made of
 * them: a request, its queue file and its transactions, all of any octets that
 * the program's own readers let in. Of what is logged only a panic is seen.
 */
#ifndef MAIL_H
#define MAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/request.h"
#include "agent/engine/session.h"
#include "agent/engine/transaction.h"
#include "common/base/clock.h"
#include "common/base/slice.h"

/* What is left of the input; when there is no more, zeros. */
struct input {
	const uint8_t *p;
	size_t n;
};

unsigned input_octet(struct input *in);
struct slice input_take(struct input *in, size_t n);

/* Fewer than max octets, none of them NUL; the caller's to free. */
char *input_text(struct input *in, size_t max);

enum {
	MAIL_RCPTS_MAX = 4,
	MAIL_TEXTS = 2 + 3 * MAIL_RCPTS_MAX,
	MAIL_PARTS = 2
};

struct mail {
	struct request *req; /* NULL: all of it is reported */
	struct transaction *parts[MAIL_PARTS]; /* NULL: done, or none */
	bool is_inside[MAIL_PARTS]; /* a session has it */
	char *texts[MAIL_TEXTS];
	size_t text_count;
	char *file;
	size_t file_size;
};

/* Freed by mail_free(). */
struct mail *mail_new(struct input *in, int line_length_limit, int64_t now_us);
void mail_free(struct mail **m);

/* Its transactions are no longer the caller's: those that are done are freed,
 * and reports of recipients that are decided are over at once, as by the lane
 * and what is behind it. With the last one the request goes. */
void mail_on_left(struct mail *m, struct transaction *t);

/* Whose t is, and which of its parts. */
struct mail *mail_of(const struct transaction *t);
size_t mail_part(const struct mail *m, const struct transaction *t);

/* To the session, what it has not and as long as it takes any. */
void mail_assign(struct mail *m, struct session *s, struct moment now);

#endif
