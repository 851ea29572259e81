"""What an operator tells lanes while they run: in force at once, kept over
reloads, logged with who asked for it, and nothing is lost."""
import os
import re
import socket
import stat
import time

import pytest
from harness import messages
from harness.simulator import Simulator
from harness.wait import wait_until

LATER = 600     # nothing comes back from the deferred queue by itself


def start(base, certs, origin, started, options=None, script="", **fields):
    sim = started(Simulator(base, certs, store=True, script=script))
    origin.agent("lane", "fast", "class=fast", {
        "lane_connection_limit": "4", **(options or {})}, **fields)
    origin.relay_to(sim, transport="fast")
    origin.set(minimal_backoff_time=f"{LATER}s",
               maximal_backoff_time=f"{LATER}s", queue_run_delay=f"{LATER}s")
    return sim


def done(origin, *words, **how):
    """What was said; it must have gone well."""
    found = origin.postlane(*words, **how)
    assert found.returncode == 0, found
    return found.stdout


def no_loss(origin, sim, sent):
    sim.wait_taken(len(sent))
    origin.wait_empty()
    verdict = messages.compare(sent, sim.taken())
    assert verdict.is_clean(), verdict


def test_pause_and_resume_under_load(origin, base, certs, started):
    """What a pause without end holds back is deferred, so that the active
    queue is free, and comes back with the resume."""
    sim = start(base, certs, origin, started,
                {"lane_message_rate_limit": "20/1s"})
    started(origin)
    sent = messages.generate(200)
    origin.inject(sent)
    sim.wait_taken(10)
    assert re.fullmatch(
        r"lane fast: paused until it is told otherwise: in force\n",
        done(origin, "pause", "fast"))
    # What was on the wire is answered; then nothing goes.
    wait_until(lambda: origin.lane("fast")["gauges"]["requests_in_flight"] == 0
               and origin.queued("active") == 0
               and origin.queued("incoming") == 0, 60, "nothing is under way")
    taken = len(sim.ledger())
    assert taken < len(sent)
    lane = origin.lane("fast")
    assert lane["health"] == "paused"
    assert lane["sentence"].startswith("paused by root")
    [order] = lane["orders"]
    assert (order["verb"], order["until_s"]) == ("pause", 0)
    status = origin.postlane("status")
    assert status.returncode == 1
    assert "  asked for    pause by root" in status.stdout
    [line] = origin.log.lines(r"lane fast: paused by root")
    assert "postfix/smtp" in line
    assert origin.log.lines(r"status=deferred \(paused by root")
    assert origin.queued("deferred") == len(sent) - taken
    assert len(sim.ledger()) == taken
    assert done(origin, "resume", "fast") == "lane fast: resumed: in force\n"
    no_loss(origin, sim, sent)
    assert origin.lane("fast")["health"] == "well"
    origin.log.wait(r"lane fast: goes on: no longer paused")


def test_orders_outlive_the_process(origin, base, certs, started):
    """Over a reload, a stop and a start, and told to nobody who runs."""
    sim = start(base, certs, origin, started)
    started(origin)
    first = messages.generate(1)
    origin.inject(first)
    no_loss(origin, sim, first)
    done(origin, "pause", "fast")
    done(origin, "connections", "fast", "1", "--for", "1h")
    origin.reload()
    sent = messages.generate(5, prefix="after")
    origin.inject(sent)
    wait_until(lambda: origin.queued("deferred") == 5, 30, "held back")
    origin.stop()
    assert done(origin, "rate", "fast", "50/1s") == (
        "lane fast: rate 50/1s until it is told otherwise: no process runs at "
        "present, the next one obeys it\n")
    origin.start()
    last = messages.generate(1, prefix="last")
    origin.inject(last)
    wait_until(lambda: origin.queued("deferred") == 6, 30, "still")
    lane = origin.lane("fast")
    assert sorted(o["verb"] for o in lane["orders"]) == [
        "connections", "pause", "rate"]
    assert [r["limit"] for r in lane["rates"]] == ["50/1s:2"]
    assert len(sim.ledger()) == 1
    # An earlier process deferred five.
    done(origin, "resume", "fast")
    no_loss(origin, sim, first + sent + last)


def test_pause_of_a_domain(origin, base, certs, started):
    """Mail to it waits in the queue, other mail goes on; kept over a reload."""
    sim = start(base, certs, origin, started)
    started(origin)
    sent = messages.generate(1)
    origin.inject(sent)
    sim.wait_taken(1)
    assert done(origin, "pause", "Held.Example") == (
        "lane fast: mail to held.example paused until it is told otherwise: "
        "in force\n")
    sent += messages.generate(5, domain="held.example", prefix="held")
    sent += messages.generate(5, prefix="other")
    origin.inject(sent[1:])
    sim.wait_taken(6)
    wait_until(lambda: origin.queued("deferred") == 5, 30, "held back")
    assert origin.log.lines(
        r"to=<\S+@held.example>.* status=deferred "
        r"\(mail to held.example is paused by root")
    lane = origin.lane("fast")
    assert lane["health"] == "slowed"
    assert lane["sentence"].startswith("mail to held.example is paused by root")
    assert [o["domain"] for o in lane["orders"]] == ["held.example"]
    assert ("  asked for    pause held.example by root"
            in origin.postlane("status").stdout)
    origin.reload()
    more = messages.generate(1, domain="held.example", prefix="more")
    sent += more + messages.generate(1, prefix="last")
    origin.inject(sent[11:])
    sim.wait_taken(7)
    wait_until(lambda: origin.queued("deferred") == 6, 30, "still")
    # A name that is a lane's as well as a domain's.
    assert done(origin, "pause", "domain:fast", "fast", "--for", "1h") == (
        "lane fast: mail to fast paused for 1h 0m: in force\n")
    assert "in force" in done(origin, "resume", "domain:fast")
    assert done(origin, "resume", "held.example", "fast") == (
        "lane fast: mail to held.example resumed: in force\n")
    # Whatever process deferred it.
    no_loss(origin, sim, sent)
    origin.log.wait("lane fast: mail to held.example goes on: no longer")
    assert origin.lane("fast")["health"] == "well"


def test_rate_and_connections(origin, base, certs, started):
    sim = start(base, certs, origin, started)
    started(origin)
    sent = messages.generate(40)
    origin.inject(sent[:20])
    sim.wait_taken(20)
    done(origin, "rate", "fast", "2/1s", "--for", "1h")
    done(origin, "connections", "fast", "1")
    lane = origin.lane("fast")
    assert [r["limit"] for r in lane["rates"]] == ["2/1s:1"]
    wait_until(lambda: len(origin.lane("fast")["sessions"]) <= 1, 30,
               "one session")
    origin.inject(sent[20:])
    wait_until(lambda: origin.lane("fast")["waits_for"]
               == "lane_message_rate_limit = 2/1s:1", 30, "it waits for it")
    text = origin.postlane("status").stdout
    assert " of 1: " in text
    assert "  asked for    rate 2/1s by root" in text
    assert done(origin, "rate", "fast", "default") == (
        "lane fast: rate as main.cf and master.cf have it: in force\n")
    no_loss(origin, sim, sent)
    assert not origin.lane("fast")["rates"]
    origin.log.wait(r"lane fast: lane_message_rate_limit is now 2/1s, by root")
    origin.log.wait(r"lane fast: lane_connection_limit is now 1, by root")


def test_rate_as_a_part_of_what_is_set(origin, base, certs, started):
    """Of main.cf and master.cf, not of an order before; quotas hold on."""
    start(base, certs, origin, started,
          {"lane_message_rate_limit": "5/1s:3,100/1m,500/1d!"})
    started(origin)
    origin.inject(messages.generate(1))
    origin.log.wait("status=sent")
    for _ in range(2):
        assert done(origin, "rate", "fast", "50%") == (
            "lane fast: rate 2.5/1s:3,50/1m:1 until it is told otherwise: "
            "in force\n")
    lane = origin.lane("fast")
    assert sorted(r["limit"] for r in lane["rates"]) == [
        "2.5/1s:3", "50/1m:1", "500/1d!"]
    assert lane["orders"][0]["value"] == "2.5/1s:3,50/1m:1"
    done(origin, "rate", "fast", "default")


def test_more_connections_than_are_set(origin, base, certs, started):
    sim = start(base, certs, origin, started,
                {"lane_connection_limit": "1"}, script="eod delay 1000\n")
    started(origin)
    sent = messages.generate(13)
    origin.inject(sent[:1])
    sim.wait_taken(1)
    done(origin, "connections", "fast", "3")
    origin.inject(sent[1:], connections=1)
    wait_until(lambda: origin.lanes()["accounts"][0]["slots"]["held"] == 3, 30,
               "three connections")
    assert " of 3: " in origin.postlane("status").stdout
    no_loss(origin, sim, sent)
    limit = "up to the account's 20 (lane_account_connection_limit)\n"
    told = done(origin, "connections", "fast", "500", "--for", "1h")
    assert told.startswith("lane fast: connections 500 for ")
    assert told.endswith(f", {limit}")
    status = origin.postlane("status").stdout
    assert "  asked for    connections 500 by " in status
    assert f"               in force {limit}" in status
    assert "account" not in done(origin, "connections", "fast", "20")


def ask(origin, question):
    """What the lane's process says to that."""
    state = os.path.join(origin.data_directory, "postlane")
    [name] = [n for n in os.listdir(state) if n.startswith("ask.")]
    directory = os.open(state, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20)
        s.connect(f"/proc/self/fd/{directory}/{name}")
        os.close(directory)
        s.sendall(question + b"\n")
        return s.makefile("rb").read()


def test_order_that_ends_by_itself(origin, base, certs, started):
    sim = start(base, certs, origin, started)
    started(origin)
    sent = messages.generate(3)
    origin.inject(sent[:1])
    sim.wait_taken(1)
    assert done(origin, "pause", "fast", "--for", "5s") == (
        "lane fast: paused for 5.0s: in force\n")
    origin.inject(sent[1:])
    origin.log.wait(r"lane fast: goes on: no longer paused", 30)
    no_loss(origin, sim, sent)
    assert not origin.lane("fast")["orders"]


def test_drain_sends_what_is_inside(origin, base, certs, started):
    sim = start(base, certs, origin, started,
                {"lane_message_rate_limit": "4/1s"})
    started(origin)
    inside = messages.generate(4)
    origin.inject(inside)
    wait_until(lambda: origin.queued("active") + len(sim.ledger()) == 4, 30,
               "all inside")
    sim.wait_taken(1)
    done(origin, "drain", "fast")
    later = messages.generate(2, prefix="later")
    origin.inject(later)
    sim.wait_taken(4)
    wait_until(lambda: origin.queued("deferred") == 2, 30, "not the others")
    assert origin.lane("fast")["sentence"].startswith("drained by root")
    done(origin, "resume", "fast")
    no_loss(origin, sim, inside + later)


@pytest.mark.parametrize("chroot", ["n", "y"])
def test_who_may_steer(origin, base, certs, started, chroot):
    sim = start(base, certs, origin, started, chroot=chroot)
    started(origin)
    sent = messages.generate(1)
    origin.inject(sent)
    no_loss(origin, sim, sent)
    state = os.path.join(origin.data_directory, "postlane")
    [name] = [n for n in os.listdir(state) if n.startswith("ask.")]
    mode = os.stat(os.path.join(state, name)).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600
    others = origin.postlane("pause", "fast", user="nobody")
    assert others.returncode == 77
    assert others.stderr == ("postlane: only root and postfix may steer "
                             "lanes\n")
    assert not origin.lane("fast")["orders"]
    assert "in force" in done(origin, "pause", "fast", user="postfix")
    [order] = origin.lane("fast")["orders"]
    assert order["by"].startswith("postfix")
    assert os.stat(os.path.join(state, "steer")).st_mode & 0o777 == 0o600
    assert "in force" in done(origin, "resume", "fast")
    end = time.time() + 86400
    for form in ("%Y-%m-%dT%H:%M", "%H:%M"):
        done(origin, "pause", "fast",
             "--until", time.strftime(form, time.localtime(end)))
        [order] = origin.lane("fast")["orders"]
        assert abs(order["until_s"] - end) < 120
        done(origin, "resume", "fast")
    assert done(origin, "retry") == (
        "lane fast: dials now, and calls back what it deferred for want of a "
        "host: done\n")


ASKED_WRONGLY = [
    (["pause"], 64, "pause: too few arguments: "
     "it takes LANE|DOMAIN [LANE] [--for TIME|--until TIME]"),
    (["pause", "slow"], 64, 'there is no lane "slow" in '),
    (["pause", "fast", "slow"], 64, "fast is no recipient domain"),
    (["pause", "domain:a@b"], 64, "bad domain: a@b: must be example.com"),
    (["pause", "a.example", "slow"], 64, 'there is no lane "slow" in '),
    (["trace", "fast", "--count", "x"], 64, "bad option: --count x: must be"),
    (["pause", "fast", "--to", "a@b"], 64, "it takes neither --to nor"),
    (["trace", "fast"], 69, "lane fast: no process runs: master(8) starts"),
    (["pause", "fast", "--for", "soon"], 64,
     "bad option: --for soon: must be a time such as 90s, 30m, 1h or 2d"),
    (["resume", "fast", "--for", "1h"], 64, "resume: it takes no --for"),
    (["pause", "fast", "--until", "25:00"], 64, "bad option: --until 25:00"),
    (["pause", "fast", "--until", "2001-01-01"], 64, "must be a time to come"),
    (["rate", "fast", "quick"], 64, "rate quick: "),
    (["rate", "fast", "0%"], 64, "rate 0%: must be 1% to 1000% of lane_mess"),
    (["rate", "fast", "50%%"], 64, "rate 50%%: must be 1% to 1000%"),
    (["rate", "fast", "50%"], 64, "rate 50%: lane_message_rate_limit of lane "
     "fast is none, and has no rate of which that could be a part"),
    (["rate", "fast", ""], 64, "rate : must be one word, such as 5/1s"),
    (["connections", "fast", "0"], 64, "connections 0: must be 1 to 1000"),
    (["pause", "fast"], 73, "/postlane: "),     # no lane has run
]


def test_what_is_asked_wrongly_is_told(origin, base, certs, started):
    start(base, certs, origin, started)
    for words, status, told in ASKED_WRONGLY:
        found = origin.postlane(*words)
        assert (words, found.returncode, found.stdout) == (words, status, "")
        assert told in found.stderr


def test_damaged_orders_are_told_and_change_nothing(
        origin, base, certs, started):
    sim = start(base, certs, origin, started)
    started(origin)
    sent = messages.generate(2)
    origin.inject(sent[:1])
    no_loss(origin, sim, sent[:1])
    done(origin, "rate", "fast", "30/1s")
    path = os.path.join(origin.data_directory, "postlane/steer")
    with open(path, "w", encoding="ascii") as f:
        f.write("postlane-steer 1 7\nfast rate nonsense 0 0 me\n")
    found = origin.postlane("connections", "fast", "2")
    assert found.returncode == 73
    assert ("steer: line 2 is not understood: correct or remove the file"
            in found.stderr)
    # Whoever tells the lane of it is not told that it is in force.
    assert ask(origin, b"steer").startswith(b"error what was asked for is ")
    assert [r["limit"] for r in origin.lane("fast")["rates"]] == ["30/1s:1"]
    assert "line 2" in origin.lanes()["boards"][0]["steer_why"]
    origin.inject(sent[1:])
    no_loss(origin, sim, sent)


def test_damaged_orders_pause_a_lane_that_starts(
        origin, base, certs, started):
    """What they were nobody knows: a pause may be among them."""
    sim = start(base, certs, origin, started)
    state = os.path.join(origin.data_directory, "postlane")
    started(origin)
    first = messages.generate(1, prefix="first")
    origin.inject(first)
    no_loss(origin, sim, first)
    path = os.path.join(state, "steer")
    with open(path, "w", encoding="ascii") as f:
        f.write("postlane-steer 2 7\n")
    origin.reload()
    sent = messages.generate(1)
    origin.inject(sent)
    origin.log.wait("lane fast: paused: steer in lane_state_directory: ")
    wait_until(lambda: origin.postlane("-q", "status").returncode == 1, 30,
               "told by status")
    assert len(sim.ledger()) == 1
    os.remove(path)
    no_loss(origin, sim, first + sent)
    assert origin.log.lines("lane fast: goes on")


def test_order_for_which_there_is_no_room(origin, base, certs, started):
    sim = start(base, certs, origin, started)
    started(origin)
    sent = messages.generate(1)
    origin.inject(sent)
    no_loss(origin, sim, sent)
    state = os.path.join(origin.data_directory, "postlane")
    path = os.path.join(state, "steer")
    full = "postlane-steer 1 7\n" + "".join(
        f"lane{i} pause - 0 1 root\n" for i in range(96))
    with open(path, "w", encoding="ascii") as f:
        f.write(full)
    found = origin.postlane("pause", "fast")
    assert (found.returncode, found.stdout) == (73, "")
    assert "steer: 96 orders are kept already" in found.stderr
    with open(path, encoding="ascii") as f:
        assert f.read() == full
