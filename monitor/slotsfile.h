/* slotsfile: a look at an account's connection slots.
 *
 * The locks are the truth (common/shared/slots.h), the rows say whose they
 * are. Only read, as boardfile.h says: no mutex is taken, so that a slot which
 * changes hands in this moment may count for nobody.
 */
#ifndef SLOTSFILE_H
#define SLOTSFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/shared/slots.h"

struct slotsfile_member {
	char name[64]; /* of the lane, printable */
	int holds, reserve, wants, limit;
};

struct slotsfile {
	int held, resting; /* of all lanes and former processes */
	int draining; /* of the held: by former processes */
	int wants; /* asked for in vain, by all lanes */
	uint64_t refusals;
	struct slotsfile_member members[SLOTS_MEMBERS]; /* that run */
	int member_count;
};

/* key: of the account, as on the board. False: there is no such file, or not
 * one of this release; *out is then all zero. */
bool slotsfile_read(
    struct slotsfile *out, int dir_fd, uint64_t key, int64_t now_ms);

#endif
