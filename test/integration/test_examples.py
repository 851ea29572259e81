"""main.cf.example and master.cf.example, installed as README.md says: no new
warnings, nothing lost that was there, and mail takes the lane it should."""
import fcntl
import hashlib
import os
import re
import shutil
import subprocess

import pytest

from harness import messages, paths
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


def steps(heading):
    """The commands of a section of README.md, in its order."""
    section = read(os.path.join(paths.ROOT, "README.md")).split(
        f"## {heading}\n")[1].split("\n#")[0]
    return re.findall(r"^    (.+)$", section, re.M)


def follow(commands, etc, replaced=()):
    """As printed, in another directory than Postfix's, and with another
    provider; without building, packages, reload and the message to send."""
    folder = os.path.join(etc, "../source")
    os.makedirs(folder + "/scripts", exist_ok=True)
    for name in ("main.cf.example", "master.cf.example", "scripts/lanes"):
        text = read(os.path.join(paths.ROOT, name))
        for old, new in replaced:
            text = text.replace(old, new)
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(text)
    os.chmod(folder + "/scripts/lanes", 0o755)
    done = []
    for command in commands:
        if not re.match(r"\(umask|echo|scripts/lanes", command):
            continue
        for old, new in (*replaced, ("/etc/postfix/", etc + "/")):
            command = command.replace(old, new)
        command = re.sub(r"^(scripts/lanes \w+)", rf"\1 {etc}", command)
        run = subprocess.run(command, shell=True, cwd=folder, check=False,
                             capture_output=True, text=True)
        assert run.returncode == 0, (command, run.stderr)
        done.append(run.stdout)
    assert done, "README.md has no such commands"
    return done


def install(etc, replaced=()):
    return follow(steps("Five minutes to a start"), etc, replaced)


def undo(etc):
    return follow(["scripts/lanes remove"], etc)


def contents(etc):
    found = {}
    for folder, _, names in os.walk(etc):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as f:
                found[os.path.relpath(path, etc)] = (
                    hashlib.sha256(f.read()).hexdigest(),
                    os.stat(path).st_mode, os.stat(path).st_uid)
    return found


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


@pytest.mark.parametrize("present", MAIN_CFS, ids=["bare", "debian"])
def test_examples_print_no_new_warnings(origin, present):
    with open(origin.etc + "/main.cf", "a", encoding="utf-8") as f:
        f.write(present)
    before = looked_at(origin)
    install(origin.etc)
    assert looked_at(origin) == before


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


@pytest.fixture
def provider(base, certs, started):
    return started(Simulator(base, certs, max_connections=20,
                             max_messages=50, mechs="PLAIN", require_tls=True))


@pytest.fixture
def site(base, certs, origin, provider, started):
    """A Postfix set up by the examples, with the provider replaced."""
    install(origin.etc, replacements(origin, provider, certs))
    return started(origin)


def replacements(origin, provider, certs):
    return [(PROVIDER, f"[127.0.0.1]:{provider.port}"),
            ("SERVER-ID:PASSWORD", ":".join(provider.login)),
            ("example.com ", "fast.example "), (AUTHORITIES, certs.ca.cert)]


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


# --- a site that has other transports ---------------------------------------

OTHER_LOGIN = ("other", "their-own-secret")
# sender, recipient of mail that is none of the lanes' business
OTHERS = (
    ("someone@sender.example", "a@intern.example"),     # relay_domains
    ("someone@sender.example", "b@partner.example"),    # its transport table
    ("someone@second.example", "c@far.example"),        # a relay for senders
    ("someone@second.example", "c@fast2.example"),
    ("someone@sender.example", "d@local.example"),      # virtual domains
    ("someone@sender.example", "e@filtered.example"),   # content filter
)


@pytest.fixture
def busy(base, certs, origin, started):
    """Two servers of its own beside the provider to come: one inside, without
    TLS and login, and a second provider with a login of its own; all set for
    smtp(8), as sites do it. Written as people write: continued, and without an
    end of the last line."""
    inside = started(Simulator(base, certs, name="inside", login=None,
                               no_starttls=True))
    second = started(Simulator(base, certs, name="second", login=OTHER_LOGIN,
                               mechs="PLAIN", require_tls=True))
    to_inside, to_second = (f"[127.0.0.1]:{s.port}" for s in (inside, second))
    origin.set(
        relayhost=to_inside, relay_domains="intern.example",
        transport_maps=origin.map(
            "site_transport", {"partner.example": f"smtp:{to_inside}"}),
        sender_dependent_relayhost_maps=origin.map(
            "relays", {"@second.example": to_second}),
        smtp_sasl_auth_enable="yes", smtp_sender_dependent_authentication="no",
        smtp_sasl_password_maps=origin.map(
            "logins", {to_second: ":".join(OTHER_LOGIN)}, mode=0o600),
        smtp_sasl_tls_security_options="noanonymous",
        smtp_tls_security_level="may", smtp_fallback_relay=to_inside,
        smtpd_recipient_restrictions="permit_mynetworks, reject",
        smtpd_sender_restrictions="check_recipient_access "
        f"inline:{{{{filtered.example = FILTER smtp:{to_inside}}}}}")
    with open(origin.etc + "/main.cf", "a", encoding="utf-8") as f:
        f.write("mynetworks_style =\n    host\n# the end")
    os.utime(origin.etc + "/main.cf", (0, 0))
    origin.servers = {"inside": inside, "second": second}
    return started(origin)


def exchange(origin, pairs, servers):
    """{recipient: where it went, and with which login} of one message each."""
    had = {name: len(s.ledger()) for name, s in servers.items()}
    local = len(origin.mailbox())
    for sender, recipient in pairs:
        origin.inject([messages.make(recipient, sender, (recipient,),
                                     b"hello\r\n")])
    origin.wait_empty()
    went = {recipient: (name, e.login) for name, s in servers.items()
            for e in s.ledger()[had[name]:] for recipient in e.recipients}
    return went, len(origin.mailbox()) - local


@pytest.mark.skipif("lane" not in paths.agents(), reason="no lane yet")
def test_other_mail_of_a_site_goes_as_before(busy, provider, certs):
    before = contents(busy.etc)
    mail_before = exchange(busy, OTHERS, busy.servers)
    assert mail_before == ({
        "a@intern.example": ("inside", ""), "b@partner.example": ("inside", ""),
        "c@far.example": ("second", OTHER_LOGIN[0]),
        "c@fast2.example": ("second", OTHER_LOGIN[0]),
        "e@filtered.example": ("inside", "")}, 1)
    warned = looked_at(busy)

    given = [*replacements(busy, provider, certs)]
    install(busy.etc, given)
    once = contents(busy.etc)
    busy.reload()
    servers = {**busy.servers, "provider": provider}
    assert exchange(busy, OTHERS, servers) == mail_before
    login = provider.login[0]
    assert exchange(busy, [("someone@sender.example", "f@fast.example"),
                           ("someone@sender.example", "s@far.example")],
                    servers) == ({"f@fast.example": ("provider", login),
                                  "s@far.example": ("provider", login)}, 0)
    assert not busy.log.lines("fatal")
    assert looked_at(busy) == warned

    install(busy.etc, given)
    assert contents(busy.etc) == once

    undo(busy.etc)
    assert contents(busy.etc) == before
    undo(busy.etc)
    assert contents(busy.etc) == before
    busy.reload()
    assert exchange(busy, OTHERS, servers) == mail_before
    # what the provider got before by nobody's table goes inside again
    assert exchange(busy, [("someone@sender.example", "f@fast.example")],
                    servers) == ({"f@fast.example": ("inside", "")}, 0)


def test_undo_keeps_later_changes_and_says_what_goes(busy, provider, certs):
    main, etc = busy.etc + "/main.cf", busy.etc
    before = read(main)
    install(etc, replacements(busy, provider, certs))
    busy.command("postconf", "-e", "relayhost=[elsewhere.example]",
                 "default_process_limit=7", "header_size_limit=1234",
                 "lane_wait_limit=60s")
    busy.command("postconf", "-P", "slow/unix/lane_message_rate_limit=2/1s")
    told = "".join(undo(etc))
    assert "+    -o lane_message_rate_limit=2/1s" in told
    assert "+lane_wait_limit = 60s" in told and "fast.example" in told
    after = read(main)
    assert "header_size_limit = 1234\n" in after
    assert "relayhost = [elsewhere.example]\n" in after
    kept = [line for line in before.splitlines()
            if not line.startswith(("relayhost", "default_process_limit"))]
    assert [line for line in after.splitlines() if line in kept] == kept
    assert "lane" not in after.replace(etc, "")
    assert not re.search(r"^(fast|slow)\b", read(etc + "/master.cf"), re.M)
    assert not {"lane_login", "lane_transport", "lanes.kept"} & set(
        os.listdir(etc))


def test_undo_keeps_what_was_changed_by_hand(busy, provider, certs):
    """Less what the lanes have in it; and says so."""
    etc = busy.etc
    before = read(etc + "/master.cf")
    install(etc, replacements(busy, provider, certs))
    maps = busy.command("postconf", "-h", "transport_maps").stdout.strip()
    busy.command("postconf", "-e", f"transport_maps={maps} hash:/mine/alone",
                 "default_transport=smtp:[mine.example]")
    text = read(etc + "/master.cf")
    with open(etc + "/master.cf", "w", encoding="utf-8") as f:
        f.write(text.replace("# --- lanes: end", "mine unix - - n - - pipe\n"
                             "  flags=DR\n# --- lanes: end"))
    told = "".join(undo(etc))
    kept = f"{maps.replace(f' texthash:{etc}/lane_transport', '')} " \
        "hash:/mine/alone"
    for name, value in (("transport_maps", kept),
                        ("default_transport", "smtp:[mine.example]")):
        assert f"changed by hand since; now it is: {name} = {value}\n" in told
        assert busy.command(
            "postconf", "-h", name).stdout.strip() == value
    assert "mine unix - - n - - pipe" in told
    assert read(etc + "/master.cf") == before + (
        "mine unix - - n - - pipe\n  flags=DR\n")
    assert "lane" not in read(etc + "/main.cf").replace(etc, "")


def remove(etc):
    return subprocess.run([paths.ROOT + "/scripts/lanes", "remove", etc],
                          check=False, capture_output=True, text=True)


@pytest.fixture
def plain(origin):
    """Nothing that the lanes change is set, so it is between the marks."""
    install(origin.etc)
    return origin.etc


def change(etc, pattern, to):
    """In main.cf; an empty pattern: at its end."""
    text = read(etc + "/main.cf")
    with open(etc + "/main.cf", "w", encoding="utf-8") as f:
        f.write(re.sub(pattern, lambda m: to, text, flags=re.M)
                if pattern else text + to)
    os.utime(etc + "/main.cf", (0, 0))


def test_undo_changes_nothing_while_a_lane_is_named(origin, plain):
    """Or its table, or a setting of it; in whatever way Postfix reads it."""
    with open(plain + "/mine", "w", encoding="utf-8") as f:
        f.write("a.example smtp:\nb.example slow:[b]\n")
    main = read(plain + "/main.cf")
    ours = f"texthash:{plain}/lane_transport"
    for pattern, to, told in (
            ("", "relay_transport =\n   slow:\n", "relay_transport = slow:"),
            ("", f"my = {ours}\nalias_maps = $my\n", f"my = {ours}"),
            (ours, f"texthash:{plain}/mine, {ours}", "b.example slow:[b]"),
            (ours, f"pipemap:{{{ours},static:x}}", f"pipemap:{{{ours}"),
            ("", "header_checks = regexp:{{/x/ FILTER fast:}}\n",
             "header_checks = "),
            ("", "smtp_helo_timeout = ${lane_mine}\nlane_mine = 3s\n",
             "smtp_helo_timeout = ${lane_mine}")):
        change(plain, pattern, to)
        before = contents(plain)
        done = remove(plain)
        assert done.returncode == 1 and "nothing was changed" in done.stderr
        assert told in done.stderr and not done.stdout, (to, done)
        assert contents(plain) == before
        change(plain, r"(?s).*\Z", "")
        change(plain, "", main)
    origin.command("postconf", "-P", "smtp/unix/content_filter=slow:")
    assert "smtp/unix/content_filter = slow:" in remove(plain).stderr
    origin.command("postconf", "-PX", "smtp/unix/content_filter")
    os.utime(plain + "/main.cf", (0, 0))
    assert remove(plain).returncode == 0


@pytest.mark.parametrize("by_now, left", [
    ("hash:/a proxy:{}", "hash:/a"),
    ("hash:/b\n# mine\n  {} hash:/d", "hash:/b hash:/d"),
    ("\n# mine\n  {},\n  hash:/d", "hash:/d"),
    ("hash:/a, {}2, {}", "hash:/a, {}2"),
    ("{}\ntransport_maps = hash:/last {}", "hash:/last"),
    (r"{} pcre:{{{{/^x\\y\tz\n&/ smtp:}}}}", r"pcre:{{{{/^x\\y\tz\n&/ smtp:}}}}"),
])
def test_table_goes_out_of_its_list(origin, plain, by_now, left):
    """The tables beside it stay, though they stand between the marks."""
    ours = f"texthash:{plain}/lane_transport"
    change(plain, "^transport_maps = .*",
           "transport_maps = " + by_now.format(ours, ours))
    done = remove(plain)
    assert done.returncode == 0, done.stderr
    left = left.format(ours)
    assert f"now it is: transport_maps = {left}\n" in done.stdout
    assert origin.command(
        "postconf", "-h", "transport_maps").stdout.strip() == left
    assert not os.path.exists(plain + "/lanes.kept")


def test_undo_leaves_a_service_that_is_no_lane_any_more(origin, plain):
    for name in ("fast", "slow"):
        origin.command("postconf", "-Me",
                       f"{name}/unix={name} unix - - n - - smtp")
    change(plain, "", "relay_transport = slow:[x]\n")
    assert remove(plain).returncode == 0
    for name in ("fast", "slow"):
        assert origin.command("postconf", "-M", f"{name}/unix").stdout
    assert not origin.command("postconf", "-h", "transport_maps").stdout.strip()


@pytest.mark.parametrize("file", ["main.cf", "master.cf"])
def test_undo_of_what_ended_half_way(origin, file):
    """An add that was killed, or a remove; file: what is without lanes."""
    before = contents(origin.etc)
    install(origin.etc)
    shutil.copy(f"{origin.etc}/lanes.kept/{file}", f"{origin.etc}/{file}")
    done = remove(origin.etc)
    assert done.returncode == 0 and "by hand since" not in done.stdout
    assert contents(origin.etc) == before


def test_file_behind_a_link_stays_there(origin):
    os.mkdir(origin.etc + "/there")
    shutil.move(origin.etc + "/main.cf", origin.etc + "/there/main.cf")
    os.symlink("there/main.cf", origin.etc + "/main.cf")
    before = contents(origin.etc)
    install(origin.etc)
    assert "lane_smarthost" in read(origin.etc + "/there/main.cf")
    assert remove(origin.etc).returncode == 0
    assert os.path.islink(origin.etc + "/main.cf")
    assert contents(origin.etc) == before


def test_folder_of_any_name(origin, base):
    """Not only one that sed and awk take as it is."""
    etc = os.path.join(base, r"a&b|c\nd")
    shutil.copytree(origin.etc, etc)
    before = contents(etc)
    for name, text, mode in (("lane_login", "[x] a:b", 0o600),
                             ("lane_transport", "x.example fast:", 0o644)):
        with open(f"{etc}/{name}", "w", encoding="ascii") as f:
            os.fchmod(f.fileno(), mode)
            f.write(text + "\n")
    done = subprocess.run([paths.ROOT + "/scripts/lanes", "add", etc],
                          check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = read(etc + "/master.cf")
    assert text.count(f"=texthash:{etc}/lane_login\n") == 2
    assert f"texthash:{etc}/lane_transport" in read(etc + "/main.cf")
    assert remove(etc).returncode == 0
    assert contents(etc) == before


def test_one_at_a_time(plain):
    before = contents(plain)
    lock = os.open(plain, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = remove(plain)
    finally:
        os.close(lock)
    assert done.returncode == 1 and "another scripts/lanes" in done.stderr
    assert contents(plain) == before
    assert remove(plain).returncode == 0


@pytest.mark.parametrize("taken", ["slow", "lane_smarthost", "login"])
def test_lanes_are_not_added_over_what_is_there(origin, taken):
    origin.map("lane_login", {"[x]": "a:b"}, "texthash",
               mode=0o644 if taken == "login" else 0o600)
    origin.map("lane_transport", {"x.example": "fast:"}, "texthash")
    if taken == "slow":
        origin.agent("smtp", "slow")
    elif taken == "lane_smarthost":
        origin.set(lane_smarthost="[x]")
    before = contents(origin.etc)
    run = subprocess.run([paths.ROOT + "/scripts/lanes", "add", origin.etc],
                         check=False, capture_output=True, text=True)
    assert run.returncode == 1 and taken in run.stderr
    assert contents(origin.etc) == before
