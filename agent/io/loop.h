/* loop: the event loop, a thin face over libevent.
 *
 * One loop per process. Everything runs on it; nothing in the agent blocks
 * for longer than a local file operation. Callbacks may free the object that
 * called them: handles are disarmed at once and their memory goes at the end
 * of the turn.
 */
#ifndef LOOP_H
#define LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct event_base;
struct loop;
struct loop_fd;
struct loop_timer;

typedef void loop_fd_fn(void *ctx, bool readable, bool writable);
typedef void loop_fn(void *ctx);

struct loop *loop_new(void);
/* Calls what was put off. Every watch and every timer must be gone: whoever
 * has one would use the loop's memory when he gives it up. */
void loop_free(struct loop **loop);

/* Runs until loop_stop(). */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* One turn; waits for an event at most until the next timer (tests). */
void loop_once(struct loop *loop);

/* For a library that has events of its own. */
struct event_base *loop_base(const struct loop *loop);

/* fork() for a child that goes on with the loop, on kernel event objects of
 * its own; the parent must leave. A watched signal that arrives meanwhile is
 * not lost: it reaches the child. Not from a callback, but from what
 * loop_defer() calls: one more turn is made first. */
pid_t loop_fork(struct loop *loop);

/* Monotonic time, taken once at the start of each turn. */
int64_t loop_now_ms(const struct loop *loop);
int64_t loop_now_us(const struct loop *loop);

/* Watches fd (not owned), at first for nothing. Level-triggered. */
struct loop_fd *loop_watch(
    struct loop *loop, int fd, loop_fd_fn *fn, void *ctx);
void loop_want(struct loop_fd *w, bool read, bool write);
void loop_unwatch(struct loop_fd **w);

/* A one-shot timer; loop_timer_at() moves it, past times fire next turn. */
struct loop_timer *loop_timer_new(struct loop *loop, loop_fn *fn, void *ctx);
void loop_timer_at(struct loop_timer *t, int64_t at_ms);
/* ... fires after the callbacks of this turn, before any other event. What sets
 * itself again and again in this way keeps all others waiting. */
void loop_timer_soon(struct loop_timer *t);
void loop_timer_cancel(struct loop_timer *t);
void loop_timer_free(struct loop_timer **t);

/* Calls fn(ctx) once, after the callbacks of this turn. Cannot be taken back:
 * for freeing memory and for work that must not run inside a callback. */
void loop_defer(struct loop *loop, loop_fn *fn, void *ctx);

/* Calls fn(ctx) on each arrival of the signal, from the loop. */
void loop_on_signal(struct loop *loop, int signo, loop_fn *fn, void *ctx);

#endif
