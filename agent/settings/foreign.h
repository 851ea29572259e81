/* foreign: the parameters that smtp(8) reads and lane does not.
 *
 * Each name that smtp(8), its libraries or its configuration readers know in
 * some release from 3.4 to 3.12 and that is not in our own table (params.h)
 * has a row here, so that no setting of a site is passed over in silence:
 *
 *   FOREIGN_REFUSE   mail would go out otherwise than the site wants: a value
 *                    that asks for something is a problem, and mail waits
 *   FOREIGN_WARN     something is missing that changes no mail: one line at
 *                    start
 *   FOREIGN_FINE     nothing is lost: of other programs, of what is refused
 *                    anyway, or done in another way
 *
 * A value that asks for nothing, as the default does, is harmless wherever it
 * is written. doc/parity.md is made from this table by scripts/parity.
 */
#ifndef FOREIGN_H
#define FOREIGN_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/settings/problems.h"

enum foreign_kind { FOREIGN_REFUSE, FOREIGN_WARN, FOREIGN_FINE };

struct foreign {
	const char *name;
	enum foreign_kind kind;
	const char *since; /* first release of it, "3.4" or later */
	/* values that ask for nothing, '|' between, "-": empty; behind "!" the
	 * words that do ask for something, any other is harmless; NULL: no
	 * value is but what Postfix has when nothing is written */
	const char *harmless;
	const char *about; /* what to use instead, or why nothing is lost */
};

/* In the order of doc/parity.md. */
const struct foreign *foreign_get(size_t i);
size_t foreign_count(void);

/* NULL when the name is not in the table. */
const struct foreign *foreign_find(const char *name);

/* What postconf told of it (expanded; NULL: nothing), and whether it is written
 * in main.cf or with -o: a problem, a warning or nothing. */
void foreign_judge(const struct foreign *foreign, const char *value,
    bool is_written, struct problems *problems);

/* A parameter of the queue manager for one transport, "NAME_recipient_limit"
 * and the like: it is read from main.cf alone. */
bool foreign_is_of_queue_manager(const char *name);

#endif
