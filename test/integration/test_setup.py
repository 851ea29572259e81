"""postlane setup: adds two lanes to sites of several kinds, twice, and takes
them back octet for octet, as README.md says it. No Postfix runs but where mail
is to go out."""
import fcntl
import json
import os
import re
import shutil
import subprocess

import pytest
from harness import messages, paths
from harness.installing import contents, run_setup
from harness.postfix import Postfix
from harness.simulator import Simulator
from harness.upstream import PASSWORD, USER

# What people have: nothing; other transports and tables; no end of the last
# line, of a default that is Postfix's; a default of their own; senders with
# relays of their own.
SITES = {
    "bare": "",
    "tables": "transport_maps = hash:/a/transport,\n    regexp:/b\n"
              "# a comment\nrelayhost = [relay.example]\n\n\n",
    "unended": "default_transport = smtp\nrelayhost = [relay.example]",
    "default": "default_transport = relay\n",
    "senders": "sender_dependent_relayhost_maps = static:[else.example]\n",
}


@pytest.fixture(scope="module")
def shared():
    base = paths.make_base()
    yield Postfix(base, "origin")
    paths.drop_base(base)


@pytest.fixture
def site(shared):
    """A configuration as Postfix's installation writes it, and more."""
    for name in os.listdir(shared.etc):
        path = os.path.join(shared.etc, name)
        (shutil.rmtree if os.path.isdir(path) else os.unlink)(path)

    def make(more="", **services):
        shared.tail = more
        shared.write()
        for name, command in services.items():
            with open(f"{shared.etc}/master.cf", "a", encoding="ascii") as f:
                f.write(f"{name} unix - - n - - {command}\n")
        return shared
    return make


@pytest.mark.parametrize("kind", SITES)
def test_apply_twice_and_undo_leaves_no_octet(site, kind):
    origin = site(SITES[kind], local2="smtp -o smtp_helo_timeout=5")
    if kind == "unended":   # master.cf, too, and a login table that is there
        with open(f"{origin.etc}/master.cf", "rb+") as f:
            f.truncate(os.path.getsize(f.name) - 1)
        with open(f"{origin.etc}/lane_login", "w", encoding="ascii") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write("[other.example] user:pass")
    before = contents(origin.etc)
    effective = origin.postconf("default_transport", "transport_maps",
                                "relayhost")
    shown = run_setup(origin, "[mail.example]:587")
    assert contents(origin.etc) == before
    assert "postconf -c" in shown and "'slow/unix = slow unix" in shown
    login = f"{USER}:{PASSWORD}\n"
    run_setup(origin, "[mail.example]:587 --apply", stdin=login)
    after = contents(origin.etc)
    assert set(after) - set(before) <= {
        "lane_login", "lane_transport", "lane_setup.json"}
    assert after["lane_login"][1] & 0o777 == 0o600
    assert "already" in run_setup(origin, "[mail.example]:587 --apply")
    assert contents(origin.etc) == after
    # what is there has only got more, and postconf has nothing new to say
    assert origin.postconf("relayhost") == effective[2]
    assert origin.postconf("transport_maps").startswith(effective[1])
    assert origin.postconf("default_transport") == (
        effective[0] if kind == "default" else "slow")
    if kind == "senders":   # they stay where they were, verify(8)'s probes too
        maps = origin.postconf("sender_dependent_default_transport_maps")
        done = origin.command("postmap", "-q", "a@b.example", maps)
        assert done.stdout == "smtp\n"
        assert origin.postconf(
            "address_verify_sender_dependent_default_transport_maps") == ""
    assert "unused" not in origin.command("postconf", "-n").stderr
    done = origin.command(
        "postmap", "-q", "[mail.example]:587",
        f"texthash:{origin.etc}/lane_login")
    assert done.stdout == login
    run_setup(origin, "--undo")
    assert contents(origin.etc) == before
    assert "not there" in run_setup(origin, "[mail.example]:587 --undo")
    assert "there are no lanes" in run_setup(origin, "--undo")


def test_default_that_was_smtp_is_smtp_again(site):
    """Beside what was changed since; unless it was changed itself."""
    origin = site("default_transport = smtp\nrelayhost = [relay.example]\n")
    with open(f"{origin.etc}/main.cf", encoding="ascii") as f:
        main_cf = f.read()
    run_setup(origin, "[mail.example]:587 --apply", stdin="u:p\n")
    origin.command("postconf", "-e", "biff = yes")
    said = run_setup(origin, "--undo")
    assert "default_transport" not in said
    with open(f"{origin.etc}/main.cf", encoding="ascii") as f:
        assert f.read() == main_cf.replace("biff = no", "biff = yes")
    run_setup(origin, "[mail.example]:587 --apply", stdin="u:p\n")
    origin.command("postconf", "-e", "default_transport = relay")
    said = run_setup(origin, "--undo")
    assert "default_transport = relay: was changed by hand since" in said
    assert origin.postconf("default_transport") == "relay"


# Next hop, options, what is said of it, what the entries have.
PROVIDERS = [
    ("[smtp.office365.com]:587", "",
     ["lane_provider=office365, since smtp.office365.com is one of its hosts",
      "lane_account_connection_limit = 3   (published, learn.microsoft.com",
      "lane_account_message_rate_limit = 7/1m   (of main.cf, which wins; of "
      "office365: 30/1m)",
      "note: Logins by password"], "office365"),
    ("[mail.example]:587", "--provider ses ",
     ["lane_provider=ses, since --provider says so",
      "lane_messages_per_connection = 350   (observed, ",
      "note: The rate and the quota are those of your account"], "ses"),
    ("[smtp.office365.com]:587", "--provider none ",
     ["no lane_provider, since --provider says so"], None),
    ("[mail.example]:587", "",
     ["no lane_provider, since no file in ", "is yours to set",
      "it is known, for --provider, of authsmtp, emailit, "], None),
]


def test_limits_of_the_account_are_the_providers(site):
    origin = site(f"lane_provider_directory = {paths.ROOT}/providers\n"
                  "lane_account_message_rate_limit = 7/1m\n")
    before = contents(origin.etc)
    for nexthop, options, said, name in PROVIDERS:
        shown = run_setup(origin, nexthop + " " + options)
        for text in said:
            assert text in shown
        assert shown.count("-o lane_provider=") == (2 if name else 0)
        if name:
            assert shown.count(f"-o lane_provider={name} ") == 2
    said = run_setup(
        origin, "[mail.example]:587 --provider sess", status=64)
    assert "lane_provider = sess: cannot read" in said
    said = run_setup(origin, "[127.0.0.1]:1 --provider office365 --apply",
                     stdin="u:p\n")
    assert "lane_account_connection_limit = 3   (published" in said
    # what lanes make of it fits together, but that nobody is there
    done = json.loads(origin.postlane("-j", "doctor").stdout)
    codes = {f["code"] for f in done["findings"]}
    assert not codes & {"CONNECTION-LIMIT", "RESERVES", "ACCOUNT-LIMIT",
                        "WINDOW", "SETTING", "UNKNOWN-NAME"}, done
    run_setup(origin, "--undo")
    assert contents(origin.etc) == before


def test_relay_that_asks_for_no_login(site):
    origin = site()
    table = f"{origin.etc}/lane_login"
    with open(table, "w", encoding="ascii") as f:   # of the site's own
        os.fchmod(f.fileno(), 0o644)
        f.write("[relay.example]:25 user:pass\n")
    before = contents(origin.etc)
    for words, status, said in [
            ("--tls may", 64, "--tls is for --no-login"),
            ("--no-login --tls best", 64, "must be none, may, encrypt,"),
            ("--no-login --undo", 64, "--undo takes no --provider, no --no-l"),
            ("", 73, "must be readable by its owner alone")]:
        assert said in run_setup(
            origin, f"[relay.example]:25 {words}", status=status)
    shown = run_setup(origin, "[relay.example]:25 --no-login --tls may")
    assert "mail goes without a login, at TLS level may" in shown
    assert "lane_login" not in shown
    document = json.loads(run_setup(
        origin, "-j", "[relay.example]:25 --no-login --apply"))
    assert (document["done"], document["login"]) == ("added", None)
    for lane in lanes_of(origin):
        assert origin.command(
            "postconf", "-P", f"{lane}/unix/smtp_tls_security_level"
        ).stdout.endswith("= secure\n")
        assert "smtp_sasl_password_maps" not in origin.command(
            "postconf", "-M", f"{lane}/unix").stdout
    assert "already" in run_setup(origin, "[relay.example]:25 --no-login "
                                  "--apply")
    assert "of lanes at TLS level secure: --undo takes them out" in run_setup(
        origin, "[relay.example]:25 --no-login --tls none --apply", status=73)
    assert "of lanes without a login: --undo takes them out" in run_setup(
        origin, "[relay.example]:25 --apply", status=73)
    run_setup(origin, "--undo")
    assert contents(origin.etc) == before


def test_one_at_a_time(site):
    origin = site()
    before = contents(origin.etc)
    lock = os.open(origin.etc, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = run_setup(origin, "[mail.example]:587 --apply", status=75)
    finally:
        os.close(lock)
    assert "is being changed by another postlane setup" in said
    assert contents(origin.etc) == before


def test_undo_leaves_a_login_that_came_behind(site):
    """It has the end of its line, which the one before was given by setup."""
    origin = site()
    path = f"{origin.etc}/lane_login"
    with open(path, "w", encoding="ascii") as f:
        os.fchmod(f.fileno(), 0o600)
        f.write("[other.example] u:p")
    run_setup(origin, "[mail.example]:587 --apply", stdin="u:p\n")
    with open(path, "a", encoding="ascii") as f:
        f.write("[third.example] u:p\n")
    run_setup(origin, "[mail.example]:587 --undo")
    with open(path, encoding="ascii") as f:
        assert f.read() == "[other.example] u:p\n[third.example] u:p\n"


@pytest.mark.parametrize("table", [None, "[other.example] user:pass"])
def test_undo_of_an_apply_without_a_login(site, table):
    origin = site()
    if table:
        with open(f"{origin.etc}/lane_login", "w", encoding="ascii") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(table)
    before = contents(origin.etc)
    run_setup(origin, "[mail.example]:587 --apply")
    with open(f"{origin.etc}/lane_transport", "w", encoding="ascii"):
        pass    # nothing is fast
    said = run_setup(origin, "[mail.example]:587 --undo")
    assert "login" not in said and "kept" not in said
    assert contents(origin.etc) == before


def test_undo_that_fails_half_way_tells_what_it_took_out(site):
    """A folder where the new login table would be written."""
    origin = site()
    with open(f"{origin.etc}/lane_login", "w", encoding="ascii") as f:
        os.fchmod(f.fileno(), 0o600)
        f.write("[other.example] user:pass")
    before = contents(origin.etc)
    run_setup(origin, "[mail.example]:587 --apply", stdin="u:p\n")
    long = "x" * 2000
    with open(f"{origin.etc}/master.cf", "a", encoding="ascii") as f:
        f.write(f"  -o lane_wait_limit=9s -o myhostname={long}\n")
    os.mkdir(f"{origin.etc}/lane_login.postlane-new")
    said = run_setup(origin, "[mail.example]:587 --undo", status=71)
    assert f"lane_wait_limit=9s -o myhostname={long}\n" in said
    assert "were removed" not in said
    os.rmdir(f"{origin.etc}/lane_login.postlane-new")
    said = run_setup(origin, "[mail.example]:587 --undo")
    assert "myhostname" not in said
    assert contents(origin.etc) == before


@pytest.mark.parametrize("name", ["main.cf", "master.cf"])
def test_apply_that_fails_leaves_what_there_was(site, name):
    """A folder where the new file would be written."""
    origin = site(SITES["tables"])
    os.mkdir(f"{origin.etc}/{name}.postlane-new")
    before = contents(origin.etc)
    said = run_setup(origin, "[mail.example]:587 --apply", status=71)
    assert f"{origin.etc}/{name}: Is a directory" in said
    assert "--undo" not in said
    assert contents(origin.etc) == before


def test_undo_of_an_apply_that_was_interrupted(site):
    """The record comes first, then tables, master.cf, main.cf."""
    origin = site(SITES["tables"])
    before = contents(origin.etc)
    main_cf = f"{origin.etc}/main.cf"
    with open(main_cf, "rb") as f:
        old = f.read()
    run_setup(origin, "[mail.example]:587 --apply", stdin="u:p\n")
    os.unlink(f"{origin.etc}/lane_login")
    with open(main_cf, "wb") as f:
        f.write(old)
    run_setup(origin, "[mail.example]:587 --undo")
    assert contents(origin.etc) == before


def test_file_behind_a_link_in_a_folder_of_any_name(site, tmp_path):
    origin = site(SITES["tables"])
    etc = f"{tmp_path}/a&b|c\\nd"
    shutil.copytree(origin.etc, etc)
    os.mkdir(f"{etc}/there")
    shutil.move(f"{etc}/main.cf", f"{etc}/there/main.cf")
    os.symlink("there/main.cf", f"{etc}/main.cf")
    before = contents(etc)
    run_setup(etc, "[mail.example]:587 --apply", stdin="u:p\n")
    with open(f"{etc}/there/main.cf", encoding="ascii") as f:
        assert f" texthash:{etc}/lane_transport\n" in f.read()
    assert os.path.islink(f"{etc}/main.cf")
    run_setup(etc, "--undo")
    assert os.path.islink(f"{etc}/main.cf")
    assert contents(etc) == before


# ---- lanes that scripts/lanes put there -------------------------------------

MARKS = ('# --- lanes: begin (scripts/lanes; "scripts/lanes remove" takes it '
         'out)\n', "# --- lanes: end\n")


def example(name, etc):
    with open(f"{paths.ROOT}/{name}", encoding="ascii") as f:
        return f.read().replace("/etc/postfix", etc)


def added_by_script(origin):
    """What is set already is changed where it stands; the rest comes between
    marks, behind an end of the last line."""
    etc = origin.etc
    os.mkdir(f"{etc}/lanes.kept", 0o700)
    new = {"default_transport": "slow",
           "address_verify_default_transport": "smtp",
           "transport_maps": f"texthash:{etc}/lane_transport"}
    for name, text in (("login", "[smtp.socketlabs.com]:2525 u:p\n"),
                       ("transport", "a.example fast:\n")):
        with open(f"{etc}/lane_{name}", "w", encoding="ascii") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(text)
    for name in ("main.cf", "master.cf"):
        path = f"{etc}/{name}"
        shutil.copy2(path, f"{etc}/lanes.kept/{name}")
        more = example(f"{name}.example", etc)
        with open(path, "r+", encoding="ascii") as f:
            text = f.read()
            f.write("" if text.endswith("\n") else "\n")
        if name == "main.cf":
            for setting, value in new.items():
                if re.search(rf"^{setting} *=", text, re.M):
                    now = origin.postconf(setting)
                    origin.command(
                        "postconf", "-e", f"{setting} = {now} {value}"
                        if setting == "transport_maps"
                        else f"{setting} = {value}")
                else:
                    more += f"{setting} = {value}\n"
        with open(path, "a", encoding="ascii") as f:
            f.write(MARKS[0] + more + MARKS[1])
        shutil.copy2(path, f"{etc}/lanes.kept/{name}.lanes")
        os.utime(path, (0, 0))


@pytest.mark.parametrize("kind", ["bare", "tables", "unended"])
def test_lanes_of_the_script_are_taken_out(site, kind):
    origin = site(SITES[kind])
    before = contents(origin.etc)
    added_by_script(origin)
    assert lanes_of(origin) == ["fast", "slow"]
    after = contents(origin.etc)
    said = run_setup(origin, "[b.example]:587", status=73)
    assert "has the lanes of scripts/lanes already: --undo takes them" in said
    said = run_setup(origin, "[b.example]:587 --undo", status=73)
    assert "has lanes to [smtp.socketlabs.com]:2525" in said
    assert contents(origin.etc) == after
    run_setup(origin, "[b.example]:587 --name ses --apply", stdin="u:p\n")
    run_setup(origin, "--name ses --undo")
    assert contents(origin.etc) == after
    said = run_setup(origin, "--undo")
    assert "the login of [smtp.socketlabs.com]:2525 is removed" in said
    assert "lane_transport has entries of yours, and is kept" in said
    os.unlink(f"{origin.etc}/lane_transport")
    assert contents(origin.etc) == before
    assert not os.path.exists(f"{origin.etc}/lanes.kept")
    assert "there are no lanes" in run_setup(origin, "--undo")


def test_lanes_of_the_script_with_changes_since(site):
    origin = site(SITES["tables"])
    etc = origin.etc
    with open(f"{etc}/main.cf", encoding="ascii") as f:
        main_cf = f.read()
    with open(f"{etc}/master.cf", encoding="ascii") as f:
        master_cf = f.read()
    added_by_script(origin)
    maps = origin.postconf("transport_maps")
    origin.command("postconf", "-e", "relayhost = [new.example]",
                   f"transport_maps = {maps} hash:/mine",
                   "lane_messages_per_connection = 7",
                   "default_transport = slow:")
    origin.command("postconf", "-P", "slow/unix/lane_message_rate_limit=2/1s")
    with open(f"{etc}/master.cf", "r+", encoding="ascii") as f:
        text = f.read()
        f.seek(0)
        f.write(text.replace(MARKS[1], "# my own\nmine unix - - n - - pipe\n"
                             "  flags=DR\n" + MARKS[1]))
    changed = contents(etc)
    said = run_setup(origin, "--undo", status=73)
    assert "main.cf: default_transport names slow, which would be gone" in said
    assert contents(etc) == changed
    origin.command("postconf", "-e", "default_transport = relay",
                   "fallback_relay = $lane_smarthost")
    said = run_setup(origin, "--undo", status=73)
    assert "fallback_relay refers to lane_smarthost, which would be g" in said
    origin.command("postconf", "-X", "fallback_relay")
    said = run_setup(origin, "--undo")
    for told in ("lane_message_rate_limit=2/1s", "and goes with the lanes:",
                 "lane_messages_per_connection = 7", "and stays:",
                 "default_transport = relay", "mine unix",
                 "without the lanes: transport_maps ="):
        assert told in said
    assert origin.postconf("transport_maps").split() == [
        "hash:/a/transport,", "regexp:/b", "hash:/mine"]
    with open(f"{etc}/master.cf", encoding="ascii") as f:
        assert f.read() == master_cf + (
            "# my own\nmine unix - - n - - pipe\n  flags=DR\n")
    origin.command("postconf", "-X", "default_transport")
    kept = [line for line in main_cf.splitlines()
            if not line.startswith(("transport_maps", "    regexp"))]
    with open(f"{etc}/main.cf", encoding="ascii") as f:
        assert [line for line in f.read().splitlines()
                if not line.startswith("transport_maps")] == [
            line.replace("[relay.example]", "[new.example]") for line in kept]


@pytest.mark.parametrize("first", ["", "--name ses "])
def test_two_providers_go_in_any_order(site, first):
    origin = site(SITES["tables"])
    before = contents(origin.etc)
    login = f"{USER}:{PASSWORD}\n"
    run_setup(origin, "[a.example]:587 --apply", stdin=login)
    run_setup(origin, "[b.example]:587 --name ses --apply", stdin=login)
    assert lanes_of(origin) == ["fast", "slow", "ses_fast", "ses_slow"]
    assert origin.postconf("default_transport") == "slow"
    second = "--name ses " if not first else ""
    for name in (first, second):
        nexthop = "[b.example]:587" if name else "[a.example]:587"
        run_setup(origin, f"{nexthop} {name}--undo")
    assert contents(origin.etc) == before


def lanes_of(origin):
    lines = origin.command("postconf", "-M").stdout.splitlines()
    return [line.split()[0] for line in lines if line.split()[7] == "lane"]


def test_what_is_there_and_different_is_not_touched(site):
    origin = site("fast_destination_concurrency_limit = 7\n", slow="smtp")
    with open(f"{origin.etc}/x_login", "w", encoding="ascii"):
        pass
    os.chmod(f"{origin.etc}/x_login", 0o640)
    before = contents(origin.etc)
    said = run_setup(
        origin, "[mail.example]:587 --name x --apply", status=73)
    assert (f"{origin.etc}/x_login must be readable by its owner alone: "
            f"chmod 600 {origin.etc}/x_login; nothing was changed") in said
    assert contents(origin.etc) == before
    os.unlink(f"{origin.etc}/x_login")
    before = contents(origin.etc)
    said = run_setup(origin, "[mail.example]:587 --apply", status=73)
    assert "main.cf has fast_destination_concurrency_limit = 7" in said
    assert "master.cf has a service slow already" in said
    assert "nothing was changed" in said
    run_setup(origin, "mail.example,other --apply", status=64)
    run_setup(origin, "[mail.example]:587 --name Bad --apply", status=64)
    assert contents(origin.etc) == before
    run_setup(origin, "[mail.example]:587 --name x --apply",
              stdin=f"{USER}:{PASSWORD}\n")
    said = run_setup(origin, "[else.example]:587 --name x --apply", status=73)
    assert "is of [mail.example]:587" in said
    run_setup(origin, "[mail.example]:587 --name x --undo")
    assert contents(origin.etc) == before


def test_undo_leaves_what_was_changed_since(site):
    origin = site(SITES["tables"])
    with open(f"{origin.etc}/main.cf", encoding="ascii") as f:
        main_cf = f.read()
    run_setup(origin, "[mail.example]:587 --apply", stdin="u:p\n")
    origin.command("postconf", "-e", "relayhost = [new.example]", "biff = yes")
    # What main.cf names stays.
    origin.command("postconf", "-e", "fallback_transport = slow:")
    changed = contents(origin.etc)
    said = run_setup(origin, "[mail.example]:587 --undo", status=73)
    assert "main.cf: fallback_transport names slow, which would be gone" in said
    assert contents(origin.etc) == changed
    origin.command("postconf", "-X", "fallback_transport")
    with open(f"{origin.etc}/lane_transport", "a", encoding="ascii") as f:
        f.write("mine.example fast:\n")
    said = run_setup(origin, "[mail.example]:587 --undo")
    assert "lane_transport has entries of yours, and is kept" in said
    assert "the login of [mail.example]:587 is removed" in said
    with open(f"{origin.etc}/main.cf", encoding="ascii") as f:
        assert f.read() == main_cf.replace(
            "[relay.example]", "[new.example]").replace(
            "biff = no", "biff = yes")
    assert not os.path.exists(f"{origin.etc}/lane_login")


# What names a lane in other ways: main.cf, master.cf, and tables, each with more
# text; what is said.
NAMED = [
    ("my_maps = hash:/a texthash:ETC/lane_transport\ntransport_maps = $my_maps\n",
     "", {"lane_transport": "gmail.example fast:\n"},
     "lane_transport, a table of transport_maps in ETC/main.cf, names fast"),
    ("transport_maps = proxy:texthash:$config_directory/lane_transport\n",
     "", {"lane_transport": "gmail.example fast:\n"},
     "lane_transport, a table of transport_maps in ETC/main.cf, names fast"),
    ("transport_maps = unionmap:{texthash:ETC/own, regexp:/b}\n", "",
     {"own": "a.example slow:\n"},
     "ETC/own, a table of transport_maps in ETC/main.cf, names slow"),
    ("relay_transport =\n# mine\n   slow:\n", "", {},
     "main.cf: relay_transport names slow"),
    ("mine = slow\nrelay_transport = ${mine}:\n", "", {},
     "main.cf: relay_transport names slow"),
    ("mine = slow\n", "third inet n - n - - smtpd\n  -o content_filter=$mine:\n",
     {}, "master.cf: third/inet/content_filter names slow"),
    ("", "third inet n - n - - smtpd\n  -o { smtpd_client_restrictions = "
     "check_client_access texthash:ETC/own }\n",
     {"own": "192.0.2.1 FILTER slow:\n"},
     "a table of third/inet/smtpd_client_restrictions in ETC/master.cf, names"),
    ("relay_destination_recipient_limit = $slow_destination_recipient_limit\n",
     "", {}, "refers to slow_destination_recipient_limit, which would be gone"),
]


def test_undo_changes_nothing_while_a_lane_is_named(site):
    origin = site(SITES["tables"])
    before = contents(origin.etc)
    run_setup(origin, "[mail.example]:587 --apply", stdin="u:p\n")
    for main_cf, master_cf, tables, told in NAMED:
        texts = {"main.cf": main_cf, "master.cf": master_cf, **tables}
        old = {}
        for name, more in texts.items():
            path = f"{origin.etc}/{name}"
            if os.path.exists(path):
                with open(path, "rb") as f:
                    old[name] = f.read()
            with open(path, "a", encoding="ascii") as f:
                f.write(more.replace("ETC", origin.etc))
        changed = contents(origin.etc)
        said = run_setup(origin, "[mail.example]:587 --undo", status=73)
        assert told.replace("ETC", origin.etc) in said
        assert contents(origin.etc) == changed
        for name in texts:
            if name in old:
                with open(f"{origin.etc}/{name}", "wb") as f:
                    f.write(old[name])
            else:
                os.unlink(f"{origin.etc}/{name}")
    said = run_setup(origin, "[mail.example]:587 --undo")
    assert "hash:/a/transport, a table of transport_maps, cannot be" in said
    assert contents(origin.etc) == before


def test_undo_changes_nothing_else(site):
    """What setup added to a comment, and to a list that was rewritten since."""
    origin = site(SITES["tables"])
    run_setup(origin, "[mail.example]:587 --apply", stdin="u:p\n")
    with open(f"{origin.etc}/main.cf", encoding="ascii") as f:
        text = f.read()
    table = f"texthash:{origin.etc}/lane_transport"
    with open(f"{origin.etc}/main.cf", "w", encoding="ascii") as f:
        f.write("".join(
            "#" * line.startswith("transport_maps") + line
            for line in text.splitlines(keepends=True)))
        f.write(f"transport_maps = hash:/b\n# mine\n  {table} hash:/d\n")
    run_setup(origin, "[mail.example]:587 --undo")
    assert origin.postconf("transport_maps") == "hash:/b hash:/d"
    assert origin.postconf("relayhost") == "[relay.example]"


# What people change in what setup added: postconf's words, and text behind
# master.cf; what has to be told; how the one line begins that is left.
CHANGED = {
    "values": ([["-P", "slow/unix/lane_message_rate_limit=9/1s",
                 "fast/unix/lane_connection_reserve=5"],
                ["-e", "slow_destination_concurrency_limit = 9",
                 "default_transport = smtp"]], "",
               ["slow was changed by hand since; it is taken out, and was",
                "    -o lane_message_rate_limit=9/1s",
                "    -o lane_connection_reserve=5",
                "slow_destination_concurrency_limit = 9: was changed",
                "default_transport = smtp: was changed by hand since, and "
                "stays"], "default_transport = smtp"),
    "option": ([], "    -o lane_wait_limit=9s\n", ["-o lane_wait_limit=9s"],
               None),
    "entries": ([["-MX", "fast/unix"],
                 ["-M", "-e", "slow/unix=slow unix - - n - - smtp"]], "",
                ["slow is not a lane any more, and stays"], "slow "),
    "third": ([], "third unix - - n - 1 lane\n  -o "
              "smtp_sasl_password_maps=texthash:ETC/lane_login\n",
              ["lane_login is used in master.cf elsewhere, and is kept"],
              "third "),
    "directory": ([], "third unix - - n - 1 lane\n  -o smtp_sasl_password_maps="
                  "texthash:$config_directory/lane_login\n",
                  ["lane_login is used in the configuration elsewhere, and is "
                   "kept"], "third "),
    "below": ([["-e", "slow_destination_concurrency_limit = 9"], "default"], "",
              ["default_transport = smtp: was changed by hand since, and "
               "stays"], "default_transport = smtp"),
}


@pytest.mark.parametrize("how", CHANGED)
def test_undo_of_what_was_changed_by_hand(site, how):
    """It goes, with a word for all that is lost with it; what is not the
    lanes' stays."""
    origin = site(SITES["tables"])
    words, more, told, left = CHANGED[how]
    before = settings_of(origin)
    run_setup(origin, "[mail.example]:587 --apply", stdin="u:p\n")
    for command in words:
        if command == "default":   # below what is there
            with open(f"{origin.etc}/main.cf", "a", encoding="ascii") as f:
                f.write("default_transport = smtp\n")
        else:
            origin.command("postconf", *command)
    with open(f"{origin.etc}/master.cf", "a", encoding="ascii") as f:
        f.write(more.replace("ETC", origin.etc))
    said = run_setup(origin, "[mail.example]:587 --undo")
    for text in told:
        assert text in said
    after = settings_of(origin)
    assert [line for line in before if line not in after] == []
    new = [line for line in after if line not in before]
    assert len(new) == (left is not None)
    assert not new or new[0].startswith(left)
    assert os.path.exists(f"{origin.etc}/lane_login") == (
        how in ("third", "directory"))
    assert not os.path.exists(f"{origin.etc}/lane_setup.json")


def settings_of(origin):
    lines = (origin.command("postconf", "-n").stdout +
             origin.command("postconf", "-M").stdout).splitlines()
    # 3.10 shows it now and then, though main.cf does not set it
    return [line for line in lines if "config_directory = " not in line]


# ---- README.md, at a site that has other transports -------------------------

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


def steps(heading):
    """The commands of a section of README.md, in its order."""
    with open(f"{paths.ROOT}/README.md", encoding="utf-8") as f:
        section = f.read().split(f"# {heading}\n")[1].split("\n#")[0]
    return re.findall(r"^    ((?:postlane|echo|postfix) .+)$", section, re.M)


def follow(origin, heading, provider, certs):
    """As printed, at another instance and with another provider, whose
    authority the system does not know; {command: what it said}."""
    told = {}
    for command in steps(heading):
        words = command.replace("[smtp.socketlabs.com]:2525", provider.nexthop)
        words = words.replace("/etc/postfix/", origin.etc + "/").replace(
            "example.com ", "fast.example ")
        words = re.sub("^postlane", lambda m: paths.built("postlane")
                       + f" -c {origin.etc}", words)
        if command.startswith("postfix reload"):
            origin.reload()
            continue
        done = subprocess.run(
            words, shell=True, check=False, capture_output=True, text=True,
            input=":".join(provider.login) + "\n", timeout=300)
        told[command] = done.stdout + done.stderr
        assert done.returncode == 0 or "doctor" in command, (words, told)
        for lane in lanes_of(origin) if "--apply" in command else ():
            origin.command("postconf", "-P",
                           f"{lane}/unix/smtp_tls_CAfile={certs.ca.cert}")
    return told


@pytest.mark.skipif("lane" not in paths.agents(), reason="no lane yet")
def test_five_minutes_of_the_readme(busy, base, certs, started):
    provider = started(Simulator(base, certs, max_connections=20,
                                 max_messages=50, mechs="PLAIN",
                                 require_tls=True))
    provider.nexthop = f"[127.0.0.1]:{provider.port}"
    before = contents(busy.etc)
    mail_before = exchange(busy, OTHERS, busy.servers)
    assert mail_before == ({
        "a@intern.example": ("inside", ""), "b@partner.example": ("inside", ""),
        "c@far.example": ("second", OTHER_LOGIN[0]),
        "c@fast2.example": ("second", OTHER_LOGIN[0]),
        "e@filtered.example": ("inside", "")}, 1)

    told = follow(busy, "Five minutes to a start", provider, certs)
    assert len(told) == 4
    [doctor] = [said for command, said in told.items() if "doctor" in command]
    assert "error" not in doctor
    once = contents(busy.etc)
    servers = {**busy.servers, "provider": provider}
    assert exchange(busy, OTHERS, servers) == mail_before
    login = provider.login[0]
    assert exchange(busy, [("someone@sender.example", "f@fast.example"),
                           ("someone@sender.example", "s@far.example")],
                    servers) == ({"f@fast.example": ("provider", login),
                                  "s@far.example": ("provider", login)}, 0)
    assert not busy.log.lines("fatal")
    assert "already" in run_setup(busy, f"{provider.nexthop} --apply")
    assert contents(busy.etc) == once

    told = follow(busy, "Undoing it", provider, certs)
    assert "lane_transport has entries of yours" in "".join(told.values())
    os.unlink(f"{busy.etc}/lane_transport")
    assert contents(busy.etc) == before
    assert exchange(busy, OTHERS, servers) == mail_before
    # what the provider got before by nobody's table goes inside again
    assert exchange(busy, [("someone@sender.example", "f@fast.example")],
                    servers) == ({"f@fast.example": ("inside", "")}, 0)


@pytest.mark.skipif("lane" not in paths.agents(), reason="no lane yet")
def test_mail_by_a_relay_without_login(base, certs, origin, started):
    relay = started(Simulator(base, certs, login=None, no_starttls=True))
    started(origin)
    before = contents(origin.etc)
    run_setup(origin, f"[127.0.0.1]:{relay.port} --no-login --tls none "
              "--apply")
    origin.reload()
    done = subprocess.run(
        [paths.built("postlane"), "-c", origin.etc, "-q", "doctor"],
        capture_output=True, text=True, check=False, timeout=300)
    assert "error" not in done.stdout + done.stderr
    assert exchange(origin, [("a@sender.example", "b@far.example")],
                    {"relay": relay}) == ({"b@far.example": ("relay", "")}, 0)
    run_setup(origin, "--undo")
    assert contents(origin.etc) == before
