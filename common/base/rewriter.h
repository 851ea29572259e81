/* rewriter: somebody's say over a text, as a plain call for any layer.
 *
 * fn puts what is to stand in the place of text at the end of out, which is
 * empty, and returns REWRITER_DONE; or leaves text as it is. FAILED: nobody
 * knows (the reason was logged). UNKNOWN: somebody else has to be asked, who
 * does not answer at once. An fn of NULL keeps everything.
 */
#ifndef REWRITER_H
#define REWRITER_H

#include "common/base/buf.h"

enum rewriter_result {
	REWRITER_KEPT,
	REWRITER_DONE,
	REWRITER_FAILED,
	REWRITER_UNKNOWN,
};

struct rewriter {
	enum rewriter_result (*fn)(
	    void *ctx, const char *text, struct buf *out);
	void *ctx;
};

static inline enum rewriter_result
rewriter_ask(const struct rewriter *rewriter, const char *text, struct buf *out)
{
	if (rewriter == NULL || rewriter->fn == NULL)
		return REWRITER_KEPT;
	return rewriter->fn(rewriter->ctx, text, out);
}

#endif
