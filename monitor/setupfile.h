/* setupfile: files of a configuration as texts: read whole, and replaced in one
 * step, with owner, mode and place (through a symbolic link) as they are.
 */
#ifndef SETUPFILE_H
#define SETUPFILE_H

#include <stdbool.h>
#include <sys/stat.h>

/* NULL: errno. Without octets that are NUL, which Postfix's files have not. The
 * caller's. */
char *setupfile_read(const char *path);

/* With the owner and mode of like, or of root alone where there is none. False:
 * errno, and there is no such file. */
bool setupfile_write(
    const char *path, const char *text, const struct stat *like);

/* In one step. False: errno. */
bool setupfile_replace(const char *path, const char *text);

/* Away with what a setupfile_replace() that was killed may have left. */
void setupfile_clean(const char *path);

/* Away with a directory, if it is there, and the files in it. */
void setupfile_remove_directory(const char *path);

#endif
