"""What the board shows is what log, ledger and transcript say; how one session
of many is followed; a board of another version."""
import calendar
import json
import os
import re
import struct
import subprocess
import time
import urllib.request

from harness import messages, paths
from harness.simulator import Simulator
from harness.wait import stretched_ms, wait_until

with open(os.path.join(paths.ROOT, "VERSION"), encoding="ascii") as version:
    RELEASE = version.read().strip()
BOARD_VERSION = 3
DIRECTORY = "/postlane"
LATER = 600     # nothing comes back from the deferred queue meanwhile
SCRIPT = '''
auth nth 1 reply "454 4.7.1 the password server sleeps"
rcpt if rcpt "refuse" reply "550 5.1.1 no such user"
rcpt if rcpt "later" reply "450 4.2.0 try later"
eod if sender "m-2@" times 1 reply "421 4.3.2 come back" close
eod if sender "m-8@" times 1 reply "454 4.7.0 Throttling failure: Maximum sending rate exceeded."
'''
KINDS = {3: ["refuse-3"], 4: ["later-4"], 5: ["refuse-5", "fine-5"],
         6: ["later-6", "fine-6", "refuse-6"]}


def recipients(number):
    return [f"{name}@d.example"
            for name in KINDS.get(number, [f"fine-{number}"])]


def lane_of(origin):
    [lane] = origin.lanes()["lanes"]
    return lane


def start(base, certs, origin, started, options=None, script="", **how):
    sim = started(Simulator(base, certs, script=script, transcript=True,
                            **how))
    origin.agent("lane", "fast", "class=fast", {
        "lane_connection_limit": "1", "lane_pipeline_depth": "1",
        "lane_messages_per_connection": "5",
        "lane_connection_idle_limit": "2s",
        "lane_provider_directory": os.path.join(paths.ROOT, "providers"),
        **(options or {})})
    origin.relay_to(sim, transport="fast")
    origin.set(minimal_backoff_time=f"{LATER}s",
               maximal_backoff_time=f"{LATER}s",
               queue_run_delay=f"{LATER}s", smtp_tls_loglevel="1")
    return sim


def end_of(certificate):
    """In milliseconds since the epoch."""
    text = subprocess.run(
        ["openssl", "x509", "-enddate", "-noout", "-in", certificate],
        capture_output=True, text=True, check=True).stdout
    date = text.strip().partition("=")[2].removesuffix(" GMT")
    return calendar.timegm(time.strptime(date, "%b %d %H:%M:%S %Y")) * 1000


def by_message(deliveries, status):
    return len({d.queue_id for d in deliveries if d.status == status})


def closed_all(origin):
    """The counters once every session is over, else False."""
    lane = lane_of(origin)
    found = lane["counters"]
    closed = sum(n for name, n in found.items()
                 if name.startswith("closed_"))
    return closed == found["dials_ok"] and not lane["sessions"] and found


def test_each_figure_is_what_happened(base, certs, origin, started):
    sim = start(base, certs, origin, started, script=SCRIPT)
    origin.set(smtp_tls_cert_file=certs.good.cert,
               smtp_tls_key_file=certs.good.key)
    started(origin)
    sent = messages.generate(12, recipients=recipients)
    sent += messages.generate(1, prefix="big", size=200000)
    origin.inject(sent)
    total = sum(len(m.recipients) for m in sent)
    origin.log.wait(r"postfix/smtp\[.* status=", timeout_s=60, count=total)
    found = wait_until(lambda: closed_all(origin), 30, "all sessions over")
    done = [d for d in origin.log.deliveries() if d.tag == "postfix/smtp"]
    assert len(done) == total
    said = sim.transcript()
    stats = sim.stats()

    def commands(pattern):
        return len(re.findall(rf"^\d+ C: {pattern}", said, re.M | re.I))

    def replies(pattern):
        return len(re.findall(rf"^\d+ S: {pattern}", said, re.M))

    statuses = {s: sum(d.status == s for d in done)
                for s in ("sent", "deferred", "bounced")}
    expected = {
        "requests": len(sent), "requests_dropped": 0,
        "messages_sent": by_message(done, "sent"),
        "messages_deferred": by_message(done, "deferred"),
        "messages_bounced": by_message(done, "bounced"),
        "recipients_sent": statuses["sent"],
        "recipients_deferred": statuses["deferred"],
        "recipients_bounced": statuses["bounced"],
        "recipients_probed": 0,
        "deferred_reply": statuses["deferred"],
        "transactions": commands("MAIL FROM"),
        "resets": commands("RSET"), "chunks": commands("BDAT"),
        "octets_sent": sum(map(int, re.findall(
            r"^\d+ C: BDAT (\d+)", said, re.M))),
        "dials": stats["connections_total"],
        "dials_ok": stats["auths"], "dials_failed": 1, "dials_refused": 0,
        "tls_full": stats["tls_handshakes"] - stats["tls_resumed"],
        "tls_resumed": stats["tls_resumed"],
        "auths_ok": replies("235"), "auths_failed": replies("454 4.7.1"),
        "replies_421": replies("421"), "closed_421": 1,
        "throttled": replies("454 4.7.0"), "lessons_pace": 1,
        "lessons_pause": 0, "lessons_alarm": 0, "lessons_connections": 0,
        "retries": 2, "in_doubt": 0, "corrupt": 0, "reports_failed": 0,
        "slots_taken": stats["connections_total"], "poisoned": 0,
    }
    assert {name: found[name] for name in expected} == expected
    assert statuses == {"sent": 11, "deferred": 2, "bounced": 3}
    assert found["replies_421"] == found["throttled"] == 1
    assert found["tls_resumed"] > 0 and found["tls_full"] > 0
    assert found["chunks"] > found["transactions"] > len(sent)
    assert found["closed_spent"] >= 1 and found["closed_idle"] == 1
    assert found["kicks"] >= len(sent)
    assert sum(n for name, n in found.items()
               if name.startswith("deferred_")) == statuses["deferred"]

    lane = lane_of(origin)
    times = lane["latency_us"]
    assert times["report_time"]["count"] == len(sent)
    assert times["dial_time"]["count"] == found["dials_ok"]
    assert 1 <= times["session_wait"]["count"] <= found["dials_ok"]
    assert times["session_wait"]["max"] >= times["dial_time"]["p50"]
    assert lane["gauges"]["certificate_wall_ms"] == end_of(certs.good.cert)
    [account] = origin.lanes()["accounts"]
    [host] = account["hosts"]
    assert host["certificate_wall_ms"] == end_of(certs.good.cert)
    for name in ("oldest_wall_ms", "sessions_idle", "sessions_busy",
                 "sessions_closing", "requests_waiting", "alarms_raised",
                 "alerts_pending", "outage_noted", "domains_limited",
                 "hosts_bypassed"):
        assert lane["gauges"][name] == 0, name


def test_gauges_of_what_is_under_way(base, certs, origin, started):
    """Two messages on one session, and its farewell; each stage is held by
    the server for as long as it takes to look."""
    long_ms = stretched_ms(4000, 12000)
    sim = start(base, certs, origin, started,
                options={"lane_connection_idle_limit": f"{2 * long_ms // 1000}s",
                         "lane_domain_rate_limits": "rcpt.example=1000/1s"},
                script=f'eod nth 1 delay {long_ms}\n'
                'quit delay 6000\n')
    started(origin)
    origin.inject(messages.generate(2), connections=1)

    def gauges(**wanted):
        now = lane_of(origin)["gauges"]
        return all(now[k] == v for k, v in wanted.items()) and now
    found = wait_until(
        lambda: gauges(sessions_busy=1, requests_waiting=1), 20, "busy")
    assert found["requests_in_flight"] == found["domains_limited"] == 1
    assert 0 <= time.time() * 1000 - found["oldest_wall_ms"] < 20000
    [session] = lane_of(origin)["sessions"]
    sim.wait_taken(2)
    found = wait_until(lambda: gauges(sessions_idle=1), 20, "idle")
    assert found["sessions_busy"] == found["oldest_wall_ms"] == 0
    wait_until(lambda: sim.stats()["scripted"] == 2, 60, "QUIT is read")
    # the lane would wait two seconds for the answer
    with origin.held_still("lane"):
        now = lane_of(origin)
    assert now["gauges"]["sessions_closing"] == 1
    assert [s["session"] for s in now["sessions"]] == [session["session"]]


def test_a_session_can_be_followed(base, certs, origin, started):
    """Its name stands in each line about it: TLS, the refused login, the end
    (with how much it carried); no two have the same, over a reload too."""
    sim = start(base, certs, origin, started, script=SCRIPT,
                options={"lane_connection_idle_limit": "1h"})
    started(origin)
    origin.inject(messages.generate(3))
    sim.wait_taken(3)
    origin.wait_empty()
    origin.reload()
    origin.inject(messages.generate(6, prefix="after"))
    sim.wait_taken(9)
    origin.log.wait(r"session=\w+ end=stop")
    origin.log.wait(r"session=\w+ end=spent")
    text = "\n".join(line.text for line in origin.log.parsed()
                     if line.tag == "postfix/smtp")
    ends = re.findall(
        r"^session=(\w+) end=(\w+) relay=\S+\[127\.0\.0\.1\]:\d+ "
        r"messages=(\d+) accepted=(\d+) in_doubt=0 age=[\d.e+]+s "
        r"dial=[\d.e-]+s lane=fast left_out=0 "
        r'why=".*"$', text, re.M)
    assert sorted(e[1] for e in ends) == ["421", "spent", "stop"]
    assert sum(int(e[3]) for e in ends) == 8    # one is on the open session
    names = [e[0] for e in ends]
    assert len(set(names)) == len(names)
    for name in names:
        assert re.search(rf"^\w+ TLS connection (established|reused) to .*, "
                         rf"session={name}$", text, re.M), name
    [refused] = re.findall(
        r"SASL authentication failed; .*, session=(\w+)$", text, re.M)
    assert refused not in names
    assert text.count(refused) == 2     # with the TLS line


def depth(origin):
    [account] = origin.lanes()["accounts"]
    [host] = account["hosts"]
    return host["depth"]


def test_depth_outlives_the_process(base, certs, origin, started):
    """The next one begins with it, and does not write its own over it."""
    start(base, certs, origin, started, options={
        "lane_pipeline_depth": "8", "lane_messages_per_connection": "50"})
    started(origin)
    origin.inject(messages.generate(40))
    origin.wait_empty()
    wait_until(lambda: depth(origin) == 8, 20, "the depth is known")
    origin.reload()
    origin.inject(messages.generate(1, prefix="after"))
    origin.wait_empty()
    assert lane_of(origin)["counters"]["messages_sent"] == 41
    assert depth(origin) == 8


def test_board_of_another_version_is_told_and_made_anew(
        base, certs, origin, started):
    start(base, certs, origin, started)
    started(origin)
    origin.inject(messages.generate(1))
    origin.wait_empty()
    assert origin.postlane("-V").stdout == RELEASE + "\n"
    found = origin.lanes()
    assert found["schema"] == 1
    assert (found["release"], found["version"]) == (RELEASE, BOARD_VERSION)
    since = found["lanes"][0]["counted_since_wall_ms"]
    assert since == found["lanes"][0]["started_wall_ms"]
    origin.reload()
    origin.inject(messages.generate(1, prefix="after"))
    origin.wait_empty()
    lane = lane_of(origin)
    assert lane["started_wall_ms"] > since
    assert lane["counted_since_wall_ms"] == since
    assert lane["counters"]["messages_sent"] == 2
    path = origin.data_directory + DIRECTORY + "/board"
    origin.stop()
    for other in (BOARD_VERSION - 1, BOARD_VERSION + 1):
        with open(path, "r+b") as f:
            f.seek(8)
            f.write(struct.pack("<Q", other))
        refused = origin.postlane("status")
        assert refused.returncode == 2
        [told] = origin.lanes()["boards"]
        assert told["is_bad"] and told["why"].startswith(
            f"the board is of version {other}, not {BOARD_VERSION}: ")
        assert not lane_of(origin)["has_figures"]
    origin.start()
    origin.inject(messages.generate(1, prefix="anew"))
    origin.wait_empty()
    origin.log.wait(
        f"warning: the board is made anew, its figures start at zero: the "
        f"old file is of version {BOARD_VERSION + 1}, not {BOARD_VERSION}")
    lane = lane_of(origin)
    assert lane["counters"]["messages_sent"] == 1
    assert lane["counted_since_wall_ms"] == lane["started_wall_ms"]


def test_board_that_is_removed_comes_back_without_mail(
        base, certs, origin, started):
    start(base, certs, origin, started)
    started(origin)
    origin.inject(messages.generate(1))
    origin.wait_empty()
    # Its last session has ended: nothing more happens in it.
    wait_until(lambda: not lane_of(origin)["sessions"], 30, "it is idle")
    pid = lane_of(origin)["pid"]
    os.unlink(origin.data_directory + DIRECTORY + "/board")
    origin.log.wait("warning: the board was changed, cut or removed by "
                    "somebody else: it has the figures of a second ago")
    lane = lane_of(origin)
    assert (lane["has_figures"], lane["state"], lane["pid"]) == (
        True, "running", pid)


def test_lane_of_another_release_is_not_misread(base, certs, origin, started):
    """It runs, and its board is not of this postlane's version: what is not
    known is said to be so, and no figure stands for it."""
    sim = started(Simulator(base, certs))
    origin.agent("lane", "fast", "class=fast", {
        "lane_message_rate_limit": "1/100s:1", "lane_wait_limit": "600s"})
    origin.relay_to(sim, transport="fast")
    port = origin.lanestat()
    started(origin)
    origin.inject(messages.generate(2))
    sim.wait_taken(1)
    [queue_id] = [e["queue_id"] for e in wait_until(
        lambda: len(origin.queue()) == 1 and origin.queue(), 30, "one is left")]
    wait_until(lambda: lane_of(origin)["waits"] == "rate", 30, "it waits")
    path = origin.data_directory + DIRECTORY + "/board"
    with open(path, "rb") as f:
        board = bytearray(f.read())
    board[8:16] = struct.pack("<Q", BOARD_VERSION + 1)
    with open(path + ".other", "xb") as f:
        f.write(board)
    owner = os.stat(path)
    os.chown(path + ".other", owner.st_uid, owner.st_gid)
    os.chmod(path + ".other", owner.st_mode & 0o777)
    os.rename(path + ".other", path)
    why = f"the board is of version {BOARD_VERSION + 1}, not {BOARD_VERSION}: "
    found = origin.postlane("status")
    assert found.returncode == 1 and why in found.stdout
    assert re.search("^  forecast +unknown: how the lane is cannot be seen$", found.stdout, re.M)
    # Its process answers, whatever its board is like.
    assert ("  waits for  rate: lane_message_rate_limit = 1/100s:1\n"
            in origin.postlane("why", queue_id).stdout)
    [finding] = [e for e in json.loads(
        origin.postlane("-j", "doctor").stdout)["findings"]
        if e["code"] == "BOARD"]
    assert why in finding["text"] and finding["fix"].endswith(" reload")

    def served():
        text = urllib.request.urlopen(
            f"http://127.0.0.1:{port}/metrics").read().decode()
        return "\npostlane_boards_unreadable 1\n" in text and text
    text = wait_until(served, 30, "lanestat has looked")
    assert 'postlane_lane_health{lane="fast",state="alarm"} 1\n' in text
    for name in ("messages_total", "lane_up", "alarm", "wire_seconds_count"):
        assert f'\npostlane_{name}{{lane="fast"' not in text
