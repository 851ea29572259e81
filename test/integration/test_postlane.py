"""What an operator asks of postlane(1), with lanes at work: how is it, what
waits, how full is the account."""
import json
import os
import re
import time

import pytest
from harness import messages, paths
from harness.simulator import Simulator
from harness.wait import wait_until

LATER = 600     # nothing comes back from the deferred queue meanwhile
PROVIDERS = os.path.join(paths.ROOT, "providers")


def start(base, certs, origin, started, options=None, words="class=fast",
          **how):
    sim = started(Simulator(base, certs, **how))
    origin.agent("lane", "fast", words, {
        "lane_connection_limit": "2", "lane_provider_directory": PROVIDERS,
        **(options or {})})
    origin.relay_to(sim, transport="fast")
    origin.set(minimal_backoff_time=f"{LATER}s",
               maximal_backoff_time=f"{LATER}s", queue_run_delay=f"{LATER}s")
    return sim


def sentence(origin, word):
    """Waits until the lane is in that state; what is said then."""
    def found():
        lane = origin.lane("fast")
        return lane["health"] == word and lane["sentence"]
    return wait_until(found, 30, lambda: f"{word}: {origin.lane('fast')}")


def test_status_of_a_system_that_is_not_started(origin, base, certs, started):
    start(base, certs, origin, started)
    done = origin.postlane("status")
    assert done.returncode == 2
    assert done.stdout.startswith("lane fast: down: Postfix is not running\n")
    started(origin)
    done = origin.postlane("status")
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        0, "lane fast: well: no process yet: master(8) starts it with the "
        "next message")
    assert origin.postlane("-q", "status").stdout == ""


def test_status_at_the_limit(origin, base, certs, started):
    """Rate, queue, limit and who set it, forecast: of a lane that has more
    mail than it may send."""
    start(base, certs, origin, started,
          options={"lane_message_rate_limit": "2/1s",
                   "lane_account_recipient_rate_limit": "100000/1d!"})
    started(origin)
    origin.inject(messages.generate(60))
    origin.log.wait(r"postfix/smtp\[.* status=sent", timeout_s=60, count=25)
    text = origin.postlane("status").stdout
    lane = origin.lane("fast")
    assert lane["health"] == "well", text
    assert lane["waits"] == "rate"
    assert lane["waits_for"] == "lane_message_rate_limit = 2/1s:1"
    queue = lane["queue"]
    assert queue["is_exact"]
    left = queue["active"] + queue["incoming"]
    assert 0 < left <= 35
    assert queue["deferred"] == 0
    assert queue["limit"].startswith("2/1s:1 messages")
    assert queue["limit_s"] == pytest.approx(left / 2, abs=1)
    assert 0 < lane["per_s_10s"] <= 2.5
    assert 0 < lane["per_s_1min"] <= 2.5
    assert lane["per_s_1h"] < 0.1
    assert ("limit        2/1s:1 messages (lane_message_rate_limit, "
            "master.cf -o)") in text
    assert ("limit        100000/1d! recipients "
            "(lane_account_recipient_rate_limit, master.cf -o), ") in text
    [account] = origin.lanes()["accounts"]
    assert account["is_in_use"]
    [member] = account["slots"]["lanes"]
    assert member["name"] == "fast"
    assert account["slots"]["held"] == member["holds"] >= 1
    [quota] = [r for r in account["rates"] if r["is_quota"]]
    assert quota["used"] >= 25
    assert origin.postlane("status").returncode == 0


def test_quota_counts_on_when_no_lane_runs(origin, base, certs, started):
    """It is read from where it is kept, not from a copy."""
    start(base, certs, origin, started,
          options={"lane_account_message_rate_limit": "100/3600s!"})
    started(origin)
    origin.inject(messages.generate(7))
    origin.wait_empty()
    origin.stop()
    lanes = origin.lanes()
    assert lanes["lanes"][0]["state"] == "stopped"
    [account] = lanes["accounts"]
    assert not account["is_in_use"]
    [quota] = account["rates"]
    assert (quota["unit"], quota["limit"], quota["used"]) == (
        "messages", "100/1h!", 7)


def test_status_when_the_smarthost_slows_down_or_refuses(
        origin, base, certs, started):
    sim = start(base, certs, origin, started, script=(
        'auth reply "535 5.7.8 bad credentials"\n'))
    started(origin)
    origin.inject(messages.generate(3))
    text = sentence(origin, "alarm")
    assert text.startswith("login at [127.0.0.1]:") and "535 5.7.8" in text
    done = origin.postlane("-q", "status")
    assert done.returncode == 1
    assert done.stdout == f"lane fast: alarm: {text}\n"
    lane = origin.lane("fast")
    [alarm] = lane["alarms"]
    assert alarm["what"] == "login"
    assert alarm["met_wall_ms"] // 1000 >= alarm["since_wall_ms"] // 1000
    assert re.search(r"^  alarm        login at .*, met last \S+ ago: .*535",
                     origin.postlane("status").stdout, re.M)
    assert lane["gauges"]["alarms_raised"] == 1
    assert "535 5.7.8" in lane["trouble"]
    assert sim.stats()["connections_total"] >= 1


def test_status_when_the_next_host_has_the_mail(
        origin, base, certs, started):
    """It flows, and yet somebody should know."""
    sim = start(base, certs, origin, started)
    first = f"[127.0.0.1]:{paths.free_port()}"
    origin.set(relayhost=first,
               smtp_fallback_relay=f"[127.0.0.1]:{sim.port}")
    started(origin)
    origin.inject(messages.generate(2))
    sim.wait_taken(2)
    assert sentence(origin, "slowed").startswith(
        "1 host cannot be used, the next of the list has the mail: ")
    lane = origin.lane("fast")
    assert lane["gauges"]["hosts_bypassed"] == 1
    assert "Connection refused" in lane["trouble"]
    assert origin.postlane("-q", "status").returncode == 1


def test_what_is_told_is_what_mail_meets_now(origin, base, certs, started):
    """An alarm that stands may be of before: the settings were changed since,
    and mail does not come as far any more."""
    start(base, certs, origin, started, pair=certs.untrusted)
    origin.set(smtp_tls_security_level="verify",
               smtp_tls_CAfile=certs.ca.cert,
               smtp_tls_verify_cert_match="smarthost.example",
               lane_wait_limit="1s")
    started(origin)

    def told(words):
        origin.inject(messages.generate(1))
        return wait_until(
            lambda: next((line for line in origin.postlane(
                "-q").stdout.splitlines() if words in line), None),
            60, lambda: f"{words}: {origin.postlane('-q').stdout}")
    assert "alarm: certificate at " in told("untrusted")
    wait_until(lambda: origin.queued("deferred") == 1, 30, "deferred")
    [name] = [entry["queue_id"] for entry in origin.queue()]
    text = wait_until(lambda: next(
        (text for text in [origin.postlane("why", name).stdout]
         if "  what to do: \"postlane doctor\" says which" in text), None),
        30, lambda: origin.postlane("why", name).stdout)
    assert "postqueue -i" not in text
    # which of two is of now is told by the second
    [alarm] = origin.lane("fast")["alarms"]
    wait_until(lambda: time.time() * 1000 >= alarm["met_wall_ms"] + 1000, 5,
               "another second")
    origin.set(smtp_tls_CAfile="/nowhere/ca.pem", reload=True)
    line = told("cannot load smtp_tls_CAfile /nowhere/ca.pem")
    assert "(before that: certificate at " in line
    # It does not even start as it should.
    origin.set(smtp_delivery_status_filter="texthash:/nowhere/table",
               reload=True)
    line = told("all mail is deferred: ")
    assert "/nowhere/table" in line and "certificate" not in line
    assert origin.lane("fast")["waits"] == "settings"
    [lane] = json.loads(origin.postlane("-j", "forecast").stdout)["lanes"]
    assert lane["empty_s"] == -1 and "/nowhere/table" in lane["unknown"]


def test_forgotten_reload_is_told(origin, base, certs, started):
    """Which settings are not in force yet; after the reload none."""
    sim = start(base, certs, origin, started)
    started(origin)
    origin.inject(messages.generate(1, prefix="first"))
    sim.wait_taken(1)
    assert "not in force" not in origin.postlane("status").stdout
    origin.set(lane_message_rate_limit="7/1s", lane_wait_limit="77s")
    told = re.compile(
        r'^  not in force lane_\w+, lane_\w+: changed since the lane\'s '
        r'process started; "postfix reload"$', re.M)
    for words in (["status"], ["-q"]):
        found = told.search(origin.postlane(*words).stdout)
        assert found, words
        assert "lane_message_rate_limit" in found[0]
        assert "lane_wait_limit" in found[0]
    changed = ["lane_message_rate_limit", "lane_wait_limit"]
    document = json.loads(origin.postlane("-j", "status").stdout)
    assert document["status"] == 0      # mail goes as the process was told
    assert sorted(document["lanes"][0]["not_in_force"]) == changed

    def doctor():
        """What it says of it: (severity, text, fix)."""
        found = json.loads(origin.postlane("-j", "doctor").stdout)["findings"]
        return [(f["severity"], f["text"], f["fix"]) for f in found
                if (f["code"], f["lane"]) == ("RELOAD", "fast")]
    [(severity, text, fix)] = doctor()
    assert severity == "note" and all(name in text for name in changed)
    assert fix == f"postfix -c {origin.etc} reload"
    # While there is an error a reload is no cure.
    origin.set(lane_smarthost="[127.0.0.1]:1")
    [(severity, text, fix)] = doctor()
    assert (severity, fix) == ("note", "")
    assert "lane_smarthost" in text and "repair what is wrong above" in text
    origin.set(lane_smarthost=None, reload=True)
    origin.inject(messages.generate(1, prefix="second"))
    sim.wait_taken(2)
    wait_until(lambda: "not in force" not in origin.postlane("status").stdout,
               30, "all are in force")
    assert origin.postlane("-q").stdout == ""
    assert not origin.lane("fast")["not_in_force"] and not doctor()


def test_transport_that_is_none_is_an_alarm(origin, base, certs, started):
    """No lane has its mail, and the lanes are well."""
    start(base, certs, origin, started)
    origin.set(default_transport="Fast")
    started(origin)
    assert origin.postlane("-q").stdout == ""
    origin.inject(messages.generate(1))
    wait_until(lambda: origin.queued("deferred") == 1, 60, "deferred")
    found = origin.postlane("-q")
    assert (found.returncode, found.stdout) == (
        1, "transport Fast: alarm: master.cf has no such service, and 1 "
        "message is to go by it: see \"postlane doctor\"\n")
    document = json.loads(origin.postlane("-j", "status").stdout)
    assert document["status"] == 1
    assert document["strays"] == [{"transport": "Fast", "messages": 1}]


def test_deferred_mail_of_others_is_not_the_lanes(
        origin, base, certs, started):
    """By transport: three queues, two transports, one lane that is asked."""
    start(base, certs, origin, started, script=(
        'rcpt if rcpt "later" reply "450 4.2.0 try later"\n'))
    origin.service("smtp", "nowhere")
    origin.set(transport_maps=origin.map(
        "transport", {"else.example": "nowhere:[127.0.0.1]:1"}))
    started(origin)
    sent = messages.generate(3, recipients=lambda n: [f"later-{n}@d.example"])
    sent += messages.generate(4, prefix="else", domain="else.example")
    origin.inject(sent)
    wait_until(lambda: origin.queued("deferred") == 7, 30, "all deferred")
    queue = origin.lane("fast")["queue"]
    assert (queue["active"], queue["deferred"]) == (0, 3)
    assert queue["is_exact"]
    lane = origin.lane("fast")
    assert "450 4.2.0 try later" in lane["trouble"]
    assert lane["health"] == "well"


def test_counts_of_a_long_queue_are_estimates(origin, base, certs, started):
    """Two thirds of 600 deferred messages are the lane's: said to be about
    so many, from a sample of 200."""
    start(base, certs, origin, started)
    origin.service("smtp", "nowhere")
    origin.set(transport_maps=origin.map(
        "transport", {"else.example": "nowhere:[127.0.0.1]:1"}),
        defer_transports="fast, nowhere")
    started(origin)
    origin.inject(messages.generate(400))
    origin.inject(messages.generate(
        200, prefix="else", domain="else.example"))
    wait_until(lambda: origin.queued("deferred") == 600, 60, "all deferred")
    queue = origin.lane("fast")["queue"]
    assert not queue["is_exact"]
    # four standard deviations of a sample of 200
    assert 320 <= queue["deferred"] <= 480
    assert "about " in origin.postlane("status").stdout


def test_sessions_and_forecast(origin, base, certs, started):
    sim = start(base, certs, origin, started,
                script='eod if sender "m-0@" delay 2500\n')
    named = f"[localhost]:{sim.port}"
    origin.set(smtp_host_lookup="native", relayhost=named,
               smtp_tls_secure_cert_match="smarthost.example",
               inet_protocols="ipv4", smtp_sasl_password_maps=origin.map(
                   "named", {named: ":".join(sim.login)}, mode=0o600))
    started(origin)
    origin.inject(messages.generate(1))

    def busy():
        lines = origin.postlane("sessions", "fast").stdout.splitlines()
        return [line for line in lines[1:] if " busy " in line]
    [line] = wait_until(busy, 20, "a busy session")
    document = json.loads(origin.postlane("-j", "sessions").stdout)
    assert document["schema"] == 1
    [lane] = document["lanes"]
    assert lane["name"] == "fast"
    [session] = lane["sessions"]
    assert session["session"] == line.split()[0]
    assert (session["host"], session["peer"]) == ("localhost", "127.0.0.1")
    assert line.split()[-1] == "localhost[127.0.0.1]"
    document = json.loads(origin.postlane("-j", "forecast").stdout)
    assert document["lanes"][0]["messages"] in (0, 1)
    assert origin.postlane("forecast").stdout.splitlines()[1].startswith(
        "fast ")
    sim.wait_taken(1)


@pytest.mark.parametrize("words, status, told", [
    (["nonsense"], 64, 'there is no verb "nonsense"'),
    (["staus"], 64, 'there is no verb "staus", but status'),
    (["help", "forcast"], 64, 'there is no verb "forcast", but forecast'),
    (["fast"], 64, 'there is no verb "fast": postlane status fast'),
    (["-w", "0", "status"], 64, "bad option: -w 0: must be 1 to 86400"),
    (["status", "slow"], 64, 'there is no lane "slow" in '),
    (["status", "fast", "more"], 64, "status: too many arguments"),
    (["-x"], 64, "invalid option"),
])
def test_what_is_asked_wrongly_is_told(origin, base, certs, started, words,
                                       status, told):
    start(base, certs, origin, started)
    done = origin.postlane(*words)
    assert (done.returncode, done.stdout) == (status, "")
    assert told in done.stderr


def test_without_lane_or_configuration(origin):
    done = origin.postlane("status")
    assert done.returncode == 78
    assert done.stdout == \
        f"{origin.etc}/master.cf has no lane: see postlane setup\n"
    origin.etc += "/nowhere"
    done = origin.postlane("status")
    assert done.returncode == 78
    assert done.stderr.endswith("main.cf: No such file or directory\n")


def test_only_root_and_mail_owner_may_look(origin, base, certs, started):
    start(base, certs, origin, started)
    started(origin)
    origin.inject(messages.generate(1))
    origin.wait_empty()

    def as_user(name):
        return origin.postlane("status", user=name)
    mine = as_user("postfix")
    assert mine.returncode == 0, mine
    assert "\n  queue        0 active, 0 deferred" in mine.stdout
    others = as_user("nobody")
    assert (others.returncode, others.stdout) == (77, "")
    assert others.stderr == (f"postlane: {origin.data_directory}/postlane: "
                             "only root and postfix may look\n")
