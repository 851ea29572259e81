/* curl_loop: libcurl's multi interface on the loop.
 *
 * One multi handle; its sockets and its timer are watched, and each transfer
 * that ends is handed over, from the loop. The easy handles are their owners'.
 */
#ifndef CURL_LOOP_H
#define CURL_LOOP_H

#include <curl/curl.h>
#include <stdbool.h>

#include "agent/io/loop.h"

struct curl_loop;

/* The transfer is over; easy is still in the multi handle, and curl_loop_end()
 * takes it out. ctx is that of curl_loop_begin(). */
typedef void curl_loop_fn(void *ctx, CURLcode result);

/* NULL: libcurl has no memory. */
struct curl_loop *curl_loop_new(struct loop *loop);

/* No transfer must be left. */
void curl_loop_free(struct curl_loop **curl);

/* Starts the transfer of easy, whose CURLOPT_PRIVATE is used for this. call
 * lives until curl_loop_end(). False: libcurl refuses. */
struct curl_loop_call {
	curl_loop_fn *fn;
	void *ctx;
	bool is_begun; /* curl_loop_begin()'s own */
};
bool curl_loop_begin(
    struct curl_loop *curl, CURL *easy, struct curl_loop_call *call);
void curl_loop_end(struct curl_loop *curl, CURL *easy);

#endif
