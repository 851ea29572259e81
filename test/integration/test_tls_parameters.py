"""Every smtp_tls_*, tls_* and smtp_sasl_* parameter of the installed Postfix is
obeyed, refused, or known to mean nothing here: none is skipped."""
import os
import re
import subprocess

from harness import messages, paths
from harness.simulator import Simulator

OBEYED = """
smtp_sasl_auth_enable smtp_sasl_auth_soft_bounce smtp_sasl_mechanism_filter
smtp_sasl_password_maps smtp_sasl_password_result_delimiter
smtp_sasl_security_options smtp_sasl_tls_security_options
smtp_sasl_tls_verified_security_options smtp_tls_CAfile smtp_tls_CApath
smtp_tls_cert_file smtp_tls_chain_files smtp_tls_ciphers smtp_tls_eccert_file
smtp_tls_eckey_file smtp_tls_enforce_peername smtp_tls_exclude_ciphers
smtp_tls_fingerprint_cert_match smtp_tls_fingerprint_digest smtp_tls_key_file
smtp_tls_loglevel smtp_tls_mandatory_ciphers
smtp_tls_mandatory_exclude_ciphers smtp_tls_mandatory_protocols
smtp_tls_policy_maps smtp_tls_protocols smtp_tls_scert_verifydepth
smtp_tls_secure_cert_match smtp_tls_security_level smtp_tls_servername
smtp_tls_session_cache_timeout smtp_tls_verify_cert_match
smtp_tls_wrappermode tls_append_default_CA tls_eecdh_auto_curves
tls_export_cipherlist tls_ffdhe_auto_groups tls_high_cipherlist
tls_low_cipherlist tls_medium_cipherlist tls_null_cipherlist tls_ssl_options
tls_wildcard_matches_multiple_labels
""".split()

# With a value that must be refused.
REFUSED = {
    "smtp_sasl_type": "dovecot",
    "smtp_tls_dcert_file": "/dsa.pem",
    "smtp_tls_dkey_file": "/dsa.pem",
    "smtp_tls_per_site": "hash:/sites",
    "smtp_tls_trust_anchor_file": "/anchors.pem",
    "tls_config_file": "/openssl.cnf",
    "tls_config_name": "postfix",
    "tls_legacy_public_key_fingerprints": "yes",
}

WITHOUT_MEANING = {
    "a lane's alarm waits longer, and for the account": """
        smtp_sasl_auth_cache_name smtp_sasl_auth_cache_time""",
    "Cyrus SASL's client looks at no path": "smtp_sasl_path",
    "always done": """smtp_tls_block_early_mail_reply
        smtp_tls_connection_reuse""",
    "the DANE levels are refused": """smtp_tls_dane_insecure_mx_policy
        smtp_tls_force_insecure_host_tlsa_lookup tls_dane_digests
        tls_dane_digest_agility tls_dane_trust_anchor_digest_enable
        smtp_tls_enforce_sts_mx_patterns""",
    "sessions are kept in memory": "smtp_tls_session_cache_database",
    "more lines in the log, or reports": """smtp_tls_note_starttls_offer
        smtp_tls_loglevel_maps smtp_tls_trace_size_limit tls_trace_rate_limit
        smtp_tlsrpt_enable smtp_tlsrpt_socket_name
        smtp_tlsrpt_skip_reused_handshakes""",
    "raw public keys are never asked for": "smtp_tls_enable_rpk",
    "none of OpenSSL's work-arounds is on": "tls_disable_workarounds",
    "of servers": """tls_eecdh_strong_curve tls_eecdh_ultra_curve
        tls_preempt_cipherlist tls_server_sni_maps tls_session_ticket_cipher
        tls_trust_server_ccerts""",
    "OpenSSL seeds itself": """tls_daemon_random_bytes tls_random_bytes
        tls_random_exchange_name tls_random_prng_update_period
        tls_random_reseed_period tls_random_source""",
    "the end of a connection": "tls_fast_shutdown_enable",
    "gone before Postfix 3.0": "smtp_tls_cipherlist",
    "never relaxes the level here": "tls_required_enable",
}


def test_every_parameter_is_known():
    known = set(OBEYED) | set(REFUSED)
    for names in WITHOUT_MEANING.values():
        assert not known & set(names.split())
        known |= set(names.split())
    out = subprocess.run(["postconf", "-d"], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    there = set(re.findall(r"^((?:smtp_tls|tls|smtp_sasl)_\w+) =", out, re.M))
    assert len(there) > 60
    assert there - known == set()
    with open(os.path.join(paths.ROOT, "agent/settings/params_table.c"),
              encoding="utf-8") as file:
        table = file.read()
    rows = set(re.findall(r"^    [A-Z]+\((\w+),", table, re.M))
    rows = {name for name in rows if name.startswith(
        ("smtp_tls_", "tls_", "smtp_sasl_"))}
    assert rows == set(OBEYED) | set(REFUSED)


def test_what_is_not_supported_is_refused(base, certs, origin, started):
    sim = started(Simulator(base, certs))
    origin.agent("lane", "fast", "class=fast")
    origin.set(**REFUSED)
    origin.relay_to(sim, transport="fast")
    started(origin)
    origin.inject(messages.generate(1))
    origin.log.wait(r"dsn=4\.3\.5, status=deferred .*not supported by lane")
    for name, value in REFUSED.items():
        origin.log.wait(rf"bad parameter: {name} = {re.escape(value)}: "
                        "not supported by lane")
    assert not sim.ledger()
