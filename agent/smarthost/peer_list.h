/* peer_list: names and addresses of servers, as in debug_peer_list.
 *
 *   example.com       the host of that name, and those below it
 *   .example.com      those below it
 *   192.0.2.1  [2001:db8::1]  192.0.2.0/24  [2001:db8::]/32
 *
 * Files, tables and "!" are not read: peer_list_is_plain() tells them.
 */
#ifndef PEER_LIST_H
#define PEER_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* Whether the host or its numeric address is in the list. */
bool peer_list_has(const char *list, const char *host, const char *addr);

/* False: the first item that is not understood is in bad. */
bool peer_list_is_plain(const char *list, char *bad, size_t bad_size);

#endif
