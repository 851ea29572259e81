/* fingerprint: settings in a few words, to find out later which of them differ.
 *
 *   words[0]   of which table of parameters it is: its names, in their order
 *   words[1-]  16 bits of each value's hash, four in a word
 *
 * No value can be read from it. Two values may look alike, once in 65536.
 */
#ifndef FINGERPRINT_H
#define FINGERPRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/engine/settings.h"

enum { FINGERPRINT_WORDS = 57 };

void fingerprint_take(
    uint64_t words[FINGERPRINT_WORDS], const struct settings *set);

/* False: of another table, or of nothing. */
bool fingerprint_is_known(const uint64_t words[FINGERPRINT_WORDS]);

/* The parameter i (params_get()) has another value in a than in b. */
bool fingerprint_differs(const uint64_t a[FINGERPRINT_WORDS],
    const uint64_t b[FINGERPRINT_WORDS], size_t i);

#endif
