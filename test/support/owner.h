/* owner: settings by name, and a mail_owner that every system has. */
#ifndef OWNER_H
#define OWNER_H

#include <pwd.h>

#include "agent/engine/settings.h"

/* The test fails when there is no such parameter or it does not take text. */
void set_by_name(struct settings *set, const char *name, const char *text);

/* Makes a user that exists mail_owner. The tests run as root. */
const struct passwd *set_owner(struct settings *set);

#endif
