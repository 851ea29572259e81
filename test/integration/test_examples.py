"""main.cf.example and master.cf.example, installed as README.md says: no new
warnings, nothing lost that was there, and mail takes the lane it should."""
import os
import re
import subprocess

import pytest

from harness import messages, paths
from harness.postfix import Postfix
from harness.simulator import Simulator
from harness.wait import wait_until

MAIN = os.path.join(paths.ROOT, "main.cf.example")
MASTER = os.path.join(paths.ROOT, "master.cf.example")
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
PROVIDER = "[smtp.socketlabs.com]:2525"
# What Debian writes on installation, and what people have.
MAIN_CFS = ["", "".join(f"{line}\n" for line in (
    "relayhost =", "smtp_tls_security_level = may",
    "smtp_tls_CApath = /etc/ssl/certs",
    "transport_maps = hash:/somewhere/transport,",
    "    hash:/elsewhere/transport"))]


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def install(etc, replaced=()):
    """README.md, step 5, on another directory."""
    folder = os.path.join(etc, "example")
    os.makedirs(folder, exist_ok=True)
    for path in (MAIN, MASTER):
        text = read(path)
        for old, new in replaced:
            text = text.replace(old, new)
        with open(os.path.join(folder, os.path.basename(path)), "w",
                  encoding="utf-8") as f:
            f.write(text)
    subprocess.run(
        f"grep -o '^[a-z_]*' {folder}/main.cf.example"
        f" | xargs postconf -c {etc} -X"
        f" && cat {folder}/main.cf.example >> {etc}/main.cf"
        f" && cat {folder}/master.cf.example >> {etc}/master.cf",
        shell=True, check=True)


def complaints(instance, *command):
    """Warnings and errors of a command, sorted."""
    done = subprocess.run(
        [command[0], "-c", instance.etc, *command[1:]],
        capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return sorted(line for line in done.stderr.splitlines()
                  if re.search(r"warning|error|fatal", line))


def looked_at(instance):
    """Everything that looks for unknown parameters."""
    return (complaints(instance, "postconf", "-n")
            + complaints(instance, "postconf")
            + complaints(instance, "postconf", "-M")
            + complaints(instance, "postfix", "check"))


@pytest.mark.parametrize("present", MAIN_CFS, ids=["bare", "debian"])
def test_examples_print_no_new_warnings(origin, present):
    with open(origin.etc + "/main.cf", "a", encoding="utf-8") as f:
        f.write(present)
    before = looked_at(origin)
    install(origin.etc)
    assert looked_at(origin) == before
    assert origin.postconf("relayhost") == PROVIDER
    assert origin.postconf("smtpd_log_access_permit_actions") == ""


def test_example_names_are_all_silenced():
    """A name set in the example and unknown to Postfix is in the list, and
    nothing else is."""
    text = read(MAIN)
    named = set(re.findall(r"^((?:lane|fast|slow)_\w+) =", text, re.M))
    silenced = set(re.findall(r"^\s+\$\{(\w+)\?\{\}\}$", text, re.M))
    assert named == silenced


def other_providers():
    """The paragraphs of settings that are commented out, as main.cf lines."""
    found = []
    for paragraph in read(MAIN).split("\n\n"):
        lines = re.findall(r"^#(lane_\w+ = .*)$", paragraph, re.M)
        if lines:
            found.append("\n".join(lines) + "\n")
    return found


@pytest.mark.skipif("lane" not in paths.agents(), reason="no lane yet")
def test_limits_of_other_providers_are_as_good(origin):
    """Each in the place of the lines it stands for."""
    base = read(origin.etc + "/main.cf") + (
        f"lane_provider_directory = {paths.ROOT}/providers\n")
    in_force = []
    for text in other_providers():
        with open(origin.etc + "/main.cf", "w", encoding="utf-8") as f:
            f.write(base + text)
        done = subprocess.run(
            [paths.built("lane"), "-P"], capture_output=True, text=True,
            check=False, timeout=60,
            env={**os.environ, "MAIL_CONFIG": origin.etc})
        assert done.returncode == 0, done.stderr
        in_force.append(done.stdout)
    assert len(in_force) == 3
    # what the file of that provider says and what is written out agree
    for line in other_providers()[1].splitlines():
        assert line in in_force[2]


def test_example_windows_follow_their_rule():
    """2 x sessions x depth, with the defaults of the source."""
    table = read(os.path.join(paths.ROOT, "agent/settings/params_table.c"))
    depth = int(re.search(r'lane_pipeline_depth, "(\d+)"', table)[1])
    sessions = {"fast": int(re.search(
        r"^lane_account_connection_limit = (\d+)", read(MAIN), re.M)[1]),
        "slow": int(re.search(r"lane_connection_limit=(\d+)",
                              read(MASTER))[1])}
    for lane, count in sessions.items():
        for form in ("destination_concurrency_limit",
                     "initial_destination_concurrency"):
            value = re.search(rf"^{lane}_{form} = (\d+)", read(MAIN), re.M)
            assert int(value[1]) == 2 * count * depth


@pytest.fixture
def provider(base, certs, started):
    return started(Simulator(base, certs, max_connections=20,
                             max_messages=50, mechs="PLAIN", require_tls=True))


@pytest.fixture
def site(base, certs, origin, provider, started):
    """A Postfix set up by the examples, with the provider replaced."""
    nexthop = f"[127.0.0.1]:{provider.port}"
    origin.map("relay_auth", {nexthop: ":".join(provider.login)}, mode=0o600)
    origin.map("transport", {"fast.example": "fast:"})
    install(origin.etc, [(PROVIDER, nexthop), ("/etc/postfix/",
                                               origin.etc + "/"),
                         (AUTHORITIES, certs.ca.cert)])
    # Postfix programs wait until main.cf is at rest
    os.utime(origin.etc + "/main.cf", (0, 0))
    return started(origin)


@pytest.mark.skipif("lane" not in paths.agents(), reason="no lane yet")
def test_examples_deliver_and_keep_local_mail_local(site, provider):
    for recipient in ("a@fast.example", "b@other.example",
                      "c@local.example"):
        site.sendmail(messages.make(recipient, "someone@sender.example",
                                    (recipient,), b"hello\r\n"))
    site.wait_empty()
    taken = {recipient: e.login for e in provider.ledger()
             for recipient in e.recipients}
    assert set(taken) == {"a@fast.example", "b@other.example"}
    assert len(site.mailbox()) == 1
    assert site.log.statuses("/smtp") == {"sent": 2}
    site.reload()
    assert not site.log.problems()


@pytest.mark.skipif("lane" not in paths.agents(), reason="no lane yet")
@pytest.mark.parametrize("in_clear, words", [
    (True, "no mechanism available"),
    (False, "does not offer AUTH"),
])
def test_login_without_tls_level_keeps_mail_and_password(
        base, certs, origin, started, in_clear, words):
    """relayhost and the two smtp_sasl_ settings, and nothing about TLS."""
    sim = started(Simulator(base, certs, mechs="PLAIN LOGIN",
                            auth_without_tls=in_clear, transcript=True))
    nexthop = f"[127.0.0.1]:{sim.port}"
    origin.agent("lane", "fast", "class=fast")
    origin.set(default_transport="fast", relayhost=nexthop,
               smtp_sasl_auth_enable="yes",
               smtp_sasl_password_maps=origin.map(
                   "relay_auth", {nexthop: ":".join(sim.login)}, mode=0o600))
    started(origin)
    origin.sendmail(messages.make("seed", "someone@sender.example",
                                  ("a@rcpt.example",), b"hello\r\n"))
    origin.log.wait("status=deferred.*" + words)
    assert origin.queue_count() == 1
    # written out now and then
    wait_until(lambda: "C: QUIT" in sim.transcript(), what="a whole dialogue")
    assert "C: AUTH" not in sim.transcript()
