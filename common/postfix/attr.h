/* attr: attribute lists as Postfix daemons exchange them (NUL flavour).
 *
 *   name NUL value NUL  name NUL value NUL ... NUL
 *
 * An empty name ends a list; an empty value does not. Lists follow each other
 * on a connection without any length prefix, so the reader is incremental: it
 * takes octets as they come and owns a copy of the list it is collecting.
 * Order is kept and names may repeat (a final status has `status` twice). A
 * hash table, `{ NUL ... } NUL` inside a list, is read over: none of its
 * pairs is kept, since nothing postlane is sent has a use for one.
 *
 * Limits: max_bytes octets of one list, its NULs included; max_pairs pairs.
 * Going over either, or a brace out of place, is ATTR_BAD, which lasts until
 * attr_reader_reset().
 *
 * Slices handed out live until the next feed, reset or fini. The octet behind
 * each is a NUL, so slice.p also serves as a C string.
 *
 * Numbers travel as unsigned decimals: -1 is 4294967295 (int, 32 bits) or
 * 18446744073709551615 (long, 64 bits). Reading is strict: digits only.
 *
 * Source: Postfix src/util/attr_print0.c, attr_scan0.c.
 */
#ifndef ATTR_H
#define ATTR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/slice.h"

struct attr_pair {
	struct slice name, value;
};

enum attr_result { ATTR_MORE, ATTR_LIST, ATTR_BAD };

struct attr_span; /* where a pair lies in the octets */

struct attr_reader {
	struct buf octets; /* the list so far, NULs included */
	struct attr_span *spans;
	size_t count, span_cap, max_pairs;
	size_t field_at; /* where the field being read begins */
	size_t name_at; /* its name, while a value is being read */
	bool in_value, in_hash;
	enum attr_result result;
};

/* Allocates nothing until octets come. */
void attr_reader_init(
    struct attr_reader *r, size_t max_bytes, size_t max_pairs);

/* Frees the storage; the reader is then as after attr_reader_init(). */
void attr_reader_fini(struct attr_reader *r);

/* Forgets the list, keeps the storage. */
void attr_reader_reset(struct attr_reader *r);

/* The same, and overwrites the octets, which held a secret; what was kept
 * before the storage grew is not reached. */
void attr_reader_wipe(struct attr_reader *r);

/* Takes octets up to and including the end of one list. *used_out is how many
 * of the n were taken: less than n after ATTR_LIST when the next list follows.
 * Feeding (n > 0) after ATTR_LIST forgets that list and begins the next. */
enum attr_result attr_reader_feed(
    struct attr_reader *r, const char *p, size_t n, size_t *used_out);

/* The i-th pair, in wire order, from 0; false: there are no more. */
bool attr_at(const struct attr_reader *r, size_t i, struct attr_pair *out)
    __attribute__((warn_unused_result));

/* The first pair of that name; false (and *out untouched) when there is none
 * or, for the typed ones, when its value is not of that type. */
bool attr_find(const struct attr_reader *r, const char *name,
    struct slice *value_out) __attribute__((warn_unused_result));
bool attr_get_int(const struct attr_reader *r, const char *name, int32_t *out)
    __attribute__((warn_unused_result));
bool attr_get_long(const struct attr_reader *r, const char *name, int64_t *out)
    __attribute__((warn_unused_result));

/* Appends the octets behind a base64 value; false also when out is full (a
 * part may have been appended then). */
bool attr_get_data(const struct attr_reader *r, const char *name,
    struct buf *out) __attribute__((warn_unused_result));

/* The same for a value at hand, where names repeat and attr_at() is used. */
bool attr_parse_int(struct slice value, int32_t *out)
    __attribute__((warn_unused_result));
bool attr_parse_long(struct slice value, int64_t *out)
    __attribute__((warn_unused_result));

/* Append one attribute; name is not empty. A value is cut at its first NUL,
 * which the wire form cannot carry. */
void attr_put_str(struct buf *out, const char *name, struct slice value);
void attr_put_int(struct buf *out, const char *name, int32_t value);
void attr_put_long(struct buf *out, const char *name, int64_t value);

/* Ends the list. */
void attr_put_end(struct buf *out);

#endif
