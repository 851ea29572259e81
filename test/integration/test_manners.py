"""Servers that do not take what their EHLO and RFC 2920 allow: lane finds the
manner of talking they do take, and goes on with the session it has."""
from collections import Counter

import pytest

from harness import foreign, messages
from harness.simulator import Simulator

CONNECTIONS = 5
COUNT = 150
SPARE = 5               # connections beyond those at once


def configure(origin, server, **lane):
    """A lane to the server, and mail that waits until it is let go."""
    origin.agent("lane", "fast", "class=fast", {
        "lane_connection_limit": CONNECTIONS, **lane})
    origin.relay_to(server, transport="fast")
    origin.set(smtpd_client_restrictions="check_client_access static:HOLD",
               fast_destination_concurrency_limit="100",
               fast_initial_destination_concurrency="100")


def let_go(origin, sent):
    origin.inject(sent)
    origin.command("postsuper", "-H", "ALL")
    origin.flush()
    origin.wait_empty()


def test_a_server_that_takes_nothing_behind_the_final_dot(
        base, certs, origin, started):
    """Each such message was answered by 503 to what stood behind it. One
    refusal of that kind tells it all: the sessions live on."""
    sim = started(Simulator(base, certs, store=True, no_chunking=True,
                            refuse_overlap=True))
    configure(origin, sim)
    started(origin)
    sent = messages.generate(COUNT)
    let_go(origin, sent)
    verdict = messages.compare(sent, sim.taken())
    assert verdict.is_clean(), verdict
    assert origin.log.statuses("/smtp") == {"sent": COUNT}
    assert sim.stats()["connections_total"] <= CONNECTIONS + SPARE


def test_the_next_process_knows_how_the_server_words_its_replies(
        base, certs, origin, started):
    """It sends no message alone, between two RSETs, to find out."""
    sim = started(Simulator(base, certs, store=True, transcript=True))
    origin.agent("lane", "fast", "class=fast")
    origin.relay_to(sim, transport="fast")
    started(origin)
    origin.inject(messages.generate(1))
    origin.wait_empty()
    origin.reload()
    origin.inject(messages.generate(1, prefix="next"))
    origin.wait_empty()
    assert len(sim.taken()) == 2
    sim.stop()      # its transcript is whole
    said = sim.transcript()
    assert said.count("C: RSET") == said.partition("next-0")[0].count(
        "C: RSET") == 2, said


# RSET is refused; the replies are in order all the same
RESETS = {
    "always": 'rset reply "502 5.5.1 not implemented"',
    "now_and_then": 'rset every 20 reply "452 4.3.0 not now"',
    "by_421_without_closing": 'rset every 5 reply "421 4.3.0 not now"',
    "after_a_refused_recipient":
        'rcpt if rcpt "bad-" reply "550 5.1.1 no such user"\n'
        'rset every 3 reply "503 5.5.1 bad sequence"',
}


@pytest.mark.parametrize("without", ("", "no_chunking"))
@pytest.mark.parametrize("how", RESETS)
def test_a_refused_rset_doubles_nothing(
        base, certs, origin, started, how, without):
    sim = started(Simulator(base, certs, store=True, script=RESETS[how],
                            **({without: True} if without else {})))
    configure(origin, sim, lane_connection_limit=2)
    started(origin)
    sent = messages.generate(60, recipients=lambda n: [
        f"bad-{n}@rcpt.example" if "recipient" in how and n % 10 == 3
        else f"good-{n}@rcpt.example"])
    let_go(origin, sent)
    good = [m for m in sent if m.recipients[0].startswith("good-")]
    verdict = messages.compare(good, sim.taken())
    assert verdict.is_clean(), verdict
    assert Counter(d.status for d in origin.log.deliveries("/smtp")
                   if d.status != "deferred") == \
        +Counter(sent=len(good), bounced=len(sent) - len(good))


@pytest.mark.parametrize("code", (502, 503))
def test_a_server_that_offers_chunking_and_knows_no_bdat(
        base, certs, origin, started, code):
    """What stands behind BDAT is read as commands there. smtp(8) never uses
    BDAT, and all is sent."""
    sim = started(Simulator(
        base, certs, store=True, personality="postfix",
        script=f'bdat reply "{code} 5.5.1 what?" as-commands'))
    configure(origin, sim)
    started(origin)
    sent = messages.generate(40)
    let_go(origin, sent)
    verdict = messages.compare(sent, sim.taken())
    assert verdict.is_clean(), verdict
    assert origin.log.statuses("/smtp") == {"sent": 40}
    assert len(origin.log.lines("refuses BDAT")) == 1
    assert sim.stats()["connections_total"] <= 2 * CONNECTIONS


SERVERS = {
    "haraka": foreign.Haraka, "older_haraka": foreign.OlderHaraka,
    "smtp_server": foreign.SmtpServer, "aiosmtpd": foreign.Aiosmtpd,
    "opensmtpd": foreign.OpenSmtpd, "sendmail": foreign.Sendmail,
    "dovecot": foreign.Dovecot,
}


@pytest.mark.parametrize("name", SERVERS)
def test_a_foreign_server_takes_each_message_once(
        base, certs, origin, started, name):
    cls = SERVERS[name]
    if not cls.is_there():
        pytest.skip(f"build/foreign/{cls.fetched} is not there: "
                    "scripts/foreign fetches it")
    server = started(cls(base, certs) if cls is foreign.Dovecot
                     else cls(base))
    configure(origin, server)
    started(origin)
    sent = messages.generate(COUNT)
    let_go(origin, sent)
    taken = Counter(server.recipients())
    assert taken == Counter(m.recipients[0] for m in sent)
    assert origin.log.statuses("/smtp") == {"sent": COUNT}
