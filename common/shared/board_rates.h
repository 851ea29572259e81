/* board_rates: limits in force as rows of the board, for whoever looks at them
 * and cannot reckon with buckets and quotas. Pure; time is an argument.
 */
#ifndef BOARD_RATES_H
#define BOARD_RATES_H

#include <stddef.h>

#include "common/base/clock.h"
#include "common/limits/limitset.h"
#include "common/shared/board.h"

/* The limits of s (NULL: none) that somebody asks for, as rows, up to max; how
 * many. unit: what the share's first unit is; now is the time of both clocks.
 */
size_t board_rates_fill(const struct limitset *s, enum board_rate_unit unit,
    struct board_rate *rows, size_t max, struct moment now);

#endif
