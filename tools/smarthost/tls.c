#include "tools/smarthost/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "tools/smarthost/forge.h"

enum { CERT_DAYS = 3650, READ_BUFFER = 128 << 10 };

const char *
tls_error(void)
{
	unsigned long code = ERR_get_error();
	const char *text = code ? ERR_reason_error_string(code) : NULL;

	ERR_clear_error();
	return text ? text : "connection closed";
}

static void
add_extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *ext;
	X509V3_CTX ctx;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	if (ext == NULL || X509_add_ext(cert, ext, -1) != 1)
		log_fatal("certificate: %s: %s", value, tls_error());
	X509_EXTENSION_free(ext);
}

static X509 *
make_cert(EVP_PKEY *key, const char *hostname)
{
	X509 *cert = X509_new();
	X509_NAME *name = X509_get_subject_name(cert);
	char *names =
	    mem_printf("DNS:localhost,DNS:%s,IP:127.0.0.1,IP:::1", hostname);

	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 86400L * CERT_DAYS);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
	    (const unsigned char *)hostname, -1, -1, 0);
	X509_set_issuer_name(cert, name);
	X509_set_pubkey(cert, key);
	add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
	add_extension(cert, NID_subject_key_identifier, "hash");
	add_extension(cert, NID_subject_alt_name, names);
	mem_free(names);
	if (X509_sign(cert, key, EVP_sha256()) == 0)
		log_fatal("certificate: %s", tls_error());
	return cert;
}

static void
use_made_cert(SSL_CTX *ctx, const struct options *o)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert;
	FILE *f;

	if (key == NULL)
		log_fatal("key: %s", tls_error());
	cert = make_cert(key, o->hostname);
	if (SSL_CTX_use_certificate(ctx, cert) != 1 ||
	    SSL_CTX_use_PrivateKey(ctx, key) != 1)
		log_fatal("certificate: %s", tls_error());
	if (o->write_cert != NULL) {
		f = fopen(o->write_cert, "we");
		if (f == NULL || PEM_write_X509(f, cert) != 1 || fclose(f) != 0)
			log_fatal("%s: %s", o->write_cert, strerror(errno));
	}
	X509_free(cert);
	EVP_PKEY_free(key);
}

SSL_CTX *
tls_context(const struct options *o)
{
	static const unsigned char session_id[] = "smarthost";
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ctx == NULL)
		log_fatal("TLS: %s", tls_error());
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	if (o->tls12)
		SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
				  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				  SSL_MODE_RELEASE_BUFFERS);
	/* One read call for several records: the kernel call is what costs. */
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, READ_BUFFER);
	SSL_CTX_set_session_id_context(ctx, session_id, sizeof(session_id) - 1);
	if (!o->tickets) {
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
		SSL_CTX_set_num_tickets(ctx, 0);
		SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	}
	forge_listen(ctx);
	if (o->cert == NULL) {
		use_made_cert(ctx, o);
	} else if (SSL_CTX_use_certificate_chain_file(ctx, o->cert) != 1 ||
		   SSL_CTX_use_PrivateKey_file(ctx, o->key, SSL_FILETYPE_PEM) !=
		       1 ||
		   SSL_CTX_check_private_key(ctx) != 1) {
		log_fatal("%s, %s: %s", o->cert, o->key, tls_error());
	}
	return ctx;
}
