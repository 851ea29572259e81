/* sasl: the client's side of one login, by libsasl2 (RFC 4422, RFC 4954), or,
 * with an access token, by our own two mechanisms (bearer.h).
 *
 *   sasl_new -> sasl_start -> "AUTH PLAIN AHVzZXIAcGFzcw=="
 *                  334 text -> sasl_next -> response line ...
 *
 * No I/O and no SMTP: mechanisms and challenges in, Base64 lines out. Which
 * mechanism may be used is decided as in smtp(8): what the server offers, less
 * smtp_sasl_mechanism_filter, less what the security options forbid (words of
 * smtp_sasl_security_options). SASL security layers are never negotiated.
 *
 * Login and password are copied and wiped by sasl_free(); lines appended to a
 * buffer hold secrets too, the caller wipes them. Nothing here is logged but
 * the library's own complaints, which carry no secret below its debug levels.
 */
#ifndef AGENT_SASL_H
#define AGENT_SASL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/slice.h"

enum {
	SASL_LINE_MAX = 65536, /* longest response line we would send */
	SASL_CHALLENGE_MAX = 8192,
	SASL_STEPS_MAX = 100,
};

struct sasl;

/* Loads the library's plug-ins, and sees to it that a login asks no name server
 * for the name of this host: before chroot and before privileges are dropped.
 * Counted; false with *why_out set (static text) when it fails. */
bool sasl_open(const char **why_out);
void sasl_close(void);

/* Who logs in where, and how. */
struct sasl_login {
	const char *host; /* the server's name; mechanisms use it */
	const char *user, *password;
	const char *options; /* words of smtp_sasl_security_options */
	/* Name the user as authorisation identity, too (RFC 4422 3.4.1):
	 * send_cyrus_sasl_authzid. Servers refuse it that compare the text. */
	bool has_authzid;
	/* Instead of the password; NULL: none. noplaintext does not speak
	 * against it: the caller sends it over TLS alone. */
	const char *token;
	uint16_t port; /* of the server; only with a token */
};

/* Copies of all. NULL when the library refuses; then why has one line. */
struct sasl *sasl_new(
    const struct sasl_login *login, char *why, size_t why_size);
void sasl_free(struct sasl **sasl);

/* Chooses a mechanism of offered (blanks between). On success *mech_out is
 * its name (borrowed) and out has the Base64 initial response, when
 * *has_initial_out ("=" when it is empty). False: why says it in the library's
 * words, e.g. "no mechanism available". */
bool sasl_start(struct sasl *sasl, const char *offered, const char **mech_out,
    struct buf *out, bool *has_initial_out, char *why, size_t why_size);

/* Answers the Base64 text of a 334 reply with a line (no CRLF, may be empty).
 */
bool sasl_next(struct sasl *sasl, struct slice challenge, struct buf *out,
    char *why, size_t why_size);

/* What the server said of a token that it does not take, as words, before it
 * refused the login; "" when it did not say. */
const char *sasl_refusal(const struct sasl *sasl);

/* The mechanism has nothing more to say and is content: with mutual
 * authentication, the server has proved itself. */
bool sasl_is_done(const struct sasl *sasl);

/* The mechanism lets the server prove itself (SCRAM, GSSAPI, DIGEST-MD5). */
bool sasl_is_mutual(const struct sasl *sasl);

/* Writes the offered mechanisms that smtp_sasl_mechanism_filter lets pass,
 * blanks between: words, "!" negates, the first match decides, no match is no;
 * an empty list lets all pass. False with *error_out set for a word of a kind
 * not known here. */
bool sasl_filter(const char *filter, const char *offered, char *out, size_t n,
    const char **error_out);

#endif
