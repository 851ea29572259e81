"""Servers whose replies are not one for each command: nothing is believed that
has not proved its place.

Each case is a provider of its own that goes wrong in one way at one stage, all
behind one lane: a line that is no reply in place of one (the command is not
carried out), a reply too many, one too few, two on one line. Some mail is
refused meanwhile, so that a verdict that slips by one is seen. What the
provider took is held against what the log says. POSTLANE_LONG=1: every depth,
300 messages each; otherwise depth 10 and a tenth of them. What goes wrong before
the first message (greeting, EHLO, AUTH) has a test of its own.
"""
import os
from collections import Counter
from dataclasses import dataclass, field

import pytest

from harness import messages
from harness.simulator import Simulator

LONG = bool(os.environ.get("POSTLANE_LONG"))
COUNT = 300 if LONG else 30
DRAIN_S = 1200 if LONG else 120

FAULTS = ("garbage", "extra", "missing", "merged")
MANNERS = {
    "BDAT": {},
    "OVERLAP": {"no_chunking": True},
    "LOCKSTEP": {"no_chunking": True, "no_pipelining": True},
}
CONTENT = {"BDAT": "bdat", "OVERLAP": "data", "LOCKSTEP": "data"}
DEPTHS = (1, 10, 50) if LONG else (10,)
OF_TWO_CHUNKS = 80000       # the reply to the first is what goes wrong
EVERY = 7
DIAL = ("greeting", "ehlo", "auth")
DIALS_EVERY = 3
MESSAGES_EACH = 5           # of a session, so that there are many dials
WAIT_S = 2                  # for a reply that never comes
IN_DOUBT = "message may be sent more than once"
REFUSALS = {"rcpt": "550 5.1.1 refused as a recipient",
            "eod": "554 5.6.0 refused at the end"}
NOBODY_LEFT = "554 5.5.1 Error: no valid recipients"


@dataclass
class Case:
    manner: str
    stage: str
    fault: str
    every: int = EVERY
    sim: object = None
    sent: list = field(default_factory=list)

    @property
    def name(self):
        return f"{self.fault}-{self.stage}-{self.manner}".lower()

    @property
    def domain(self):
        return f"{self.name}.example"

    def script(self):
        return (f'rcpt if rcpt "bad-rcpt" reply "{REFUSALS["rcpt"]}"\n'
                f'eod if rcpt "bad-eod" reply "{REFUSALS["eod"]}"\n'
                f"{self.stage} every {self.every} {self.fault}\n")

    def mail(self):
        """Every third message has two recipients; of every 20 one has a
        recipient that is refused, one is refused as a whole; of every 6 one
        has a second recipient that is refused."""
        def recipients(n):
            kind = {3: "bad-rcpt", 11: "bad-eod"}.get(n % 20, "good")
            other = "bad-rcpt" if n % 6 == 0 else "other"
            first = f"{self.name}-{n}.{kind}@{self.domain}"
            second = f"{self.name}-{n}-2.{other}@{self.domain}"
            return (first, second) if n % 3 == 0 else (first,)
        return messages.generate(
            COUNT, prefix=self.name, recipients=recipients,
            size=OF_TWO_CHUNKS if self.stage == "bdat" else 500)


def cases(manner):
    stages = ("mail", "rcpt", CONTENT[manner], "eod", "rset", "quit")
    return [Case(manner, stage, fault)
            for stage in stages for fault in FAULTS]


def dial_cases(manner):
    return [Case(manner, stage, fault, DIALS_EVERY)
            for stage in DIAL for fault in FAULTS]


def refusals_of(message, recipient):
    """The replies that this recipient has coming; none: it is delivered.
    (Where the server did not carry out RCPT for the one that is to be refused
    at the end, the message is taken for the other: that is in doubt.) When two
    replies stand on one line, a message without a recipient left may
    be told by its other refusal."""
    if ".bad-rcpt@" in recipient:
        alone = len(message.recipients) == 1
        return (REFUSALS["rcpt"],) + ((NOBODY_LEFT,) if alone else ())
    if any(".bad-eod@" in r for r in message.recipients):
        return (REFUSALS["eod"],)
    return ()


def judge(case, deliveries):
    """What is wrong, a line for each recipient. deliveries: those of the log
    by recipient."""
    ledger = Counter(r for e in case.sim.ledger() for r in e.recipients)
    wrong = []
    for m in case.sent:
        for r in m.recipients:
            lines = deliveries.get(r, [])
            status = Counter(d.status for d in lines)
            doubts = sum(IN_DOUBT in d.reason for d in lines)
            refusals = refusals_of(m, r)
            final = "bounced" if refusals else "sent"
            taken = ledger[r]
            said = (f"{case.name}: {r}: {dict(status)}, {doubts} in doubt,"
                    f" taken {taken} times")
            if status["sent"] + status["bounced"] != 1 or not status[final]:
                wrong.append(f"wrongly judged: {said}: "
                             + "; ".join(d.reason for d in lines[-2:]))
            elif refusals and not any(
                    d.status == "bounced" and said_by in d.reason
                    for d in lines for said_by in refusals):
                wrong.append(f"another's refusal: {said}: {lines[-1].reason}")
            if final == "sent" and not taken:
                wrong.append(f"lost: {said}")
            elif taken > (final == "sent") + doubts:
                wrong.append(f"{'duplicate' if taken > 1 else 'taken'}: "
                             f"{said}")
    mixed = messages.compare(case.sent, case.sim.taken()).mixed_up
    return wrong + [f"mixed up: {case.name}: {what}" for what in mixed]


def provider(case, base, certs):
    most = {"max_messages": MESSAGES_EACH} if case.stage in DIAL else {}
    return Simulator(base, certs, case.name, login=(case.name, "secret"),
                     script=case.script(), sync=False, auth_without_tls=True,
                     **MANNERS[case.manner], **most)


def configure(origin, depth, found):
    """One lane for all cases; each provider, with a login of its own, is an
    account, and has two sessions, so that windows fill."""
    origin.agent("lane", "fast", "class=fast", {
        "lane_pipeline_depth": depth,
        "lane_account_connection_limit": 2,
        "lane_connection_limit": 2 * len(found)})
    hosts = {c.name: f"[127.0.0.1]:{c.sim.port}" for c in found}
    routes = {c.domain: f"fast:{hosts[c.name]}" for c in found}
    logins = {hosts[c.name]: f"{c.name}:secret" for c in found}
    stages = ("helo", "mail", "rcpt", "data_init", "data_xfer", "data_done",
              "rset", "quit")
    origin.set(
        transport_maps=origin.map("transport", routes),
        smtp_tls_security_level="none",
        smtp_sasl_auth_enable="yes",
        smtp_sasl_security_options="noanonymous",
        smtp_sasl_password_maps=origin.map("logins", logins, mode=0o600),
        fast_destination_concurrency_limit="100",
        fast_initial_destination_concurrency="100",
        qmgr_message_active_limit="100000",
        smtpd_client_restrictions="check_client_access static:HOLD",
        **{f"smtp_{stage}_timeout": f"{WAIT_S}s" for stage in stages})


def table(found, by_recipient):
    """For a look with -s."""
    for case in found:
        lines = [d for m in case.sent for r in m.recipients
                 for d in by_recipient.get(r, [])]
        ledger = Counter(r for e in case.sim.ledger() for r in e.recipients)
        print(f"{case.name:<26} sent {sum(d.status == 'sent' for d in lines)}"
              f" bounced {sum(d.status == 'bounced' for d in lines)}"
              f" deferred {sum(d.status == 'deferred' for d in lines)}"
              f" in doubt {sum(IN_DOUBT in d.reason for d in lines)}"
              f" twice {sum(n - 1 for n in ledger.values())}"
              f" connections {case.sim.stats()['connections_total']}")


def drain(found, depth, base, certs, origin, started):
    """What is wrong, after all their mail went out by one lane."""
    for case in found:
        case.sim = started(provider(case, base, certs))
        case.sent = case.mail()
    configure(origin, depth, found)
    started(origin)
    origin.inject([m for many in zip(*(c.sent for c in found)) for m in many])
    origin.command("postsuper", "-H", "ALL")
    origin.flush()
    origin.wait_empty(DRAIN_S)
    by_recipient = {}
    for d in origin.log.deliveries("/smtp"):
        by_recipient.setdefault(d.to, []).append(d)
    table(found, by_recipient)
    return [line for case in found for line in judge(case, by_recipient)]


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("depth", DEPTHS)
def test_only_what_its_own_reply_says_is_believed(
        base, certs, origin, started, manner, depth):
    wrong = drain(cases(manner), depth, base, certs, origin, started)
    assert not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong[:60])
    assert not origin.log.problems()


@pytest.mark.parametrize("manner", MANNERS if LONG else ["BDAT"])
@pytest.mark.parametrize("depth", DEPTHS)
def test_a_dial_out_of_step_is_no_message_s_fate(
        base, certs, origin, started, manner, depth):
    wrong = drain(dial_cases(manner), depth, base, certs, origin, started)
    assert not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong[:60])
    assert not origin.log.problems()
