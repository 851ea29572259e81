/* mailbox: addresses of message headers (RFC 822), and their two forms.
 *
 *   external   "a b"@example.com   as in a header, quoted where needed
 *   internal   a b@example.com     as in an envelope or a queue file
 *
 * A list keeps all there is in a header: names, comments, groups, what it does
 * not understand. Written out again it says the same, with commas that were
 * missing and blanks as smtp(8) sets them. Source: RFC 822; Postfix
 * src/global/tok822_parse.c, quote_822_local.c, src/trivial-rewrite/rewrite.c.
 */
#ifndef MAILBOX_H
#define MAILBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"

/* Internal to external form and back, at the end of out. */
void mailbox_quote(struct buf *out, const char *internal);
/* The same for a local part alone: an "@" in it is quoted. */
void mailbox_quote_local(struct buf *out, const char *local);
void mailbox_unquote(struct buf *out, const char *external);

/* How an address is completed (append_at_myorigin and its like). */
struct mailbox_manner {
	const char *origin; /* for addresses without domain; empty: none */
	const char *domain; /* for domains without a dot; empty: none */
	bool swaps_bangpath, takes_percent;
};

/* Completes an address in external form; the result is external, too. */
void mailbox_complete(
    struct buf *out, const char *external, const struct mailbox_manner *manner);

struct mailbox_list;

/* Never NULL; linear in time and memory. */
struct mailbox_list *mailbox_list_parse(const char *text);
void mailbox_list_free(struct mailbox_list **list);

/* fn for each address, outer ones only: fills out with another internal form
 * of it and returns true, or leaves it alone. false: none was changed, and
 * mailbox_list_write() is not worth while. */
typedef bool mailbox_fn(void *ctx, const char *internal, struct buf *out);
bool mailbox_list_map(struct mailbox_list *list, mailbox_fn *fn, void *ctx);

/* The first address in external form; false: there is none. */
bool mailbox_list_first(const struct mailbox_list *list, struct buf *out);

/* At the end of out, a line feed behind each comma. Of names and comments of
 * more than 250 octets around one address only the address is kept. */
void mailbox_list_write(const struct mailbox_list *list, struct buf *out);

#endif
