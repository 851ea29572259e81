#include "agent/settings/fingerprint.h"

#include <string.h>

#include "agent/settings/params.h"
#include "common/base/mem.h"
#include "common/shared/board.h"

enum { EACH_BITS = 16, EACH_MAX = (FINGERPRINT_WORDS - 1) * 4 };

_Static_assert((int)FINGERPRINT_WORDS == (int)BOARD_SETTINGS, "board");

static uint64_t
of_table(void)
{
	uint64_t hash = params_count();

	for (size_t i = 0; i < params_count(); i++)
		hash = hash * 31 + board_hash(params_get(i)->name);
	return hash != 0 ? hash : 1;
}

static unsigned
at(size_t i)
{
	return (unsigned)(i % 4) * EACH_BITS;
}

void
fingerprint_take(uint64_t words[FINGERPRINT_WORDS], const struct settings *set)
{
	memset(words, 0, FINGERPRINT_WORDS * sizeof(words[0]));
	words[0] = of_table();
	for (size_t i = 0; i < params_count() && i < EACH_MAX; i++) {
		char *text = params_text(set, params_get(i));

		words[1 + i / 4] |= (board_hash(text) & 0xffff) << at(i);
		mem_free(text);
	}
}

bool
fingerprint_is_known(const uint64_t words[FINGERPRINT_WORDS])
{
	return words[0] == of_table();
}

bool
fingerprint_differs(const uint64_t a[FINGERPRINT_WORDS],
    const uint64_t b[FINGERPRINT_WORDS], size_t i)
{
	uint64_t other = i < EACH_MAX ? a[1 + i / 4] ^ b[1 + i / 4] : 0;

	return ((other >> at(i)) & 0xffff) != 0;
}
