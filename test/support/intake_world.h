/* intake_world: an intake on a socket in a directory of its own, and the queue
 * manager's side of it.
 */
#ifndef INTAKE_WORLD_H
#define INTAKE_WORLD_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>

#include "agent/postfix/intake.h"
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/slice.h"

#define INTAKE_WORLD_ID "4F69BA7A8B9" /* of requests/one-rcpt */
#define INTAKE_WORLD_PATH "active/" INTAKE_WORLD_ID

enum { DEADLINE_MS = 20000, HOLD_LIMIT_MS = 300000, QMGR_MAX = 1000 };

enum { RCPT_OFF = 657, FILE_SIZE = 1000 };

/* An agent's intake on a socket in a directory of its own. */
struct world {
	struct loop *loop;
	struct settings set;
	struct intake *intake;
	int listen_fd, home_fd;
	char dir[64];
	struct buf wire; /* one captured request */
	/* what the lane does and saw */
	bool may_greet, drop_on_hangup, finish_at_once;
	int64_t greet_until_ms;
	struct request *reqs[QMGR_MAX];
	size_t req_count, asked, hangups, first_accepts;
};

extern size_t intake_world_warnings;

char intake_world_read_mark(void);
bool intake_world_is_locked(void);
struct sockaddr_un intake_world_address(void);
void intake_world_open(struct world *w);
int intake_world_set_up(void **state);
int intake_world_tear_down(void **state);
void intake_world_turn(struct world *w);
void intake_world_settle(struct world *w);
int intake_world_qmgr_connect(void);
ssize_t intake_world_peek(int fd);
void intake_world_expect(struct world *w, int fd, const char *fixture);
void intake_world_send_all(int fd, struct slice octets);
int intake_world_qmgr_request(struct world *w);

#define UNTIL(w, cond)                                                         \
	do {                                                                   \
		int64_t end_ms = clock_mono_ms() + DEADLINE_MS;                \
		while (!(cond)) {                                              \
			if (clock_mono_ms() > end_ms)                          \
				fail_msg("in vain: %s", #cond);                \
			intake_world_turn(w);                                  \
		}                                                              \
	} while (0)

#endif
