/* dnsquestion: a question for what a resolver has validated, and how it was
 * answered.
 *
 * EDNS0 with DO (RFC 4035 3.2.1), and AD as RFC 6840 5.7 has it. c-ares has no
 * option for that: the question is made here and handed over as it is.
 */
#ifndef DNSQUESTION_H
#define DNSQUESTION_H

#include <ares.h>
#include <stdbool.h>
#include <stddef.h>

enum { DNSQUESTION_UDP_SIZE = 1232 };

/* fn is called once, with any reply that there is, from inside too when none
 * can be asked for. */
void dnsquestion_send(ares_channel channel, const char *name, unsigned type,
    ares_callback fn, void *ctx);

/* What ares_query() would have made of a reply: an ARES status. */
int dnsquestion_status(const unsigned char *msg, size_t n);

/* The resolver says that all of it is authentic (AD). */
bool dnsquestion_is_authentic(const unsigned char *msg, size_t n);

/* "MX"; "?" for a type that has no name here. / The type, whatever the case; 0:
 * there is none of that name. */
const char *dnsquestion_type_name(unsigned type);
unsigned dnsquestion_type(const char *name, size_t n);

/* dnssec_probe, "type:name": false when it is neither that nor "". */
bool dnsquestion_probe(
    const char *text, unsigned *type_out, const char **name_out);

#endif
