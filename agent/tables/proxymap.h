/* proxymap: a client of proxymap(8), which reads tables for those who cannot.
 *
 * One connection, one question at a time, the rest wait in order; when one gets
 * no answer in time, those behind it have waited as well and fail with it. The
 * server
 * greets since Postfix 3.6; the form of a question changed in 3.11:
 *
 *   request=lookup table=T:N flags=F key=K                     -> status value
 *   request=lookup table=T:N instance_flags=F flags=F key=K    (3.11)
 *
 * It runs as mail_owner and only opens tables listed in proxy_read_maps.
 */
#ifndef PROXYMAP_H
#define PROXYMAP_H

#include <stdint.h>

#include "agent/io/loop.h"

enum proxymap_result { PROXYMAP_FOUND, PROXYMAP_NOT_FOUND, PROXYMAP_ERROR };

struct proxymap;
struct proxymap_query;

/* text: the value, or the error. Valid during the call. */
typedef void proxymap_fn(
    void *ctx, enum proxymap_result result, const char *text);

/* path is copied. mail_version decides the protocol. */
struct proxymap *proxymap_new(struct loop *loop, const char *path,
    const char *mail_version, int64_t timeout_ms);

/* Unanswered queries get no callback. */
void proxymap_free(struct proxymap **proxymap);

/* Asks table ("type:name") for key. The callback comes from the loop, once,
 * unless cancelled. */
struct proxymap_query *proxymap_ask(struct proxymap *proxymap,
    const char *table, const char *key, proxymap_fn *fn, void *ctx);
void proxymap_cancel(struct proxymap_query **query);

#endif
