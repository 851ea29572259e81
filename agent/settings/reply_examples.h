/* reply_examples: replies as servers gave them, and what is to be made of them.
 *
 *   # where they were found
 *   provider ses
 *   eod slow 454 Throttling failure: Maximum sending rate exceeded.
 *   rcpt,eod bounce 550 5.1.1 <jo@example.net>: User unknown
 *
 *   STAGES OUTCOME REPLY
 *
 * STAGES as in rules.h. REPLY is one line with its codes, the lines of a longer
 * one behind each other. OUTCOME is what judgement_word() says:
 *
 *   bounce, defer, slow, pause, connections, reconnect, split   as in rules.h
 *   alarm      the lane stops, or does so when no session lives
 *   suspect    ... when somebody else is told the same
 *   elsewhere  this session's end, and nothing against the message
 *   wait       no mail is concerned
 *   ok         the reply that was hoped for
 *
 * `provider NAME` (at most one, first): the rules of NAME.conf come before the
 * general ones. Lines are kept by `lane -R FILE.replies`, and those in
 * providers/ by the unit tests.
 */
#ifndef REPLY_EXAMPLES_H
#define REPLY_EXAMPLES_H

#include <stdbool.h>

#include "agent/engine/judgement.h"
#include "common/base/buf.h"
#include "common/base/slice.h"

/* word and reply end in NUL. */
typedef void reply_example_fn(void *ctx, int line, enum rule_stage stage,
    const char *word, const char *reply);

/* Calls fn once for each stage of each line. A line that is wrong adds
 * "FILE:LINE: ..." and LF to errors, and false is returned. */
bool reply_examples_each(const char *file, struct slice text,
    reply_example_fn *fn, void *ctx, struct buf *errors);

/* The name behind "provider", empty when there is none. */
struct slice reply_examples_provider(struct slice text);

#endif
