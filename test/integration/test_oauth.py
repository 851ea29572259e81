"""Logins with access tokens, and all that goes wrong with them."""
import base64
import hashlib
import json
import os
import pwd
import re
import resource
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import pytest

from harness import messages, oauth
from harness.load import wait_clock
from harness.oauth import Endpoint, refusal
from harness.paths import built
from harness.simulator import Simulator
from harness.wait import wait_until
from test_outcomes import PATIENT


MINUTE_S = 60       # of the outage of ten


@pytest.fixture
def endpoint(base, started):
    made = []

    def make(**options):
        made.append(Endpoint(base, **options))
        return made[-1]
    yield make
    for each in made:
        each.destroy()


def simulator(base, certs, started, endpoint, mechs="LOGIN XOAUTH2",
              **options):
    return started(Simulator(
        base, certs, login=None, require_auth=True, store=True,
        mechs=mechs, tokens=endpoint.tokens, **options))


def send(origin, sim, count=10, size=2000, **limits):
    sent = messages.generate(count, size=size)
    origin.inject(sent)
    origin.wait_empty(**limits)
    verdict = messages.compare(sent, sim.taken())
    assert verdict.is_clean(), verdict
    return sent


def deferred(origin, words, timeout_s=30):
    return origin.log.wait(f"status=deferred.*{words}", timeout_s)


@pytest.mark.parametrize("mech", ["XOAUTH2", "OAUTHBEARER"])
def test_mail_goes_with_a_token(base, certs, origin, started, endpoint, mech):
    server = endpoint()
    sim = simulator(base, certs, started, server, mechs=f"LOGIN {mech}")
    oauth.use(origin, sim, server)
    started(origin)
    send(origin, sim, 30)
    assert len(server.asked) == 1
    assert server.asked[0]["client_secret"] == oauth.SECRET
    assert {e.login for e in sim.ledger()} == {oauth.USER}
    assert sim.stats()["violations"] == 0
    assert not origin.log.lines("alarm|deferred")
    (token,) = origin.lanes()["tokens"]
    assert token["name"] == "work" and token["failing_wall_ms"] == 0
    assert 3500 < token["end_wall_ms"] / 1000 - time.time() < 3600
    assert token["sentence"].startswith("lives 59m ")
    shown = subprocess.run(
        [os.path.join(origin.libexec, "lane"), "token", "work"],
        env={"MAIL_CONFIG": origin.etc}, text=True, capture_output=True,
        check=True).stdout
    assert shown.startswith("token work: lives 59 min "), shown
    all_of_it = subprocess.run(
        [os.path.join(origin.libexec, "lane"), "-P"],
        env={"MAIL_CONFIG": origin.etc}, text=True, capture_output=True,
        check=True).stdout
    assert "\ntoken work: lives 59 min " in all_of_it
    oauth.check_secrets(origin, server)


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("size", [1000, 4096, 12288])
def test_tokens_of_any_length(
        base, certs, origin, started, endpoint, size, asked):
    server = endpoint(size=size)
    sim = simulator(base, certs, started, server, token_asked=asked)
    oauth.use(origin, sim, server)
    started(origin)
    send(origin, sim)
    # no AUTH line of more than 512 octets
    assert sim.stats()["violations"] == 0
    oauth.check_secrets(origin, server)


def test_two_lanes_one_fetch(base, certs, origin, started, endpoint):
    server = endpoint()
    server.wait_s = 1
    sim = simulator(base, certs, started, server)
    oauth.use(origin, sim, server, transports=("fast", "slow"))
    origin.set(transport_maps="inline:{{r2.example = slow:}}")
    started(origin)
    sent = messages.generate(20)
    origin.inject(sent)
    origin.wait_empty()
    assert messages.compare(sent, sim.taken()).is_clean()
    assert len(server.asked) == 1


def test_expiry_under_load(base, certs, origin, started, endpoint):
    """The server takes no token longer than three seconds, and a session
    carries two messages."""
    server = endpoint(life_s=3)
    sim = simulator(base, certs, started, server)
    oauth.use(origin, sim, server, options={
        "lane_messages_per_connection": 2,
        "lane_message_rate_limit": "10/1s", "lane_adaptive": "no"})
    started(origin)
    send(origin, sim, 80)
    assert len(server.asked) >= 4
    assert not origin.log.lines("alarm|status=deferred")
    oauth.check_secrets(origin, server)


@pytest.mark.parametrize("mech", ["XOAUTH2", "OAUTHBEARER"])
def test_withdrawn_token_is_replaced(
        base, certs, origin, started, endpoint, mech):
    server = endpoint()
    sim = simulator(base, certs, started, server, mechs=mech)
    oauth.use(origin, sim, server,
              options={"lane_messages_per_connection": 3})
    started(origin)
    sent = send(origin, sim, 5)
    server.withdraw()
    more = messages.generate(20, prefix="n")    # beyond the open sessions
    origin.inject(more)
    origin.wait_empty()
    verdict = messages.compare(sent + more, sim.taken())
    assert verdict.is_clean(), verdict
    origin.log.wait(r"\(status=.*535 5\.7\.8")
    wait_until(lambda: len(server.asked) == 2, 30, "another token")
    # A refused login may have had mail behind it: no count of violations.
    assert not origin.log.lines("alarm|status=deferred")
    oauth.check_secrets(origin, server)


def test_token_that_is_never_taken_is_one_alarm(
        base, certs, origin, started, endpoint):
    server = endpoint(knows=False)
    sim = simulator(base, certs, started, server)
    oauth.use(origin, sim, server)
    origin.set(**PATIENT)
    started(origin)
    origin.inject(messages.generate(3))
    deferred(origin, r"SASL authentication failed.*\(status=401.*535 5\.7\.8")
    origin.log.wait("alarm: login: ")
    assert not sim.ledger()
    assert len(origin.log.lines("alarm: ")) == 1
    # the token, and another one instead of it
    assert len(server.asked) == 2
    oauth.check_secrets(origin, server)


@pytest.mark.skipif(not oauth.MockServer.is_there(),
                    reason="scripts/foreign oauth2-mock-server")
@pytest.mark.parametrize("flow", ["client_credentials", "refresh_token"])
def test_server_of_somebody_else(base, certs, origin, started, flow):
    server = started(oauth.MockServer(base))
    sim = started(Simulator(base, certs, login=None, require_auth=True,
                            store=True, mechs="XOAUTH2"))
    oauth.use(origin, sim, server, flow=flow)
    started(origin)
    send(origin, sim, 3)
    origin.log.wait("token work: fetched from .*, lives 3600 s")
    assert not origin.log.lines("alarm|status=deferred")


def restart_service(origin):
    """An administrator's "postfix reload": files are read anew."""
    origin.reload()


def test_revoked_refresh_token(base, certs, origin, started, endpoint):
    server = endpoint()
    good = server.refresh_tokens.pop()
    server.refresh_tokens.append("another")
    sim = simulator(base, certs, started, server)
    oauth.use(origin, sim, server, flow="refresh_token")
    oauth.write(origin, "work.refresh", good + "\n")
    started(origin)
    sent = messages.generate(3)
    origin.inject(sent)
    deferred(origin, r"dsn=4\.7\.0|no access token work: 127\.0\.0\.1:\d+: "
                     r"400 invalid_grant: AADSTS70008: The refresh token")
    origin.log.wait("alarm: token: .* at work .*invalid_grant: AADSTS70008")
    # not while it is being tried again
    wait_until(lambda: "AADSTS70008" in str(origin.queue()), 30,
               lambda: f"the reason in the queue: {origin.queue()}")
    # somebody logs in again
    server.refresh_tokens.append("fresh-one")
    oauth.write(origin, "work.refresh", "fresh-one")
    restart_service(origin)
    origin.flush()
    origin.wait_empty()
    assert messages.compare(sent, sim.taken()).is_clean()
    origin.log.wait("alarm cleared: token: ")
    assert len(origin.log.lines("alarm: ")) == 1
    oauth.check_secrets(origin, server)


def test_without_a_login_it_is_said(base, certs, origin, started, endpoint):
    server = endpoint()
    sim = simulator(base, certs, started, server)
    oauth.use(origin, sim, server, flow="refresh_token")
    os.unlink(os.path.join(origin.etc, "lane-token.d/work.refresh"))
    started(origin)
    origin.inject(messages.generate(1))
    deferred(origin, "no refresh token is stored: run lane token work "
                     "--login")
    assert not server.asked


def test_endpoint_that_is_down(base, certs, origin, started, endpoint):
    server = endpoint()
    server.stop()
    sim = simulator(base, certs, started, server)
    oauth.use(origin, sim, server)
    started(origin)
    sent = messages.generate(3)
    origin.inject(sent)
    deferred(origin, r"no access token work: 127\.0\.0\.1:\d+: Failed to "
                     "connect")
    origin.log.wait("alarm: token: ")
    (token,) = origin.lanes()["tokens"]
    assert token["end_wall_ms"] == 0 < token["failing_wall_ms"]
    assert "Failed to connect" in token["reason"]
    server.start()
    origin.wait_empty()
    assert messages.compare(sent, sim.taken()).is_clean()
    origin.log.wait("alarm cleared: token: ")
    (token,) = origin.lanes()["tokens"]
    assert token["end_wall_ms"] > 0 == token["failing_wall_ms"]
    assert len(origin.log.lines("alarm: ")) == 1
    if os.environ.get("POSTLANE_LONG"):
        server.stop()
        origin.inject(messages.generate(3))
        origin.wait_empty()


@pytest.mark.skipif(not os.environ.get("POSTLANE_LONG"),
                    reason="ten minutes: POSTLANE_LONG=1")
def test_endpoint_that_is_down_for_ten_minutes(
        base, certs, origin, started, endpoint):
    """The token that is there is used up, mail comes all the while, one alarm,
    and all of it goes when the endpoint is back."""
    server = endpoint(life_s=MINUTE_S)
    sim = simulator(base, certs, started, server)
    port = origin.lanestat()
    oauth.use(origin, sim, server,
              options={"lane_messages_per_connection": 5})
    origin.set(minimal_backoff_time="30s", maximal_backoff_time="60s",
               queue_run_delay="10s")
    started(origin)
    sent = send(origin, sim, 5)
    ends = origin.lanes()["tokens"][0]["end_wall_ms"] / 1000
    server.stop()
    for minute in range(10):
        more = messages.generate(20, prefix=f"min{minute}")
        origin.inject(more)
        sent += more
        wait_clock(MINUTE_S)
    deferred(origin, r"no access token work: 127\.0\.0\.1:\d+: Failed to "
                     "connect")
    assert origin.queue_count() > 0
    told = origin.postlane("-q", "status")
    assert told.returncode == 1 and re.search(
        r"^token work: alarm: none is held, and no other is to be had for "
        r"\d+m", told.stdout, re.M), told.stdout
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
        figures = page.read().decode()
    assert 'postlane_token_expiry_timestamp_seconds{token="work"} 0' in figures
    assert float(re.search(
        r'postlane_token_failing_timestamp_seconds{token="work"} (\S+)',
        figures)[1]) == pytest.approx(ends, abs=MINUTE_S)
    server.start()
    origin.wait_empty(300)
    assert messages.compare(sent, sim.taken()).is_clean()
    assert len(origin.log.lines("alarm: ")) == 1
    assert len(origin.log.lines("alarm cleared: ")) == 1
    assert not origin.log.lines("status=(?!sent|deferred)")
    # Only while there was no token, and until the lane had looked again. The
    # log has whole seconds.
    lines = origin.log.lines("status=deferred|token work: fetched|"
                             "to=<min.* status=sent")
    kinds = [re.search("fetched|deferred|sent", line)[0] for line in lines]
    again = kinds.index("fetched", kinds.index("deferred"))
    assert "deferred" not in kinds[kinds.index("sent", again):]
    first = next(line for line in lines if "status=deferred" in line)
    assert time.mktime(time.strptime(
        f"{time.localtime().tm_year} {first[:15]}", "%Y %b %d %H:%M:%S")
    ) >= int(ends) - 2
    assert origin.postlane("-q", "status").returncode == 0
    oauth.check_secrets(origin, server)


def test_endpoint_that_is_slow(base, certs, origin, started, endpoint):
    server = endpoint()
    server.wait_s = 31 if os.environ.get("POSTLANE_LONG") else 4
    sim = simulator(base, certs, started, server)
    oauth.use(origin, sim, server)
    started(origin)
    send(origin, sim, 3)
    assert not origin.log.lines("alarm|status=deferred")


WRONG = {
    "garbage": ((200, b"\x00\xff<html>", {}),
                "200 an answer that is no JSON object", False),
    "html": ((502, b"<html>Bad Gateway</html>", {}),
             "502 an answer that is no JSON object", False),
    "endless": ((200, b"x" * 300000, {}), "an answer that is too long",
                False),
    "no token": ((200, b"{}", {}), "200 an answer without a token", False),
    "busy": (refusal("temporarily_unavailable", "later", 503),
             "503 temporarily_unavailable: later", False),
    "client": (refusal("invalid_client", "AADSTS7000215: Invalid client "
                       f"secret: {oauth.SECRET}", 401),
               "401 invalid_client: AADSTS7000215: Invalid client secret: ",
               True),
    "scope": (refusal("invalid_scope", "AADSTS70011\x1b[1m\n"),
              "400 invalid_scope: AADSTS70011", True),
    "moved": ((302, b"", {"Location": "http://127.0.0.1:1/"}),
              "302 an empty answer", False),
}


@pytest.mark.parametrize("case", WRONG)
def test_endpoint_that_says_something_else(
        base, certs, origin, started, endpoint, case):
    """The service tells what was wrong; mail waits, or is deferred with the
    same words when it lasts."""
    answer, words, lasts = WRONG[case]
    server = endpoint()
    server.answer = answer
    sim = simulator(base, certs, started, server)
    oauth.use(origin, sim, server)
    started(origin)
    sent = messages.generate(2)
    origin.inject(sent)
    origin.log.wait(r"token work: 127\.0\.0\.1:\d+: " + words)
    if lasts or case == "busy":
        deferred(origin, r"no access token work: 127\.0\.0\.1:\d+: " + words)
    if lasts:
        origin.log.wait("alarm: token: ")
    assert sim.taken() == []
    server.answer = None
    if lasts:
        restart_service(origin)
    origin.wait_empty()
    assert messages.compare(sent, sim.taken()).is_clean()
    assert len(origin.log.lines("alarm: ")) <= 1
    oauth.check_secrets(origin, server)


def test_retry_after_is_obeyed(base, certs, origin, started, endpoint):
    server = endpoint()
    server.answer = (429, b"{}", {"Retry-After": "600"})
    sim = simulator(base, certs, started, server)
    oauth.use(origin, sim, server)
    started(origin)
    origin.inject(messages.generate(2))
    deferred(origin, "429 an answer without a token")
    origin.log.wait("next try in (600|599) s")
    origin.log.wait("status=deferred", count=6)
    assert len(server.asked) == 1


@pytest.mark.parametrize("forgives", [True, False])
def test_killed_between_answer_and_storing(
        base, certs, origin, started, endpoint, forgives):
    """A server that rotates gave its only answer to a process that is dead:
    whether the old refresh token is still good is the server's affair."""
    server = endpoint()
    sim = simulator(base, certs, started, server)
    oauth.use(origin, sim, server, flow="refresh_token")

    def kill(fresh):
        server.on_grant = None
        if not forgives:
            server.refresh_tokens[:] = [fresh]
        for pid in oauth.service_pids(origin):
            origin.kill9(pid)
    server.on_grant = kill
    started(origin)
    sent = messages.generate(3)
    origin.inject(sent)
    if not forgives:
        origin.log.wait("alarm: token: .*invalid_grant", timeout_s=60)
        server.refresh_tokens.append("logged-in-again")
        oauth.write(origin, "work.refresh", "logged-in-again")
        restart_service(origin)
    origin.wait_empty()
    assert messages.compare(sent, sim.taken()).is_clean()
    assert len(origin.log.lines("alarm: ")) == (0 if forgives else 1)
    assert len(origin.log.lines("killed by signal 9")) == 1
    oauth.check_secrets(origin, server)


def test_full_disk_where_the_refresh_token_is_stored(
        base, certs, origin, started, endpoint):
    """Mail goes with what came with it; it is stored when there is room."""
    server = endpoint(life_s=3)
    sim = simulator(base, certs, started, server)
    oauth.use(origin, sim, server, flow="refresh_token", options={
        "lane_messages_per_connection": 1,
        "lane_message_rate_limit": "5/1s", "lane_adaptive": "no"})

    def use_once(fresh):
        server.refresh_tokens[:] = [fresh]
    server.on_grant = use_once
    origin.lane_faults("write@work.refresh:1:ENOSPC")
    started(origin)
    sent = send(origin, sim, 50)
    assert origin.log.lines(
        "the new refresh token cannot be stored in .*work.refresh"
        ": No space left on device; if this process ends, log in")
    assert origin.log.lines("the refresh token is stored now")
    # what is stored is what the next process needs
    for pid in oauth.service_pids(origin):
        origin.kill9(pid)
    more = messages.generate(20, prefix="last")
    origin.inject(more)
    origin.wait_empty()
    assert messages.compare(sent + more, sim.taken()).is_clean()
    used = [form["refresh_token"] for form in server.asked]
    assert len(used) >= 4 and len(set(used)) == len(used)
    assert len(origin.faults()) == 2        # the first of each process
    assert not origin.log.lines("alarm|invalid_grant")
    oauth.check_secrets(origin, server)


def test_rotated_refresh_token_is_used_next(
        base, certs, origin, started, endpoint):
    """Each one once; also by the next process, and by one that was killed."""
    server = endpoint()
    sim = simulator(base, certs, started, server)
    oauth.use(origin, sim, server, flow="refresh_token",
              options={"lane_messages_per_connection": 1})

    def use_once(fresh):
        server.refresh_tokens[:] = [fresh]
    server.on_grant = use_once
    started(origin)
    sent = send(origin, sim, 2)
    for n, how in enumerate(("kill", "reload", "kill")):
        if how == "reload":
            origin.reload()
        else:
            for pid in oauth.service_pids(origin):
                origin.kill9(pid)
        server.withdraw()
        more = messages.generate(2, prefix=f"n{n}")
        origin.inject(more)
        sent += more
        origin.wait_empty()
    assert messages.compare(sent, sim.taken()).is_clean()
    used = [form["refresh_token"] for form in server.asked]
    assert len(used) >= 4 and len(set(used)) == len(used)
    assert not origin.log.lines("alarm")
    oauth.check_secrets(origin, server)


def test_reload_during_a_refresh(base, certs, origin, started, endpoint):
    """The process that asked stores the answer, and the next one uses it."""
    server = endpoint()
    sim = simulator(base, certs, started, server)
    oauth.use(origin, sim, server, flow="refresh_token")

    def use_once(fresh):
        server.refresh_tokens[:] = [fresh]
    server.on_grant = use_once
    server.wait_s = 3
    started(origin)
    sent = messages.generate(3)
    origin.inject(sent)
    wait_until(lambda: server.asked, 30, "asked")
    origin.reload()
    origin.wait_empty()
    assert messages.compare(sent, sim.taken()).is_clean()
    used = [form["refresh_token"] for form in server.asked]
    assert len(set(used)) == len(used)
    assert not origin.log.lines("alarm|invalid_grant")


@pytest.mark.parametrize("ahead_s", [3600, -3600])
@pytest.mark.parametrize("flow", ["client_credentials", "jwt_bearer"])
def test_wrong_clock(base, certs, origin, started, endpoint, flow, ahead_s):
    """Lives are counted by the monotonic clock; what has to have a date in it
    gets the endpoint's."""
    def issued_at(form):
        body = form["assertion"].split(".")[1]
        return json.loads(base64.urlsafe_b64decode(body + "=="))["iat"]

    def judge(form):
        if abs(issued_at(form) - time.time()) > 300:
            return refusal("invalid_grant", "Invalid JWT")
        return None
    server = endpoint()
    sim = simulator(base, certs, started, server)
    settings = {}
    if flow == "jwt_bearer":
        key = os.path.join(base, "key.pem")
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True,
                       capture_output=True)
        os.chmod(key, 0o600)
        settings = {"key_file": key, "subject": oauth.USER}
        server.judge = judge
    oauth.use(origin, sim, server, flow=flow, **settings)
    origin.lane_environment(
        LD_PRELOAD=built("clock.so"), CLOCK_AHEAD_S=ahead_s,
        CLOCK_WORD="token")
    started(origin)
    if flow != "jwt_bearer":
        send(origin, sim, 3)
        assert not origin.log.lines("alarm|status=deferred")
        return
    send(origin, sim, 2)
    first, second = map(issued_at, server.asked[:2])
    assert abs(first - time.time() - ahead_s) < 300
    assert abs(second - time.time()) < 300
    assert len(server.asked) == 2
    origin.log.wait("the clock of this machine is (3600|3599|3601) s "
                    + ("ahead of" if ahead_s > 0 else "behind"))


def test_senders_have_tokens_of_their_own(
        base, certs, origin, started, endpoint):
    server = endpoint()
    sim = simulator(base, certs, started, server)
    oauth.use(origin, sim, server)
    origin.set(
        smtp_sender_dependent_authentication="yes",
        smtp_sasl_password_maps=origin.map("senders", {
            "a@sender.example": f"{oauth.USER}:oauth2:work",
            "b@sender.example": f"{oauth.USER}:oauth2:other"}, mode=0o600))
    started(origin)
    good, bad = ([messages.make(f"m-{who}", f"{who}@sender.example",
                                ["r@rcpt.example"], b"Hello.\r\n")]
                 for who in "ab")
    origin.inject(good + bad)
    deferred(origin, r"no access token other: no other\.conf in ")
    sim.wait_taken(1)
    assert messages.compare(good, sim.taken()).is_clean()


FILES = {
    "unknown setting": ("work.conf", "flow = x\n", 0o600,
                        r"work\.conf: line 1: bad flow"),
    "readable secret": ("work.secret", oauth.SECRET, 0o644,
                        r"work\.secret: must not be accessible by others"),
    "writable": ("work.conf", "", 0o666,
                 r"work\.conf: must not be writable by others"),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_cannot_be_used_are_named(
        base, certs, origin, started, endpoint, case):
    name, text, mode, words = FILES[case]
    server = endpoint()
    sim = simulator(base, certs, started, server)
    oauth.use(origin, sim, server)
    os.chmod(oauth.write(origin, name, text), mode)
    started(origin)
    origin.inject(messages.generate(1))
    deferred(origin, "no access token work: .*" + words)
    assert not server.asked
    oauth.check_secrets(origin, server)


def prepare_login(origin, sim, server, how="device", **settings):
    """Nothing is stored yet."""
    place = {"device": "device_endpoint", "address": "authorization_endpoint"}
    settings[place[how]] = server.url.replace("/token", "/device")
    oauth.use(origin, sim, server, flow="refresh_token", **settings)
    os.unlink(os.path.join(origin.etc, "lane-token.d/work.refresh"))


def stored(origin):
    path = os.path.join(origin.etc, "lane-token.d/work.refresh")
    with open(path, encoding="ascii", errors="replace") as f:
        return f.read().strip("\0\n ")


def pending(error="authorization_pending", text="wait"):
    return refusal(error, text)


def test_login_by_device(base, certs, origin, started, endpoint):
    """From nothing stored to mail, without a reload."""
    server = endpoint()
    sim = simulator(base, certs, started, server)
    server.polls = [pending(), (502, b"<html>", {}), pending("slow_down")]
    prepare_login(origin, sim, server)
    started(origin)
    out, err = oauth.log_in(origin).communicate(timeout=300)
    assert out == (
        "Open https://login.example/device, enter ABCD1234 and log in as the "
        "sender.\nThe refresh token is stored in work.refresh.\n"), err
    assert err == "lane: 502 an answer that is no JSON object\n"
    # RFC 8628 3.5: five seconds more
    assert server.asked_at[3] - server.asked_at[2] >= 6
    # RFC 8628 3.1: who we are is told there, too
    assert server.asked_device == [{
        "scope": "mail", "client_id": "lane",
        "client_secret": oauth.SECRET}]
    send(origin, sim, 3)
    assert not origin.log.lines("alarm|status=deferred")
    oauth.check_secrets(origin, server)


DENIED = {
    "denied": ([pending(), pending("access_denied", "The person said no")],
               "lane: 400 access_denied: The person said no\n"),
    "expired": ([pending("expired_token", "gone")],
                "lane: the code has expired, nobody logged in with it in "
                "time\n"),
    "garbage": ([(200, b"\xff\x00", {})],
                "lane: 200 an answer that is no JSON object\n"),
    "told": ([pending("invalid_grant", "what is device~code-never-seen?")],
             "lane: 400 invalid_grant: what is \n"),
    "told as it was sent": (
        [pending("invalid_client", "client_secret=client~secret-never-to&")],
        "lane: 400 invalid_client: client_secret=\n"),
    "no token to keep": (
        [(200, json.dumps({"access_token": "abc"}).encode(), {})],
        "lane: logged in, but no refresh token was given: the scope must "
        "allow it (offline_access)\n"),
}


@pytest.mark.parametrize("case", DENIED)
def test_login_that_is_not_given(
        base, certs, origin, started, endpoint, case):
    server = endpoint()
    server.polls, words = DENIED[case]
    sim = simulator(base, certs, started, server)
    prepare_login(origin, sim, server)
    started(origin)
    asked = oauth.log_in(origin)
    _, err = asked.communicate(timeout=300)
    assert (asked.returncode, err) == (1, words)
    assert not stored(origin)


def test_login_ends_with_its_code(base, certs, origin, started, endpoint):
    """Also when the endpoint does not say so, or cannot be reached."""
    server = endpoint()
    server.device = 200, server.device[1].replace(b": 900", b": 4"), {}
    server.polls = [pending()] * 100
    sim = simulator(base, certs, started, server)
    prepare_login(origin, sim, server)
    started(origin)
    asked = oauth.log_in(origin)
    _, err = asked.communicate(timeout=300)
    assert (asked.returncode, err) == (1, DENIED["expired"][1])
    asked = oauth.log_in(origin)
    asked.stdout.readline()
    server.stop()
    _, err = asked.communicate(timeout=300)
    assert asked.returncode == 1
    assert "Failed to connect" in err and err.endswith(DENIED["expired"][1])


@pytest.mark.parametrize("sig", ["SIGINT", "SIGHUP", "SIGQUIT"])
def test_login_that_is_given_up(base, certs, origin, started, endpoint, sig):
    """Ctrl-C, a terminal that is closed, and what else would leave a core
    file: nothing is stored, and the next one begins anew."""
    server = endpoint()
    server.polls = [pending()]
    sim = simulator(base, certs, started, server)
    prepare_login(origin, sim, server)
    started(origin)
    asked = oauth.log_in(
        origin, cwd=base, preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2))
    asked.stdout.readline()
    with open(f"/proc/{asked.pid}/limits", encoding="ascii") as f:
        assert re.search(r"^Max core file size +0 +0 ", f.read(), re.M)
    asked.send_signal(getattr(signal, sig))
    asked.communicate(timeout=300)
    assert asked.returncode == -getattr(signal, sig)
    assert not stored(origin)
    server.polls = []
    assert oauth.log_in(origin).wait(timeout=300) == 0
    assert stored(origin)


def address_of(asked):
    """What a browser is to open, by its query's names."""
    for line in asked.stdout:
        if line.startswith("http"):
            return urllib.parse.parse_qs(line.strip().split("?", 1)[1])
    return None


def test_login_by_address(base, certs, origin, started, endpoint):
    server = endpoint()
    sim = simulator(base, certs, started, server)
    prepare_login(origin, sim, server, how="address")
    started(origin)
    asked = oauth.log_in(origin)
    query = address_of(asked)
    out, err = asked.communicate(
        f"http://127.0.0.1:1/?state={query['state'][0]}&code=4%2F0Ab&x=y\n",
        timeout=300)
    assert out.endswith("The refresh token is stored in work.refresh.\n"), err
    form = server.asked[0]
    assert form["code"] == "4/0Ab"
    assert form["client_secret"] == oauth.SECRET
    made = base64.urlsafe_b64encode(hashlib.sha256(
        form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
    assert query["code_challenge"] == [made]
    assert form["redirect_uri"] == query["redirect_uri"][0]
    send(origin, sim, 3)


PASTED = {
    "another login's": ("http://127.0.0.1:1/?state=x&code=c\n",
                        "lane: that is not the address of this login\n"),
    "denied": ("http://127.0.0.1:1/?state=STATE&error=access_denied\n",
               "lane: access_denied\n"),
    "denied to another": ("http://127.0.0.1:1/?error=access_denied\n",
                          "lane: that is not the address of this login\n"),
    "nothing": ("", "lane: no address was entered\n"),
    "an empty line": ("\n", "lane: that is not the address of this login\n"),
}


@pytest.mark.parametrize("case", PASTED)
def test_address_that_is_none(base, certs, origin, started, endpoint, case):
    pasted, words = PASTED[case]
    server = endpoint()
    sim = simulator(base, certs, started, server)
    prepare_login(origin, sim, server, how="address")
    started(origin)
    asked = oauth.log_in(origin)
    state = address_of(asked)["state"][0]
    _, err = asked.communicate(pasted.replace("STATE", state), timeout=300)
    assert (asked.returncode, err) == (1, words)
    assert not server.asked and not stored(origin)


def connected(origin, uid):
    """What the service says first to a process of that user."""
    code = ("import os, socket, sys\n"
            f"os.setgroups([]); os.setgid({uid}); os.setuid({uid})\n"
            "s = socket.socket(socket.AF_UNIX)\n"
            "s.connect(sys.argv[1])\n"
            "s.settimeout(60)\n"
            "sys.stdout.buffer.write(s.recv(100))\n")
    return subprocess.run(
        ["/usr/bin/python3", "-c", code,
         os.path.join(origin.queue_directory, "private/lane-token")],
        check=True, capture_output=True).stdout


def test_nobody_else_gets_tokens(base, certs, origin, started, endpoint):
    """Not even where the directory of the socket lets others in."""
    server = endpoint()
    sim = simulator(base, certs, started, server)
    oauth.use(origin, sim, server)
    started(origin)
    os.chmod(os.path.join(origin.queue_directory, "private"), 0o711)
    owner = pwd.getpwnam("postfix").pw_uid
    for uid in (0, owner):
        assert b"lane_token_protocol" in connected(origin, uid)
    assert connected(origin, pwd.getpwnam("nobody").pw_uid) == b""
    origin.log.wait("a connection of neither mail_owner nor root")


def test_a_thousand_ask_at_once(base, certs, origin, started, endpoint):
    """More than are served at a time: all get the one token."""
    server = endpoint()
    server.wait_s = 1
    sim = simulator(base, certs, started, server)
    oauth.use(origin, sim, server)
    started(origin)
    path = os.path.join(origin.queue_directory, "private/lane-token")
    question = b"request\0token\0name\0work\0refused\0000\0\0"
    answers = []

    def ask():
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)     # waits while the queue of the socket is full
            s.settimeout(120)
            s.sendall(question)
            got = b""
            while got.count(b"\0\0") < 2:
                more = s.recv(4096)
                if not more:
                    break
                got += more
            answers.append(got)
    crowd = [threading.Thread(target=ask) for _ in range(1000)]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join()
    assert len(server.asked) == 1
    token = server.granted[0].encode()
    assert len(answers) == 1000
    assert not [a for a in answers if b"\0token\0" + token not in a]
