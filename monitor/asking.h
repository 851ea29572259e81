/* asking: one question to a lane that runs (common/shared/askproto.h). */
#ifndef ASKING_H
#define ASKING_H

#include <stdbool.h>
#include <stddef.h>

enum asking_result {
	ASKING_OK, /* answer: what follows the "ok" */
	ASKING_REFUSED, /* answer: the lane's sentence */
	ASKING_NOBODY, /* no process is there to answer */
	ASKING_SILENT, /* there is one, and it does not answer in time */
};

/* lane_name: as on the board. answer has n octets and is printable. */
enum asking_result asking_ask(const char *directory, const char *lane_name,
    const char *question, char *answer, size_t n);

#endif
