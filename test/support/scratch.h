/* scratch: a private directory for one test program, with a Postfix
 * configuration in it. Removed at exit. */
#ifndef SCRATCH_H
#define SCRATCH_H

/* Path of the directory; made on the first call. */
const char *scratch_dir(void);

/* "DIR/name", in one of a few static places. */
const char *scratch_path(const char *name);

/* Writes a file of the directory; subdirectories are made. */
void scratch_write(const char *name, const char *content);

/* Writes main.cf with the few lines every instance needs and these in
 * addition, an empty master.cf, and sets MAIL_CONFIG. */
void scratch_config(const char *lines);

#endif
