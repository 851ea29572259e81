/* What a token endpoint says: any octets are read without harm; what is taken
 * for a token is one, texts are printable and bounded, and no secret of the
 * question is told. A NUL ends the answer; what follows is the secret.
 */
#include <stdint.h>
#include <string.h>

#include "agent/token/answer.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/shared/tokenproto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SHOWN = 8 };

static void
check_text(const char *text, size_t size)
{
	char *copy = mem_strdup(text);

	CHECK(strlen(text) < size);
	log_safe(copy, strlen(copy));
	CHECK(strcmp(copy, text) == 0);
	mem_free(copy);
}

static void
check(const struct answer *a, const char *secret)
{
	CHECK((a->access_token != NULL) == (a->kind == ANSWER_TOKEN));
	CHECK((a->device_code != NULL) == (a->kind == ANSWER_DEVICE));
	if (a->kind == ANSWER_TOKEN) {
		CHECK(tokenproto_token_is_valid(slice_str(a->access_token)));
		CHECK(a->refresh_token == NULL ||
		      tokenproto_token_is_valid(slice_str(a->refresh_token)));
		CHECK(a->life_s >= 1 && a->life_s <= ANSWER_LIFE_MAX_S);
	} else if (a->kind == ANSWER_DEVICE) {
		check_text(a->user_code, ANSWER_DEVICE_MAX + 1);
		check_text(a->verification_uri, ANSWER_DEVICE_MAX + 1);
		CHECK(a->interval_s >= 1 && a->interval_s <= 60);
	}
	check_text(a->code, sizeof(a->code));
	/* A cut may end within a character. */
	CHECK(strlen(a->text) < sizeof(a->text));
	CHECK(strpbrk(a->text, "\r\n\033") == NULL);
	if (strlen(secret) >= SHOWN)
		CHECK(strstr(a->text, secret) == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = mem_zalloc(size + 1);
	const char *secret;
	struct answer a;
	size_t n;

	if (size > 0)
		memcpy(text, data, size);
	n = strlen(text);
	secret = n < size ? text + n + 1 : "";
	answer_parse(&a, slice_of(text, n), &secret, 1);
	check(&a, secret);
	(void)answer_is_lasting(&a);
	answer_free(&a);
	mem_free(text);
	return 0;
}
