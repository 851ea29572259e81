/* vault: texts that are not to leave memory: locked (no swap), and not in a
 * core file. One region of its own, so that nothing else is locked with them.
 */
#ifndef VAULT_H
#define VAULT_H

#include <stdbool.h>
#include <stddef.h>

struct vault;

/* With room for n octets, NULs included. NULL with errno: no memory. */
struct vault *vault_new(size_t n);

/* Wipes. */
void vault_free(struct vault **vault);

/* False with errno: it may be swapped out (RLIMIT_MEMLOCK, without
 * CAP_IPC_LOCK). A forked child has to call it anew. */
bool vault_lock(struct vault *vault);

/* A copy, which lives as long as the vault. There must be room. */
char *vault_put(struct vault *vault, const char *text);

/* It is a copy of this vault's (which may be NULL). */
bool vault_holds(const struct vault *vault, const char *text);

#endif
