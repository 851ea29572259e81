"""Each kind of upstream takes mail from Postfix and accounts for it."""
import pytest

from harness import messages
from harness.exim import Exim
from harness.simulator import DelayProxy, Simulator
from harness.upstream import PASSWORD, USER
from harness.wait import wait_until


def send(origin, upstream, started, count=10, timeout_s=60, **relay):
    origin.agent("smtp", "fast")
    origin.relay_to(upstream, transport="fast", **relay)
    started(origin)
    sent = messages.generate(count, recipients=2)
    origin.inject(sent)
    origin.wait_empty(timeout_s)
    return sent


@pytest.mark.parametrize("wrapped", [False, True],
                         ids=["starttls", "wrappermode"])
def test_simulator_ledger_matches(base, certs, origin, started, wrapped):
    sim = started(Simulator(base, certs, store=True, max_connections=20))
    sent = send(origin, sim, started, wrapped=wrapped)
    verdict = messages.compare(sent, sim.taken())
    assert verdict.is_clean(), verdict
    assert sim.stats()["violations"] == 0
    assert {e.login for e in sim.ledger()} == {"lane"}


def test_port_of_the_list_begins_with_tls_beside_starttls(
        base, certs, origin, started):
    sim = started(Simulator(base, certs, store=True))
    relays = [f"[127.0.0.1]:{port}" for port in (sim.port, sim.tls_port)]
    origin.agent("lane", "fast")
    origin.relay_to(
        sim, transport="fast", lane_tls_wrappermode_ports=sim.tls_port,
        sender_dependent_relayhost_maps=origin.map("relays", {
            f"m-{i}@sender.example": relays[i % 2] for i in range(10)}),
        smtp_sasl_password_maps=origin.map("both_auth", {
            relay: f"{USER}:{PASSWORD}" for relay in relays}, mode=0o600))
    started(origin)
    sent = messages.generate(10)
    origin.inject(sent)
    origin.wait_empty()
    assert messages.compare(sent, sim.taken()).is_clean()
    for relay in relays:
        assert origin.log.lines(
            rf"relay=.*\]:{relay.rpartition(':')[2]}, .*sent")


def test_simulator_script_can_change_while_it_runs(
        base, certs, origin, started):
    sim = started(Simulator(base, certs))
    sim.script('rcpt if rcpt "m-1-r0" reply "550 5.1.1 no such user"\n')
    sent = send(origin, sim, started, count=3)
    assert origin.log.statuses("/smtp") == {"sent": 5, "bounced": 1}
    verdict = messages.compare(sent, sim.taken())
    assert verdict.lost == [("m-1", "m-1-r0@rcpt.example")]
    assert b"no such user" in origin.mailbox()[0]


def test_simulator_keeps_its_port_over_a_restart(
        base, certs, origin, started):
    sim = started(Simulator(base, certs))
    sent = send(origin, sim, started, count=2)
    assert sim.stop() == 0
    more = messages.generate(2, prefix="later")
    origin.inject(more)
    origin.log.wait(r"status=deferred|Connection refused")
    sim.start()
    origin.flush()
    origin.wait_empty()
    assert messages.compare(sent + more, sim.taken()).is_clean()


def test_delay_proxy_adds_round_trips(base, certs, origin, started):
    sim = started(Simulator(base, certs))
    proxy = started(DelayProxy(base, sim.port, delay_ms=50))
    sent = send(origin, sim, started, count=1, port=proxy.port)
    assert messages.compare(sent, sim.taken()).is_clean()
    # connect, EHLO, STARTTLS, TLS, EHLO, AUTH, MAIL+RCPT+DATA, body: 7 RTT
    assert all(d.delay >= 0.7 for d in origin.log.deliveries("/smtp"))


@pytest.mark.parametrize("wrapped", [False, True],
                         ids=["starttls", "wrappermode"])
def test_exim_files_what_it_took(base, certs, origin, started, wrapped):
    exim = started(Exim(base, certs))
    sent = send(origin, exim, started, count=5, wrapped=wrapped)
    wait_until(lambda: len(exim.contents()) >= 5, 30, exim.log)
    verdict = messages.compare(sent, exim.taken())
    assert verdict.is_clean(), verdict


def test_comparison_finds_what_is_wrong():
    one, two, three = messages.generate(3)

    def took(m, sender=None, rcpts=None, intact=True):
        return messages.Taken(m.id, sender or m.sender,
                              rcpts or m.recipients, m.digest, intact)
    assert messages.compare([one], [took(one)]).is_clean()
    assert len(messages.compare([one, two], [took(one)]).lost) == 1
    assert len(messages.compare([one], [took(one)] * 3).duplicates) == 2
    for wrong in (took(three), took(one, sender=two.sender),
                  took(one, rcpts=two.recipients), took(one, intact=False)):
        assert len(messages.compare([one, two], [wrong]).mixed_up) == 1
