/* mtpriority: what lane_mt_priority has MAIL FROM say to a server that offers
 * MT-PRIORITY (RFC 6710): "no", a number from -9 to 9, or "yes", which is
 * lane_priority in numbers that every profile has a place for: urgent (16) and
 * more: 4; normal (4) and more: 0; else -4. What a server makes of a number
 * that its profile does not know is its own affair.
 *
 * It belongs to the lane, as lane_priority does: nothing of a message, no
 * header of it either, makes it another one.
 */
#ifndef MTPRIORITY_H
#define MTPRIORITY_H

#include <stdbool.h>

enum { MTPRIORITY_MIN = -9, MTPRIORITY_MAX = 9 };

/* The value can be understood. */
bool mtpriority_is_valid(const char *value);

/* False: nothing is said. value, priority: of the two parameters, valid; NULL
 * as their defaults. */
bool mtpriority_get(const char *value, const char *priority, int *out);

#endif
