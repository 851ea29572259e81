/* xtext: encodings of ENVID and ORCPT values (RFC 3461 4, RFC 6533 3).
 *
 *   xtext     a+b=c d -> a+2Bb+3Dc+20d     any octet
 *   unitext   aäb\    -> a\x{E4}b\x{5C}    UTF-8 in, 7-bit out
 *                                          (utf-8-addr-xtext)
 *
 * The encoders append; on failure out holds what it held before.
 */
#ifndef XTEXT_H
#define XTEXT_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/slice.h"

/* False only for want of room. */
bool xtext_encode(struct buf *out, struct slice raw);

/* The same, but "=" stands for itself, as in values of XFORWARD. */
bool xtext_encode_value(struct buf *out, struct slice raw);

/* False when raw is not well-formed UTF-8, or for want of room. */
bool unitext_encode(struct buf *out, struct slice raw);

#endif
