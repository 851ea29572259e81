/* session_id: the short name by which the log and the board tell sessions
 * apart.
 *
 * Ten characters of 0-9, a and consonants, "3k9x2m7q1b": 28 bits of
 * milliseconds of the day's clock (three days) and 22 bits of the process's
 * number, so that no two sessions of a host have the same one within a day,
 * over reloads and processes. The board keeps the number. A process that dials
 * more than once in a millisecond counts ahead of the clock. No system calls.
 */
#ifndef SESSION_ID_H
#define SESSION_ID_H

#include <stdint.h>
#include <sys/time.h>

enum {
	SESSION_ID_LENGTH = 10,
	SESSION_ID_SIZE = SESSION_ID_LENGTH + 1,
};

/* Where a process stands; zeroed at first. */
struct session_ids {
	uint64_t last_ms; /* since the epoch, given away last */
};

/* The next one, never 0. pid: of this process, below 2^22 (PID_MAX_LIMIT). */
uint64_t session_id_next(
    struct session_ids *ids, struct timeval wall, uint64_t pid);

void session_id_text(uint64_t id, char text[SESSION_ID_SIZE]);

#endif
