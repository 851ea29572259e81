/* fairshare_file: a struct fairshare (common/limits/fairshare.h) in a file.
 *
 * KIND.HASH in the state directory, by the name of what it limits; a keepfile
 * (agent/state/persist.h), whose locks and members are its users' affair. Other
 * processes, and whoever may write to the directory, can have left anything
 * there: what is read is a copy, moved to the times of this boot and repaired.
 * Times are monotonic microseconds.
 */
#ifndef FAIRSHARE_FILE_H
#define FAIRSHARE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/state/persist.h"
#include "agent/state/statefile.h"
#include "common/limits/fairshare.h"

/* Never NULL; *error (of n octets) is "" or says why the value is in memory
 * alone. dir may be NULL. Close with persist_close(). */
struct persist *fairshare_file_open(const struct statefile_dir *dir,
    const char *kind, const char *name, char *error, size_t n);

/* now_us 0: not known, and any time is believed. *shift_us_out: what was added
 * to stored times, after a reboot. True: it was not as it should be. */
bool fairshare_file_read(struct persist *file, int64_t now_us,
    struct fairshare *out, int64_t *shift_us_out);

/* The same for a file of one lane, with a warning about what (its name) where
 * it was damaged. True: *out differs from what is stored. */
bool fairshare_file_load(struct persist *file, struct fairshare *out,
    const char *what, int64_t now_us);

/* Of a file that somebody else opened, as it counts now; no lock is taken.
 * boot: as for persist_read(). False: it is of another kind or version. */
bool fairshare_file_look(
    int fd, uint64_t boot, int64_t now_us, struct fairshare *out);

/* Such a file holds nothing that is still of use. */
bool fairshare_file_is_spent(int fd, uint64_t boot, int64_t now_us);

#endif
