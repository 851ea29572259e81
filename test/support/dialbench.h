/* dialbench: everything one test of the dialer needs, on a private loop.
 *
 *   bench_begin -> bench_set ... bench_serve -> bench_dial -> bench_expect_*
 *   -> bench_end, which also asserts that the server's script went through
 *
 * The log is kept in bench_log and must never hold the password.
 */
#ifndef DIALBENCH_H
#define DIALBENCH_H

#include <stdbool.h>

#include "agent/engine/settings.h"
#include "agent/smarthost/credentials.h"
#include "agent/smarthost/dialer.h"
#include "agent/tables/maps.h"
#include "common/base/buf.h"
#include "test/support/fakeserver.h"

/* Parts of scripts. */
#define EHLO_PLAIN "<EHLO client.example", ">250 mx.example"
#define EHLO_TLS "<EHLO client.example", ">250-mx.example", ">250 STARTTLS"
#define EHLO_AUTH                                                              \
	"<EHLO client.example", ">250-mx.example", ">250-PIPELINING",          \
	    ">250 AUTH PLAIN"
#define EHLO_CRAM "<EHLO", ">250-mx.example", ">250 AUTH CRAM-MD5 PLAIN"
#define STARTTLS "<STARTTLS", ">220 go ahead", "tls"
#define AUTH_OK "<AUTH PLAIN AHVzZXIAc2VjcmV0", ">235 welcome"

/* What one test works with. */
struct bench {
	struct settings set;
	struct loop *loop;
	struct fake *fake;
	struct maps *passwords, *policies;
	struct credentials *credentials;
	struct dialer *dialer;
	struct dial *dial;
	struct dial_result result;
	bool is_done;
	char nexthop[200];
	bool must_be_tls; /* the mail is too young for clear text */
	bool may_lead; /* the login, in front of mail */
	struct buf got; /* input of the link handed over */
	bool is_closed;
};

/* For localhost by the trusted authority; for another name; by another
 * authority. */
extern struct fake_cert *bench_good_cert, *bench_wrong_name_cert;
extern struct fake_cert *bench_other_cert;
extern struct fake_ca *bench_ca; /* the trusted authority */
extern struct buf bench_log;

/* Group fixtures. */
int bench_setup(void **state);
int bench_teardown(void **state);

void bench_begin(struct bench *b);
void bench_set(struct bench *b, const char *name, const char *value);

/* Starts the server; the nexthop is [localhost]:port. */
void bench_serve(
    struct bench *b, const char *const *script, struct fake_cert *cert);

/* user/secret for localhost; a policy for the nexthop. */
void bench_use_password(struct bench *b);
void bench_use_policy(struct bench *b, const char *policy);

/* Makes the dialer when there is none, dials, and waits for the result. */
void bench_dial(struct bench *b);
void bench_on_done(void *ctx, struct dial_result *result);

void bench_expect_success(struct bench *b);
void bench_expect_failure(struct bench *b, enum dial_stage stage,
    const char *status, const char *text);
void bench_end(struct bench *b);

#endif
