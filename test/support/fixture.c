#include "test/support/fixture.h"

#include <dirent.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/log.h"
#include "common/base/mem.h"

void
fixture_read(const char *path, struct buf *out)
{
	char *name = mem_printf("test/fixtures/%s", path);
	FILE *file = fopen(name, "rb");
	char part[4096];
	size_t n;

	if (file == NULL)
		log_fatal("cannot open %s: %m", name);
	buf_init(out, FIXTURE_MAX);
	while ((n = fread(part, 1, sizeof(part), file)) > 0)
		CHECK(buf_add(out, part, n));
	CHECK(!ferror(file));
	(void)fclose(file);
	mem_free(name);
}

size_t
fixture_each(const char *dir, const char *suffix,
    void (*each)(const char *name, void *ctx), void *ctx)
{
	char *path = mem_printf("test/fixtures/%s", dir);
	struct dirent **found;
	int count = scandir(path, &found, NULL, alphasort);
	size_t called = 0, tail = strlen(suffix);

	if (count < 0)
		log_fatal("cannot list %s: %m", path);
	for (int i = 0; i < count; i++) {
		char *name = found[i]->d_name;
		size_t n = strlen(name);

		if (n > tail && strcmp(name + n - tail, suffix) == 0) {
			name[n - tail] = '\0';
			each(name, ctx);
			called++;
		}
		free(found[i]);
	}
	free(found);
	mem_free(path);
	return called;
}

void
fixture_random_init(struct fixture_random *r)
{
	const char *given = getenv("TEST_SEED");
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	r->state =
	    given ? strtoull(given, NULL, 10)
		  : (uint64_t)now.tv_sec * 1000000007U + (uint64_t)now.tv_nsec;
	r->state += r->state == 0;
	printf("TEST_SEED=%" PRIu64 "\n", r->state);
}

size_t
fixture_random_below(struct fixture_random *r, size_t below)
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return (size_t)((r->state * UINT64_C(2685821657736338717)) >> 11) %
	       below;
}

int64_t
fixture_heap(void)
{
	struct mallinfo2 info = mallinfo2();

	return (int64_t)(info.uordblks + info.hblkhd);
}
