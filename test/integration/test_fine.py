"""Parameters without meaning to lane (scripts/parity: fine) are that: with
some of them set for a transport of its own, once of lane and once of smtp(8),
the server is sent the same as without.

Each name of the table is tried, or has a reason here why not; those of later
releases than the installed one are left to it. A few share a transport: what
each of them changed would show in all that it sends."""
import os
import re

import pytest

from harness import paths
from harness.postfix import Postfix
from harness.sidebyside import submit
from harness.simulator import Simulator
from harness.wait import wait_until

pytestmark = [
    pytest.mark.skipif("lane" not in paths.agents(), reason="no lane yet"),
    pytest.mark.skipif(not os.environ.get("POSTLANE_LONG"),
                       reason="35 transports: POSTLANE_LONG=1")]

TOGETHER = 6
# With a value that is not the default.
VALUES = {
    "address_verify_sender": "probe", "application_event_drain_time": "1s",
    "backwards_bounce_logfile_compatibility": "no",
    "berkeley_db_create_buffer_size": "65536",
    "berkeley_db_read_buffer_size": "65536", "body_checks": "regexp:/nowhere",
    "compatibility_level": "2", "connection_cache_protocol_timeout": "1s",
    "content_filter": "nowhere:", "daemon_table_open_error_is_fatal": "yes",
    "debug_peer_level": "3", "default_database_type": "btree",
    "default_process_limit": "7", "default_verp_delimiters": "-=",
    "deliver_lock_attempts": "3", "deliver_lock_delay": "2s",
    "disable_mime_input_processing": "yes", "dns_ncache_ttl_fix_enable": "yes",
    "dont_remove": "1", "enable_long_queue_ids": "yes",
    "enable_original_recipient": "no", "error_notice_recipient": "root",
    "export_environment": "TZ", "fork_attempts": "1", "fork_delay": "2s",
    "header_address_token_limit": "2", "header_checks": "regexp:/nowhere",
    "header_from_format": "obsolete", "helpful_warnings": "no",
    "import_environment": "TZ", "in_flow_delay": "0",
    "internal_mail_filter_classes": "bounce, notify", "ipc_idle": "1s",
    "ipc_ttl": "1s", "line_length_limit": "600", "lmdb_map_size": "1048576",
    "lmtp_assume_final": "yes", "lmtp_fallback_relay": "[127.0.0.1]:9",
    "lmtp_tls_fingerprint_digest": "sha1", "mail_name": "Mailer",
    "mail_release_date": "19700101", "mailbox_delivery_lock": "dotlock",
    "maillog_file_compressor": "bzip2", "maillog_file_rotate_suffix": "%Y",
    "max_idle": "2s", "max_use": "1",
    "message_drop_headers": "subject, x-long", "message_size_limit": "100",
    "mime_header_checks": "regexp:/nowhere", "multi_instance_enable": "yes",
    "multi_instance_group": "x", "mynetworks": "192.0.2.0/24",
    "mynetworks_style": "host", "nested_header_checks": "regexp:/nowhere",
    "openssl_path": "/nowhere", "parent_domain_matches_subdomains": "",
    "proxy_interfaces": "192.0.2.1", "queue_run_delay": "7s",
    "relay_domains": "rcpt.example", "respectful_logging": "no",
    "smtp_always_send_ehlo": "no", "smtp_balance_inet_protocols": "no",
    "smtp_connection_cache_destinations": "static:all",
    "smtp_connection_cache_on_demand": "no",
    "smtp_connection_cache_time_limit": "1s",
    "smtp_defer_if_no_mx_address_found": "yes", "smtp_mx_session_limit": "1",
    "smtp_pix_workaround_delay_time": "1s",
    "smtp_pix_workaround_threshold_time": "0", "smtp_pix_workarounds": "",
    "smtp_quit_timeout": "1s", "smtp_sasl_auth_cache_time": "1d",
    "smtp_sasl_path": "nowhere", "smtp_skip_quit_response": "no",
    "smtp_tls_block_early_mail_reply": "yes",
    "smtp_tls_connection_reuse": "no",
    "smtp_tls_session_cache_database": "btree:${data_directory}/scache",
    "smtpd_relay_before_recipient_restrictions": "no",
    "smtpd_relay_restrictions": "reject",
    "smtpd_tls_fingerprint_digest": "sha1",
    "smtputf8_autodetect_classes": "all", "smtputf8_enable": "no",
    "stale_lock_time": "1s", "strict_7bit_headers": "yes",
    "strict_8bitmime": "yes", "strict_8bitmime_body": "yes",
    "strict_mime_encoding_domain": "yes", "strict_smtputf8": "yes",
    "tls_daemon_random_bytes": "64",
    "tls_disable_workarounds": "0xffffffff",
    "tls_eecdh_strong_curve": "secp384r1",
    "tls_eecdh_ultra_curve": "secp521r1", "tls_fast_shutdown_enable": "no",
    "tls_preempt_cipherlist": "yes",
    "tls_session_ticket_cipher": "aes-128-cbc", "trigger_timeout": "1s",
    "verp_delimiter_filter": "-=+/",
}
# Not tried, and why.
UNTRIED = {
    "names of services and folders that smtp(8) itself could not do "
    "without when they are wrong":
        "alternate_config_directories cleanup_service_name "
        "client_connection_rate_service_name connection_cache_service_name "
        "daemon_directory error_service_name maillog_file_prefixes "
        "meta_directory multi_instance_directories multi_instance_wrapper "
        "pickup_service_name process_id_directory proxywrite_service_name "
        "queue_service_name rewrite_service_name setgid_group "
        "shlib_directory showq_service_name tlsmgr_service_name "
        "tlsproxy_service_name",
    "set by the process itself":
        "process_id process_name service_name",
    "tried with the parameter whose default it is (test_filters)":
        "default_delivery_status_filter smtp_per_record_deadline",
    "of a table that smtp(8) would open, or a program it would run":
        "alias_database cyrus_sasl_config_path debugger_command "
        "default_privs smtp_sasl_auth_cache_name tls_random_source "
        "tls_server_sni_maps",
    "for faults":
        "fault_injection_code",
}

DEEP = (
    "From: <from@sender.example>\r\nTo: a (b (c) d) <x@rcpt.example>,\r\n"
    " \"q.q\" <y@rcpt.example>, z@rcpt.example\r\nSubject: {0}\r\n"
    "Message-Id: <{0}@sender.example>\r\nX-Long: " + "long " * 500 +
    "\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\n{1}\r\n")
MAIL = [
    DEEP.format("plain", "") + "plain\r\n..dot\r\n" + "x" * 3000 + "\r\nend",
    DEEP.format("eight", "X-Eight: gr\u00fc\u00dfe\r\n")
    + "gr\u00fc\u00dfe\r\n",
    DEEP.format("deep", "MIME-Version: 1.0\r\nContent-Type: multipart/mixed;"
                " boundary=outer\r\n")
    + "--outer\r\nContent-Type: multipart/mixed; boundary=inner\r\n"
    "Content-Transfer-Encoding: base64\r\n\r\n--inner\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n"
    "Content-Transfer-Encoding: 8bit\r\nSubject: inner\r\n\r\n"
    "gr\u00fc\u00dfe\r\n--inner--\r\n--outer\r\nContent-Type: message/rfc822"
    "\r\n\r\nSubject: nested\r\nFrom: a@b.example\r\n\r\ntext\r\n--outer--\r\n"]


def names():
    """{name: release} of the table."""
    path = os.path.join(paths.ROOT, "agent/settings/foreign_table.c")
    with open(path, encoding="utf-8") as f:
        return dict(re.findall(r'FINE\(\s*"(\w+)",\s*"([\d.]+)"', f.read()))


def number(release):
    return tuple(int(n) for n in release.split(".")[:2])


def test_each_name_is_tried_or_has_a_reason(base):
    installed = number(Postfix(base).command(
        "postconf", "-h", "mail_version").stdout.strip())
    untried = {n for words in UNTRIED.values() for n in words.split()}
    old = {n for n, since in names().items() if number(since) <= installed}
    assert old - set(VALUES) == untried
    assert set(VALUES) <= set(names())


def groups():
    tried = sorted(VALUES)
    return [tried[n::-(-len(tried) // TOGETHER)]
            for n in range(-(-len(tried) // TOGETHER))]


def domain(agent, number):
    return f"g{number}.{agent}.example"


def start(base, certs, started):
    """A transport for each group and agent, and one of each without; all mail
    goes to each."""
    sim = started(Simulator(base, certs, store=True))
    origin = Postfix(base)
    origin.relay_to(sim)
    routes = {}
    for number, group in enumerate(groups() + [[]]):
        for agent in ("lane", "smtp"):
            service = f"{agent}{number}"
            origin.agent(agent, service, "class=fast",
                         {name: VALUES[name] for name in group})
            routes[domain(agent, number)] = \
                f"{service}:{origin.main['relayhost']}"
    origin.set(transport_maps=origin.map("transport", routes),
               smtpd_recipient_limit="1000",
               minimal_backoff_time="1h", maximal_backoff_time="1h",
               queue_run_delay="1h")
    started(origin)
    for data in MAIL:
        submit(origin.port, data.encode(),
               [(f"to@{d}", ["NOTIFY=FAILURE", f"ORCPT=rfc822;to@{d}"])
                for d in routes], "from@sender.example")
    return origin, sim


def took(sim, where):
    """Envelope, parameters, login and octets of what came for a domain."""
    return sorted(
        (e.sender, e.mail_parameters,
         [p.replace(where, "DOMAIN") for p in e.rcpt_parameters], e.login,
         content) for e, content in zip(sim.ledger(), sim.contents())
        if e.recipients[0].endswith("@" + where))


def test_what_has_no_meaning_changes_nothing(base, certs, started):
    origin, sim = start(base, certs, started)
    count = len(MAIL) * 2 * (len(groups()) + 1)
    wait_until(lambda: len(origin.log.lines(r" status=")) >= count, 240,
               lambda: f"{count} outcomes, there are "
               f"{len(origin.log.lines(' status='))}")
    without = took(sim, domain("smtp", len(groups())))
    assert len(without) == len(MAIL)
    differ = {(agent, number): group
              for number, group in enumerate(groups() + [[]])
              for agent in ("lane", "smtp")
              if took(sim, domain(agent, number)) != without}
    assert not differ
