/* fixture: captured files and repeatable chance, for the unit tests.
 *
 * Tests run in the top directory. A file that cannot be read ends the test
 * program with a message.
 */
#ifndef FIXTURE_H
#define FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

enum { FIXTURE_MAX = 4194304 };

/* Reads test/fixtures/PATH; out is initialised here, the caller finishes it. */
void fixture_read(const char *path, struct buf *out);

/* Calls each(name, ctx) for the files of test/fixtures/DIR that end in suffix,
 * in order of name; name is without the suffix. Returns how many there were. */
size_t fixture_each(const char *dir, const char *suffix,
    void (*each)(const char *name, void *ctx), void *ctx);

/* Octets that are allocated now; only differences mean something, and under a
 * sanitizer, which has an allocator of its own, not even these. */
int64_t fixture_heap(void);

/* A small generator (xorshift64*). The seed comes from TEST_SEED or the clock
 * and is printed, so that a failure can be had again. */
struct fixture_random {
	uint64_t state;
};

void fixture_random_init(struct fixture_random *r);

/* 0 .. below - 1; below > 0. */
size_t fixture_random_below(struct fixture_random *r, size_t below);

#endif
