/* token_main: "lane token", the service that fetches access tokens, and what
 * an administrator asks it.
 *
 *   lane-token unix - n n - 1 lane token       in master.cf
 *   lane token NAME [-o name=value]...         how the token stands
 *   lane token NAME --login [-o name=value]... logs in, where a person has to
 *
 * The service reads lane_token_directory as root, then becomes mail_owner for
 * good: secrets are in its memory, which no other process of that user can look
 * at, and in no file that it can read but the refresh tokens', whose
 * descriptors it keeps. It is not chrooted, as names are looked up and
 * authorities read by libcurl. It is the same program as the lanes, so that
 * there is one to install and to replace, and another process, so that those
 * who talk to mail servers have no secrets and the one that has them talks to
 * no mail server.
 */
#ifndef TOKEN_MAIN_H
#define TOKEN_MAIN_H

#include <stdbool.h>

/* "token" is the first word, or the word behind the options of master(8). */
bool token_is_wanted(int argc, char *const *argv);

/* The exit status. */
int token_main(int argc, char **argv);

#endif
