"""What postlane probe tells of a smarthost: what the lane itself would find."""
import json
import math

import pytest
from harness.postfix import Postfix
from harness.simulator import DelayProxy, Simulator
from harness.upstream import PASSWORD


@pytest.fixture
def sim(base, certs, started):
    return started(Simulator(base, certs, transcript=True))


def settled(origin, sim, name="fast", **options):
    origin.agent("lane", name, f"class={name}", options)
    origin.relay_to(sim, transport=name)
    return origin


def report(origin, *words, status=0):
    done = origin.postlane("-j", "probe", *words)
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_probe_tells_what_the_lane_finds(origin, sim):
    """Each step, offer and date, in words and as JSON; no mail is sent, and no
    password is shown."""
    settled(origin, sim, smtp_tls_security_level="verify",
            smtp_tls_verify_cert_match="127.0.0.1",
            lane_pipeline_depth="100")
    text = origin.postlane("probe", "fast").stdout
    for words in (
            f"lane fast: [127.0.0.1]:{sim.port} (relayhost, {origin.etc}"
            "/main.cf:", "addresses    127.0.0.1[127.0.0.1]:", "TLSv1.3, TLS_",
            "level verify: the certificate is good and in the name that is",
            "(29 days)", "login        CRAM-MD5: accepted",
            "port 465 would save 2 of them, ", "result       ready for mail"):
        assert words in text, text
    found = report(origin, "fast")
    assert [s["what"] for s in found["steps"]] == [
        "connect", "greeting", "ehlo", "starttls", "tls", "ehlo", "auth",
        "auth"]
    assert "STARTTLS" in found["ehlo_before"]
    assert "CHUNKING" in found["ehlo_after"]
    assert found["login"] == {"has": True, "mechanism": "CRAM-MD5",
                              "is_in": True, "why": ""}
    assert found["tls"]["is_matched"]
    assert "127.0.0.1" in found["tls"]["chain"][0]["names"]
    advice = {a["name"]: a["value"] for a in found["advice"]}
    depth = min(math.ceil(found["rtt_us"] / 1000) + 8, 50)
    window = str(2 * 20 * depth)
    assert advice == {"fast_destination_concurrency_limit": window,
                      "fast_initial_destination_concurrency": window}
    assert PASSWORD not in text + json.dumps(found)
    assert sim.stats()["connections_total"] == 2
    with open(sim.path("transcript.txt"), encoding="utf-8") as f:
        dialogue = f.read()
    assert "QUIT" in dialogue and "MAIL" not in dialogue


def test_probe_of_another_nexthop_and_over_a_distance(
        origin, base, sim, started):
    proxy = started(DelayProxy(base, sim.port, delay_ms=60))
    settled(origin, sim)
    found = report(origin, "fast", f"[127.0.0.1]:{proxy.port}")
    assert found["nexthop"] == f"[127.0.0.1]:{proxy.port}"
    assert "no login for" in found["login"]["why"]
    # together: a connection that was noticed late shortens the next step
    steps = found["steps"]
    assert [s["what"] for s in steps[:2]] == ["connect", "greeting"]
    assert steps[0]["us"] + steps[1]["us"] >= 60000


def test_probe_says_what_is_wrong(origin, sim):
    """A setting, a login, a host: with the words that the log would have."""
    settled(origin, sim, lane_pipeline_depth="0")
    found = report(origin, "fast", status=1)
    assert "bad parameter: lane_pipeline_depth = 0" in found["problems"][0]
    assert found["is_ready"]
    sim.script('auth reply "535 5.7.8 bad credentials"\n')
    settled(origin, sim)
    found = report(origin, status=1)
    assert found["failure"]["stage"] == "auth"
    assert found["failure"]["code"] == 535
    assert "535 5.7.8 bad credentials" in found["failure"]["text"]
    found = report(origin, "fast", "[127.0.0.1]:1", status=1)
    assert "refused" in found["tried"][0]["failed"]
    done = origin.postlane("probe", "nosuch", "[127.0.0.1]:1")
    assert done.returncode == 64 and "there is no lane" in done.stderr


def test_probe_before_there_is_a_lane(base, sim):
    """With what main.cf says: for whoever is about to begin."""
    bare = Postfix(base, "bare")
    found = report(bare, f"[127.0.0.1]:{sim.port}")
    assert "STARTTLS" in found["ehlo_before"]
    assert "lane" not in found
