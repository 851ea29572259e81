"""Values that may be written in several ways, or are slips: each beside smtp(8)
in a transport of its own. What goes out is equal to the octet, and what waits
for one waits for the other; the log may say more.

What is fatal to smtp(8) is told by lane, which defers (4.3.5): mail waits.
"""
import re

import pytest

from harness import paths
from harness.postfix import Postfix
from harness.sidebyside import submit
from harness.simulator import Simulator
from harness.wait import wait_until

AGENTS = ("lane", "smtp")
LOGIN = ("user", "secret")
DATA = (b"From: a@in.example\r\nTo: b@out.example\r\nSubject: a Subject\r\n"
        b"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-Id: <1@in.example>"
        b"\r\nX-One: 1\r\n\r\nLine one\r\n\r\nline two\r\n")

pytestmark = pytest.mark.skipif("lane" not in paths.agents(),
                                reason="no lane yet")

POLICIES = [
    "encrypt ciphers=high ciphers=medium",
    "encrypt protocols=TLSv1.2 protocols=TLSv1.3",
    "encrypt exclude=3DES exclude=RC4",
    "encrypt servername=a.example servername=b.example",
    "encrypt connection_reuse=yes CONNECTION_REUSE=NO",
    "encrypt connection_reuse=maybe",
    "ENCRYPT,,PROTOCOLS=TLSv1.2,ciphers=high,",
    "encrypt protocols = TLSv1.2",
    "encrypt protocols= exclude=",
    "encrypt ciphers=strong",
    "encrypt protocols=TLSv9",
    "encrypt protocols=!TLSv1:!TLSv1.1:!TLSv1.2:!TLSv1.3",
    "encrypt exclude=NOSUCH",
    "may match=nexthop",
    "secure match=nexthop:smarthost.example",
    "secure match=.example",
    "secure match=::SMARTHOST.example::",
    "secure match=other.example match=smarthost.example",
    "secure match=:",
    "fingerprint",
    "fingerprint match=|",
    "encrypt servername=127.0.0.1",
    "encrypt color=red",
    "encrypt=yes",
]


def generic(value):
    return {"smtp_generic_maps": value}


TABLES = [
    generic("inline:{A@IN.example=x@o.example}"),
    generic("inline:{a@in.example=x@o.example a@in.example=y@o.example}"),
    generic("inline:{b=c},,inline:{ { a@in.example = x$$y@o.example } },"),
    generic("static:x@o.example"),
    generic("static:{ x y@o.example }"),
    generic("pipemap:{inline:{@in.example=A},regexp:{{/A/ x@o.example}}}"),
    generic("pipemap:{regexp:{{/^(.*)@in/ $$1}}, inline:{a=x@o.example}}"),
    generic("unionmap:{inline:{a@in.example=x@o.example},inline:{b=c}}"),
    generic("unionmap:{static:x@o.example}"),
    generic("randmap:{x@o.example}"),
    generic("fail:x"),
    generic("nosuch:x"),
    generic("/nowhere"),
    generic("inline:{}"),
    generic("inline:{a@in.example=}"),
    {"smtp_header_checks":
     "regexp:{{/^x-one: (.*)/ replace X-Two: $${1}$$1}}"},
    {"smtp_header_checks": "regexp:{{if /^X-/} {/One/ IGNORE} {endif}}"},
    {"smtp_header_checks": "regexp:{{/^x-one:/ DANCE}}"},
    {"smtp_body_checks": "static:IGNORE"},
    {"smtp_body_checks": "regexp:{{/^$$/ IGNORE}}"},
    {"smtp_body_checks": "regexp:{{!/one/ IGNORE}}"},
    {"smtp_discard_ehlo_keyword_address_maps": "static:nosuch"},
    {"smtp_discard_ehlo_keyword_address_maps": "cidr:{{127.0.0.0/8 size}}"},
    {"smtp_sasl_password_maps": "static:{ user:secret }"},
    {"smtp_sasl_password_maps": "inline:{127.0.0.1=user:secret}"},
    {"smtp_sasl_password_maps": "static:user"},
    {"smtp_sasl_password_maps": "static::secret"},
    {"smtp_sender_dependent_authentication": "yes",
     "smtp_sasl_password_maps": "inline:{@IN.example=user:secret}"},
    {"smtp_reply_filter": "regexp:{{/^250 (.*)queued(.*)/ 450 later}}"},
    {"smtp_delivery_status_filter":
     "regexp:{{/^2\\.[0-9.]+ (.*)/ 2.7.0 so: $$1}}"},
    {"smtp_delivery_status_filter":
     "regexp:{{/^2\\.[0-9.]+ (.*)/ nonsense}}"},
]

WORDS = [
    {"smtp_discard_ehlo_keywords": "Size, 8BITMIME DSN"},
    {"smtp_discard_ehlo_keywords": "size, nosuch, silent-discard"},
    {"smtp_sasl_mechanism_filter": "PLAIN, login"},
    {"smtp_sasl_mechanism_filter": "!gssapi, !plain, static:rest"},
    {"smtp_sasl_tls_security_options": "nonsense"},
    {"smtp_sasl_tls_security_options": ""},
    {"smtp_tls_security_level": "ENCRYPT"},
    {"smtp_tls_security_level": "strong"},
    {"smtp_tls_security_level": "", "smtp_use_tls": "yes"},
    {"smtp_tls_security_level": "", "smtp_enforce_tls": "yes"},
    {"smtp_tls_security_level": "", "smtp_enforce_tls": "yes",
     "smtp_tls_enforce_peername": "no"},
    {"smtp_send_dummy_mail_auth": "YES"},
    {"smtp_send_dummy_mail_auth": "true"},
    {"smtp_send_dummy_mail_auth": ""},
    {"smtp_send_dummy_mail_auth": "${{$compatibility_level} >=level {3.6} ? "
                                  "{yes} : {no}}"},
    {"smtp_send_dummy_mail_auth": "${nosuchname?{yes}:{no}}"},
    {"smtp_line_length_limit": "20x"},
    {"smtp_line_length_limit": "024"},
    {"smtp_line_length_limit": "99999999999"},
    {"smtp_line_length_limit": "-1"},
    {"smtp_line_length_limit": "+20"},
    {"smtp_line_length_limit": "-2147483648"},
    {"smtp_line_length_limit": "-2147483649"},
    {"smtp_mx_address_limit": "-1"},
    {"smtp_connection_reuse_count_limit": "-0"},
    {"smtp_min_data_rate": "-1"},
    {"mime_nesting_limit": "+1"},
    {"smtp_tls_loglevel": "9"},
    {"smtp_tls_loglevel": "Summary, cache"},
    {"smtp_tls_loglevel": ""},
    {"smtp_helo_timeout": "3min"},
    {"smtp_helo_timeout": "+3m"},
    {"smtp_helo_timeout": "-3m"},
    {"smtp_helo_timeout": "w"},
    {"smtp_helo_timeout": "1.5m"},
    {"smtp_helo_timeout": "2147483647"},
    {"smtp_helo_timeout": "2147483648"},
    {"smtp_helo_timeout": "3549w"},
    {"smtp_helo_timeout": "3551w"},
    {"smtp_connect_timeout": "h"},
    {"smtp_helo_timeout": "3x"},
    {"smtp_helo_timeout": "3 s"},
    {"smtp_helo_timeout": "3S"},
    {"smtp_helo_timeout": "0"},
    {"smtp_helo_timeout": ""},
    {"smtp_bind_address": "not-an-address"},
    {"smtp_bind_address": "127.0.0.9"},
    {"smtp_host_lookup": "dns, hosts"},
    {"smtp_dns_support_level": "maybe"},
    {"smtp_address_preference": "IPv4"},
    {"smtp_tls_CAfile": "/nowhere"},
    {"smtp_tls_mandatory_ciphers": "HIGH"},
    {"smtp_tls_mandatory_ciphers": "best"},
    {"smtp_tls_mandatory_protocols": ">=0303"},
    {"smtp_tls_mandatory_exclude_ciphers": "NOSUCH, MD5"},
    {"smtp_tls_servername": "-x-"},
    {"smtp_tls_fingerprint_digest": "nosuch"},
    {"smtp_helo_name": "${myhostname?{a.example}:{b.example}}"},
    {"smtp_fallback_relay": "[nowhere"},
    {"smtp_address_verify_target": "quit"},
]


def policies():
    return [{"smtp_tls_policy_maps": f"static:{{{text}}}"}
            for text in POLICIES]


def outcomes(origin):
    """recipient: sent, bounced or deferred"""
    return {d.to: d.status for d in origin.log.deliveries()}


def are_waiting(origin, addresses):
    """No outcome, since their smtp(8) does not start."""
    return len(addresses) <= origin.log.text().count("bad command startup")


def what_went_out(sim, where):
    return [(e.sender, re.sub(r"SIZE=\d+", "SIZE", e.mail_parameters),
             [p.replace(where, "HERE") for p in e.rcpt_parameters], e.login,
             re.sub(rb"(?s)\AReceived:.*?\n(?=\S)", b"", content))
            for e, content in zip(sim.ledger(), sim.contents())
            if e.recipients[0].endswith("@" + where)]


@pytest.mark.parametrize("values", [policies(), TABLES, WORDS],
                         ids=["policies", "tables", "words"])
def test_each_value_is_read_as_smtp_reads_it(base, certs, started, values):
    sim = started(Simulator(base, certs, store=True, login=LOGIN))
    origin = Postfix(base)
    origin.relay_to(sim)
    routes = {}
    for n, options in enumerate(values):
        for agent in AGENTS:
            origin.agent(agent, f"{agent}{n}", "class=fast", {
                **options, "lane_connection_limit": 2,
                "lane_account": f"a{n}"})
            routes[f"n{n}.{agent}.example"] = \
                f"{agent}{n}:{origin.main['relayhost']}"
    origin.set(transport_maps=origin.map("transport", routes),
               minimal_backoff_time="1h", maximal_backoff_time="1h",
               queue_run_delay="1h", smtpd_recipient_limit="1000")
    started(origin)
    submit(origin.port, DATA, [(f"b@{where}", ()) for where in routes],
           "a@in.example")
    lanes = {f"b@{w}" for w in routes if ".lane." in w}
    others = {f"b@{w}" for w in routes} - lanes
    wait_until(lambda: lanes <= set(outcomes(origin)), 60,
               lambda: f"outcomes: {lanes - set(outcomes(origin))}")
    wait_until(lambda: are_waiting(origin, others - set(outcomes(origin))),
               60, lambda: f"outcomes: {others - set(outcomes(origin))}")
    status, differ = outcomes(origin), []
    for n, options in enumerate(values):
        seen = [(status.get(f"b@n{n}.{agent}.example", "deferred"),
                 what_went_out(sim, f"n{n}.{agent}.example"))
                for agent in AGENTS]
        if seen[0] != seen[1]:
            differ.append(f"{options}\n  lane {seen[0]}\n  smtp {seen[1]}")
    assert not differ, "\n".join(differ)
