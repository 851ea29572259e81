#include "agent/smarthost/rpk.h"

#include <openssl/ssl.h>

#if OPENSSL_VERSION_NUMBER >= 0x30200000L
bool
rpk_ask(struct ssl_st *ssl)
{
	static const unsigned char kinds[] = {
	    TLSEXT_cert_type_rpk, TLSEXT_cert_type_x509};

	return SSL_set1_server_cert_type(ssl, kinds, sizeof(kinds)) == 1;
}

struct evp_pkey_st *
rpk_of_peer(const struct ssl_st *ssl)
{
	return SSL_get0_peer_rpk(ssl);
}
#else
bool
rpk_ask(struct ssl_st *ssl)
{
	(void)ssl;
	return false;
}

struct evp_pkey_st *
rpk_of_peer(const struct ssl_st *ssl)
{
	(void)ssl;
	return NULL;
}
#endif
