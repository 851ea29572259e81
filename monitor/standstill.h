/* standstill: that nothing of a lane goes now, though nobody asked for that.
 *
 * What is told is what its mail meets now: settings that cannot be used, a host
 * that cannot be reached, what the last dial failed for. An alarm that stands
 * is what somebody has to look at, and may be of before. Pure.
 */
#ifndef STANDSTILL_H
#define STANDSTILL_H

#include <stdbool.h>

#include "monitor/model.h"

/* The first alarm of the lane that its mail still meets, or may; NULL: none. */
const struct model_alarm *standstill_alarm(
    const struct model *m, const struct model_lane *lane);

/* What its mail meets now in place of that alarm, in its own words; NULL: the
 * alarm itself. */
const char *standstill_instead(
    const struct model_lane *lane, const struct model_alarm *alarm);

enum { STANDSTILL_SIZE = BOARD_WHY_ALL + 160 };

/* Half a sentence: "the smarthost is down since 15:14:03: ...". False: mail
 * goes, or nothing is known to hold it. */
bool standstill_say(
    const struct model *m, const struct model_lane *lane, char *text, size_t n);

/* What is to be done about such an alarm, as one imperative: "put the right
 * one into smtp_sasl_password_maps = ..."; NULL: there is nothing to do but to
 * wait. */
const char *standstill_remedy(
    const struct model_lane *lane, const char *what, char *text, size_t n);

#endif
