"""Reload, kill, stop: nothing is lost, and what comes twice is what was in
doubt. POSTLANE_LONG=1 takes the longer variants; figures go to stdout."""
import os
import random
import re
import signal
import time
from collections import Counter

import pytest

from harness import messages
from harness.load import Load, wait_clock, wait_taken_by_all_means
from harness.process import session_processes
from harness.simulator import Simulator
from harness.wait import stretched_ms, wait_until

pytestmark = pytest.mark.sanitized

LONG = bool(os.environ.get("POSTLANE_LONG"))
RELOADS_S = 30 if LONG else 8
KILLS = 20 if LONG else 6
LIMIT, DEPTH = 20, 10
QUIET_LIMIT_S = 5.0     # no mail for so long after a reload or kill
WIDE = {"fast_destination_concurrency_limit": "400",
        "fast_initial_destination_concurrency": "400"}


def start(base, certs, origin, started, sim_options=None, options=None,
          words="class=fast", main=None, **fields):
    sim = started(Simulator(base, certs, **{
        "max_connections": LIMIT, "max_messages": 50, **(sim_options or {})}))
    origin.agent("lane", "fast", words, options, **fields)
    origin.relay_to(sim, transport="fast", **{**WIDE, **(main or {})})
    started(origin)
    return sim


def sent_lines(origin):
    """How often each recipient was logged as sent."""
    return Counter(d.to for d in origin.log.deliveries("/smtp", "sent"))


def wait_held(sim, count):
    """So many messages have come as far as the script holds them."""
    wait_until(lambda: sim.stats()["scripted"] >= count, 20,
               f"{count} messages in flight")


def longest_pause_s(sim, since_us=0, until_us=None):
    """Longest time without an accepted message between two times."""
    times = sorted(e.time_us for e in sim.ledger()
                   if e.time_us >= since_us
                   and (until_us is None or e.time_us <= until_us))
    return max((b - a for a, b in zip(times, times[1:])), default=0) / 1e6


def resumed_s(sim, moments_us):
    """For each moment: until the next message was accepted that came on a
    connection made later."""
    ledger = sim.ledger()
    first = {}
    for e in ledger:
        key = e.run, e.connection
        first[key] = min(first.get(key, e.time_us), e.time_us)
    starts = sorted(first.values())
    return [next((t - at for t in starts if t > at), None) for at in
            moments_us]


def now_us():
    return time.time_ns() // 1000


# Reload

def test_reload_every_second_under_load_loses_and_repeats_nothing(
        base, certs, origin, started):
    sim = start(base, certs, origin, started, {"latency": 50})
    moments = []
    with Load(origin, per_s=100) as load:
        sim.wait_taken(20)
        for _ in range(RELOADS_S):
            began = time.monotonic()
            origin.reload()
            moments.append(now_us())
            wait_clock(1, began)
    wait_taken_by_all_means(origin, sim, load.sent)
    verdict = messages.compare(load.sent, sim.taken())
    assert verdict.is_clean(), verdict
    assert max(sent_lines(origin).values()) == 1
    stats = sim.stats()
    assert stats["connections_max"] <= LIMIT
    assert stats["violations"] == 0
    assert not origin.log.problems()
    pause = longest_pause_s(sim, moments[0], moments[-1])
    print(f"\n{len(moments)} reloads, {len(load.sent)} messages: longest "
          f"pause {pause:.2f} s, connections at most "
          f"{stats['connections_max']}")
    assert not LONG or pause < QUIET_LIMIT_S


def test_reload_lets_a_delivery_in_flight_finish(
        base, certs, origin, started):
    """The draining child holds the file and the session; the new process
    serves meanwhile; the queue manager leaves the file alone."""
    slow_end = f'bdat if sender "slow*" delay {stretched_ms(3000)} normal\n'
    sim = start(base, certs, origin, started, {"script": slow_end},
                main={"queue_run_delay": "1s"})
    held = messages.generate(3, prefix="slow")
    origin.inject(held)
    wait_held(sim, len(held))
    old = origin.pids("lane")
    origin.reload()
    sent = messages.generate(5, prefix="quick")
    origin.inject(sent)
    sim.wait_taken(5)
    assert {e.id for e in sim.ledger()} == {m.id for m in sent}
    now = origin.pids("lane")
    assert len(now) == 2 and not set(now) & set(old)
    origin.log.wait(r"skipped, still being delivered")
    sim.wait_taken(8)
    wait_until(lambda: len(origin.pids("lane")) == 1, 10,
               "the draining child gone")
    assert all(n == 1 for n in sent_lines(origin).values())
    wait_taken_by_all_means(origin, sim, held + sent)
    verdict = messages.compare(held + sent, sim.taken())
    assert verdict.is_clean(), verdict
    assert sim.stats()["violations"] == 0


def test_draining_child_keeps_its_slots(base, certs, origin, started):
    """All 20 sessions are busy when the reload comes: the new process gets
    one only as the old one gives it back; a 21st never."""
    sim = start(base, certs, origin, started,
                {"script": 'bdat if sender "slow*" '
                 f'delay {stretched_ms(2500)} normal\n'})
    held = messages.generate(LIMIT, prefix="slow")
    origin.inject(held)
    wait_held(sim, len(held))
    origin.reload()
    more = messages.generate(30, prefix="more")
    origin.inject(more)
    sim.wait_taken(len(held) + len(more))
    wait_taken_by_all_means(origin, sim, held + more)
    stats = sim.stats()
    assert stats["connections_max"] <= LIMIT
    verdict = messages.compare(held + more, sim.taken())
    assert verdict.is_clean(), verdict
    assert not origin.log.statuses("/smtp")["deferred"]


def test_drain_ends_at_its_limit(base, certs, origin, started):
    """What is not through by then is given up and sent again later."""
    sim = start(base, certs, origin, started,
                {"script": 'eod if xid "stuck*" times 1 stall\n'},
                options={"lane_drain_limit": "2s"})
    sent = messages.generate(1, prefix="stuck")
    origin.inject(sent)
    wait_held(sim, len(sent))
    old = origin.pids("lane")
    origin.reload()
    wait_until(lambda: origin.pids("lane") not in ([], old), 10, "a child")
    child = origin.pids("lane")
    # 2 s, where the default is a minute and the server says nothing
    wait_until(lambda: not set(child) & set(origin.pids("lane")), 40,
               "the draining child gone")
    assert origin.log.lines(r"status=deferred \(.*message may be sent more "
                            "than once")
    wait_taken_by_all_means(origin, sim, sent)
    verdict = messages.compare(sent, sim.taken())
    assert verdict.is_clean(), verdict


# A changed table

def test_changed_table_lets_mail_flow_while_a_delivery_is_slow(
        base, certs, origin, started):
    """The old process goes on with what is on the wire, in a child; the
    next one has the new table and serves meanwhile."""
    table = origin.map("policies", {"[other.example]": "encrypt"}, "texthash")
    sim = start(base, certs, origin, started,
                {"script": 'bdat if sender "slow*" '
                 f'delay {stretched_ms(8000)} normal\n'},
                main={"smtp_tls_policy_maps": table})
    held = messages.generate(3, prefix="slow")
    origin.inject(held)
    wait_held(sim, len(held))
    wait_clock(1.1)     # until the lane looks at its tables again
    old = origin.pids("lane")
    origin.map("policies", {"[another.example]": "encrypt"}, "texthash")
    sent = messages.generate(5, prefix="quick")
    origin.inject(sent)
    began = time.monotonic()
    sim.wait_taken(5)
    print(f"\nmail flows on after {time.monotonic() - began:.1f} s")
    assert {e.id for e in sim.ledger()} == {m.id for m in sent}
    assert len(origin.log.lines("table .* has changed -- restarting")) == 1
    assert len(origin.pids("lane")) == 2
    assert not set(origin.pids("lane")) & set(old)
    sim.wait_taken(8)
    wait_until(lambda: len(origin.pids("lane")) == 1, 10,
               "the draining child gone")
    origin.wait_empty()
    assert all(n == 1 for n in sent_lines(origin).values())
    verdict = messages.compare(held + sent, sim.taken())
    assert verdict.is_clean(), verdict


@pytest.mark.parametrize("chroot", ["n", "y"])
def test_new_password_serves_the_request_that_noticed_it(
        base, certs, origin, started, chroot):
    sim = start(base, certs, origin, started, chroot=chroot,
                main={"minimal_backoff_time": "300s",
                      "maximal_backoff_time": "4000s",
                      "queue_run_delay": "300s"})
    login = ":".join(sim.login)
    hop = origin.main["relayhost"]
    origin.map("relay_auth", {hop: login + "x"}, mode=0o600)
    sent = messages.generate(2)
    origin.inject(sent)
    origin.log.wait(r"status=deferred .*authentication failed")
    origin.map("relay_auth", {hop: login}, mode=0o600)
    wait_clock(1.1)     # until the lane looks at its tables again
    mark = origin.log.mark()
    origin.flush()
    sim.wait_taken(2)
    origin.wait_empty()
    assert not origin.log.lines("authentication failed", since=mark)
    assert messages.compare(sent, sim.taken()).is_clean()


# Kill

def explain(sim, origin, kills_us):
    """Duplicates, each with its explanation: every earlier copy was in the
    last window of its connection, so that its reply was still on its way, and
    only the last can have been logged as sent: not even that one, where the
    process died with the line before postlogd(8) took it. Seconds before the
    next kill, and ids without explanation."""
    copies, last = {}, Counter()
    for e in sorted(sim.ledger(), key=lambda e: e.time_us):
        copies.setdefault(e.id, []).append(e)
        last[e.run, e.connection] = e.number
    lines = sent_lines(origin)
    ages, unexplained = [], []
    for ident, entries in copies.items():
        for e in entries[:-1]:
            age = min(((at - e.time_us) / 1e6 for at in kills_us
                       if at > e.time_us - 200_000), default=9)
            ages.append(age)
            behind = last[e.run, e.connection] - e.number
            logged = lines[e.recipients[0]]
            if behind >= DEPTH or logged > 1:
                unexplained.append((ident, age, behind, logged))
    return ages, unexplained


def test_kill_at_random_moments_loses_nothing(base, certs, origin, started):
    """Not throttled: the process had delivered before it died."""
    seed = random.randrange(1 << 32)
    print(f"\nseed {seed}")
    rng = random.Random(seed)
    sim = start(base, certs, origin, started, {"latency": 50},
                {"lane_pipeline_depth": str(DEPTH)})
    kills = []
    with Load(origin, per_s=100) as load:
        for _ in range(KILLS):
            pid = origin.wait_pids("lane")[0]
            origin.log.wait(rf"\[{pid}\]: .*status=sent")
            wait_clock(rng.uniform(0, 0.6))
            kills.append(now_us())
            assert origin.kill9(pid)
            wait_until(lambda: pid not in origin.pids("lane"), 10, "gone")
    wait_taken_by_all_means(origin, sim, load.sent)
    verdict = messages.compare(load.sent, sim.taken())
    assert not verdict.lost and not verdict.mixed_up, verdict
    ages, unexplained = explain(sim, origin, kills)
    assert not unexplained
    assert not origin.log.lines("bad command startup|throttling")
    stats = sim.stats()
    assert stats["connections_max"] <= LIMIT
    pauses = sorted(p / 1e6 for p in resumed_s(sim, kills) if p is not None)
    print(f"{KILLS} kills, {len(load.sent)} messages: lost 0, duplicates "
          f"{len(verdict.duplicates)}, accepted at most "
          f"{max(ages, default=0):.3f} s before the kill; a new session's first "
          f"message after {pauses[len(pauses) // 2]:.2f} s (median), "
          f"{pauses[-1]:.2f} s (most), connections at most "
          f"{stats['connections_max']}")
    assert len(verdict.duplicates) <= KILLS * LIMIT * DEPTH
    assert not LONG or pauses[-1] < QUIET_LIMIT_S


def test_kill_of_a_paced_lane_suspends_nothing(
        base, certs, origin, started):
    """Most of its mail waits in the queue manager, and with it a connection
    that was not greeted: it must find the next process. With Postfix's own
    retry times, since a suspended transport would be back after a minute."""
    sim = started(Simulator(base, certs))
    origin.agent("lane", "slow", "class=slow",
                 {"lane_message_rate_limit": "20/1s"})
    origin.relay_to(
        sim, transport="slow", transport_retry_time="60s",
        minimal_backoff_time="300s", maximal_backoff_time="4000s",
        queue_run_delay="300s", slow_destination_concurrency_limit="400",
        slow_initial_destination_concurrency="400")
    started(origin)
    sent = messages.generate(200)
    origin.inject(sent)
    sim.wait_taken(40)
    [pid] = origin.pids("lane")
    killed = now_us()
    assert origin.kill9(pid)
    wait_until(lambda: [e for e in sim.ledger() if e.time_us > killed], 10,
               "mail flows again")
    first = min(e.time_us for e in sim.ledger() if e.time_us > killed)
    print(f"\nslow flows again after {(first - killed) / 1e6:.2f} s")
    assert not origin.log.lines("mail transport unavailable")
    wait_taken_by_all_means(origin, sim, sent)
    verdict = messages.compare(sent, sim.taken())
    assert not verdict.lost and not verdict.mixed_up, verdict
    assert len(verdict.duplicates) <= 2


# Stop

def test_stop_amid_deliveries_leaves_nothing_and_loses_nothing(
        base, certs, origin, started):
    # paced, so that no machine is through with it before it is stopped
    sim = start(base, certs, origin, started, {"latency": 500},
                options={"lane_message_rate_limit": "20/1s"})
    sent = messages.generate(800)
    origin.inject(sent)
    sim.wait_taken(20)
    session = origin.session
    origin.stop()
    assert session_processes(session) == []
    # also what was finished after the logging daemon had gone; lines that it
    # had not read by then are lost, whichever program they are from
    logged = sent_lines(origin)
    accepted = Counter(e.recipients[0] for e in sim.ledger())
    assert not logged - accepted
    assert (accepted - logged).total() <= DEPTH
    taken = len(sim.ledger())
    assert taken < len(sent), "stopped too late to show anything"
    origin.agent("lane", "fast", "class=fast")
    origin.start()
    origin.flush()
    origin.wait_empty()
    verdict = messages.compare(sent, sim.taken())
    assert verdict.is_clean(), verdict
    print(f"\nstopped after {taken} of {len(sent)}: lost 0, duplicates 0")


def test_stop_with_a_silent_provider_ends_in_time(
        base, certs, origin, started):
    """Three seconds for replies, then the process ends by itself: nobody
    has to kill it. The message is delivered by the next start."""
    sim = start(base, certs, origin, started,
                {"script": "eod times 1 stall\n"})
    sent = messages.generate(1)
    origin.inject(sent)
    wait_held(sim, len(sent))
    origin.stop()
    # by itself, not because master(8) lost patience
    assert not origin.log.lines("(postfix-script|master).*(kill|SIGKILL)")
    origin.start()
    origin.flush()
    origin.wait_empty()
    verdict = messages.compare(sent, sim.taken())
    assert verdict.is_clean(), verdict


def test_death_of_master_ends_the_lane(base, certs, origin, started):
    """What is in flight is finished, then the process goes by itself."""
    sim = start(base, certs, origin, started,
                {"script": 'bdat if sender "slow*" '
                 f'delay {stretched_ms(1500)} normal\n'})
    sent = messages.generate(2, prefix="slow")
    origin.inject(sent)
    wait_held(sim, len(sent))
    master = origin.session
    os.kill(master, signal.SIGKILL)
    sim.wait_taken(2)
    wait_until(lambda: not [p for p in session_processes(master)
                            if p.name == "lane"], 10, "lane gone")
    wait_until(lambda: not [p for p in session_processes(master)
                            if p.name == "qmgr"], 10, "qmgr gone")
    origin.destroy()
    origin.start()
    origin.flush()
    origin.wait_empty()
    verdict = messages.compare(sent, sim.taken())
    assert verdict.is_clean(), verdict


# One process, as whom, where from

def test_process_limit_one_means_one_serving_process(
        base, certs, origin, started):
    sim = start(base, certs, origin, started, {"latency": 20})
    seen = set()
    with Load(origin) as load:
        # before that the process has helpers that still carry its name
        sim.wait_taken(1)
        for _ in range(50):
            wait_clock(0.05)
            pids = origin.pids("lane")
            assert len(pids) <= 1
            seen.update(pids)
    origin.wait_empty()
    assert len(seen) == 1
    assert messages.compare(load.sent, sim.taken()).is_clean()
    assert len({d.pid for d in origin.log.deliveries("/smtp")}) == 1


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return dict(line.rstrip("\n").split(":\t", 1)
                    for line in f if ":\t" in line)


@pytest.mark.parametrize("chroot", ["n", "y"])
@pytest.mark.parametrize("unpriv", ["-", "n"])
def test_chroot_and_privileges_are_as_master_cf_says(
        base, certs, origin, started, chroot, unpriv):
    sim = start(base, certs, origin, started, chroot=chroot, unpriv=unpriv)
    sent = messages.generate(5)
    origin.inject(sent)
    origin.wait_empty()
    assert messages.compare(sent, sim.taken()).is_clean()
    pid = origin.pids("lane")[0]
    uid = os.stat(origin.data_directory).st_uid if unpriv == "-" else 0
    assert set(status_of(pid)["Uid"].split()) == {str(uid)}
    # nothing it executes can get them back
    status = status_of(pid)
    if unpriv == "-":
        assert status["NoNewPrivs"].strip() == "1"
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[name], 16) == 0, name
    # memory with passwords in it is root's alone
    assert os.stat(f"/proc/{pid}/maps").st_uid == 0
    root = os.readlink(f"/proc/{pid}/root")
    assert root == (origin.queue_directory if chroot == "y" else "/")
    # the account's slots and the figures are shared all the same
    assert not origin.log.lines(r"smtp\[\d+\]: (warning|error|fatal)")
    state = os.listdir(os.path.join(origin.data_directory, "postlane"))
    assert any(name.startswith("slots.") for name in state), state
    origin.reload()
    more = messages.generate(3, prefix="more")
    origin.inject(more)
    origin.wait_empty()
    assert messages.compare(sent + more, sim.taken()).is_clean()
    assert not origin.log.problems()


def test_there_is_no_path_and_no_error_output(base, certs, origin, started):
    sim = start(base, certs, origin, started)
    sent = messages.generate(2)
    origin.inject(sent)
    origin.wait_empty()
    pid = origin.pids("lane")[0]
    with open(f"/proc/{pid}/environ", "rb") as f:
        names = {v.partition(b"=")[0] for v in f.read().split(b"\0") if v}
    assert b"PATH" not in names and b"MAIL_CONFIG" in names
    assert os.readlink(f"/proc/{pid}/fd/2") == "/dev/null"
    assert messages.compare(sent, sim.taken()).is_clean()


# The log

def test_log_goes_through_postlogd_with_the_chosen_tag(
        base, certs, origin, started):
    start(base, certs, origin, started,
          options={"lane_log_name": "lane-fast", "syslog_name": "relay"})
    origin.inject(messages.generate(1))
    origin.wait_empty()
    lines = origin.log.deliveries("relay/lane-fast", "sent")
    assert len(lines) == 1
    assert lines[0].pid in origin.pids("lane")


def arguments_of(pid):
    with open(f"/proc/{pid}/cmdline", encoding="utf-8") as f:
        return f.read().split("\0")


def test_mail_flows_while_the_logging_daemon_stands_still(
        base, certs, origin, started):
    """The lane has one of its own, since all else in Postfix waits for it."""
    origin.service("postlogd", "lanelog", "unix-dgram", private="n", limit=1)
    sim = start(base, certs, origin, started,
                options={"postlog_service_name": "lanelog"})
    origin.inject(messages.generate(1, prefix="first"))
    origin.wait_empty()
    lane = origin.pids("lane")
    # the other one is started when somebody else has something to log
    [postlogd] = wait_until(lambda: [
        pid for pid in origin.pids("postlogd")
        if "lanelog" in arguments_of(pid)], 30, "the lane's has been started")
    sent = messages.generate(150)
    os.kill(postlogd, signal.SIGSTOP)
    try:
        origin.inject(sent)
        sim.wait_taken(151)
        origin.wait_empty()
        assert len(sent_lines(origin)) <= 1
    finally:
        os.kill(postlogd, signal.SIGCONT)
    wait_until(lambda: len(sent_lines(origin)) == 151, 20, "all lines")
    assert max(sent_lines(origin).values()) == 1
    assert origin.pids("lane") == lane
    assert not origin.log.problems()


@pytest.mark.parametrize("words", ["class=fast -v", "-v class=fast"])
def test_verbose_shows_the_dialogue_but_no_password(
        base, certs, origin, started, words):
    start(base, certs, origin, started, words=words)
    origin.inject(messages.generate(1))
    origin.wait_empty()
    text = origin.log.text()
    assert re.search(r"smtp\[\d+\]: .*(EHLO|220 |250)", text)
    assert "wo:rd pass" not in text
    assert "bGFuZQ" not in text     # of the login, in Base64


def closed_counters(origin):
    """dials_ok and closed_*, once every session that was opened is closed."""
    def counters():
        [lane] = origin.lanes()["lanes"]
        return {name: n for name, n in lane["counters"].items()
                if name == "dials_ok" or name.startswith("closed_")}

    def closed():
        now = counters()
        return sum(now.values()) == 2 * now["dials_ok"] and now
    return wait_until(closed, 30, lambda: f"all closed: {counters()}")


def test_board_says_why_sessions_were_closed(base, certs, origin, started):
    start(base, certs, origin, started, options={
        "lane_connection_limit": "1", "lane_messages_per_connection": "5",
        "lane_connection_idle_limit": "2s"})
    origin.inject(messages.generate(32))
    origin.wait_empty()
    found = closed_counters(origin)
    assert found["closed_spent"] >= 2
    assert found["closed_idle"] >= 1
    assert found["closed_spent"] + found["closed_idle"] == found["dials_ok"]


def test_the_session_used_last_is_kept_and_used_again(
        base, certs, origin, started):
    """Two relays, and one session kept: when that to the first has gone, the
    other has been idle for nearly as long, and stays."""
    sims = {name: started(Simulator(base, certs, name, login=None))
            for name in ("first", "last")}
    origin.agent("lane", "fast", "class=fast", {
        "lane_connection_idle_limit": "1s", "lane_connection_idle_reserve": 1})
    origin.set(smtp_tls_security_level="none", transport_maps=origin.map(
        "transport", {f"{name}.example": f"fast:[127.0.0.1]:{sim.port}"
                      for name, sim in sims.items()}))
    started(origin)

    def send(name, prefix):
        origin.inject(messages.generate(
            1, prefix=prefix, recipients=lambda n: (f"to@{name}.example",)))
        origin.wait_empty()

    send("first", "a")
    send("last", "b")
    wait_until(lambda: not sims["first"].stats()["connections"], 30,
               lambda: f"closed: {sims['first'].stats()}")
    send("last", "c")
    assert sims["last"].stats()["connections_total"] == 1
    assert len(sims["last"].ledger()) == 2
    assert not origin.log.problems()


def test_board_counts_a_session_the_server_closes_unused_as_idle(
        base, certs, origin, started):
    sim = start(base, certs, origin, started,
                options={"lane_connection_idle_limit": "1h"})
    origin.inject(messages.generate(4))
    origin.wait_empty()
    sim.stop()
    found = closed_counters(origin)
    assert found["closed_idle"] == found["dials_ok"] > 0
