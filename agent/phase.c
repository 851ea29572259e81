#include "agent/phase.h"

#include "common/base/log.h"

#define TO(phase) (1U << PHASE_##phase)

static const unsigned moves[PHASES] = {
    [PHASE_SERVING] = TO(RESTARTING) | TO(DRAINING) | TO(STOPPING),
    [PHASE_RESTARTING] = TO(DRAINING) | TO(STOPPING),
    [PHASE_DRAINING] = TO(STOPPING) | TO(OUT_OF_TIME),
    [PHASE_STOPPING] = TO(OUT_OF_TIME),
    [PHASE_OUT_OF_TIME] = 0,
};

void
phase_set(enum phase *phase, enum phase next)
{
	CHECK((moves[*phase] & 1U << next) != 0);
	*phase = next;
}

bool
phase_is_end(enum phase phase)
{
	return phase == PHASE_DRAINING || phase == PHASE_STOPPING ||
	       phase == PHASE_OUT_OF_TIME;
}
