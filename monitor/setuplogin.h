/* setuplogin: the login of a next hop, a line of a table such as texthash
 * reads:
 *
 *   [mail.example.com]:587 user:password
 *
 * What was read and written is wiped from memory; a login that is given, by who
 * gave it.
 */
#ifndef SETUPLOGIN_H
#define SETUPLOGIN_H

#include <stdbool.h>

/* It can be read, or is not there, or not this user's to read. False: errno. */
bool setuplogin_can_read(const char *path);

/* The table has a line for the nexthop. */
bool setuplogin_has(const char *path, const char *nexthop);

/* Its last line has no end. */
bool setuplogin_is_unended(const char *path);

/* Adds the line. False: errno says why. */
bool setuplogin_add(const char *path, const char *nexthop, const char *login);

/* The line goes, with the end that it gave to the one before (was_unended), if
 * it is there; a table in which nothing is left, too, if it was made for it
 * (was_made). False: errno says why. */
bool setuplogin_remove(
    const char *path, const char *nexthop, bool was_made, bool was_unended);

#endif
