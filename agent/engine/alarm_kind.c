#include "agent/engine/alarm_kind.h"

#include <stddef.h>
#include <string.h>

#include "common/base/log.h"

static const char *const names[ALARM_KINDS] = {
    [ALARM_LOGIN] = "login",
    [ALARM_BLOCKED] = "blocked",
    [ALARM_CERTIFICATE] = "certificate",
    [ALARM_OUTAGE] = "outage",
    [ALARM_TOKEN] = "token",
};

const char *
alarm_kind_name(enum alarm_kind kind)
{
	CHECK((size_t)kind < ALARM_KINDS);
	return names[kind];
}

bool
alarm_kind_find(const char *name, enum alarm_kind *kind_out)
{
	for (size_t i = 0; i < ALARM_KINDS; i++)
		if (strcmp(names[i], name) == 0) {
			*kind_out = (enum alarm_kind)i;
			return true;
		}
	return false;
}
