/* fakeserver: a scripted server on loopback for tests, with certificates.
 *
 * A thread of its own with blocking calls, so that a script reads from top to
 * bottom as the server lives it. One word or text per line of the script:
 *
 *   ">220 hi"   send the text and CRLF        ">>text"  without CRLF
 *   "<EHLO"     read a line that begins so    "tls"     accept a handshake
 *   "hang"      read until the client ends    "close"   close at once
 *   "reset"     close with RST                "next"    close, accept again
 *   "dribble"   from now on one octet a write "sink N"  read N octets
 *   "key N", "ticket N", "hello N"            send so many TLS messages without
 *               data: KeyUpdate, NewSessionTicket, HelloRequest; then the
 *               peer may have gone
 *   "await"     do nothing before fake_go_on()
 */
#ifndef FAKESERVER_H
#define FAKESERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/io/loop.h"

struct fake;

/* A throw-away authority and a certificate of a server. */
struct fake_ca;
struct fake_cert;

struct fake_ca *fake_ca_new(const char *name);
void fake_ca_free(struct fake_ca **ca);

/* Path of a file with the authority's certificate; removed by free. */
const char *fake_ca_file(const struct fake_ca *ca);

/* dns_name: the only name in it; NULL ca: self-signed. */
struct fake_cert *fake_cert_new(struct fake_ca *ca, const char *dns_name);

/* A certificate that somebody should refuse. */
struct fake_cert_kind {
	int rsa_bits; /* 0: P-256 */
	const char *digest; /* of the signature; NULL: SHA-256 */
	long life_s; /* 0: a day */
};
struct fake_cert *fake_cert_make(struct fake_ca *ca, const char *dns_name,
    const struct fake_cert_kind *kind);
/* What its servers are made from; borrowed. */
struct ssl_ctx_st *fake_cert_ctx(const struct fake_cert *cert);

/* Its servers speak this version of TLS alone. */
void fake_cert_speak(struct fake_cert *cert, int version);

/* Its servers send their key alone to who takes that (RFC 7250); needs an
 * OpenSSL that has it. */
void fake_cert_send_key(struct fake_cert *cert);
void fake_cert_free(struct fake_cert **cert);

/* SHA-256 of the key, as a certificate has it. */
void fake_key_fingerprint(const struct fake_cert *cert, char *out, size_t n);

/* SHA-256 of the certificate, "AA:BB:...". */
void fake_fingerprint(const struct fake_cert *cert, char *out, size_t n);

/* The script ends with NULL and is borrowed; so is cert (may be NULL). */
struct fake *fake_start(const char *const *script, struct fake_cert *cert);
int fake_port(const struct fake *fake);

/* The script goes on behind its next "await". */
void fake_go_on(struct fake *fake);

/* Waits for the end of the script; NULL when all went as written, else what
 * did not. Valid until fake_free(). */
const char *fake_finish(struct fake *fake);

/* All lines read, LF between. After fake_finish(). */
const char *fake_heard(const struct fake *fake);
/* Handshakes that resumed a session. */
int fake_resumed(const struct fake *fake);
void fake_free(struct fake **fake);

/* Runs the loop until *flag, at most 10 s; false when that was too long. */
bool fake_run_until(struct loop *loop, const bool *flag);

/* A blocking connect to the port, then non-blocking; for test_link. */
int fake_connect(int port);

#endif
