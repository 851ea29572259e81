/* stats: what the simulator has seen, for tests and the demo to read.
 *
 * Plain counters of one thread, written as one JSON object by rename, so a
 * reader never sees half a file. `connections` counts from accept until our
 * close or the peer's end was seen, refused ones included.
 * `first_connection_us` is the wall clock, not a count.
 */
#ifndef SMARTHOST_STATS_H
#define SMARTHOST_STATS_H

#include <stdbool.h>
#include <stdint.h>

#define STATS_COUNTERS(X)                                                      \
	X(connections)                                                         \
	X(connections_max)                                                     \
	X(connections_total)                                                   \
	X(connections_refused)                                                 \
	X(first_connection_us)                                                 \
	X(messages)                                                            \
	X(recipients)                                                          \
	X(messages_per_connection_max)                                         \
	X(auths)                                                               \
	X(auth_failures)                                                       \
	X(tls_handshakes)                                                      \
	X(tls_resumed)                                                         \
	X(tls_failures)                                                        \
	X(commands)                                                            \
	X(rsets)                                                               \
	X(quits)                                                               \
	X(errors)                                                              \
	X(throttled)                                                           \
	X(scripted)                                                            \
	X(scripts_read)                                                        \
	X(content_bytes)                                                       \
	X(bytes_in)                                                            \
	X(bytes_out)                                                           \
	X(flood_bytes)                                                         \
	X(pipeline_commands_max)

#define VIOLATIONS(X)                                                          \
	X(EARLY_TALKER, "early_talker")                                        \
	X(PIPELINING, "pipelining")                                            \
	X(LINE_ENDING, "line_ending")                                          \
	X(LINE_LENGTH, "line_length")                                          \
	X(SYNTAX, "syntax")                                                    \
	X(SEQUENCE, "sequence")                                                \
	X(NOT_OFFERED, "not_offered")                                          \
	X(CONTENT_BARE, "content_bare_cr_lf")                                  \
	X(CONTENT_LONG, "content_long_line")                                   \
	X(CONTENT_8BIT, "content_8bit")                                        \
	X(CONTENT_END, "content_no_final_crlf")                                \
	X(CONTENT_DOT, "content_unstuffed_dot")

#define VIOLATION_ENUM(id, name) VIOLATION_##id,
enum violation { VIOLATIONS(VIOLATION_ENUM) VIOLATION_COUNT };
#undef VIOLATION_ENUM

enum { STATS_TEXT = 200, STATS_SLICES = 10 };

struct stats {
#define STATS_FIELD(name) uint64_t name;
	STATS_COUNTERS(STATS_FIELD)
#undef STATS_FIELD
	uint64_t violations, violation_kinds[VIOLATION_COUNT];
	char violation_last[STATS_TEXT];
	/* messages at the last ticks, a ring, for the rate of one second */
	uint64_t tick_messages[STATS_SLICES];
	int64_t tick_ms[STATS_SLICES];
	uint64_t ticks;
};

/* Counts a breach of protocol by the client; text says which. */
void stats_violation(struct stats *s, enum violation kind, uint64_t conn_nr,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Remembers the message count of this moment (a few times a second). */
void stats_tick(struct stats *s, int64_t now_ms);

/* False when the file cannot be written; errno says why. */
bool stats_write(const struct stats *s, const char *path, int64_t now_ms);

#endif
