/* mem: allocation that returns memory or does not return.
 *
 * Out of memory ends the process: the queue manager then keeps every message,
 * which is the safest thing left. It follows that each size driven by a peer
 * must be capped before it reaches these functions.
 */
#ifndef MEM_H
#define MEM_H

#include <stddef.h>

/* Uninitialised / zeroed storage of n octets (n may be 0). Caller frees. */
void *mem_alloc(size_t n) __attribute__((malloc, returns_nonnull));
void *mem_zalloc(size_t n) __attribute__((malloc, returns_nonnull));

/* Array of count elements of size octets, zeroed; overflow is fatal. */
void *mem_zarray(size_t count, size_t size)
    __attribute__((malloc, returns_nonnull));

/* Like realloc(3); p may be NULL. */
void *mem_realloc(void *p, size_t n) __attribute__((returns_nonnull));

/* NUL-terminated copies; the caller frees. mem_strdup(NULL) is a bug. */
char *mem_strdup(const char *s) __attribute__((malloc, returns_nonnull));
char *mem_strndup(const char *s, size_t n)
    __attribute__((malloc, returns_nonnull));

/* printf into a fresh string; the caller frees. */
char *mem_printf(const char *format, ...)
    __attribute__((malloc, returns_nonnull, format(printf, 1, 2)));

/* free(3); NULL is allowed. */
void mem_free(void *p);

/* Overwrites a secret before it is freed, in a way the compiler keeps. */
void mem_wipe(void *p, size_t n);

#endif
