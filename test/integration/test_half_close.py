"""A server that closes the side it writes to, and goes on reading: nothing
more can be learned from it, whatever is still sent to it. At each stage the
session ends, its mail goes to the next host, and the lane waits for nothing.
"""
import re
from collections import Counter

from harness import messages
from harness.load import wait_clock
from harness.process import cpu_s
from harness.simulator import Simulator
from harness.wait import wait_until

COUNT = 12
CLOSE_WAIT = "08"
IN_DOUBT = "message may be sent more than once"

# Where: script, options of the server.
STAGES = {
    "greeting": ("connect half-close", {}),
    "ehlo": ("ehlo half-close", {}),
    "starttls": ("starttls half-close", {}),
    "handshake": ("tls half-close", {}),
    "login": ("auth half-close", {}),
    "mail": ("mail every 4 half-close", {}),
    "rcpt": ("rcpt every 4 half-close", {}),
    "rcpt-single": ("rcpt every 4 half-close",
                    {"no_pipelining": True, "no_chunking": True}),
    "data": ("data every 4 half-close", {"no_chunking": True}),
    "chunk": ("bdat every 4 half-close", {}),
    "end": ("eod every 4 half-close", {}),
    "end-data": ("eod every 4 half-close", {"no_chunking": True}),
    "end-taken": ("eod every 4 accept silent half-close", {}),
    # and while there is nothing to do
    "idle": ('eod every 4 reply "250 2.0.0 Ok" half-close', {}),
    "quit": ("quit half-close", {"max_messages": 3, "announce_limits": True}),
}


def close_waits(ports):
    """Sockets here whose peer, at one of these ports, has closed its side."""
    with open("/proc/net/tcp", encoding="ascii") as f:
        lines = [line.split() for line in f.readlines()[1:]]
    return [f for f in lines if f[3] == CLOSE_WAIT
            and int(f[2].rpartition(":")[2], 16) in ports]


def configure(origin, sims, good):
    """One lane for all; each server, with a login of its own, is an account."""
    origin.agent("lane", "fast", "class=fast", {
        "lane_account_connection_limit": 2,
        "lane_connection_limit": 2 * len(sims) + 2})
    hosts = {name: f"[127.0.0.1]:{sim.port}" for name, sim in sims.items()}
    logins = {host: f"{name}:secret" for name, host in hosts.items()}
    user, secret = good.login
    logins[f"[127.0.0.1]:{good.port}"] = f"{user}:{secret}"
    origin.set(
        transport_maps=origin.map("transport", {
            f"{name}.example": f"fast:{host}"
            for name, host in hosts.items()}),
        smtp_fallback_relay=f"[127.0.0.1]:{good.port}",
        smtp_tls_security_level="encrypt",
        smtp_sasl_auth_enable="yes",
        smtp_sasl_security_options="noanonymous",
        smtp_sasl_password_maps=origin.map("logins", logins, mode=0o600),
        fast_destination_concurrency_limit="100",
        fast_initial_destination_concurrency="100")


def doubts_of(log):
    """By queue id: how often the log said so, of a delivery or on the way to
    the next host."""
    return Counter(re.search(r": (\w+): ", line)[1]
                   for line in log.lines(IN_DOUBT))


def judge(m, lines, taken, doubts):
    """What is wrong with it; None: it was taken, and once more at most for
    each time that it was in doubt."""
    status = Counter(d.status for d in lines)
    if status["sent"] != 1 or status["bounced"]:
        return f"{m.id}: {dict(status)}"
    if not 1 <= taken <= 1 + doubts:
        return f"{m.id}: taken {taken} times, {doubts} in doubt"
    return None


def test_half_a_connection_is_none(base, certs, origin, started):
    sims = {name: started(Simulator(base, certs, name, script=script,
                                    login=(name, "secret"), **options))
            for name, (script, options) in STAGES.items()}
    good = started(Simulator(base, certs, "good"))
    sent = {name: messages.generate(COUNT, prefix=name,
                                    domain=f"{name}.example")
            for name in STAGES}
    configure(origin, sims, good)
    started(origin)
    origin.inject([m for many in zip(*sent.values()) for m in many])
    origin.wait_empty()
    by_recipient = {}
    for d in origin.log.deliveries("/smtp"):
        by_recipient.setdefault(d.to, []).append(d)
    taken = Counter(e.id for sim in (good, *sims.values())
                    for e in sim.ledger())
    doubts = doubts_of(origin.log)
    wrong = []
    for m in (m for many in sent.values() for m in many):
        lines = by_recipient.get(m.recipients[0], [])
        wrong.append(judge(m, lines, taken[m.id], sum(
            doubts[i] for i in {d.queue_id for d in lines})))
    assert not any(wrong), [w for w in wrong if w]
    assert all(sim.stats()["scripted"] for sim in sims.values())
    ports = {sim.port for sim in sims.values()}
    wait_until(lambda: not close_waits(ports), 20,
               lambda: f"left by all: {close_waits(ports)}")
    [pid] = origin.pids("lane")
    before = cpu_s(pid)
    wait_clock(1.0)
    print(f"\n{cpu_s(pid):.2f} s of cpu, {cpu_s(pid) - before:.2f} s idle")
    assert cpu_s(pid) - before < 0.2
    assert not origin.log.problems()
