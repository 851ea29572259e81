"""Access tokens of a real authorisation server, glewlwyd, which itself tells
the mail server whether the token of a login is a good one. It has no jwt-bearer
grant: that is in test_oauth.py."""
import base64
import os
import re
import subprocess

import pytest

from harness import messages, oauth
from harness.glewlwyd import SCOPE, Glewlwyd
from test_oauth import deferred, restart_service, send, simulator
from test_outcomes import PATIENT

LONG = pytest.mark.skipif(not os.environ.get("POSTLANE_LONG"),
                          reason="POSTLANE_LONG=1")
pytestmark = pytest.mark.skipif(
    not Glewlwyd.is_there(), reason="scripts/foreign glewlwyd")


@pytest.fixture
def glewlwyd(base, certs, started):
    return lambda **parameters: started(Glewlwyd(base, certs, **parameters))


def use(origin, sim, server, **settings):
    oauth.use(origin, sim, server, ca_file=server.certs.ca.cert,
              **{"scope": "mail", **settings})


def use_person(origin, sim, server, **settings):
    """Nobody has logged in yet."""
    use(origin, sim, server, flow="refresh_token", scope=SCOPE,
        device_endpoint=server.device_url, **settings)
    os.unlink(os.path.join(origin.etc, "lane-token.d/work.refresh"))


def stored(origin):
    """The refresh token that counts: of two, the one with the higher number
    (agent/token/refresh_file.h)."""
    with open(os.path.join(origin.etc, "lane-token.d/work.refresh"),
              encoding="ascii") as f:
        slots = re.findall(r"^refresh-token (\d+) \S+ (\S+)$",
                           f.read().replace(" \n", "\n"), re.M)
    return max(slots, key=lambda slot: int(slot[0]))[1]


@pytest.mark.parametrize(
    "mech", ["XOAUTH2", pytest.param("OAUTHBEARER", marks=LONG)])
def test_application_with_a_secret(
        base, certs, origin, started, glewlwyd, mech):
    server = glewlwyd()
    server.client("lane")
    sim = simulator(base, certs, started, server, mechs=mech)
    use(origin, sim, server)
    started(origin)
    send(origin, sim, 20)
    assert len(server.granted) == 1
    assert all(a["active"] and a["scope"] == "mail" for a in server.answers)
    assert {e.login for e in sim.ledger()} == {oauth.USER}
    origin.log.wait("token work: fetched from .*, lives 3600 s")
    assert not origin.log.lines("alarm|status=deferred")
    oauth.check_secrets(origin, server)


def test_secret_in_a_header(base, certs, origin, started, glewlwyd):
    """RFC 6749 2.3.1: what every authorisation server must take, and this one
    takes alone."""
    server = glewlwyd()
    server.client("lane", token_endpoint_auth_method=["client_secret_basic"])
    sim = simulator(base, certs, started, server)
    use(origin, sim, server)
    started(origin)
    sent = messages.generate(3)
    origin.inject(sent)
    deferred(origin, r"no access token work: 127\.0\.0\.1:\d+: 403 an empty "
                     "answer")
    origin.log.wait("alarm: token: ")
    assert not server.granted
    with open(os.path.join(origin.etc, "lane-token.d/work.conf"), "a",
              encoding="ascii") as f:
        f.write("token_endpoint_auth_method = client_secret_basic\n")
    restart_service(origin)
    origin.flush()
    origin.wait_empty()
    assert messages.compare(sent, sim.taken()).is_clean()
    origin.log.wait("alarm cleared: token: ")
    oauth.check_secrets(origin, server)


SIGNED = {"PS256": {}, "RS256": {"algorithm": "RS256"},
          "named": {"key_id": "of-lane"}}


@pytest.mark.parametrize("case", [
    "named", *(pytest.param(name, marks=LONG) for name in ("PS256", "RS256"))])
def test_application_with_a_certificate(
        base, certs, origin, started, glewlwyd, case):
    """RFC 7523 2.2: private_key_jwt; the server has the public key, or a set
    of keys with names."""
    key, cert = (os.path.join(base, name) for name in ("key.pem", "cert.pem"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days",
         "30", "-subj", "/CN=lane", "-keyout", key, "-out", cert], check=True,
        capture_output=True)
    os.chmod(key, 0o600)
    server = glewlwyd()
    server.client("lane", client_secret="another~one", **public_key(key, case),
                  token_endpoint_auth_method=["private_key_jwt"])
    sim = simulator(base, certs, started, server)
    use(origin, sim, server, certificate_file=cert, key_file=key,
        **SIGNED[case])
    started(origin)
    send(origin, sim, 5)
    assert len(server.granted) == 1
    assert not origin.log.lines("alarm|status=deferred")
    oauth.check_secrets(origin, server)


def public_key(key, case):
    """What the client's entry has of it."""
    def openssl(*options):
        return subprocess.run(
            ["openssl", "rsa", "-in", key, *options], check=True, text=True,
            capture_output=True).stdout
    if case != "named":
        return {"pubkey": openssl("-pubout")}
    n = bytes.fromhex(openssl("-modulus", "-noout").strip().split("=")[1])
    other = {"kty": "RSA", "e": "AQAB", "use": "sig", "kid": "another",
             "n": base64url(bytes([n[0], *n[1:-1], n[-1] ^ 2]))}
    return {"jwks": {"keys": [other, {
        **other, "kid": "of-lane", "n": base64url(n)}]}}


def base64url(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def test_login_by_device(base, certs, origin, started, glewlwyd):
    """From nothing to mail: the person logs in, and each refresh token is
    used once, which glewlwyd insists on."""
    server = glewlwyd()
    server.client("lane")
    sim = simulator(base, certs, started, server)
    use_person(origin, sim, server,
               options={"lane_messages_per_connection": 1})
    started(origin)
    server.log_in(origin)
    kept = [stored(origin)]
    sent = send(origin, sim, 3)
    for n, how in enumerate(("kill", "reload", "withdraw")):
        kept.append(stored(origin))
        if how == "reload":
            restart_service(origin)
        elif how == "kill":
            for pid in oauth.service_pids(origin):
                origin.kill9(pid)
        server.withdraw(server.granted[-1])
        more = messages.generate(3, prefix=f"n{n}")
        origin.inject(more)
        sent += more
        origin.wait_empty()
    kept.append(stored(origin))
    assert messages.compare(sent, sim.taken()).is_clean()
    assert len(set(kept)) == len(kept), kept
    assert not origin.log.lines("alarm|an empty answer")
    server.refresh_tokens = kept
    oauth.check_secrets(origin, server)


@LONG
def test_expiry_under_load(base, certs, origin, started, glewlwyd):
    """Of the server's clock, which it looks at itself."""
    server = glewlwyd(access_token_duration=6)
    server.client("lane")
    sim = simulator(base, certs, started, server)
    use_person(origin, sim, server, options={
        "lane_messages_per_connection": 2,
        "lane_message_rate_limit": "10/1s", "lane_adaptive": "no"})
    started(origin)
    server.log_in(origin)
    send(origin, sim, 80)
    assert len(server.granted) >= 2
    assert not origin.log.lines("alarm|status=deferred|an empty answer")
    oauth.check_secrets(origin, server)


@pytest.mark.parametrize("how", ["revoked", "killed"])
def test_refresh_token_that_is_gone(
        base, certs, origin, started, glewlwyd, how):
    """Withdrawn by the person, or lost with a process that died between the
    answer and its storing: glewlwyd then takes neither the old one, nor, once
    it has seen that, the new one. Somebody logs in again."""
    server = glewlwyd()
    server.client("lane")
    sim = simulator(base, certs, started, server)
    use_person(origin, sim, server)
    started(origin)
    server.log_in(origin)
    first = stored(origin)
    if how == "killed":
        origin.lane_faults("write@work.refresh:1:KILL")
    if how == "revoked":
        server.withdraw(first)
    sent = messages.generate(3)
    origin.inject(sent)
    deferred(origin, r"no access token work: 127\.0\.0\.1:\d+: 400 an empty "
                     "answer")
    origin.log.wait("alarm: token: ")
    assert stored(origin) == first and not sim.taken()
    if how == "killed":
        origin.lane_faults("write@nothing:1:KILL")
    server.log_in(origin)
    restart_service(origin)
    origin.flush()
    origin.wait_empty()
    assert messages.compare(sent, sim.taken()).is_clean()
    origin.log.wait("alarm cleared: token: ")
    assert len(origin.log.lines("alarm: ")) == 1
    assert len(origin.log.lines("killed by signal 9")) == (how == "killed")
    oauth.check_secrets(origin, server)


@pytest.mark.parametrize(
    "how", ["disabled", pytest.param("wrong secret", marks=LONG)])
def test_client_that_is_refused(
        base, certs, origin, started, glewlwyd, how):
    server = glewlwyd()
    wrong = {"wrong secret": {"client_secret": "another~secret"},
             "disabled": {"enabled": False}}[how]
    server.client("lane", **wrong)
    sim = simulator(base, certs, started, server)
    use(origin, sim, server)
    started(origin)
    sent = messages.generate(3)
    origin.inject(sent)
    deferred(origin, r"no access token work: 127\.0\.0\.1:\d+: 403 an empty "
                     "answer")
    origin.log.wait("alarm: token: ")
    assert not sim.taken()
    server.client("lane")
    restart_service(origin)
    origin.flush()
    origin.wait_empty()
    assert messages.compare(sent, sim.taken()).is_clean()
    origin.log.wait("alarm cleared: token: ")
    assert len(origin.log.lines("alarm: ")) == 1
    oauth.check_secrets(origin, server)


@LONG
def test_server_that_dies(base, certs, origin, started, glewlwyd):
    """Mail waits when the token that is there has ended, and goes when the
    server is there again; the refresh token stays good."""
    server = glewlwyd(access_token_duration=6)
    server.client("lane")
    sim = simulator(base, certs, started, server)
    use_person(origin, sim, server,
               options={"lane_messages_per_connection": 1})
    origin.set(**PATIENT)
    started(origin)
    server.log_in(origin)
    sent = send(origin, sim, 3)
    server.kill9()
    origin.log.wait("alarm: token: .*Failed to connect")
    more = messages.generate(3, prefix="later")
    origin.inject(more)
    deferred(origin, r"no access token work: 127\.0\.0\.1:\d+: Failed to "
                     "connect")
    server.start()
    origin.flush()
    origin.wait_empty()
    assert messages.compare(sent + more, sim.taken()).is_clean()
    origin.log.wait("alarm cleared: token: ")
    assert len(origin.log.lines("alarm: ")) == 1
    assert not origin.log.lines("an empty answer")
    oauth.check_secrets(origin, server)
