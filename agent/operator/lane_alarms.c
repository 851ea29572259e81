#include "agent/operator/lane_alarms.h"

#include "agent/engine/route.h"
#include "common/base/log.h"

static const char *
place_of(const struct route *route, enum alarm_kind kind)
{
	switch (kind) {
	case ALARM_LOGIN:
		return route->login;
	case ALARM_OUTAGE:
		return route->list;
	case ALARM_BLOCKED:
	case ALARM_CERTIFICATE:
	case ALARM_TOKEN:
		break;
	}
	return route->nexthops;
}

static void
raise_alarm(void *ctx, const struct route *route, enum alarm_kind kind,
    const char *reply)
{
	if (kind == ALARM_BLOCKED && route->is_doubted)
		alarm_doubt(ctx, kind, place_of(route, kind), reply);
	else
		alarm_raise(ctx, kind, place_of(route, kind), reply);
}

static void
clear_alarm(void *ctx, const struct route *route, enum alarm_kind kind)
{
	alarm_clear(ctx, kind, place_of(route, kind));
}

static enum lane_stop
stopped(void *ctx, const struct route *route)
{
	const char *blocked = place_of(route, ALARM_BLOCKED);

	if (alarm_is_raised(ctx, ALARM_LOGIN, place_of(route, ALARM_LOGIN)))
		return LANE_STOPPED;
	if (!alarm_is_raised(ctx, ALARM_BLOCKED, blocked))
		return LANE_GOES;
	return alarm_is_doubt(ctx, ALARM_BLOCKED, blocked) ? LANE_DOUBTED
							   : LANE_STOPPED;
}

static const struct lane_alarm_ops lane_handlers = {
    .raise = raise_alarm,
    .clear = clear_alarm,
    .stopped = stopped,
};

void
lane_alarms_serve(struct alarm *alarm, struct lane_ops *ops)
{
	CHECK(ops->alarms == NULL);
	ops->alarms = &lane_handlers;
	ops->alarms_ctx = alarm;
}
