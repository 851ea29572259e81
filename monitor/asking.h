/* asking: one question to a lane that runs (common/shared/askproto.h).
 *
 * The state directory is mail_owner's, and root asks: a socket is spoken to
 * only if it lies there itself, and directory's owner or root has made it and
 * listens.
 */
#ifndef ASKING_H
#define ASKING_H

#include <stdbool.h>
#include <stddef.h>

enum asking_result {
	ASKING_OK, /* answer: what follows the "ok" */
	ASKING_REFUSED, /* answer: the lane's sentence, or that it is none */
	ASKING_NOBODY, /* no process is there to answer */
	ASKING_SILENT, /* there is one, and it does not answer in time */
};

/* lane_name: as on the board. answer has n octets and is printable. */
enum asking_result asking_ask(const char *directory, const char *lane_name,
    const char *question, char *answer, size_t n);

/* A question that is answered line after line, without an end: the connection
 * behind the "ok", for the caller to read, which does not block, and to close.
 * -1: *result says why not, as above. */
int asking_open(const char *directory, const char *lane_name,
    const char *question, enum asking_result *result, char *answer, size_t n);

#endif
