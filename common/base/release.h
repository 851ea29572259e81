/* release: the version of postlane, from the file VERSION. */
#ifndef RELEASE_H
#define RELEASE_H

/* "0.9.0", without an end of line. */
const char *release_version(void);

#endif
