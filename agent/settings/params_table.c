/* The table of parameters; what it means stands in params.h. */
#include "agent/settings/params.h"

#define YEAR INT64_C(31536000) /* seconds: no limit in practice */

#define ROW(name, type, member, fallback, min, max, words, about)              \
	{                                                                      \
		name, type, offsetof(struct settings, member), fallback, min,  \
		    max, words, about                                          \
	}
#define STR(name, fallback, about)                                             \
	ROW(#name, PARAM_STRING, name, fallback, 0, 0, "", about)
#define BOOL(name, fallback, about)                                            \
	ROW(#name, PARAM_BOOL, name, fallback, 0, 0, "", about)
#define INT(name, fallback, min, max, about)                                   \
	ROW(#name, PARAM_INT, name, fallback, min, max, "", about)
#define TIME(name, fallback, min, max, about)                                  \
	ROW(#name, PARAM_TIME, name##_ms, fallback, min, max, "", about)
#define BYTES(name, fallback, min, max, about)                                 \
	ROW(#name, PARAM_BYTES, name, fallback, min, max, "", about)
#define WORD(name, fallback, words, about)                                     \
	ROW(#name, PARAM_WORD, name, fallback, 0, 0, words, about)
#define WORDS(name, fallback, words, about)                                    \
	ROW(#name, PARAM_WORDS, name, fallback, 0, 0, words, about)
#define RATE(name, fallback, about)                                            \
	ROW(#name, PARAM_RATE, name, fallback, 0, 0, "", about)

#define SASL_OPTIONS                                                           \
	"noplaintext noactive nodictionary noanonymous forward_secrecy "       \
	"mutual_auth"
#define TLS_GRADES "export low medium high null"

static const struct param table[] = {
    STR(mail_version, "3.7.0", "release of Postfix; decides the protocols"),
    STR(config_directory, "/etc/postfix", "where main.cf is"),
    STR(queue_directory, "/var/spool/postfix", "where the queue is"),
    STR(data_directory, "/var/lib/postfix", "where mail_owner may write"),
    STR(command_directory, "/usr/sbin", "where postconf and postmap are"),
    STR(mail_owner, "postfix", "whom to run as with -u"),
    STR(myhostname, "localhost", "name of this host"),
    STR(myorigin, "localhost", "domain of bare sender addresses"),
    STR(syslog_name, "postfix", "first part of the tag of log lines"),
    STR(syslog_facility, "mail", "facility of log lines"),
    STR(maillog_file, "", "when set, log through postlogd(8)"),
    STR(postlog_service_name, "postlog", "service of postlogd(8)"),
    STR(multi_instance_name, "", "name of this instance"),
    STR(bounce_service_name, "bounce", "service that keeps bounces"),
    STR(defer_service_name, "defer", "service that keeps deferrals"),
    STR(trace_service_name, "trace", "service that keeps traces"),
    STR(address_verify_service_name, "verify", "service that keeps probes"),
    STR(flush_service_name, "flush", "service of fast flush"),
    STR(hash_queue_names, "deferred, defer", "queues with subdirectories"),
    INT(hash_queue_depth, "1", 1, 64, "depth of these subdirectories"),
    STR(relayhost, "", "smarthost when the request names none"),
    STR(inet_interfaces, "all",
	"addresses of this host; a single one is where connections come from"),
    WORDS(inet_protocols, "all", "all ipv4 ipv6", "address families to use"),
    STR(recipient_delimiter, "", "between user and extension"),
    STR(fast_flush_domains, "", "domains for fast flush"),
    BOOL(soft_bounce, "no", "defer what would be bounced"),
    BOOL(address_verify_negative_cache, "yes", "remember failed probes"),
    TIME(daemon_timeout, "18000s", 1, YEAR, "longest life of a request"),
    TIME(ipc_timeout, "3600s", 1, YEAR, "for answers of Postfix daemons"),
    TIME(minimal_backoff_time, "300s", 1, YEAR,
	"age at which mail may go in clear text when TLS fails at level may"),
    INT(delay_logging_resolution_limit, "2", 0, 6,
	"decimals of delays in log lines"),
    WORD(info_log_address_format, "external", "external internal",
	"form of addresses in log lines"),
    INT(qmgr_message_active_limit, "20000", 1, INT32_MAX,
	"messages in the active queue"),
    INT(default_destination_concurrency_limit, "20", 0, INT32_MAX,
	"the queue manager's window for a destination"),
    INT(transport_destination_concurrency_limit, "0", 0, INT32_MAX,
	"the same for this transport, whose name it begins with"),
    BOOL(requiretls_enable, "yes", "obey REQUIRETLS"),
    WORD(tls_append_default_CA, "no", "no yes",
	"trust the system's authorities too"),

    STR(smtp_helo_name, "localhost", "name given with EHLO"),
    STR(smtp_bind_address, "", "local IPv4 address of connections"),
    STR(smtp_bind_address6, "", "local IPv6 address of connections"),
    BOOL(smtp_bind_address_enforce, "no", "defer when binding fails"),
    WORD(smtp_address_preference, "any", "any ipv4 ipv6",
	"address family to try first"),
    BOOL(smtp_randomize_addresses, "yes", "shuffle equal MX hosts"),
    WORDS(smtp_host_lookup, "dns", "dns native",
	"how to look up hosts: in DNS as named; native: the hosts file, "
	"then DNS with the search list of resolv.conf"),
    WORDS(smtp_dns_resolver_options, "", "res_defnames res_dnsrch",
	"search list of resolv.conf for names asked in DNS"),
    WORD(smtp_dns_support_level, "", "- disabled enabled dnssec",
	"whether to ask DNS at all"),
    BOOL(disable_dns_lookups, "no", "the same, when that is empty"),
    STR(smtp_tcp_port, "smtp", "port when the destination names none"),
    STR(smtp_fallback_relay, "", "where to go when all else fails"),
    INT(smtp_mx_address_limit, "5", 0, INT32_MAX, "addresses to try, 0: all"),
    BOOL(smtp_skip_5xx_greeting, "yes", "treat a 5xx greeting as 4xx"),
    BOOL(smtp_send_dummy_mail_auth, "no", "send AUTH=<> with MAIL"),
    INT(smtp_line_length_limit, "998", 0, INT32_MAX,
	"fold longer lines, 0: never"),
    STR(smtp_discard_ehlo_keywords, "", "EHLO keywords to ignore"),
    STR(smtp_discard_ehlo_keyword_address_maps, "",
	"the same, by the server's address"),
    STR(smtp_reply_filter, "",
	"other text for lines of replies, before any rule"),
    STR(smtp_delivery_status_filter, "",
	"another status and text for a verdict"),
    WORD(smtp_address_verify_target, "rcpt", "rcpt data",
	"stage that decides a probe"),
    BOOL(smtp_log_tls_feature_status, "yes", "tls= in log lines (3.11+)"),
    TIME(smtp_connect_timeout, "30s", 0, YEAR, "for a connection"),
    TIME(smtp_helo_timeout, "300s", 1, YEAR, "for greeting and EHLO"),
    TIME(smtp_starttls_timeout, "300s", 1, YEAR, "for the TLS handshake"),
    TIME(smtp_mail_timeout, "300s", 1, YEAR, "for the reply to MAIL"),
    TIME(smtp_rcpt_timeout, "300s", 1, YEAR, "for the reply to RCPT"),
    TIME(smtp_data_init_timeout, "120s", 1, YEAR, "for the reply to DATA"),
    TIME(smtp_data_xfer_timeout, "180s", 1, YEAR, "for sending to go on"),
    TIME(smtp_data_done_timeout, "600s", 1, YEAR,
	"for the reply to the end of data"),
    TIME(smtp_rset_timeout, "20s", 1, YEAR, "for the reply to RSET"),
    STR(debug_peer_list, "",
	"servers whose dialogue goes to the log, secrets hidden"),
    BOOL(smtp_per_request_deadline, "no",
	"bound the time for all of a message's content, too"),
    INT(smtp_min_data_rate, "500", 1, INT32_MAX,
	"octets a second of it that put this off"),
    INT(smtp_connection_reuse_count_limit, "0", 0, INT32_MAX,
	"when changed: lane_messages_per_connection is one more, if not set"),
    TIME(smtp_connection_reuse_time_limit, "300s", 1, YEAR,
	"when changed: lane_connection_age_limit is the same, if not set"),

    BOOL(smtp_sasl_auth_enable, "no", "log in"),
    BOOL(smtp_sender_dependent_authentication, "no", "a login per sender"),
    BOOL(send_cyrus_sasl_authzid, "no",
	"name the login as authorisation identity, too"),
    BOOL(smtp_sasl_auth_soft_bounce, "yes", "treat a refused login as 4xx"),
    STR(smtp_sasl_password_maps, "", "logins and passwords"),
    STR(smtp_sasl_password_result_delimiter, ":", "between login and password"),
    STR(smtp_sasl_mechanism_filter, "", "mechanisms to use"),
    WORDS(smtp_sasl_security_options, "noplaintext noanonymous", SASL_OPTIONS,
	"what mechanisms must be, without TLS"),
    WORDS(smtp_sasl_tls_security_options, "noplaintext noanonymous",
	SASL_OPTIONS, "the same with TLS"),
    WORDS(smtp_sasl_tls_verified_security_options, "noplaintext noanonymous",
	SASL_OPTIONS, "the same with TLS and a verified certificate"),

    WORD(smtp_tls_security_level, "",
	"- none may encrypt fingerprint verify secure", "how much TLS"),
    STR(smtp_tls_policy_maps, "", "level and more, by destination"),
    BOOL(smtp_use_tls, "no", "obsolete: level may"),
    BOOL(smtp_enforce_tls, "no", "obsolete: level encrypt"),
    BOOL(smtp_tls_wrappermode, "no", "TLS before SMTP (port 465)"),
    STR(smtp_tls_CAfile, "", "trusted authorities, a file"),
    STR(smtp_tls_CApath, "", "trusted authorities, a directory"),
    STR(smtp_tls_chain_files, "", "client keys and certificates"),
    STR(smtp_tls_cert_file, "", "client certificate, RSA"),
    STR(smtp_tls_key_file, "", "its key"),
    STR(smtp_tls_eccert_file, "", "client certificate, ECDSA"),
    STR(smtp_tls_eckey_file, "", "its key"),
    STR(smtp_tls_verify_cert_match, "hostname", "names for level verify"),
    STR(smtp_tls_secure_cert_match, "nexthop, dot-nexthop",
	"names for level secure"),
    STR(smtp_tls_fingerprint_cert_match, "", "certificates by fingerprint"),
    STR(smtp_tls_fingerprint_digest, "sha256", "digest of fingerprints"),
    STR(smtp_tls_protocols, ">=TLSv1", "TLS versions at level may"),
    STR(smtp_tls_mandatory_protocols, ">=TLSv1", "TLS versions above"),
    WORD(smtp_tls_ciphers, "medium", TLS_GRADES, "ciphers at level may"),
    WORD(smtp_tls_mandatory_ciphers, "medium", TLS_GRADES, "ciphers above"),
    STR(smtp_tls_exclude_ciphers, "", "ciphers not to use"),
    STR(smtp_tls_mandatory_exclude_ciphers, "", "more of them above level may"),
    STR(smtp_tls_servername, "", "name in the handshake (SNI)"),
    INT(smtp_tls_loglevel, "0", 0, 4, "1: a line per TLS session"),
    INT(smtp_tls_scert_verifydepth, "9", 0, 1000000,
	"authorities between the server's certificate and a trusted one"),
    TIME(smtp_tls_session_cache_timeout, "3600s", 0, 8640000,
	"how long a TLS session is resumed, at most an hour; 0: never"),
    BOOL(smtp_tls_enforce_peername, "yes", "obsolete: no: level encrypt"),
    STR(smtp_tls_per_site, "",
	"obsolete: ignored with policy maps, else"
	" not supported by lane"),
    STR(tls_high_cipherlist, "aNULL:-aNULL:HIGH:@STRENGTH",
	"OpenSSL's names for grade high"),
    STR(tls_medium_cipherlist, "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH",
	"OpenSSL's names for grade medium"),
    STR(tls_low_cipherlist, "", "for grade low, before release 3.8"),
    STR(tls_export_cipherlist, "", "for grade export, before release 3.8"),
    STR(tls_null_cipherlist, "eNULL:!aNULL", "for grade null"),
    STR(tls_eecdh_auto_curves, "", "key exchange groups, first the best"),
    STR(tls_ffdhe_auto_groups, "", "more of them"),
    STR(tls_ssl_options, "", "OpenSSL's options to set"),
    BOOL(tls_wildcard_matches_multiple_labels, "yes",
	"before release 3.6: *.example matches a.b.example"),

    STR(lane_smarthost, "",
	"where this lane goes; default: as the request says, then relayhost"),
    STR(lane_account, "",
	"whose budget the lane shares; default: host and login"),
    STR(lane_provider, "",
	"limits and replies known for a provider, e.g. ses or socketlabs"),
    STR(lane_provider_directory, "/usr/share/postlane/providers",
	"where the files of providers are"),
    STR(lane_reply_rules, "", "a file of own rules for replies"),
    STR(lane_log_name, "smtp", "program word in the tag of log lines"),
    STR(lane_state_directory, "$data_directory/postlane",
	"state shared by the lanes of an account"),
    INT(lane_connection_limit, "20", 1, 1000, "most sessions of this lane"),
    INT(lane_connection_reserve, "0", 0, 1000,
	"sessions of the account always kept free for this lane"),
    INT(lane_account_connection_limit, "20", 1, 1000,
	"most sessions of all lanes of the account together"),
    INT(lane_messages_per_connection, "50", 1, 1000000,
	"messages of a session, then a fresh one"),
    TIME(lane_connection_idle_limit, "30s", 1, 3600,
	"longest time a session waits for mail"),
    TIME(lane_connection_age_limit, "15m", 1, 86400,
	"longest life of a session"),
    INT(lane_pipeline_depth, "10", 1, 1000,
	"most messages unanswered on a session"),
    BYTES(lane_pipeline_bytes, "1048576", 4096, INT64_C(1) << 30,
	"most octets unanswered on a session"),
    BOOL(lane_chunking, "yes", "use BDAT where offered"),
    BOOL(lane_adaptive, "yes", "find the smarthost's pace from its replies"),
    RATE(lane_message_rate_limit, "none", "messages, e.g. 14/1s or 30/1m"),
    RATE(lane_recipient_rate_limit, "none", "recipients, likewise"),
    RATE(lane_byte_rate_limit, "none", "octets, likewise"),
    RATE(lane_account_message_rate_limit, "none",
	"messages of all lanes of the account together"),
    RATE(lane_account_recipient_rate_limit, "none", "recipients, likewise"),
    RATE(lane_account_byte_rate_limit, "none", "octets, likewise"),
    RATE(lane_connection_rate_limit, "none",
	"new connections of all lanes of the account together"),
    STR(lane_priority, "urgent",
	"share of the account's rates, and who slows down first: urgent, "
	"normal, bulk (16, 4, 1) or a number up to 100"),
    STR(lane_domain_rate_limits, "",
	"limits by recipient domain: DOMAIN=RATE, .PARENT=RATE or type:table"),
    INT(lane_parked_limit, "100", 1, 10000,
	"most messages that wait for a domain's limit, the rest is deferred"),
    TIME(lane_wait_limit, "300s", 1, 3600,
	"longest wait of a message for its turn, then it is deferred; obsolete "
	"name: lane_hold_limit"),
    TIME(lane_request_limit, "3600s", 10, 86400,
	"longest time for one delivery request"),
    TIME(lane_drain_limit, "60s", 1, 3600,
	"time to finish what is under way after a reload"),
    STR(lane_alert_url, "",
	"http or https URL that gets alarms as JSON, by POST"),
    STR(lane_alert_command, "",
	"program that is run at an alarm: absolute path and arguments"),
    TIME(lane_alert_interval, "1h", 1, 604800,
	"an alarm that lasts is told again at most so often"),
    TIME(lane_alert_retry, "60s", 1, 3600,
	"first wait after an alarm, then longer, until the lane tries again"),
    STR(lane_token_directory, "$config_directory/lane-token.d",
	"where NAME.conf says how the access token NAME is fetched"),
    STR(lane_token_service_name, "lane-token",
	"service in master.cf that fetches access tokens"),
};

const struct param *
params_get(size_t i)
{
	return i < params_count() ? &table[i] : NULL;
}

size_t
params_count(void)
{
	return sizeof(table) / sizeof(table[0]);
}
