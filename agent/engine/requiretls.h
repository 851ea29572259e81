/* requiretls: what a message whose sender asks for REQUIRETLS (RFC 8689) wants
 * of a server, as smtp_requiretls_policy has it.
 */
#ifndef REQUIRETLS_H
#define REQUIRETLS_H

enum requiretls {
	REQUIRETLS_ENFORCE, /* a matched certificate, and REQUIRETLS offered */
	REQUIRETLS_STARTTLS, /* TLS; the rest if it is there */
	REQUIRETLS_OPPORTUNISTIC, /* nothing, but all of it that is there */
	REQUIRETLS_DISABLE, /* as if it had not been asked for */
	REQUIRETLS_ERROR, /* nobody knows: it waits */
};

#endif
