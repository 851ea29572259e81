/* origin: who set a limit that is in force.
 *
 * By what main.cf, master.cf and the provider's file say now. A limit that none
 * of them has is one that the running process read before they were changed.
 */
#ifndef ORIGIN_H
#define ORIGIN_H

#include <stdbool.h>
#include <stddef.h>

#include "monitor/model.h"

enum { ORIGIN_SIZE = 256 };

/* Of a parameter: "main.cf", "master.cf -o", "class=slow", "FILE:LINE",
 * "default". */
const char *origin_of_parameter(
    const struct site_lane *lane, const char *name, char *text, size_t n);

/* Where it is set: "FILE:LINE" when that can be found, else as above. */
const char *origin_place_of_parameter(
    const struct site_lane *lane, const char *name, char *text, size_t n);

/* The parameter that asks for such a limit: lane_message_rate_limit ... */
const char *origin_parameter(const char *unit, bool is_account);

/* Where a limit of the lane comes from: "PARAMETER, main.cf". */
const char *origin_of_rate(const struct site_lane *lane,
    const struct model_rate *rate, bool is_account, char *text, size_t n);

/* ... one of the account, by whichever of its lanes asks for it. */
const char *origin_of_account_rate(const struct model *m, size_t account,
    const struct model_rate *rate, char *text, size_t n);

#endif
