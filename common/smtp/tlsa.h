/* tlsa: TLSA records of DNS (RFC 6698 2.1) as mail uses them (RFC 7672 3.1).
 *
 *   usage 2: an authority of the server's    3: the server itself
 *   selector 0: the certificate, 1: its key
 *   matching 0: all of it, 1: SHA-256, 2: SHA-512
 *
 * Usages 0 and 1 mean nothing in SMTP, matching type 255 is for private use:
 * such records are left out, and so are truncated ones. Whether the selector, a
 * digest and its length will do is for whoever compares them. Octets are
 * anybody's; records beyond TLSA_MAX are left out.
 */
#ifndef TLSA_H
#define TLSA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	TLSA_MAX = 100,
	TLSA_TEXT_SIZE = 160,
	TLSA_USAGE_AUTHORITY = 2,
	TLSA_USAGE_SERVER = 3,
};

struct tlsa {
	uint8_t usage, selector, matching;
	unsigned char *data; /* n octets of the set's */
	size_t n;
};

struct tlsa_set {
	struct tlsa records[TLSA_MAX]; /* sorted: equal sets look equal */
	size_t count;
	size_t left_out; /* for what they are, see why */
	char why[TLSA_TEXT_SIZE + 60]; /* of the first of them; else "" */
};

struct tlsa_set *tlsa_set_new(void);
void tlsa_set_free(struct tlsa_set **set);
struct tlsa_set *tlsa_set_dup(const struct tlsa_set *set);

/* Takes the n octets of a record's data, or leaves them out. */
void tlsa_set_add(struct tlsa_set *set, const unsigned char *data, size_t n);

/* "3 1 1 0A1B...": long data has only its ends. */
const char *tlsa_text(const struct tlsa *record, char out[TLSA_TEXT_SIZE]);

#endif
