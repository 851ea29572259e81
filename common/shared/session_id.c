#include "common/shared/session_id.h"

#include "common/base/log.h"

enum {
	PID_BITS = 22,
	MS_BITS = 28,
	DIGIT_BITS = 5,
};

static const char digits[] = "0123456789abcdfghjklmnpqrstvwxyz";

_Static_assert(sizeof(digits) - 1 == 1U << DIGIT_BITS, "digits");
_Static_assert(
    (int)(PID_BITS + MS_BITS) == (int)(SESSION_ID_LENGTH * DIGIT_BITS),
    "length");

uint64_t
session_id_next(struct session_ids *ids, struct timeval wall, uint64_t pid)
{
	uint64_t wall_ms =
	    (uint64_t)wall.tv_sec * 1000 + (uint64_t)wall.tv_usec / 1000;

	CHECK(pid > 0 && pid < UINT64_C(1) << PID_BITS);
	/* The clock may be set back, too. */
	ids->last_ms = wall_ms > ids->last_ms ? wall_ms : ids->last_ms + 1;
	return (ids->last_ms & ((UINT64_C(1) << MS_BITS) - 1)) << PID_BITS |
	       pid;
}

void
session_id_text(uint64_t id, char text[SESSION_ID_SIZE])
{
	for (int i = SESSION_ID_LENGTH - 1; i >= 0; i--) {
		text[i] = digits[id & ((1U << DIGIT_BITS) - 1)];
		id >>= DIGIT_BITS;
	}
	text[SESSION_ID_LENGTH] = '\0';
}
