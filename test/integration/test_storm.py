"""Neighbours in one window do not harm each other: messages refused at every
stage, connections cut at any octet, 421 anywhere, many recipients against
small buffers, large messages. POSTLANE_LONG=1 takes the full sizes; figures
go to stdout."""
import os
import random
import time
from collections import Counter

import pytest

from harness import faults, messages
from harness.exim import Exim
from harness.process import memory_kb
from harness.simulator import DelayProxy, Simulator
from harness.wait import wait_until

LONG = bool(os.environ.get("POSTLANE_LONG"))
COUNT = 20000 if LONG else 300     # for each upstream
CUTS = 1000 if LONG else 40
PATIENCE_S = 600 if LONG else 120
# A few sessions, so that every one of them gets a full window
SESSIONS, DEPTH = 3, 20


@pytest.fixture
def rng():
    seed = int(os.environ.get("POSTLANE_SEED", random.getrandbits(32)))
    print(f"seed {seed}")
    return random.Random(seed)


def hold(origin, upstream, options=None, **main):
    """Configure; mail stays in deferred/ until let_go(). The queue manager
    takes what is due within a second: with a backoff of 1 s that may be a
    file whose delivery has just ended and that is locked yet, and such a
    one waits for its next wakeup, of 300 s."""
    origin.agent("lane", "fast", "class=fast",
                 {"lane_connection_limit": SESSIONS,
                  "lane_pipeline_depth": DEPTH, **(options or {})})
    origin.relay_to(upstream, transport="fast", defer_transports="fast",
                    fast_destination_concurrency_limit="400",
                    fast_initial_destination_concurrency="400",
                    queue_run_delay="3000s", minimal_backoff_time="3s",
                    maximal_backoff_time="4s", **main)


def wait_held(origin, count):
    wait_until(lambda: origin.queued("deferred") == count, PATIENCE_S,
               lambda: f"{count} messages held, "
               f"{origin.queued('deferred')} are")


def let_go(origin, again=True):
    """again: what is deferred is tried again after a few seconds."""
    if not again:
        origin.set(minimal_backoff_time="3000s",
                   maximal_backoff_time="3000s")
    origin.set(reload=True, defer_transports=None, queue_run_delay="1s")


def report(name, **figures):
    print(f"\n{name}: " + ", ".join(
        f"{k.replace('_', ' ')} {v}" for k, v in figures.items()))


# a) failures at every stage

UPSTREAMS = {
    "sim_postfix": lambda *a: faults.RefusingSimulator(*a, "postfix"),
    "sim_exim": lambda *a: faults.RefusingSimulator(*a, "exim"),
    "postfix": faults.RefusingPostfix,
    "exim": faults.RefusingExim,
}


@pytest.mark.parametrize("chunking", [True, False],
                         ids=["bdat", "data"])
@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_a_failure_stays_with_its_own_message(
        base, certs, origin, started, rng, upstream, chunking):
    up = started(UPSTREAMS[upstream](base, certs, chunking))
    hold(origin, up, service_throttle_time="1s")
    started(origin)
    storm = faults.generate(COUNT, rng)
    began = time.monotonic()
    origin.inject(storm.sent)
    wait_held(origin, COUNT)
    assert faults.spoil(origin) == len(storm.of_kind("corrupt"))
    injected = time.monotonic()
    let_go(origin, again=False)
    origin.log.wait(r"/smtp\[\d+\]: \w+: to=<", PATIENCE_S,
                    count=len(storm.fates))
    took = time.monotonic() - injected
    wait_until(lambda: not origin.queued("maildrop", "incoming", "active"),
               PATIENCE_S, "queue at rest")
    up.wait_filed()

    verdict = messages.compare(storm.to_be_taken(), up.taken())
    wrong = faults.judge(storm, origin.log.deliveries("/smtp"), up.echoes)
    report(f"{upstream} {'bdat' if chunking else 'data'}", messages=COUNT,
           seconds=round(took, 1), injected_in=round(injected - began, 1),
           recipients=len(storm.fates), taken=verdict.taken,
           lost=len(verdict.lost), duplicates=len(verdict.duplicates),
           mixed_up=len(verdict.mixed_up), wrong_verdicts=len(wrong),
           fates=dict(Counter(storm.fates.values())))
    assert verdict.is_clean(), verdict
    assert not wrong, wrong[:5]
    assert origin.queued("corrupt") == len(storm.of_kind("corrupt"))
    assert origin.queued("deferred") == len(
        {storm.owners[r].id for r, f in storm.fates.items() if f == "4"})
    # bounce(8) cannot open what is marked as corrupt, whoever marked it
    assert not [p for p in origin.log.problems()
                if "/bounce" not in p and " retry: " not in p]


# b) the end of a connection

def send_through(origin, sent, connections=4):
    """All mail from a prepared queue; the seconds that took."""
    origin.inject(sent, connections=connections)
    wait_held(origin, len(sent))
    began = time.monotonic()
    let_go(origin)
    origin.wait_empty(PATIENCE_S)
    return time.monotonic() - began


def doubts(origin):
    """Recipients that a delivery line leaves in doubt, one per line."""
    return Counter(d.to for d in origin.log.deliveries("/smtp", "deferred")
                   if "message may be sent more than once" in d.reason)


def judge_ends(name, origin, sim, sent, took, **figures):
    verdict = messages.compare(sent, sim.taken())
    deferred = Counter(
        d.to for d in origin.log.deliveries("/smtp", "deferred"))
    doubt = doubts(origin)
    report(name, messages=len(sent), seconds=round(took, 1), **figures,
           lost=len(verdict.lost), duplicates=len(verdict.duplicates),
           in_doubt=doubt.total(), deferred=deferred.total(),
           mixed_up=len(verdict.mixed_up))
    assert not verdict.lost and not verdict.mixed_up, verdict
    repeated = Counter(rcpt for _, rcpt in verdict.duplicates)
    assert repeated <= doubt, repeated - doubt
    # behind a 421, or never fully sent: not the message's affair
    assert deferred <= doubt, origin.log.lines(
        "status=deferred.*(?<!more than once\\))$")[-5:]
    assert not origin.log.statuses("/smtp")["bounced"]
    assert not origin.log.problems()
    return doubt


@pytest.mark.parametrize("chunking", [True, False],
                         ids=["bdat", "data"])
def test_a_cut_anywhere_loses_nothing_and_repeats_only_what_is_in_doubt(
        base, certs, origin, started, rng, chunking):
    """Every third connection is cut after a random number of octets, by
    FIN or RST, from its first MAIL on."""
    per_session = 10
    cuts = "".join(
        f"mail if conn-nr {3 * n} and msg-nr 1 "
        f"cut{rng.choice(['', '-hard'])} {rng.randint(0, 9000)}\n"
        for n in range(1, CUTS + 1))
    sim = started(Simulator(base, certs, store=True, script=cuts,
                            no_chunking=not chunking))
    hold(origin, sim, {"lane_messages_per_connection": per_session,
                       "lane_connection_limit": 8})
    started(origin)
    sent = messages.generate(CUTS * 3 * per_session, size=300, prefix="cut")
    took = send_through(origin, sent)
    made = sim.stats()["scripted"]
    judge_ends(f"cuts {'bdat' if chunking else 'data'}", origin, sim, sent,
               took, connections=sim.stats()["connections_total"],
               cuts=made)
    assert made >= CUTS * 0.8


CLOSINGS = """
mail prob 0.01 reply "421 4.3.2 closing now" close
rcpt prob 0.01 reply "421 4.3.2 closing now" close
data prob 0.01 reply "421 4.3.2 closing now" close
bdat prob 0.01 reply "421 4.3.2 closing now" close
eod prob 0.01 reply "421 4.3.2 closing now" close
rset prob 0.01 reply "421 4.3.2 closing now" close
"""


@pytest.mark.parametrize("chunking", [True, False],
                         ids=["bdat", "data"])
def test_a_421_anywhere_defers_and_repeats_nothing(
        base, certs, origin, started, rng, chunking):
    sim = started(Simulator(base, certs, store=True, script=CLOSINGS,
                            seed=rng.getrandbits(31),
                            no_chunking=not chunking))
    hold(origin, sim)
    started(origin)
    sent = messages.generate(CUTS * 12, size=300, prefix="bye")
    took = send_through(origin, sent)
    doubt = judge_ends(f"421 {'bdat' if chunking else 'data'}", origin, sim,
                       sent, took, closings=sim.stats()["scripted"])
    assert not doubt, doubt


BYE = """
  defer message = 421 4.3.2 not now
        local_parts = *.bye
"""


def test_a_421_of_a_server_that_goes_on_is_about_its_recipient(
        base, certs, origin, started, rng):
    """Exim says it for an ACL and does not close: what stands behind it in
    the window is taken."""
    exim = started(Exim(base, certs, rcpt_acl=BYE))
    hold(origin, exim)
    started(origin)
    sent = messages.generate(
        CUTS * 4, size=300, prefix="on", recipients=lambda n: [
            f"on-{n}{rng.choice(['.bye'] + [''] * 9)}@rcpt.example"])
    origin.inject(sent)
    wait_held(origin, len(sent))
    let_go(origin, again=False)
    origin.log.wait(r"/smtp\[\d+\]: \w+: to=<", PATIENCE_S, count=len(sent))
    bye = [m for m in sent if ".bye@" in m.recipients[0]]
    rest = [m for m in sent if m not in bye]
    wait_until(lambda: len(exim.contents()) >= len(rest), PATIENCE_S,
               "Exim has filed them")
    verdict = messages.compare(rest, exim.taken())
    deferred = origin.log.deliveries("/smtp", "deferred")
    report("421 of exim", messages=len(sent), said=len(bye),
           deferred=len(deferred), lost=len(verdict.lost),
           duplicates=len(verdict.duplicates))
    assert verdict.is_clean(), verdict
    assert {d.to for d in deferred} == {m.recipients[0] for m in bye}
    assert all("said: 421 4.3.2 not now" in d.reason for d in deferred)


@pytest.mark.parametrize("how", ["max_messages", "max_messages_close"])
def test_a_provider_that_ends_after_five_messages_defers_none(
        base, certs, origin, started, how):
    """max_messages_close: without a word, which leaves doubt until learned.
    """
    sim = started(Simulator(base, certs, store=True, **{how: 5}))
    hold(origin, sim)
    started(origin)
    sent = messages.generate(100, size=300, prefix="five")
    took = send_through(origin, sent)
    doubt = judge_ends(f"{how} 5", origin, sim, sent, took,
                       connections=sim.stats()["connections_total"])
    assert how == "max_messages_close" or not doubt, doubt


# c) more in the pipe than the buffers hold

def test_many_recipients_against_small_buffers_make_no_deadlock(
        base, certs, origin, started, rng):
    sim = started(Simulator(base, certs, store=True, recvbuf=8192,
                            sndbuf=8192))
    hold(origin, sim, {"lane_pipeline_bytes": "8388608"},
         fast_destination_recipient_limit="100")
    started(origin)
    sent = messages.generate(
        1000 if LONG else 60, size=3000, prefix="many",
        recipients=lambda n: [f"many-{n}-r{r}@rcpt.example"
                              for r in range(rng.randint(50, 100))])
    took = send_through(origin, sent)
    rcpts = sum(len(m.recipients) for m in sent)
    report("small buffers", recipients=rcpts)
    judge_ends("small buffers", origin, sim, sent, took,
               most_pipelined=sim.stats()["pipeline_commands_max"])
    assert sim.stats()["violations"] == 0


# d) large messages

LARGE = 20 << 20
PSS_KB_MAX = 20 << 10


def large_message(ident, size=LARGE):
    line = b"0123456789abcdef" * 4 + b"\r\n"
    return messages.make(ident, f"{ident}@sender.example",
                         [f"{ident}@rcpt.example"],
                         f"{ident}\r\n".encode() + line * (size // 66))


def peak_pss(origin, is_over):
    """Most kB all lane processes had at once, until is_over()."""
    peak = 0

    def look():
        nonlocal peak
        peak = max(peak, sum(memory_kb(p) for p in origin.pids("lane")))
        return is_over()
    wait_until(look, PATIENCE_S, "large messages delivered")
    return peak


@pytest.mark.parametrize("chunking", [True, False],
                         ids=["bdat", "data"])
def test_large_messages_are_streamed_in_bounded_memory(
        base, certs, origin, started, chunking):
    sim = started(Simulator(base, certs, store=True, size=0,
                            no_chunking=not chunking))
    # slow enough for several to be under way at once
    proxy = started(DelayProxy(base, sim.port, 5, bandwidth=10 << 20))
    hold(origin, sim, {"lane_connection_limit": 4},
         message_size_limit=str(2 * LARGE))
    origin.set(**sim.client_settings(origin, port=proxy.port))
    started(origin)
    sent = [large_message(f"large-{n}") for n in range(16 if LONG else 4)]
    origin.inject(sent)
    wait_held(origin, len(sent))
    let_go(origin)
    peak = peak_pss(origin, lambda: origin.queue_count() == 0)
    stats = sim.stats()
    verdict = messages.compare(sent, sim.taken())
    report(f"large {'bdat' if chunking else 'data'}", messages=len(sent),
           octets=LARGE, peak_pss_kb=peak,
           at_once=stats["connections_max"])
    assert verdict.is_clean(), verdict
    assert stats["connections_max"] >= 2
    assert 0 < peak < PSS_KB_MAX
    assert not origin.log.statuses("/smtp")["deferred"]


# The server stops reading, so that the lane's output is stuck, and then
# answers: the lane must read while it cannot write.
EARLY = {
    "refused": ('bdat if sender early@ nth 20 delay 1500 '
                'reply "552 5.3.4 enough of it"', "bounced",
                "552 5.3.4 enough of it"),
    "421": ('bdat if sender early@ nth 20 delay 1500 '
            'reply "421 4.3.2 closing now" close', "sent", "250 "),
}


@pytest.mark.parametrize("what", EARLY)
def test_an_answer_is_read_while_a_large_body_is_written(
        base, certs, origin, started, what):
    rule, status, reason = EARLY[what]
    sim = started(Simulator(base, certs, store=True, size=0,
                            script=rule + "\n", recvbuf=16384))
    hold(origin, sim, {"lane_connection_limit": 1,
                       "lane_pipeline_bytes": 1 << 30},
         message_size_limit=str(2 * LARGE))
    started(origin)
    origin.inject([large_message("early")])
    wait_held(origin, 1)
    let_go(origin)
    (line,) = origin.log.wait(r"to=<early@rcpt\.example>.*127\.0\.0\.1",
                              PATIENCE_S)
    assert f"status={status} " in line and reason in line, line
    origin.wait_empty(PATIENCE_S)
    taken = sim.stats()
    report(f"early {what}", octets_read=taken["bytes_in"],
           connections=taken["connections_total"])
    if status == "bounced":
        # what the kernel's buffers hold, and no more
        assert taken["bytes_in"] < LARGE // 2
        assert sim.ledger() == []
    else:
        assert len(sim.ledger()) == 1
