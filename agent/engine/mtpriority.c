#include "agent/engine/mtpriority.h"

#include <stddef.h>
#include <strings.h>

#include "agent/engine/pacer.h"
#include "common/base/log.h"

/* One digit, with a sign or not: RFC 6710 has no "+" and no "-0". */
static bool
parse(const char *value, int *out)
{
	bool is_negative = *value == '-';

	value += is_negative;
	if (*value < (is_negative ? '1' : '0') || *value > '9' ||
	    value[1] != '\0')
		return false;
	*out = is_negative ? '0' - *value : *value - '0';
	return true;
}

bool
mtpriority_is_valid(const char *value)
{
	int number;

	return strcasecmp(value, "no") == 0 || strcasecmp(value, "yes") == 0 ||
	       parse(value, &number);
}

bool
mtpriority_get(const char *value, const char *priority, int *out)
{
	int weight;

	if (value == NULL || strcasecmp(value, "no") == 0)
		return false;
	if (strcasecmp(value, "yes") != 0)
		return parse(value, out);
	weight = pacer_weight(priority != NULL ? priority : "urgent");
	*out = weight >= pacer_weight("urgent")   ? 4
	       : weight >= pacer_weight("normal") ? 0
						  : -4;
	return true;
}
