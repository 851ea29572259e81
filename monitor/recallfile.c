#include "monitor/recallfile.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/state/recall_store.h"
#include "monitor/boardfile.h"

void
recallfile_each(
    const char *directory, const char *lane_name, recall_fn *each, void *ctx)
{
	int dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;
	char name[64];

	if (dir_fd < 0)
		return;
	recall_name(lane_name, name, sizeof(name));
	fd = boardfile_open(dir_fd, name);
	(void)close(dir_fd);
	if (fd < 0)
		return;
	recall_read(fd, each, ctx);
	(void)close(fd);
}

static void
count_one(void *ctx, uint64_t list, const char *queue_id)
{
	(void)list;
	(void)queue_id;
	++*(size_t *)ctx;
}

size_t
recallfile_count(const char *directory, const char *lane_name)
{
	size_t n = 0;

	recallfile_each(directory, lane_name, count_one, &n);
	return n;
}
