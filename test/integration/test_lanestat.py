"""lanestat(8): what it serves beside lanes at work, and how master starts,
reloads and ends it."""
import http.client
import json
import os
import pwd
import re
import urllib.error
import urllib.request

import pytest
from harness import messages, paths
from harness.postfix import MAIL_OWNER
from harness.simulator import Simulator
from harness.wait import wait_until

PROVIDERS = os.path.join(paths.ROOT, "providers")
SCRIPT = '''
rcpt if rcpt "refuse" reply "550 5.1.1 no such user"
rcpt if rcpt "later" reply "450 4.2.0 try later"
'''


def fetch(port, path, method="GET", **fields):
    """(status, fields, text)"""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", method=method, headers=fields)
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.headers, e.read().decode()
    except (ConnectionError, urllib.error.URLError):
        return 0, {}, ""    # the process was just about to leave


def answer(port, path, **fields):
    """The text, as soon as there is one."""
    def found():
        try:
            status, _, text = fetch(port, path, **fields)
        except http.client.IncompleteRead:
            return False    # of a process that ends to begin anew
        return status == 200 and text
    return wait_until(found, 30, f"an answer to {path}")


def series(text):
    """{"name{labels}": value} of a scrape; none is there twice."""
    rows = [line.rpartition(" ") for line in text.splitlines()
            if not line.startswith("#")]
    found = {name: float(value) for name, _, value in rows}
    assert len(found) == len(rows)
    return found


def start(base, certs, origin, started, script=SCRIPT, **options):
    sim = started(Simulator(base, certs, script=script))
    for name in ("fast", "slow"):
        origin.agent("lane", name, f"class={name}", {
            "lane_connection_limit": "2",
            "lane_provider_directory": PROVIDERS, **options})
    origin.relay_to(sim, transport="fast")
    origin.set(minimal_backoff_time="600s", queue_run_delay="600s")
    return sim, origin.lanestat()


def process(origin):
    """The one there is: for a moment there may be two, or none."""
    def one():
        pids = [p.pid for p in origin.processes() if p.name == "lanestat"]
        return pids if len(pids) == 1 else None
    [pid] = wait_until(one, 30, "one lanestat")
    return pid


def test_what_it_serves_is_what_happened(base, certs, origin, started):
    _, port = start(base, certs, origin, started)
    started(origin)
    # Every series is there before anything happened.
    before = series(answer(port, "/metrics"))
    assert before['postlane_messages_total{lane="slow",result="sent"}'] == 0
    origin.inject(messages.generate(9, recipients=lambda n: [
        f"{['fine', 'refuse', 'later'][n % 3]}-{n}@d.example"]))
    origin.log.wait(r"postfix/smtp\[.* status=", timeout_s=60, count=9)

    def counted():
        now = series(answer(port, "/metrics"))
        return now['postlane_messages_total{lane="fast",result="sent"}'] == 3 \
            and now['postlane_requests{lane="fast",state="reporting"}'] == 0 \
            and now
    after = wait_until(counted, 20, "figures of the nine messages")
    assert set(before) - set(after) == {
        'postlane_lane_info{lane="fast",class="fast",account=""}'}
    assert after[
        'postlane_deferrals_total{lane="fast",reason="reply"}'] == 3
    assert after[
        'postlane_recipients_total{lane="fast",result="bounced"}'] == 3
    assert after['postlane_wire_seconds_count{lane="fast"}'] == 9
    assert after['postlane_postfix_wait_seconds_count{lane="fast"}'] == 6
    assert after['postlane_lane_up{lane="fast"}'] == 1
    assert after['postlane_lane_up{lane="slow"}'] == 0

    # The same as postlane says.
    with origin.held_still("lane"):
        told, asked = json.loads(answer(port, "/api/status")), origin.lanes()
    assert told["schema"] == asked["schema"] == 1
    assert set(told) == set(asked)
    for here, there in zip(told["lanes"], asked["lanes"]):
        assert set(here) == set(there)
        assert here["counters"] == there["counters"]
        assert here["health"] == there["health"] == "well"
    status, _, text = fetch(port, "/healthz")
    assert status == 200
    assert text.splitlines()[1] == ("slow: well: no process yet: master(8) "
                                    "starts it with the next message")

    def sent():
        [fast, _] = json.loads(answer(
            port, "/api/history?step=1&since=0"))["lanes"]
        return sum(fast["sent"]) == 3 and fast
    fast = wait_until(sent, 10, "the history has what was sent")
    assert sum(fast["deferred"]) == sum(fast["bounced"]) == 3
    assert fast["at_s"] == sorted(set(fast["at_s"]))
    last = fast["at_s"][-1]
    later = json.loads(answer(port, f"/api/history?since={last + 1}"))
    assert all(t > last for t in later["lanes"][0]["at_s"])
    minutes = json.loads(answer(port, "/api/history?step=60"))["lanes"][0]
    assert sum(minutes["sent"]) == 3
    assert fetch(port, "/api/history?step=2")[0] == 400
    assert fetch(port, "/nothing")[0] == 404

    # The page; its tables have it all without JavaScript.
    status, fields, page = fetch(port, "/")
    assert "default-src 'none'" in fields["Content-Security-Policy"]
    assert fields["X-Content-Type-Options"] == "nosniff"
    assert fields["Cache-Control"] == "no-store"
    assert re.search(r"<td>fast</td><td class=\"is-well\">well</td>", page)
    # Nothing is loaded from elsewhere.
    for path in ("/", "/page.css", "/page.js"):
        text = answer(port, path).replace("http://www.w3.org/2000/svg", "")
        assert "//" not in re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    assert fetch(port, "/metrics", method="HEAD")[2] == ""
    assert "# EOF" in answer(
        port, "/metrics", Accept="application/openmetrics-text")


def test_rights_reload_and_memory(base, certs, origin, started):
    """It runs as mail_owner and can do nothing else; master starts it before
    anybody asks, and the next process goes on with the history."""
    _, port = start(base, certs, origin, started)
    started(origin)
    path = os.path.join(origin.data_directory, "postlane/history")
    wait_until(lambda: os.path.exists(path), 30, "its history, by the wakeup")
    assert os.stat(path).st_mode & 0o777 == 0o600
    origin.inject(messages.generate(4))
    origin.wait_empty()

    def told():
        lanes = json.loads(answer(port, "/api/history"))["lanes"]
        return sum(lanes[0]["sent"]) == 4
    wait_until(told, 20, "four messages")
    pid = process(origin)
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        state = dict(line.rstrip("\n").split(":\t", 1) for line in f
                     if ":\t" in line)
    owner = pwd.getpwnam(MAIL_OWNER)
    assert state["Uid"].split() == [str(owner.pw_uid)] * 4
    assert state["Gid"].split() == [str(owner.pw_gid)] * 4
    assert state["NoNewPrivs"] == "1"
    assert int(state["CapEff"], 16) == int(state["CapPrm"], 16) == 0
    with open(f"/proc/{pid}/limits", encoding="ascii") as f:
        assert re.search(r"^Max processes +0 +0 ", f.read(), re.M)
    assert os.getpriority(os.PRIO_PROCESS, pid) == 10
    origin.reload()
    wait_until(told, 20, "the history has them still")
    assert process(origin) != pid
    origin.postlane("pause", "slow")

    def paused():
        document = json.loads(answer(port, "/api/history"))
        return [e for e in document["events"] if e["lane"] == "slow"
                and e["text"].startswith("pause ")]
    assert wait_until(paused, 20, "the pause is an event")
    assert series(answer(port, "/metrics"))[
        'postlane_order{lane="slow",verb="pause"}'] == 1
    assert not origin.log.lines("warning.*lanestat|lanestat.*warning")


def test_lanes_that_come_and_go_in_master_cf(base, certs, origin, started):
    """It reads what is configured as root, so a change makes it begin anew."""
    _, port = start(base, certs, origin, started)
    origin.drop_service("slow")
    started(origin)
    assert 'lane="slow"' not in answer(port, "/metrics")
    pid = process(origin)
    origin.agent("lane", "slow", "class=slow", {})
    wait_until(lambda: 'lane="slow"' in answer(port, "/metrics"), 30,
               "the new lane")
    wait_until(lambda: process(origin) != pid, 30, "another process")


@pytest.mark.parametrize("fields, told", [
    ({"chroot": "y"}, r"fatal: lanestat cannot work in a chroot, where it sees "
     r"no state of lanes: set the chroot column of 127\.0\.0\.1:\d+ in "
     r"master\.cf to n"),
])
def test_what_it_cannot_do_is_said(base, origin, started, fields, told):
    origin.lanestat(**fields)
    started(origin)
    origin.log.wait(r"postfix/lanestat\[\d+\]: " + told)
