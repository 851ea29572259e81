/* clean: texts of others, for a terminal and as JSON.
 *
 * Addresses, replies and what a process answers are whatever somebody wrote:
 * octets that are not printable UTF-8 become '?' (log_safe()), so that none of
 * them steers a terminal and each of them is a JSON string.
 */
#ifndef CLEAN_H
#define CLEAN_H

struct json_t;

/* A new string of it. */
struct json_t *clean_string(const char *text);

/* All strings in it, also where JSON wrote them as \uXXXX. */
void clean_all(struct json_t *value);

#endif
