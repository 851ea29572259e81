/* ehlo: what a server offers, read from its reply to EHLO (RFC 5321 4.1.1.1).
 *
 * Keywords are compared without case; "KEYWORD=value" is taken like "KEYWORD
 * value" (old servers say AUTH=LOGIN). Unknown keywords are skipped. Keywords
 * in the discard mask are treated as not offered, as smtp(8) does with
 * smtp_discard_ehlo_keywords. Whether an offer may be used (AUTH or REQUIRETLS
 * before TLS, say) is the caller's decision.
 */
#ifndef EHLO_H
#define EHLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/smtp/reply.h"

enum { EHLO_AUTH_SIZE = 512, EHLO_DOMAIN_SIZE = 256, EHLO_PROFILE_SIZE = 24 };

/* Bits of the discard mask, one per word of smtp_discard_ehlo_keywords. Words
 * for extensions this project never uses are known and have a bit too. */
enum {
	EHLO_DISCARD_8BITMIME = 1 << 0,
	EHLO_DISCARD_AUTH = 1 << 1,
	EHLO_DISCARD_ETRN = 1 << 2,
	EHLO_DISCARD_PIPELINING = 1 << 3,
	EHLO_DISCARD_SIZE = 1 << 4,
	EHLO_DISCARD_VERP = 1 << 5,
	EHLO_DISCARD_VRFY = 1 << 6,
	EHLO_DISCARD_XCLIENT = 1 << 7,
	EHLO_DISCARD_XFORWARD = 1 << 8,
	EHLO_DISCARD_STARTTLS = 1 << 9,
	EHLO_DISCARD_ENHANCEDSTATUSCODES = 1 << 10,
	EHLO_DISCARD_DSN = 1 << 11,
	EHLO_DISCARD_SMTPUTF8 = 1 << 12,
	EHLO_DISCARD_CHUNKING = 1 << 13,
	EHLO_DISCARD_REQUIRETLS = 1 << 14,
	EHLO_DISCARD_SILENT = 1 << 15, /* "silent-discard": do not log it */
	EHLO_DISCARD_MT_PRIORITY = 1 << 16, /* a word that smtp(8) skips */
};

struct ehlo {
	bool is_esmtp; /* the reply was 2xx; else nothing else is set */
	bool pipelining, chunking, eightbitmime, smtputf8, dsn;
	bool starttls, requiretls, enhancedstatuscodes, mt_priority;
	bool auth, size_offered;
	unsigned xforward; /* bits of xforward.h; 0: it is not offered */
	uint64_t size_limit; /* octets; 0: none stated, or not understood */
	/* Mechanisms in the order offered, upper case, one blank between, each
	 * once; what does not fit whole is left out. */
	char auth_mechs[EHLO_AUTH_SIZE];
	/* RFC 9422; 0: not stated. */
	unsigned limits_mailmax, limits_rcptmax, limits_rcptdomainmax;
	/* The profile that MT-PRIORITY names, such as "MIXER"; "": none. */
	char mt_profile[EHLO_PROFILE_SIZE];
	char domain[EHLO_DOMAIN_SIZE]; /* the server's name for itself, or "" */
};

void ehlo_parse(
    const struct reply *reply, unsigned discard_mask, struct ehlo *out);

/* Turns words (separated by blanks or commas, any case) into bits. Unknown
 * words are skipped: then false, with the first of them in bad (cut to
 * bad_size - 1 octets); *mask_out is valid all the same. */
bool ehlo_discard_mask(
    const char *words, unsigned *mask_out, char *bad, size_t bad_size);

/* The words of a mask, one blank between. */
void ehlo_discard_text(unsigned mask, char *out, size_t n);

#endif
