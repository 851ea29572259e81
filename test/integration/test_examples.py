"""main.cf.example and master.cf.example: no new warnings, and lanes as postlane
setup makes them."""
import json
import os
import re
import subprocess

import pytest

from harness import messages, paths
from harness.simulator import Simulator
from harness.wait import wait_until

MAIN = os.path.join(paths.ROOT, "main.cf.example")
MASTER = os.path.join(paths.ROOT, "master.cf.example")
PROVIDER = "[smtp.socketlabs.com]:2525"


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def append(path, text):
    with open(path, "a", encoding="utf-8") as f:
        f.write(text)
    os.utime(path, (0, 0))


def complaints(instance, *command):
    """Warnings and errors of a command, sorted."""
    done = subprocess.run(
        [command[0], "-c", instance.etc, *command[1:]],
        capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return sorted(line for line in done.stderr.splitlines()
                  if re.search(r"warning|error|fatal", line))


def looked_at(instance):
    """Everything that looks for unknown parameters."""
    return (complaints(instance, "postconf", "-n")
            + complaints(instance, "postconf")
            + complaints(instance, "postconf", "-M")
            + complaints(instance, "postfix", "check"))


def test_examples_print_no_new_warnings(origin):
    """Behind what is there, with what they say of default_transport and of
    transport_maps."""
    before = looked_at(origin)
    etc = origin.etc
    for name in ("lane_login", "lane_transport"):
        append(f"{etc}/{name}", "")
    append(f"{etc}/main.cf", read(MAIN) + "default_transport = slow\n"
           f"transport_maps = texthash:{etc}/lane_transport\n")
    append(f"{etc}/master.cf", read(MASTER).replace("/etc/postfix", etc))
    assert looked_at(origin) == before


def options_of(origin, lane, without):
    """{name: value} of an entry, its list of names as a set."""
    found = {}
    entry = origin.command("postconf", "-M", f"{lane}/unix").stdout
    assert entry.split()[-1] == f"class={lane}"
    for name, value in re.findall(
            rf"^{lane}/unix/(\w+) = *(.*)$",
            origin.command("postconf", "-P").stdout, re.M):
        found[name] = value
    names = found.pop("smtpd_log_access_permit_actions")
    return {k: v for k, v in found.items() if k not in without}, set(
        re.findall(r"\$\{(\w+)\?", names)) - without


def test_setup_makes_what_the_examples_have(origin):
    """But for the host and the account's limits, which it has from the
    provider's file, in both entries."""
    etc = origin.etc
    main, master = read(f"{etc}/main.cf"), read(f"{etc}/master.cf")
    own = {"lane_smarthost", "lane_provider", "lane_account_connection_limit",
           "lane_messages_per_connection"}
    append(f"{etc}/main.cf", "lane_provider_directory = "
           f"{paths.ROOT}/providers\n")
    done = subprocess.run(
        [paths.built("postlane"), "-j", "-c", etc, "setup", PROVIDER,
         "--apply"], input="u:p\n", capture_output=True, text=True,
        check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    limits = {one["setting"] for one in json.loads(done.stdout)["limits"]}
    assert limits == set(re.findall(
        r"^(?:lane_account_connection_limit|lane_messages_per_connection) = "
        r"\d+$", read(MAIN), re.M))
    made = {lane: options_of(origin, lane, own) for lane in ("fast", "slow")}
    windows = re.findall(r"^(?:fast|slow)_\w+ = .*$", read(MAIN), re.M)
    assert set(windows) <= set(read(f"{etc}/main.cf").splitlines())
    with open(f"{etc}/main.cf", "w", encoding="utf-8") as f:
        f.write(main)
    with open(f"{etc}/master.cf", "w", encoding="utf-8") as f:
        f.write(master)
    append(f"{etc}/main.cf", read(MAIN))
    append(f"{etc}/master.cf", read(MASTER).replace("/etc/postfix", etc))
    shown = {lane: options_of(origin, lane, own) for lane in ("fast", "slow")}
    assert {lane: options for lane, (options, _) in shown.items()} == {
        lane: options for lane, (options, _) in made.items()}
    assert shown["fast"][1] | shown["slow"][1] == (
        made["fast"][1] | made["slow"][1])


def test_example_names_are_all_silenced():
    """A name set in the example and unknown to Postfix is in the list, and
    nothing else is."""
    pattern = r"^((?:lane|fast|slow)_\w+) =|-o (lane_\w+)="
    named = {a or b for a, b in re.findall(
        pattern, read(MAIN) + read(MASTER), re.M)}
    silenced = set(re.findall(r"^\s+\$\{(\w+)\?\{\}\}$", read(MASTER), re.M))
    assert named == silenced


def test_example_main_cf_sets_what_lanes_alone_read():
    names = re.findall(r"^(\w+) =", read(MAIN), re.M)
    assert names and all(
        name.startswith(("lane_", "fast_", "slow_")) for name in names)


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
            check=False, timeout=300,
            env={**os.environ, "MAIL_CONFIG": origin.etc})
        assert done.returncode == 0, done.stderr
        in_force.append(done.stdout)
    assert len(in_force) == 3
    # what the file of that provider says and what is written out agree
    for line in other_providers()[1].splitlines():
        assert line in in_force[2]


def test_example_windows_follow_their_rule():
    """2 x sessions x depth, with the defaults of the source; eleven of a lane
    with a low rate."""
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
            assert int(value[1]) == 2 * count * (
                depth if lane == "fast" else 11)


def test_who_builds_gets_what_a_package_is_built_with():
    """The compiler, and libraries: no program that runs as a service."""
    listed = re.search(r"^BUILD_PACKAGES=\((.*?)\n\)", read(
        os.path.join(paths.ROOT, "scripts/setup")), re.M | re.S)[1].split()
    wanted = re.search(r"^Build-Depends:(.*?)^\S", read(
        os.path.join(paths.ROOT, "debian/control")), re.M | re.S)[1]
    wanted = {line.strip() for line in wanted.split(",")}
    assert {name for name in listed if name.startswith("lib")} == {
        name for name in wanted
        if name.startswith("lib") and "<!nocheck>" not in name}
    assert {name for name in listed if not name.startswith("lib")} == {
        "build-essential", "pkg-config"}


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
