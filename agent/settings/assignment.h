/* assignment: "name = value" or "{ name = value }", as an option of master.cf
 * has it. Blanks round both are dropped; a brace has to be closed at the end.
 * Pure.
 */
#ifndef ASSIGNMENT_H
#define ASSIGNMENT_H

#include <stdbool.h>

/* False: there is no "=", no name, or it is several words. The results are the
 * caller's to free. */
bool assignment_split(const char *text, char **name_out, char **value_out);

#endif
