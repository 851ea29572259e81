"""Hosts that share one account through a real Redis: each a Postfix with a
lane and a state directory of its own, and a way of its own to the engine. The
provider's ledger judges: never a connection more than the account has, no
window beyond rate and burst, nothing lost, and twice only what a lane that was
killed had under way.

POSTLANE_LONG=1 takes all that may go wrong, with two hosts and with three;
figures go to stdout.
"""
import contextlib
import os
import signal
import time

import pytest

from harness import messages, paths
from harness.fleet import ADMIN, PASSWORD, Engine, Link
from harness.load import Background, wait_clock, wait_flushed
from harness.pace import excess
from harness.postfix import Postfix
from harness.simulator import Simulator
from harness.wait import wait_until

LONG = bool(os.environ.get("POSTLANE_LONG"))
long_only = pytest.mark.skipif(not LONG, reason="POSTLANE_LONG=1 takes it")
CONNECTIONS, RATE, BURST = 20, 100, 20
TTL_S, GUARD_S = 10, 2.2
QUIET_S = 12     # so long after the last mail a host wants little
# A session sends six a second: for all of the rate most of the connections are
# needed. What is accepted was sent just so long before.
TARDY = "bdat delay 160 normal\n"
WIDE = {f"fast_{name}": "400" for name in (
    "destination_concurrency_limit", "initial_destination_concurrency")}
# How far apart two messages that left one after the other may arrive, where
# nothing else runs on this machine
JITTER_S = 0.1


class Feed(Background):
    """A host whose queue has so much mail all the time, until the block ends:
    it could use all there is."""

    def __init__(self, host, depth=200):
        super().__init__()
        self.host, self.depth = host, depth

    def work(self):
        while not self.is_over.wait(0.05):
            if self.host.origin.queue_count() < self.depth:
                self.host.send(30)


class Host:
    """One of the fleet: its Postfix, its way to the engine, its mail."""

    def __init__(self, name, origin, link):
        self.name, self.origin, self.link = name, origin, link
        self.sent = []

    def send(self, count):
        made = messages.generate(
            count, prefix=f"{self.name}-{len(self.sent)}", size=500)
        self.sent += made
        self.origin.inject(made, connections=2)

    def wants_all(self):
        return Feed(self)

    def wait_gone(self):
        wait_flushed(self.origin, lambda: self.origin.queue_count() == 0, 120,
                     f"{self.name}'s mail gone")

    def shares(self):
        """[(unit, share, want, limit)] by its board."""
        [account] = self.origin.lanes()["accounts"]
        return [tuple(limit[key] for key in ("unit", "share", "want", "limit"))
                for limit in account["fleet"]["limits"]]

    def lane_pid(self):
        return self.origin.wait_pids("lane")[0]


class Fleet:
    """One account, its provider, and the hosts that share it."""

    def __init__(self, base, certs, started, count, prepare=None,
                 takes=CONNECTIONS, **main):
        self.sim = started(Simulator(
            base, certs, max_connections=takes, script=TARDY, sync=False))
        self.engine = started(Engine(base))
        self.kills = 0
        secret = os.path.join(base, "fleet-secret")
        with open(secret, "w", encoding="ascii") as f:
            f.write(PASSWORD + "\n")
        os.chmod(secret, 0o600)
        self.began_s = time.time()
        self.hosts = [self._host(base, started, f"host{n}", **{
            "lane_fleet_size": count, "lane_fleet_password_file": secret,
            **main}) for n in range(1, count + 1)]
        if prepare:
            prepare(self.hosts)
        for host in self.hosts:
            started(host.origin)

    def _host(self, base, started, name, **main):
        link = started(Link(self.engine.port, name=f"link-{name}"))
        origin = Postfix(base, name)
        origin.agent("lane", "fast", "class=fast")
        origin.relay_to(self.sim, transport="fast", **{
            "lane_account": "shared", "lane_fleet_name": name,
            "lane_fleet": f"127.0.0.1:{link.port}",
            "lane_fleet_ttl": f"{TTL_S}s", "lane_pipeline_depth": 1,
            "lane_connection_limit": CONNECTIONS,
            "lane_connection_idle_limit": "2s",
            "lane_account_connection_limit": CONNECTIONS,
            "lane_account_message_rate_limit": f"{RATE}/1s:{BURST}",
            **WIDE, **main})
        return Host(name, origin, link)

    # what the ledger says

    def times(self, host=None, since_s=0.0):
        """When messages were accepted, in seconds since the epoch."""
        prefix = f"{host.name}-" if host else ""
        return sorted(e.time_us / 1e6 for e in self.sim.ledger()
                      if e.id.startswith(prefix) and e.time_us / 1e6 > since_s)

    def per_s(self, host, began_s, end_s):
        times = self.times(host, began_s)
        return sum(t <= end_s for t in times) / (end_s - began_s)

    def watch(self, seconds, *hosts):
        """Messages a second that these had accepted, for so long from now."""
        began_s = time.time()
        wait_clock(seconds)
        end_s = time.time()
        return [self.per_s(host, began_s, end_s) for host in hosts]

    def rate_now(self, host):
        return len(self.times(host, time.time() - 2)) / 2

    def wait_rate(self, host, least, timeout_s=60):
        """Until a host has so many accepted a second; since when it has."""
        wait_until(lambda: self.rate_now(host) >= least, timeout_s,
                   lambda: f"{host.name} at {least:.0f}/s, it is at "
                   f"{self.rate_now(host):.0f}/s")
        return time.time() - 2

    def wait_parts(self):
        """Each has what is its part when all want all."""
        for host in self.hosts:
            self.wait_rate(host, 0.9 * int(RATE / len(self.hosts)))

    def begin(self):
        """Each has sent a message, and has been answered."""
        for host in self.hosts:
            host.send(1)
        for host in self.hosts:
            host.origin.log.wait("fleet .* shared as", 60)
        self.sim.wait_taken(len(self.hosts))

    # the verdict

    def kill_lane(self, host):
        self.kills += host.origin.kill9(host.lane_pid())

    def judge(self, loan=0):
        """loan: what a lane had borrowed that was stopped, and could not close
        when the loan was over."""
        for host in self.hosts:
            host.wait_gone()
        sent = [m for host in self.hosts for m in host.sent]
        stats = self.sim.stats()    # it has written its ledger, too
        verdict = messages.compare(sent, self.sim.taken())
        above = excess([t * 1e6 for t in self.times()], RATE)
        print(f"{len(sent)} messages: connections at most "
              f"{stats['connections_max']}, {stats['connections_refused']} "
              f"refused; at most {above:.1f} above the rate in any window; "
              f"lost {len(verdict.lost)}, twice {len(verdict.duplicates)}")
        assert stats["connections_max"] <= CONNECTIONS + loan
        assert loan or stats["connections_refused"] == 0
        assert not verdict.lost and not verdict.mixed_up, verdict
        # what each session of a lane that was killed had under way
        assert len(verdict.duplicates) <= self.kills * CONNECTIONS, verdict
        for host in self.hosts:
            assert not host.origin.log.lines("status=(deferred|bounced)")
        if LONG:    # on a machine with nothing else to do
            assert above <= BURST + len(self.hosts) + RATE * JITTER_S
        return verdict


# ---- what is looked at


def percent(rate, of=RATE):
    return f"{rate / of:.1%}"


def see_use(fleet, seconds):
    """All want all, and have it between them; 1.0: all of the account."""
    rates = fleet.watch(seconds, *fleet.hosts)
    print("each", " ".join(f"{r:.1f}/s" for r in rates),
          f"together {percent(sum(rates))}")
    return sum(rates) / RATE


def has_loan(one):
    """It has what it wants, or all but what each other always wants of its
    own."""
    return all(share >= min(want, 0.9 * limit - 1)
               for _, share, want, limit in one.shares())


def see_loan(fleet, one, since_s):
    """One has what others do not want again: so long after since_s. What it
    sends then is the machine's affair, too."""
    wait_until(lambda: has_loan(one), 60, lambda: f"{one.shares()}")
    back_s = time.time() - since_s
    sends_s = max(0.0, fleet.wait_rate(one, 0.9 * RATE, 180) - since_s)
    print(f"back after {back_s:.1f} s, sends it after {sends_s:.1f} s")
    return back_s


def go_through(fleet, harm, heal):
    """One host has nearly all when the engine goes, for all of them or some;
    each has its base while it is away, and one has all again when it comes
    back."""
    one, *others = fleet.hosts
    with one.wants_all():
        fleet.wait_rate(one, 0.9 * RATE)
        harmed_s = time.time()
        harm()
        with contextlib.ExitStack() as feeds:
            for host in others:
                feeds.enter_context(host.wants_all())
            wait_clock(TTL_S + GUARD_S + 2 - (time.time() - harmed_s))
            fleet.wait_parts()
            of = see_use(fleet, 10)
        # bases are whole connections
        assert of >= 0.95 * bases(fleet)
        for host in others:
            host.wait_gone()
        wait_clock(QUIET_S)
        heal()
        back_s = see_loan(fleet, one, time.time())
    fleet.judge()
    assert back_s <= TTL_S + 2


def go_through_oblivion(fleet, harm):
    """... when the engine has forgotten: all goes on, or comes back."""
    one, *_ = fleet.hosts
    looks = []      # (seconds after it, it has the loan)
    with one.wants_all():
        fleet.wait_rate(one, 0.9 * RATE)
        wait_until(lambda: has_loan(one), 30, "one has the loan")
        harm()
        began_s = time.time()
        while time.time() < began_s + TTL_S + 5:
            wait_clock(0.5)
            looks.append((time.time() - began_s, has_loan(one)))
            if not looks[-1][1]:
                print(f"{looks[-1][0]:.1f} s: {one.shares()}")
        of = fleet.per_s(one, began_s, time.time())
        [after] = fleet.watch(TTL_S + 5, one)
        lost_s = next((s for s, has in looks if not has), None)
        back_s = next((s for s, has in looks if has and s > (lost_s or 0)),
                      TTL_S + 5)
        print(f"\none of {len(fleet.hosts)} meanwhile: {percent(of)}, then "
              f"{percent(after)}; " + (
                  "it had the loan all the time" if lost_s is None else
                  f"less than the loan after {lost_s:.1f} s, back after "
                  f"{back_s:.1f} s"))
    fleet.judge()
    assert back_s <= TTL_S + 2
    assert of >= 0.9 * bases(fleet) * RATE / len(fleet.hosts)


def bases(fleet):
    """The part of the rate that hosts have without an engine."""
    return len(fleet.hosts) * int(RATE / len(fleet.hosts)) / RATE


# ---- in short


@pytest.fixture
def two_hosts(base, certs, started):
    fleet = Fleet(base, certs, started, 2)
    fleet.begin()
    return fleet


def test_engine_that_goes_and_comes_back(two_hosts):
    """What one host does not want the other has, but with an engine only: half
    of the rate is its own, and a busy machine may not send all of it."""
    one, _two = two_hosts.hosts
    with one.wants_all():
        two_hosts.wait_rate(one, 0.7 * RATE)
        two_hosts.engine.kill9()
        one.origin.log.wait("no answer: .*goes on with what is its own")
        wait_until(lambda: two_hosts.rate_now(one) < 0.6 * RATE, 30,
                   "one is at its base")
        two_hosts.engine.start()
        one.origin.log.wait("answers again")
        two_hosts.wait_rate(one, 0.7 * RATE)
    two_hosts.judge()


def test_engine_without_memory_is_none(two_hosts):
    """It takes commands, and does none of them."""
    one, two = two_hosts.hosts
    two_hosts.engine.ask("CONFIG", "SET", "maxmemory", "1")
    for host in (one, two):
        host.origin.log.wait("no answer: OOM .*goes on with what is its own")
        host.send(1)
    two_hosts.sim.wait_taken(4)
    # which is not what the provider allows
    [account] = one.origin.lanes()["accounts"]
    assert account["limit_now"] == account["limit"] == CONNECTIONS
    two_hosts.engine.ask("CONFIG", "SET", "maxmemory", "0")
    for host in (one, two):
        host.origin.log.wait("answers again")
        assert len(host.origin.log.lines("no answer:")) == 1
    two_hosts.judge()


def test_lane_that_speaks_is_killed(two_hosts):
    """The next one goes on with what the host has."""
    one, two = two_hosts.hosts
    with one.wants_all(), two.wants_all():
        wait_until(lambda: len(two_hosts.times(two)) >= 20, 60, "two's mail")
        two_hosts.kill_lane(two)
        two.origin.log.wait("fleet .* shared as", 60, count=2)
    two_hosts.judge()


def test_host_is_set_up_wrong(base, certs, started):
    """With another password it has its base; with another host's name, while
    that one lives, nothing."""
    def set_password(text):
        with open(wrong, "w", encoding="ascii") as f:
            f.write(text + "\n")
        os.chmod(wrong, 0o600)
    wrong = os.path.join(base, "wrong")
    set_password("another")
    fleet = Fleet(base, certs, started, 2, prepare=lambda hosts: hosts[
        1].origin.set(lane_fleet_password_file=wrong))
    one, two = fleet.hosts
    one.send(1)
    one.origin.log.wait("fleet .* shared as")
    two.send(1)
    two.origin.log.wait("no answer: AUTH: WRONGPASS .*what is its own")
    fleet.sim.wait_taken(2)
    set_password(PASSWORD)
    two.origin.set(lane_fleet_name=one.name, reload=True)
    two.send(1)
    two.origin.log.wait("two hosts call themselves host1: this one sends "
                        "nothing", 60)
    one.send(1)
    fleet.sim.wait_taken(3)
    assert not [e for e in fleet.sim.ledger() if e.id == two.sent[1].id]
    two.origin.set(lane_fleet_name=two.name, reload=True)
    two.origin.log.wait("shared as host2")
    fleet.sim.wait_taken(4)
    fleet.judge()


# ---- what one is told by the provider the other obeys


def heard(host):
    """What a host obeys of others: {what: host}."""
    [account] = host.origin.lanes()["accounts"]
    return {one["what"]: one["host"] for one in account["fleet"]["heard"]}


def wait_heard(host, what, by):
    wait_until(lambda: heard(host).get(what) == by.name, 30,
               f"{host.name} has heard of {what}")


def say(two_hosts, reply):
    two_hosts.sim.script(TARDY + (f'mail reply "{reply}"\n' if reply else ""))


def test_pause_is_obeyed_by_the_other_host(two_hosts):
    one, two = two_hosts.hosts
    say(two_hosts, "454 4.7.0 Rate exceeded, try again in 20 seconds")
    one.send(1)
    one.origin.log.wait("pace=slower .*Rate exceeded")
    told_s = time.time()
    wait_heard(two, "pause", one)
    assert "host1 was asked to pause; obeyed here" in two.origin.postlane(
        "status").stdout
    assert "host1 was asked to pause; obeyed here" in two.origin.postlane(
        "fleet").stdout
    say(two_hosts, "")
    two.send(1)
    wait_until(lambda: len(two_hosts.times(two)) == 2, 30, "two's mail")
    # its clock is this one's, and a second is what its log may be behind
    assert two_hosts.times(two)[1] > told_s + 20 - 1
    assert not two.origin.log.lines("Rate exceeded")
    wait_until(lambda: not heard(two), 30, "the end of it")
    two_hosts.judge()


def test_other_host_is_not_refused_connections_itself(base, certs, started):
    """The provider takes fewer than it said."""
    fleet = Fleet(base, certs, started, 2, takes=12,
                  lane_adaptive="no", lane_connection_idle_limit="60s")
    fleet.begin()
    one, two = fleet.hosts
    with one.wants_all():
        one.origin.log.wait("refused a connection beyond")
        wait_heard(two, "fewer", one)
        two.origin.log.wait("refused host1 a connection, .*fewer here")
    # who was refused tries one more a minute later, as long as it wants it
    refused = fleet.sim.stats()["connections_refused"]
    with two.wants_all():
        wait_until(lambda: len(fleet.times(two)) >= 20, 60, "two's mail")
    assert fleet.sim.stats()["connections_refused"] == refused > 0
    assert not two.origin.log.lines("refused a connection beyond")


def test_host_whose_mail_is_refused_is_an_alarm_of_the_other(two_hosts):
    """Which finds out with one message that its own is taken."""
    one, two = two_hosts.hosts
    say(two_hosts, "554 5.7.1 Your account is suspended")
    one.send(1)
    one.origin.log.wait("alarm: .*suspended")
    wait_heard(two, "blocked", one)
    assert not heard(one)
    for command in ("status", "fleet"):
        # for as long as one is: two's own mail may go all the time
        assert ("the mail of host1 is refused: 554 5.7.1\n"
                in two.origin.postlane(command).stdout)
    say(two_hosts, "")
    two.send(1)
    two.origin.log.wait("alarm: .*host host1 of the fleet was told 554 5.7.1")
    two.origin.log.wait("alarm cleared")
    # and the other one is asked to look, too
    assert one.origin.postlane("retry").returncode == 0
    one.origin.log.wait("alarm cleared")
    one.origin.flush()
    wait_until(lambda: not heard(two), 30, "it is over")
    two_hosts.sim.wait_taken(4)
    assert len(two.origin.log.lines("warning: alarm: ")) == 1


# ---- at length


@pytest.fixture(params=[2, 3])
def fleet(base, certs, started, request):
    fleet = Fleet(base, certs, started, request.param)
    fleet.begin()
    return fleet


@long_only
def test_all_is_used(fleet):
    """Whoever wants it."""
    one, *_ = fleet.hosts
    with contextlib.ExitStack() as feeds:
        feeds.enter_context(one.wants_all())
        fleet.wait_rate(one, 0.9 * RATE)
        [alone] = fleet.watch(20, one)
        print(f"\none of {len(fleet.hosts)}: {percent(alone)}")
        for host in fleet.hosts[1:]:
            feeds.enter_context(host.wants_all())
        fleet.wait_parts()
        together = see_use(fleet, 20)
    fleet.judge()
    assert alone >= 0.98 * RATE - len(fleet.hosts) + 1
    assert together >= 0.98


@long_only
def test_engine_is_killed(fleet):
    go_through(fleet, fleet.engine.kill9, fleet.engine.start)


@long_only
def test_engine_stands_still(fleet):
    def harm():
        fleet.engine.signal(signal.SIGSTOP)
        stopped.append(time.monotonic())

    def heal():
        wait_clock(60, stopped[0])
        fleet.engine.signal(signal.SIGCONT)
    stopped = []
    go_through(fleet, harm, heal)


@long_only
def test_engine_starts_empty(fleet):
    def harm():
        fleet.engine.kill9()
        fleet.engine.start()
    go_through_oblivion(fleet, harm)


@long_only
def test_another_engine_follows_that_knows_less(base, started, fleet):
    replica = started(Engine(
        base, "replica", replicaof=f"127.0.0.1 {fleet.engine.port}",
        masteruser=ADMIN[0], masterauth=f'"{ADMIN[1]}"'))
    wait_until(lambda: len(replica.rows()) == 2, 30, "rows at the replica")

    def harm():
        replica.ask("REPLICAOF", "NO", "ONE")
        wait_clock(3)           # what is written now is lost
        fleet.engine.kill9()
        for host in fleet.hosts:
            host.link.to_port = replica.port
    go_through_oblivion(fleet, harm)


@long_only
def test_engine_has_no_memory_left(fleet):
    go_through(fleet,
               lambda: fleet.engine.ask("CONFIG", "SET", "maxmemory", "1"),
               lambda: fleet.engine.ask("CONFIG", "SET", "maxmemory", "0"))


@long_only
@pytest.mark.parametrize("who", ["one", "all"])
@pytest.mark.parametrize("what", ["cut", "stall", "slow", "drip"])
def test_way_to_the_engine(fleet, who, what):
    links = [h.link for h in fleet.hosts][slice(1 if who == "one" else None)]
    harms = {"cut": Link.cut, "stall": Link.stall,
             "slow": lambda link: link.slow(1.5),
             "drip": lambda link: link.drip(0.02)}

    def all_of(do):
        for link in links:
            do(link)
    go_through(fleet, lambda: all_of(harms[what]), lambda: all_of(Link.heal))


@long_only
def test_long_way_to_the_engine(fleet):
    """Its answers are in time: nothing is lost by that."""
    one, *_ = fleet.hosts
    for host in fleet.hosts:
        host.link.slow(0.3)
    with one.wants_all():
        fleet.wait_rate(one, 0.9 * RATE)
        [alone] = fleet.watch(10, one)
        print(f"\none of {len(fleet.hosts)}: {percent(alone)}")
    fleet.judge()
    assert alone >= 0.98 * RATE - len(fleet.hosts) + 1


@long_only
def test_speaking_lane_is_killed(fleet):
    two = fleet.hosts[1]
    with contextlib.ExitStack() as feeds:
        for host in fleet.hosts:
            feeds.enter_context(host.wants_all())
        fleet.wait_parts()
        for _ in range(5):
            fleet.kill_lane(two)
            wait_clock(5)
        fleet.wait_parts()
        of = see_use(fleet, 20)
    fleet.judge()
    assert of >= 0.98


@long_only
def test_speaking_lane_stands_still(fleet):
    """What it has is its own: others keep off that."""
    one, two, *_ = fleet.hosts
    with contextlib.ExitStack() as feeds:
        for host in fleet.hosts:
            feeds.enter_context(host.wants_all())
        fleet.wait_parts()
        pid = two.lane_pid()
        os.kill(pid, signal.SIGSTOP)
        held = two.origin.lanes()["accounts"][0]["slots"]["held"]
        loan = max(0, held - CONNECTIONS // len(fleet.hosts))
        try:
            began = time.monotonic()
            of = fleet.watch(20, one)
            print("the other meanwhile", percent(of[0]))
            wait_clock(60, began)
        finally:
            os.kill(pid, signal.SIGCONT)
        fleet.wait_parts()
        together = see_use(fleet, 10)
    print(f"the lane that stood still had borrowed {loan} connections")
    fleet.judge(loan)
    assert of[0] >= 0.95 * int(RATE / len(fleet.hosts))
    assert together >= 0.98


@long_only
@pytest.mark.parametrize("count", [2, 3])
def test_clocks_are_wrong(base, certs, started, count):
    """The first host's by an hour ahead, the second's by an hour behind."""
    def set_clock(host, ahead_s):
        host.origin.lane_environment(
            LD_PRELOAD=paths.built("clock.so"), CLOCK_AHEAD_S=ahead_s,
            CLOCK_WORD="class=fast")
        # or a certificate is not valid yet
        host.origin.set(smtp_tls_security_level="encrypt")
    fleet = Fleet(base, certs, started, count, prepare=lambda hosts: (
        set_clock(hosts[0], 3600), set_clock(hosts[1], -3600)))
    fleet.begin()
    go_through(fleet, fleet.engine.kill9, fleet.engine.start)


@long_only
@pytest.mark.parametrize("count", [2, 3])
def test_host_is_dead(base, certs, started, count):
    """The others are at their base at once, and have all when it is
    forgotten."""
    fleet = Fleet(base, certs, started, count, lane_fleet_forget="25s",
                  lane_fleet_minimum=0)
    fleet.begin()
    *others, dead = fleet.hosts
    with contextlib.ExitStack() as feeds:
        for host in others:
            feeds.enter_context(host.wants_all())
        with dead.wants_all():
            fleet.wait_parts()
            see_use(fleet, 5)
        dead.origin.stop()
        died_s = time.time()
        others_have = sum(fleet.watch(10, *others))
        print(f"the others at once {percent(others_have)}")
        wait_until(lambda: len(fleet.times(since_s=time.time() - 2)) >=
                   0.95 * 2 * RATE, 60, "all of it")
        print(f"all of it after {time.time() - died_s:.1f} s")
        forgotten = sum(fleet.watch(5, *others))
        print(f"without it {percent(forgotten)}")
        dead.origin.start()
        with dead.wants_all():
            fleet.wait_rate(dead, 0.9 * RATE / count)
            see_use(fleet, 5)
    fleet.judge()
    assert others_have >= 0.95 * int(RATE / count) * (count - 1)
    assert forgotten >= 0.98 * RATE
