"""What a log's mail would have met: against what the lane made of it."""
import gzip
import json
import os
import subprocess

from harness import messages, paths
from harness.simulator import Simulator


def replayed(origin, log, *words):
    found = origin.postlane("-j", "replay", log, *words)
    assert found.returncode == 0, found
    [lane] = json.loads(found.stdout)["lanes"]
    return lane


def test_prediction_is_what_happened(origin, base, certs, started):
    """With the settings that were in force, within 10 %, and as much of a
    second as a log of whole seconds does not tell; and twice as fast with
    twice the rate."""
    count = 81
    sim = started(Simulator(base, certs))
    origin.agent("lane", "fast", "class=fast", {
        "lane_connection_limit": "3", "lane_message_rate_limit": "5/1s:3",
        "lane_recipient_rate_limit": "1000/1d!"})
    origin.relay_to(sim, transport="fast")
    started(origin)
    # The start of its process is nothing that a replay knows of.
    origin.inject(messages.generate(1))
    sim.wait_taken(1)
    origin.inject(messages.generate(count - 1, size=100), connections=8)
    sim.wait_taken(count)
    origin.wait_empty()
    log = os.path.join(base, "day.log")
    with open(log, "w", encoding="utf-8") as f:
        f.write("\n".join(origin.log.lines("")) + "\n")
    lane = replayed(origin, log)
    was = lane["by_the_log"]
    assert (lane["name"], was["messages"], lane["messages"]) == (
        "fast", count, count)
    assert was["p95_s"] > 10
    assert abs(lane["p95_s"] - was["p95_s"]) <= 0.1 * was["p95_s"], lane
    assert abs(lane["p50_s"] - was["p50_s"]) <= 1, lane
    assert 1 <= lane["sessions"] <= 3
    # Postfix's queue IDs have what its whole seconds have not.
    assert lane["vague"] == 0
    assert 0 < was["backlog"] < count and was["gone_wall_ms"] > 0
    assert was["sessions"] <= 3
    [quota] = lane["quotas"]
    assert (quota["limit"], quota["most"]) == ("1000/1d!", count)
    twice = replayed(origin, log, "fast", "-o", "lane_message_rate_limit=10/1s:3")
    # What comes takes its time as well.
    assert twice["p95_s"] < 0.7 * lane["p95_s"]
    text = origin.postlane("replay", log).stdout
    assert text.startswith("lane fast: from ")
    assert "\n  replayed " in text


def test_what_cannot_be_replayed_is_told(origin, base, certs, started):
    for name in ("fast", "slow"):
        origin.agent("lane", name, f"class={name}")
    origin.write()
    log = os.path.join(base, "empty.log")
    with open(log, "w", encoding="utf-8") as f:
        f.write("nothing\n")
    for words, status, told in (
            ((log,), 65, "lane fast: "),
            ((log, "other"), 64, 'there is no lane "other"'),
            ((log, "fast"), 65, "has no delivery by postfix/smtp"),
            (("/nonexistent", "fast"), 66, "No such file or directory"),
            ((log, "fast", "-o", "lane_message_rate_limit=x"), 64,
             "bad parameter: lane_message_rate_limit = x"),
            ((log, "fast", "-o", "lane_nonsense=1"), 64, "lane_nonsense")):
        found = origin.postlane("replay", *words)
        assert (words, found.returncode, found.stdout) == (words, status, "")
        assert told in found.stderr
    for begin, program in ((b"BZh9", "bzip2"), (b"\xfd7zXZ\0", "xz")):
        with open(log, "wb") as f:
            f.write(begin)
        found = origin.postlane("replay", log)
        assert f"compressed: {program} -dc {log} | postlane" in found.stderr
    with open(log, "wb") as f:
        f.write(b"\x1f\x8bnothing")
    found = origin.postlane("replay", log)
    assert (found.returncode, found.stdout) == (66, "")
    assert "gzip cannot read all of it" in found.stderr


def test_log_that_is_compressed_and_lanes_that_log_alike(origin, base):
    """Where no line names a lane, all of the mail is the first lane's, which is
    said, or that of the one that is named; as text, compressed, or from
    journalctl."""
    for name in ("fast", "slow"):
        origin.agent("lane", name, f"class={name}")
    origin.write()
    log = os.path.join(base, "mail.log.1.gz")
    lines = "".join(
        f"2026-11-28T10:00:1{n}.123456+0100 host postfix/smtp[7]: 4F0C{n}: "
        f"to=<a@b.example>, relay=mx.example[192.0.2.1]:25, delay=0.5, "
        "delays=0.1/0/0.1/0.3, dsn=2.0.0, status=sent (250 Ok)\n"
        for n in range(5)).encode()
    with gzip.open(log, "wb") as f:
        f.write(lines)
    found = origin.postlane("replay", log)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.count("from 10:00:") == 1
    assert "lane fast: from 10:00:" in found.stdout
    assert "lane slow logs as postfix/smtp, too" in found.stdout
    named = origin.postlane("replay", log, "slow")
    assert "lane slow: from 10:00:" in named.stdout
    done = subprocess.run(
        [paths.built("postlane"), "-c", origin.etc, "replay", "-"],
        input=lines, check=True, capture_output=True, timeout=300)
    assert done.stdout.decode() == found.stdout


def test_lanes_that_log_alike_have_their_own_settings(
        origin, base, certs, started):
    """Whose a line is is told by its process, which names its lane whenever a
    session ends."""
    sim = started(Simulator(base, certs))
    for name, quota in (("fast", "1000/1d!"), ("slow", "500/1d!")):
        origin.agent("lane", name, f"class={name}", {
            "lane_message_rate_limit": quota,
            "lane_connection_idle_limit": "1s"})
    origin.relay_to(sim, transport="fast")
    origin.set(transport_maps=origin.map("transport",
                                         {"bulk.example": "slow:"}))
    started(origin)
    origin.inject(messages.generate(6))
    origin.inject(messages.generate(3, prefix="bulk", domain="bulk.example"))
    sim.wait_taken(9)
    origin.wait_empty()
    for name in ("fast", "slow"):
        origin.log.wait(rf"session=\w+ end=idle .* lane={name} ")
    lines = "\n".join(origin.log.lines("")) + "\n"
    log = os.path.join(base, "day.log")
    with open(log, "w", encoding="utf-8") as f:
        f.write(lines)
    found = origin.postlane("-j", "replay", log)
    assert (found.returncode, found.stderr) == (0, "")
    lanes = json.loads(found.stdout)["lanes"]
    assert [(lane["name"], lane["messages"], lane["unknown"],
             lane["quotas"][0]["limit"]) for lane in lanes] == [
        ("fast", 6, 0, "1000/1d!"), ("slow", 3, 0, "500/1d!")]
    text = origin.postlane("replay", log).stdout
    assert "mixed" not in text
    assert [lane["messages"] for lane in json.loads(origin.postlane(
        "-j", "replay", log, "slow").stdout)["lanes"]] == [3]
    # What is a pipe is read more than once as well.
    for path in ("-", "/dev/stdin"):
        done = subprocess.run(
            [paths.built("postlane"), "-c", origin.etc, "replay", path],
            input=gzip.compress(lines.encode()), check=True,
            capture_output=True, timeout=300)
        assert done.stdout.decode() == text, path
