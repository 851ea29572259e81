"""The harness itself, with Postfix's own smtp(8) as the delivery agent."""
import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from harness import messages, paths, state
from harness.fleet import PASSWORD, Engine, Link
from harness.process import read_process, session_processes
from harness.simulator import Simulator
from harness.upstream import PostfixSmarthost
from harness.wait import wait_until


def start_pair(origin, smarthost, started, wrapped=False, **main):
    origin.agent("smtp", "fast")
    origin.relay_to(smarthost, transport="fast", wrapped=wrapped, **main)
    return started(origin)


@pytest.mark.parametrize("wrapped", [False, True],
                         ids=["starttls", "wrappermode"])
def test_twenty_messages_arrive_once_over_tls_and_auth(
        origin, smarthost, started, wrapped):
    start_pair(origin, smarthost, started, wrapped)
    sent = messages.generate(20, recipients=2)
    origin.inject(sent)
    origin.wait_empty()
    origin.log.wait(r"fast/smtp.*status=sent|smtp\[.*status=sent", count=40)
    assert origin.log.statuses("/smtp") == {"sent": 40}
    smarthost.wait_empty()
    verdict = messages.compare(sent, smarthost.taken())
    assert verdict.is_clean(), verdict
    assert smarthost.accepted_count() == 20
    assert not origin.log.problems() and not smarthost.log.problems()


def test_stop_leaves_no_process(origin, smarthost, started):
    start_pair(origin, smarthost, started)
    origin.inject(messages.generate(3))
    origin.wait_empty()
    session = origin.session
    assert origin.pids("smtp") and origin.pids("qmgr")
    origin.reload(checked=True)
    origin.stop()
    assert session_processes(session) == []


def test_wrong_certificate_keeps_mail_queued(base, certs, origin, started):
    bad = started(PostfixSmarthost(base, certs, pair=certs.wrong_name))
    start_pair(origin, bad, started)
    origin.inject(messages.generate(1))
    origin.log.wait(r"status=deferred .*not verified")
    assert len(origin.queue()) == 1
    assert bad.taken() == []


def test_local_domains_stay_here_and_sendmail_works(origin, started):
    started(origin, checked=True)
    m = messages.make("one", "a@sender.example", ["b@local.example"],
                      b"body\r\n")
    origin.sendmail(m)
    origin.log.wait(r"virtual.*status=sent")
    assert messages.compare([m], [messages.examine(
        origin.mailbox()[0], m.sender, m.recipients)]).is_clean()


# A test that waits for ever, with each kind of instances.
ENDLESS = """
import os
import signal
from harness.fleet import Engine
from harness.simulator import Simulator

def test_endless(base, certs, origin, started):
    sim = started(Simulator(base, certs))
    engine = started(Engine(base))
    started(origin)
    with open(os.environ["TOLD"] + ".new", "w", encoding="ascii") as f:
        f.write(f"{base} {origin.session} {sim.process.pid} "
                f"{engine.process.pid}")
    os.rename(os.environ["TOLD"] + ".new", os.environ["TOLD"])
    while True:
        signal.pause()
"""


def test_instances_end_with_a_killed_pytest(base):
    told = os.path.join(base, "told.txt")
    with open(os.path.join(base, "test_endless.py"), "w",
              encoding="ascii") as f:
        f.write(ENDLESS)
    runner = subprocess.Popen(
        [sys.executable, "-B", "-m", "pytest", "-q", "-p", "conftest",
         "-o", "cache_dir=" + base, "--rootdir", base, base],
        stdout=subprocess.DEVNULL, cwd=base,
        env={**os.environ, "TOLD": told,
             "PYTHONPATH": os.path.dirname(os.path.abspath(__file__))})
    wait_until(lambda: os.path.exists(told), 60, "its instances are there")
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    with open(told, encoding="ascii") as f:
        its_base, session, *daemons = f.read().split()
    wait_until(lambda: not session_processes(int(session))
               and not any(map(read_process, daemons))
               and not os.path.exists(its_base), 60,
               lambda: f"nothing left in {its_base}: "
               f"{session_processes(int(session))}")


def test_killed_agent_is_found_by_instance(origin, smarthost, started):
    start_pair(origin, smarthost, started)
    origin.inject(messages.generate(1))
    origin.wait_empty()
    pid = origin.wait_pids("smtp")[0]
    assert origin.kill9(pid)
    origin.log.wait(rf"pid {pid} killed by signal 9")
    assert not origin.kill9(os.getpid())
    sent = messages.generate(2, prefix="after")
    origin.inject(sent)
    origin.wait_empty()


def test_held_transport_makes_a_prepared_queue(origin, smarthost, started):
    start_pair(origin, smarthost, started)
    origin.hold_transports("fast")
    sent = messages.generate(5)
    origin.inject(sent)
    assert len(origin.queue()) == 5
    origin.release_transports()
    origin.wait_empty()
    smarthost.wait_empty()
    assert messages.compare(sent, smarthost.taken()).is_clean()


def test_mail_under_way_at_a_reload_leaves_the_queue(
        base, certs, origin, started):
    """The new queue manager passes over it, for five minutes."""
    sim = started(Simulator(base, certs, script="eod delay 2000\n"))
    origin.agent("smtp", "fast")
    origin.relay_to(sim, transport="fast")
    started(origin)
    sent = messages.generate(1)
    origin.inject(sent)
    wait_until(lambda: sim.stats()["scripted"] == 1, 30, "it is under way")
    origin.reload()
    origin.wait_empty()
    assert messages.compare(sent, sim.taken()).is_clean()


def test_state_tells_where_mail_is_held_up(base, certs, origin, started):
    """A server that says nothing more: seen from outside, and before the
    lane's next look, which is minutes away."""
    sim = started(Simulator(base, certs, script="mail stall\n"))
    origin.agent("lane", "fast", "class=fast")
    origin.relay_to(sim, transport="fast")
    started(origin)
    origin.inject(messages.generate(1))
    wait_until(lambda: re.search(r" 1 on the wire, ",
                                 state.describe([origin])), 30,
               lambda: state.describe([origin]))
    text = state.describe([origin, sim])
    assert "active 1," in text
    assert re.search(r"^\d+ lane [A-Z] \w+", text, re.M)
    assert re.search(r"tcp \d+ -> " + str(sim.port), text)
    assert re.search(r"^\w+ +fast +busy .* 1/1 ", text, re.M)
    [now_ms] = re.findall(r'"now_wall_ms":(\d+)', text)
    [wakeup_ms] = re.findall(r'"wakeup_wall_ms":(\d+)', text)
    assert 0 < int(wakeup_ms) - int(now_ms) < 310000
    assert "--- simulator" in text


# ---- the engine of a fleet, and the way there


def redis(port):
    """A connection to it, which is a host's."""
    s = socket.create_connection(("127.0.0.1", port), 20)
    assert said(s, "AUTH", PASSWORD) == b"+OK\r\n"
    return s


def said(s, *words):
    """The first line it answers; b"" when it hangs up."""
    s.sendall(f"*{len(words)}\r\n".encode() + b"".join(
        b"$%d\r\n%s\r\n" % (len(w), w) for w in map(str.encode, words)))
    return line(s)


def line(s):
    got = b""
    while not got.endswith(b"\r\n") and (octet := s.recv(1)):
        got += octet
    return got


def hung_up(s):
    try:
        return said(s, "PING") == b""
    except ConnectionError:
        return True


def test_engine_lets_in_who_knows_the_password(base, started):
    engine = started(Engine(base))
    with socket.create_connection(("127.0.0.1", engine.port), 20) as s:
        assert said(s, "PING").startswith(b"-NOAUTH")
        assert said(s, "AUTH", "another").startswith(b"-WRONGPASS")
        assert said(s, "AUTH", PASSWORD) == b"+OK\r\n"
        assert said(s, "HSET", "pl:{a}:connections:hosts", "one",
                    "gone") == b":1\r\n"
        assert said(s, "HSET", "other", "one", "1").startswith(b"-NOPERM")
        assert said(s, "CONFIG", "GET", "save").startswith(b"-NOPERM")
    assert engine.rows() == {"pl:{a}:connections:hosts": {"one": "gone"}}


def test_engine_begins_empty_and_may_be_full(base, started):
    engine = started(Engine(base))
    assert engine.ask("SET", "pl:1", "x") == "OK"
    engine.kill9()
    assert "Could not connect" in engine.ask("GET", "pl:1")
    engine.start()
    assert engine.ask("GET", "pl:1") is None
    engine.ask("CONFIG", "SET", "maxmemory", "1")
    with redis(engine.port) as s:
        assert said(s, "HSET", "pl:1", "x", "y").startswith(b"-OOM")


def test_link_is_cut_stalled_and_healed(base, started):
    engine = started(Engine(base))
    link = started(Link(engine.port))
    with redis(link.port) as s:
        link.stall()
        s.settimeout(0.2)
        with pytest.raises(TimeoutError):
            said(s, "PING")
        s.settimeout(20)
        link.heal()
        assert line(s) == b"+PONG\r\n"     # late, but there
        link.drip(0.001)
        assert said(s, "PING") == b"+PONG\r\n"
        link.cut()
        assert hung_up(s)
    with pytest.raises(ConnectionRefusedError):
        redis(link.port)
    link.heal()
    redis(link.port).close()
    with engine.stopped():
        with socket.create_connection(("127.0.0.1", link.port), 20) as s:
            s.settimeout(0.2)
            with pytest.raises(TimeoutError):
                said(s, "PING")


# ---- the fault matrix


def test_matrix_tells_of_a_harness_that_failed(capsys):
    """Such a round is wrong; the table and its count say so."""
    sys.path.insert(0, os.path.join(
        os.path.dirname(paths.BUILD), "test/faults"))
    matrix = pytest.importorskip("matrix")
    matrix.Site = None      # cannot be begun
    rows = matrix.run_site(("bdat", 1, ""), 1, (1, 0, ""))
    [(name, _, [text], _, _)] = rows
    assert name == "start" and "TypeError" in text
    capsys.readouterr()
    matrix.table([("bdat-1", *row) for row in rows])
    assert re.search(r"^start +1 +0 +1 ", capsys.readouterr().out, re.M)
