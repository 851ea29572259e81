/* library_memory: what libraries allocate is had, or the process ends, as with
 * common/base/mem.
 *
 * A library that is told that there is no memory may keep what it has half
 * made: OpenSSL 3 remembers for the life of the process that an algorithm could
 * not be had, and each handshake from then on ends in "unsupported". The queue
 * manager keeps the mail of a process that ends, and the next one is whole.
 *
 * OpenSSL, libevent and Cyrus SASL. c-ares and libcurl give up what they were
 * asked for, and what they answer is looked at; libpcre2 and jansson keep
 * nothing between calls.
 */
#ifndef LIBRARY_MEMORY_H
#define LIBRARY_MEMORY_H

/* Before anything else is asked of these libraries: once, first in main(). */
void library_memory_claim(void);

#endif
