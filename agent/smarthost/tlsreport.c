#include "agent/smarthost/tlsreport.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "common/base/clean.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum { ONE_LINE = 400 };

static json_int_t
seconds_of(const ASN1_TIME *date)
{
	struct tm tm = {0};

	return ASN1_TIME_to_tm(date, &tm) == 1 ? (json_int_t)timegm(&tm) : 0;
}

static json_t *
line_of(const X509_NAME *name)
{
	char text[ONE_LINE] = "";

	(void)X509_NAME_oneline(name, text, sizeof(text));
	return clean_string(text);
}

static void
add_text(json_t *list, const ASN1_STRING *value)
{
	char *text = mem_strndup((const char *)ASN1_STRING_get0_data(value),
	    (size_t)ASN1_STRING_length(value));

	CHECK(json_array_append_new(list, clean_string(text)) == 0);
	mem_free(text);
}

static void
add_address(json_t *list, const ASN1_OCTET_STRING *value)
{
	int n = ASN1_STRING_length(value);
	int family = n == 4 ? AF_INET : n == 16 ? AF_INET6 : 0;
	char text[INET6_ADDRSTRLEN];

	if (family != 0 && inet_ntop(family, ASN1_STRING_get0_data(value), text,
			       sizeof(text)) != NULL)
		CHECK(json_array_append_new(list, clean_string(text)) == 0);
}

static json_t *
names_of(X509 *cert)
{
	GENERAL_NAMES *names =
	    X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	json_t *list = json_array();
	char common[ONE_LINE] = "";

	for (int i = 0;
	     i < sk_GENERAL_NAME_num(names) && i < TLSREPORT_NAMES_MAX; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_DNS)
			add_text(list, name->d.dNSName);
		else if (name->type == GEN_IPADD)
			add_address(list, name->d.iPAddress);
	}
	GENERAL_NAMES_free(names);
	if (json_array_size(list) == 0 &&
	    X509_NAME_get_text_by_NID(X509_get_subject_name(cert),
		NID_commonName, common, sizeof(common)) > 0)
		CHECK(json_array_append_new(list, clean_string(common)) == 0);
	return list;
}

static void
add_certificate(json_t *list, X509 *cert)
{
	json_t *one = json_pack("{s:o, s:o, s:o, s:I, s:I}", "subject",
	    line_of(X509_get_subject_name(cert)), "issuer",
	    line_of(X509_get_issuer_name(cert)), "names", names_of(cert),
	    "from_s", seconds_of(X509_get0_notBefore(cert)), "until_s",
	    seconds_of(X509_get0_notAfter(cert)));

	CHECK(one != NULL && json_array_append_new(list, one) == 0);
}

static json_t *
chain_of(struct ssl_st *ssl)
{
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
	json_t *list = json_array();

	for (int i = 0; i < sk_X509_num(chain) && i < TLSREPORT_CHAIN_MAX; i++)
		add_certificate(list, sk_X509_value(chain, i));
	ERR_clear_error();
	return list;
}

json_t *
tlsreport_of(
    struct ssl_st *ssl, const struct tls_facts *facts, const char *level)
{
	json_t *report = json_pack("{s:s, s:s, s:s, s:b, s:b, s:b, s:o, s:o}",
	    "version", SSL_get_version(ssl), "cipher",
	    SSL_CIPHER_get_name(SSL_get_current_cipher(ssl)), "level", level,
	    "is_resumed", facts->is_resumed, "is_trusted", facts->is_trusted,
	    "is_matched", facts->is_matched, "why", clean_string(facts->why),
	    "chain", chain_of(ssl));

	CHECK(report != NULL);
	return report;
}
