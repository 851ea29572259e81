/* settings: every parameter the agent obeys, by its postconf name.
 *
 * Filled once at start by config, then const. Plain values only, so that any
 * layer may include this header. Times ending in _us are microseconds; a
 * string is never NULL (empty means unset). What is not here is not obeyed.
 */
#ifndef SETTINGS_H
#define SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

struct settings {
	/* Postfix, general */
	char *mail_version; /* "3.7.11"; decides the hello (>= 3.6) */
	char *config_directory, *queue_directory, *data_directory;
	char *command_directory;
	char *mail_owner, *myhostname, *myorigin;
	char *syslog_name, *syslog_facility;
	char *maillog_file, *postlog_service_name;
	char *multi_instance_name;
	char *bounce_service_name, *defer_service_name, *trace_service_name;
	char *address_verify_service_name, *flush_service_name;
	char *hash_queue_names;
	int hash_queue_depth;
	char *relayhost;
	char *inet_interfaces; /* "all", "loopback-only", hosts */
	char *inet_protocols; /* "all", "ipv4", "ipv6", "ipv4, ipv6" */
	char *recipient_delimiter, *fast_flush_domains;
	bool soft_bounce;
	bool address_verify_negative_cache;
	int64_t daemon_timeout_us, ipc_timeout_us, minimal_backoff_time_us;
	int delay_logging_resolution_limit;
	char *info_log_address_format; /* "external" or "internal" */
	int qmgr_message_active_limit;
	int default_destination_concurrency_limit; /* 0: none */
	int transport_destination_concurrency_limit; /* 0: the default */
	char *use_srv_lookup;
	bool ignore_srv_lookup_error, allow_srv_lookup_fallback;
	bool requiretls_enable;
	char *smtp_requiretls_policy;
	char *tls_append_default_CA;

	/* smtp(8)'s: the session */
	char *smtp_helo_name, *smtp_bind_address, *smtp_bind_address6;
	bool smtp_bind_address_enforce;
	char *smtp_address_preference; /* any, ipv4, ipv6 */
	bool smtp_randomize_addresses;
	char *smtp_host_lookup; /* dns, native */
	char *smtp_dns_resolver_options; /* res_defnames, res_dnsrch */
	char *smtp_dns_support_level; /* disabled, enabled, dnssec */
	char *smtp_tls_dane_resolver; /* see agent/io/trusted_resolver.h */
	char *dnssec_probe; /* see agent/io/dnsquestion.h */
	bool disable_dns_lookups;
	char *smtp_tcp_port, *smtp_fallback_relay;
	int smtp_mx_address_limit;
	bool smtp_skip_5xx_greeting;
	bool smtp_send_dummy_mail_auth;
	int smtp_line_length_limit;
	char *smtp_discard_ehlo_keywords;
	char *smtp_discard_ehlo_keyword_address_maps;
	char *smtp_reply_filter, *smtp_dns_reply_filter;
	char *smtp_delivery_status_filter;
	char *smtp_generic_maps; /* see generic.h, also for what follows */
	char *propagate_unmatched_extensions, *mydestination, *mydomain;
	char *double_bounce_sender;
	bool append_at_myorigin, append_dot_mydomain;
	bool swap_bangpath, allow_percent_hack, owner_request_special;
	char *smtp_header_checks, *smtp_mime_header_checks;
	char *smtp_nested_header_checks, *smtp_body_checks;
	bool disable_mime_output_conversion;
	int header_size_limit, mime_boundary_length_limit, mime_nesting_limit;
	char *smtp_address_verify_target; /* rcpt or data */
	bool smtp_log_tls_feature_status;
	int64_t smtp_connect_timeout_us, smtp_helo_timeout_us;
	int64_t smtp_starttls_timeout_us, smtp_mail_timeout_us;
	int64_t smtp_rcpt_timeout_us, smtp_data_init_timeout_us;
	int64_t smtp_data_xfer_timeout_us, smtp_data_done_timeout_us;
	int64_t smtp_rset_timeout_us, smtp_xforward_timeout_us;
	bool smtp_send_xforward_command;
	char *debug_peer_list;
	bool smtp_per_request_deadline;
	int smtp_min_data_rate; /* octets a second */
	int smtp_connection_reuse_count_limit;
	int64_t smtp_connection_reuse_time_limit_us;

	/* smtp(8)'s: SASL */
	bool smtp_sasl_auth_enable, smtp_sender_dependent_authentication;
	bool smtp_sasl_auth_soft_bounce, send_cyrus_sasl_authzid;
	char *smtp_sasl_password_maps, *smtp_sasl_password_result_delimiter;
	char *smtp_sasl_mechanism_filter, *smtp_sasl_security_options;
	char *smtp_sasl_tls_security_options;
	char *smtp_sasl_tls_verified_security_options;

	/* smtp(8)'s: TLS */
	char *smtp_tls_security_level, *smtp_tls_policy_maps;
	bool smtp_use_tls, smtp_enforce_tls; /* obsolete forms of the level */
	bool smtp_tls_wrappermode;
	char *smtp_tls_CAfile, *smtp_tls_CApath;
	char *smtp_tls_trust_anchor_file;
	char *smtp_tls_chain_files, *smtp_tls_cert_file, *smtp_tls_key_file;
	char *smtp_tls_eccert_file, *smtp_tls_eckey_file;
	char *smtp_tls_verify_cert_match, *smtp_tls_secure_cert_match;
	char *smtp_tls_fingerprint_cert_match, *smtp_tls_fingerprint_digest;
	char *smtp_tls_dane_insecure_mx_policy; /* may, encrypt, dane */
	bool smtp_tls_force_insecure_host_tlsa_lookup;
	char *tls_dane_digests; /* see agent/smarthost/dane_tls.h */
	char *smtp_tls_protocols, *smtp_tls_mandatory_protocols;
	char *smtp_tls_ciphers, *smtp_tls_mandatory_ciphers;
	char *smtp_tls_exclude_ciphers, *smtp_tls_mandatory_exclude_ciphers;
	char *smtp_tls_servername;
	char *smtp_tls_loglevel; /* words, see tls_summary.h */
	int smtp_tls_scert_verifydepth;
	int64_t smtp_tls_session_cache_timeout_us;
	bool smtp_tls_enforce_peername, smtp_tls_enable_rpk;
	char *smtp_tls_per_site; /* not supported without policy maps */
	char *tls_high_cipherlist, *tls_medium_cipherlist;
	char *tls_low_cipherlist, *tls_export_cipherlist;
	char *tls_null_cipherlist;
	char *tls_eecdh_auto_curves, *tls_ffdhe_auto_groups;
	char *tls_ssl_options;
	bool tls_wildcard_matches_multiple_labels;
	/* must be empty, or what is allowed: see params_table.c */

	/* ours */
	char *lane_class; /* the word class=NAME in master.cf */
	char *lane_smarthost;
	char *lane_account; /* empty: host + login */
	char *lane_log_name, *lane_log_anonymize, *lane_state_directory;
	char *lane_provider, *lane_provider_directory;
	char *lane_reply_rules; /* a file, or empty */
	int lane_connection_limit, lane_connection_reserve;
	int lane_connection_idle_reserve;
	int lane_account_connection_limit;
	int lane_messages_per_connection;
	int64_t lane_connection_idle_limit_us, lane_connection_age_limit_us;
	int lane_pipeline_depth;
	int64_t lane_pipeline_bytes;
	bool lane_chunking, lane_adaptive, lane_pipeline_auth;
	char *lane_tls_wrappermode_ports; /* numbers */
	char *lane_message_rate_limit, *lane_recipient_rate_limit;
	char *lane_byte_rate_limit;
	char *lane_account_message_rate_limit;
	char *lane_account_recipient_rate_limit;
	char *lane_account_byte_rate_limit;
	char *lane_connection_rate_limit;
	char *lane_domain_rate_limits; /* see domains.h */
	int lane_parked_limit;
	char *lane_priority; /* urgent, normal, bulk, or a number */
	char *lane_mt_priority; /* no, yes, or a number, see mtpriority.h */
	int64_t lane_wait_limit_us, lane_request_limit_us, lane_drain_limit_us;
	char *lane_alert_url, *lane_alert_command;
	int64_t lane_alert_interval_us, lane_alert_retry_us;
	char *lane_sandbox; /* yes, log, no */
	char *lane_token_directory, *lane_token_service_name;
	char *lane_fleet; /* empty, unix:/path, host:port, tls:host:port */
	int lane_fleet_size;
	char *lane_fleet_name, *lane_fleet_password_file;
	char *lane_fleet_tls_CAfile;
	int64_t lane_fleet_ttl_us, lane_fleet_forget_us;
	int lane_fleet_minimum; /* percent of the base */
};

#endif
