"""postlane setup is killed at each step, or a step fails: the next apply or undo
makes everything good. Nothing that a site has is lost, and no login is kept
that cannot be used."""
import os

import pytest
from harness import paths
from harness.installing import contents, run_setup
from harness.postfix import Postfix

SITE = ("transport_maps = hash:/a/transport,\n    regexp:/b\n"
        "default_transport = smtp\nrelayhost = [relay.example]\n# the end")
APPLY = "[mail.example]:587 --apply"
LOGIN = "user:secret\n"
KILLED = -9


@pytest.fixture(scope="module")
def origin():
    base = paths.make_base()
    instance = Postfix(base, "origin")
    instance.tail = SITE
    instance.write()
    yield instance
    paths.drop_base(base)


def has_lanes(origin):
    """The whole of an apply."""
    texts = {}
    for name in ("main.cf", "master.cf", "lane_login"):
        with open(f"{origin.etc}/{name}", encoding="ascii") as f:
            texts[name] = f.read()
    for name in ("fast", "slow"):
        assert texts["main.cf"].count(
            f"\n{name}_destination_recipient_limit = 50\n") == 1
        assert texts["master.cf"].count(f"\n{name} ") == 1
    assert "\ndefault_transport = slow\n" in texts["main.cf"]
    assert texts["main.cf"].count("lane_transport") == 1
    assert texts["lane_login"] == f"[mail.example]:587 {LOGIN}"
    assert not [n for n in os.listdir(origin.etc) if n.endswith("-new")]


# What apply puts in its place is the record, master.cf, main.cf, the record, the
# login; undo the record, main.cf, master.cf. What undo removes in the end is the
# domains, the login, the record.
APPLIES = [f"rename:{n}:KILL" for n in (1, 2, 3, 5)]
UNDOES = ["rename:1:KILL", "rename:3:KILL", "unlink@/lane_setup.json:2:KILL"]


@pytest.mark.parametrize("faults", APPLIES)
def test_apply_that_was_killed(origin, faults):
    before = contents(origin.etc)
    run_setup(origin, APPLY, stdin=LOGIN, faults=faults, status=KILLED)
    run_setup(origin, "--undo")
    assert contents(origin.etc) == before
    run_setup(origin, APPLY, stdin=LOGIN, faults=faults, status=KILLED)
    said = run_setup(origin, APPLY, stdin=LOGIN)
    assert ("already" in said) == (faults == APPLIES[-1])
    has_lanes(origin)
    said = run_setup(origin, "--undo")
    assert "by hand" not in said
    assert contents(origin.etc) == before


@pytest.mark.parametrize("faults", UNDOES)
def test_undo_that_was_killed(origin, faults):
    before = contents(origin.etc)
    run_setup(origin, APPLY, stdin=LOGIN)
    run_setup(origin, "--undo", faults=faults, status=KILLED)
    if faults != UNDOES[0]:     # the record was not marked
        said = run_setup(origin, "[mail.example]:587", status=73)
        assert "an --apply or --undo was interrupted" in said
    run_setup(origin, APPLY, stdin=LOGIN)
    has_lanes(origin)
    run_setup(origin, "--undo", faults=faults, status=KILLED)
    said = run_setup(origin, "--undo")
    assert "by hand" not in said
    assert contents(origin.etc) == before


def test_undo_says_what_it_could_not_remove(origin):
    before = contents(origin.etc)
    run_setup(origin, APPLY, stdin=LOGIN)
    said = run_setup(origin, "--undo", status=71,
                     faults="unlink@/lane_login:2:EROFS")
    assert "Read-only file system" in said
    assert "is removed" not in said
    run_setup(origin, "--undo")
    assert contents(origin.etc) == before


def test_files_of_the_site_stay(origin):
    """One beside main.cf with the name of a new one, and a login table that
    is not read as text."""
    before = contents(origin.etc)
    for name, text in (("main.cf.new", b"mine\n"),
                       ("lane_login", b"[other.example] u:p\0\n")):
        with open(f"{origin.etc}/{name}", "wb") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(text)
        changed = contents(origin.etc)
        if name == "lane_login":
            said = run_setup(origin, APPLY, stdin=LOGIN, status=73)
            assert "lane_login: Invalid argument; nothing was changed" in said
        else:
            run_setup(origin, APPLY, stdin=LOGIN)
            run_setup(origin, "--undo")
        assert contents(origin.etc) == changed
        os.unlink(f"{origin.etc}/{name}")
    assert contents(origin.etc) == before


def test_login_that_a_table_would_not_give_back(origin):
    before = contents(origin.etc)
    for login, why in (("user", 'has no ":"'),
                       ("user:secret ", "begins or ends with a blank"),
                       ("user:s\udce9cret", "is not UTF-8"),
                       ("user:" + "s" * 4000, "is longer than 4000 octets")):
        said = run_setup(origin, APPLY, stdin=login + "\n", status=65)
        assert f"the login {why}" in said
        with open(f"{origin.etc}/lane_login", encoding="ascii") as f:
            assert f.read() == ""
    login = 'user:s"\\$x ${y} é€: \'{}#=' + "s" * 2000
    run_setup(origin, APPLY, stdin=login + "\n")
    done = origin.command("postmap", "-q", "[mail.example]:587",
                          f"texthash:{origin.etc}/lane_login")
    assert done.stdout == login + "\n"
    run_setup(origin, "--undo")
    assert contents(origin.etc) == before
