"""Replies that RFC 5321 does not know, each of a provider of its own behind one
lane: whatever is said, the log tells of each message what the provider did
with it. POSTLANE_LONG=1: 300 messages to each, and to those that differ from
another one only in a number or in the manner of talking.
"""
import os
from collections import Counter
from dataclasses import dataclass, field

from harness import messages
from harness.simulator import Simulator

LONG = bool(os.environ.get("POSTLANE_LONG"))
COUNT = 300 if LONG else 21
SESSIONS = 2
WAIT_S = 2              # for a reply that never comes
IN_DOUBT = "message may be sent more than once"
BY_DATA = {"no_chunking": True}


@dataclass
class Case:
    name: str
    script: str
    options: dict = field(default_factory=dict)
    may_bounce: bool = False
    size: int = 500
    count: int = COUNT
    sim: object = None
    sent: list = field(default_factory=list)

    @property
    def domain(self):
        return f"{self.name}.example"


def instead(stage, reply, **more):
    return f'{stage} every 7 reply "{reply}"', more


def raw(stage, octets, also="", **more):
    return f'{stage} every 7 raw "{octets}" {also}', more


LONG_512 = "x" * 600
LONG_2048 = "word " * 600
OFFERS = r"smarthost.example\nPIPELINING\n8BITMIME\nENHANCEDSTATUSCODES"

# name: script, options of the provider
REPLIES = {
    "data-250": instead("data", "250 2.0.0 Ok", **BY_DATA),
    "chunk-354": instead("bdat", "354 go ahead"),
    "end-354": instead("eod", "354 go ahead"),
    "end-354-data": instead("eod", "354 go ahead", **BY_DATA),
    "end-250-status-5": instead("eod", "250 5.7.1 rejected"),
    "end-250-status-4": instead("eod", "250 4.7.1 later", **BY_DATA),
    "rcpt-250-status-5": instead("rcpt", "250 5.1.1 unknown"),
    "end-550-status-2": instead("eod", "550 2.0.0 Ok"),
    "end-451-status-5": instead("eod", "451 5.7.1 never"),
    "rcpt-252": instead("rcpt", "252 2.5.0 cannot verify, will try"),
    "mail-252": instead("mail", "252 2.5.0 cannot verify, will try"),
    "rcpt-221": raw("rcpt", r"221 2.0.0 Bye\r\n", "close"),
    "end-221": raw("eod", r"221 2.0.0 Bye\r\n", "close"),
    "end-and-221": raw("eod", r"250 2.0.0 Ok\r\n221 2.0.0 Bye\r\n",
                       "accept close"),
    "end-and-221-data": raw("eod", r"250 2.0.0 Ok\r\n221 2.0.0 Bye\r\n",
                            "accept close", **BY_DATA),
    "end-600-octets": instead("eod", "250 2.0.0 " + LONG_512),
    "end-3000-octets": instead("eod", "250 2.0.0 " + LONG_2048),
    "rcpt-3000-octets": instead("rcpt", "450 4.2.0 " + LONG_2048),
    "end-nul": raw("eod", r"250 2.0.0 Ok\x00queued\r\n", "accept"),
    "end-nul-data": raw("eod", r"250\x00 2.0.0 Ok\r\n", "accept", **BY_DATA),
    "end-lf": raw("eod", r"250 2.0.0 Ok\n", "accept"),
    "end-cr": raw("eod", r"250 2.0.0 Ok\rqueued\r\n", "accept"),
    "end-cr-only": raw("eod", r"250 2.0.0 Ok\r", "accept", **BY_DATA),
    "rcpt-lf": raw("rcpt", r"450 4.2.0 not now\n"),
    "offers-change": (f'ehlo every 2 reply "250 {OFFERS}\\nAUTH PLAIN LOGIN"',
                      {"max_messages": 5}),
    "no-pipelining-after-tls": (
        'ehlo every 2 reply "250 smarthost.example\\n8BITMIME\\n'
        'AUTH PLAIN LOGIN"', {"no_starttls": False}),
}
MAY_BOUNCE = ("end-550-status-2",)
TWINS = () if LONG else (
    "end-354-data", "end-250-status-4", "mail-252", "end-and-221-data",
    "end-600-octets", "rcpt-3000-octets", "end-cr")


def cases():
    found = [Case(name, script, options, may_bounce=name in MAY_BOUNCE)
             for name, (script, options) in REPLIES.items()
             if name not in TWINS]
    # Refused while most of it is still to come.
    found.append(Case("early-552", 'bdat if msg-nr %2 nth 3 reply '
                      '"552 5.3.4 too big"', may_bounce=True, size=2_000_000,
                      count=4))
    return found


def judge(case, deliveries):
    """What is wrong, a line for each recipient."""
    ledger = Counter(r for e in case.sim.ledger() for r in e.recipients)
    wrong = []
    for m in case.sent:
        lines = deliveries.get(m.recipients[0], [])
        taken = ledger[m.recipients[0]]
        status = Counter(d.status for d in lines)
        doubts = sum(IN_DOUBT in d.reason for d in lines)
        said = (f"{case.name}: {m.recipients[0]}: {dict(status)}, {doubts} in "
                f"doubt, taken {taken} times: "
                + "; ".join(d.reason for d in lines[-2:]))
        if status["sent"] + status["bounced"] != 1:
            wrong.append(f"not once: {said}")
        elif status["bounced"] and (taken or not case.may_bounce):
            wrong.append(f"wrongly bounced: {said}")
        elif status["sent"] and not taken:
            wrong.append(f"lost: {said}")
        elif taken > 1 + doubts:
            wrong.append(f"duplicate: {said}")
    mixed = messages.compare(case.sent, case.sim.taken()).mixed_up
    return wrong + [f"mixed up: {case.name}: {what}" for what in mixed]


def configure(origin, found):
    origin.agent("lane", "fast", "class=fast", {
        "lane_account_connection_limit": SESSIONS,
        "lane_connection_limit": SESSIONS * len(found)})
    hosts = {c.name: f"[127.0.0.1]:{c.sim.port}" for c in found}
    stages = ("mail", "rcpt", "data_init", "data_xfer", "data_done", "rset",
              "quit")
    origin.set(
        transport_maps=origin.map(
            "transport", {c.domain: f"fast:{hosts[c.name]}" for c in found}),
        smtp_tls_security_level="may",
        smtp_sasl_auth_enable="yes",
        smtp_sasl_security_options="noanonymous",
        smtp_sasl_password_maps=origin.map(
            "logins", {h: f"{n}:secret" for n, h in hosts.items()},
            mode=0o600),
        fast_destination_concurrency_limit="100",
        fast_initial_destination_concurrency="100",
        qmgr_message_active_limit="100000",
        smtpd_client_restrictions="check_client_access static:HOLD",
        **{f"smtp_{stage}_timeout": f"{WAIT_S}s" for stage in stages})


def test_the_log_tells_what_the_provider_did(base, certs, origin, started):
    found = cases()
    for case in found:
        case.sim = started(Simulator(
            base, certs, case.name, login=(case.name, "secret"),
            script=case.script, sync=False, auth_without_tls=True,
            **{"no_starttls": True, **case.options}))
        case.sent = messages.generate(
            case.count, prefix=case.name, size=case.size,
            recipients=lambda n, c=case: (f"{c.name}-{n}@{c.domain}",))
    configure(origin, found)
    started(origin)
    origin.inject([m for case in found for m in case.sent])
    origin.command("postsuper", "-H", "ALL")
    origin.flush()
    origin.wait_empty(120)
    by_recipient = {}
    for d in origin.log.deliveries("/smtp"):
        by_recipient.setdefault(d.to, []).append(d)
    for case in found:
        lines = [d for m in case.sent
                 for d in by_recipient.get(m.recipients[0], [])]
        ledger = Counter(r for e in case.sim.ledger() for r in e.recipients)
        print(f"{case.name:<26} {dict(Counter(d.status for d in lines))} "
              f"in doubt {sum(IN_DOUBT in d.reason for d in lines)} "
              f"twice {sum(n - 1 for n in ledger.values())} connections "
              f"{case.sim.stats()['connections_total']}")
    wrong = [line for case in found for line in judge(case, by_recipient)]
    assert not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong[:60])
    assert not origin.log.problems()
