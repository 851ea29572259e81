/* steerfile: the orders of operators, read and written (common/shared/steer.h).
 *
 *   lock steer.lock -> read steer -> change -> write steer.new -> rename
 *
 * Written as the directory's owner, mode 0600, and whole or not at all; read
 * without the lock.
 */
#ifndef STEERFILE_H
#define STEERFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/clock.h"
#include "common/shared/steer.h"

/* This moment, as orders count time. */
struct steer_now steerfile_now(struct moment now);

/* Without a file there are no orders. False: error says why not. */
bool steerfile_read(
    const char *directory, struct steer *out, char *error, size_t n);

/* Changes the orders under the lock: change() gets them as they are, without
 * those that are over; false: it wants nothing stored. *out is what is stored
 * then, with its serial. */
typedef bool steerfile_fn(void *ctx, struct steer *s);
bool steerfile_change(const char *directory, steerfile_fn *change, void *ctx,
    struct steer *out, char *error, size_t n);

#endif
