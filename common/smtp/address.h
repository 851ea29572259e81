/* address: from the queue's internal form of an address to the outside's.
 *
 * Inside Postfix an address is bare: `a b@example.com`. On the wire the local
 * part must be a dot-string or a quoted-string (RFC 5321 4.1.2), in a log line
 * a word or a quoted-string (RFC 5322 3.4.1): `"a b"@example.com`. The local
 * part is all before the last "@". Octets above 127 are left alone.
 */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/slice.h"

/* Appends the RFC 5321 form without angle brackets. False, with out unchanged,
 * for what could not be sent as one path or might be read as something else:
 * CR, LF or NUL anywhere, a control character, blank, "<" or ">" in the
 * domain; an octet above 127 when allow_utf8 is off; or no room in out. The
 * empty address gives nothing and is fine. */
bool address_to_smtp(struct buf *out, struct slice internal, bool allow_utf8);

/* Appends the external form as Postfix logs it (info_log_address_format =
 * external). Never refuses; the text is not yet printable, the log makes it
 * so. False only for want of room. */
bool address_to_log(struct buf *out, struct slice internal);

/* True when address_to_smtp() would accept it, given room. */
bool address_is_sendable(struct slice internal, bool allow_utf8);

/* What follows the last "@", empty when there is none. Borrowed. */
struct slice address_domain(struct slice internal);

/* No octet above 127. */
bool address_is_ascii(struct slice text);

#endif
