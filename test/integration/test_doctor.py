"""postlane doctor: set-ups that are broken as those of new users are. Each is
found, and the command that is printed repairs it as it is pasted; one that is
well gives no finding. No Postfix runs for this: it is about what a reload would
bring."""
import json
import os
import random
import subprocess
import time
from dataclasses import dataclass

import pytest
from harness import paths
from harness.postfix import Postfix, Service
from harness.simulator import DelayProxy, Simulator
from harness.upstream import PASSWORD, USER

PROVIDERS = os.path.join(paths.ROOT, "providers")


HOST = "pl-hosts-file"


@dataclass
class Lane(Service):
    """Its class behind its options, where postconf -P sees them."""
    words: str = ""

    def line(self):
        return f"{super().line()}\n    {self.words}"


class Site:
    """Two lanes of one account, as main.cf.example has them, and a smarthost
    that wants TLS and a login. Built anew for each case by reset()."""

    def __init__(self, base, certs):
        self.base, self.certs = base, certs
        self.sims = {}
        self.origin = Postfix(base, "origin")
        self.settings = dict(self.origin.main)
        self.login = os.path.join(self.origin.etc, "lane_login")
        self.table = os.path.join(self.origin.etc, "lane_transport")
        self.state = os.path.join(self.origin.data_directory, "postlane")

    def simulator(self, pair):
        if pair.cert not in self.sims:
            self.sims[pair.cert] = Simulator(
                self.base, self.certs, name=f"sim{len(self.sims)}",
                pair=pair).start()
        return self.sims[pair.cert]

    def reset(self):
        self.sim = self.simulator(self.certs.good)
        self.lanes = {"fast": {"lane_connection_reserve": "4"},
                      "slow": {"lane_connection_limit": "2"}}
        for options in self.lanes.values():
            options.update({
                "lane_provider_directory": PROVIDERS,
                "smtp_tls_security_level": "secure",
                "smtp_tls_secure_cert_match": "smarthost.example",
                "smtp_tls_CAfile": self.certs.ca.cert,
                "smtp_sasl_auth_enable": "yes",
                "smtp_sasl_password_maps": f"texthash:{self.login}",
                "smtp_sasl_tls_security_options": "noanonymous"})
        self.fast, self.slow = self.lanes.values()
        self.fields, self.words, self.tails = {}, {}, {}
        self.main = {
            **self.settings, "default_transport": "slow",
            "transport_maps": f"texthash:{self.table}"}
        for lane, window in (("fast", 2000), ("slow", 44)):
            self.main.update({
                f"{lane}_destination_concurrency_limit": str(window),
                f"{lane}_initial_destination_concurrency": str(window)})
        self.leads_to(f"[127.0.0.1]:{self.sim.port}")
        with open(self.table, "w", encoding="ascii") as f:
            f.write("quick.example fast:\n")
        for path in (self.state, self.login + ".db"):
            if os.path.exists(path):
                (os.rmdir if os.path.isdir(path) else os.unlink)(path)
        return self

    def leads_to(self, nexthop, key=None):
        self.main["lane_smarthost"] = nexthop
        with open(self.login, "w", encoding="ascii") as f:
            f.write(f"# key  login\n{key or nexthop} {USER}:{PASSWORD}\n")
        os.chmod(self.login, 0o600)

    def alone(self):
        """Without the slow lane: what the wire is asked, it is asked once."""
        del self.lanes["slow"]
        self.main["default_transport"] = "fast"
        return self

    def write(self):
        origin = self.origin
        origin.main = self.main
        for name in ("fast", "slow"):
            origin.services.pop((name, "unix"), None)
        for name, options in self.lanes.items():
            fields = {"limit": 1, **self.fields.get(name, {})}
            origin.services[name, "unix"] = Lane(
                name, "unix", self.words.get(name, "lane"), options=options,
                words=self.tails.get(name) or (
                    "" if name in self.words else f"class={name}"), **fields)
        origin.write()

    def rest(self):
        """postconf(1) waits for a main.cf that was just written."""
        rested = time.time() - 10
        os.utime(os.path.join(self.origin.etc, "main.cf"), (rested, rested))

    def doctor(self, *before, is_far=False):
        """before: words that the command is run by."""
        done = subprocess.run(
            [*before, paths.built("postlane"), "-c", self.origin.etc, "-j",
             "doctor"], check=False, capture_output=True, text=True,
            timeout=300)
        assert not done.stderr, done.stderr
        found = json.loads(done.stdout)
        worst = max([["note", "warning", "error"].index(f["severity"])
                     for f in found["findings"]], default=0)
        assert done.returncode == worst
        assert PASSWORD not in done.stdout
        # how far it is, is the scheduler's on a busy machine
        return [f for f in found["findings"]
                if is_far or f["code"] != "KERNEL-IDLE"]


@pytest.fixture(scope="module")
def shared(certs):
    base = paths.make_base()
    site = Site(base, certs)
    yield site
    for sim in site.sims.values():
        sim.destroy()
    paths.drop_base(base)


@pytest.fixture
def site(shared):
    return shared.reset()


def paste(fix):
    done = subprocess.run(["sh", "-ec", fix], check=False, text=True,
                          capture_output=True, timeout=300)
    assert done.returncode == 0, (fix, done.stderr)


def found(site, codes, *before):
    """These and no others."""
    site.write()
    findings = site.doctor(*before)
    assert sorted(f["code"] for f in findings) == sorted(codes.split()), (
        json.dumps(findings, indent=1))
    return findings


def found_and_cured(site, codes, *before, is_any_order=False):
    """What is printed repairs all of it and brings nothing new."""
    findings = found(site, codes, *before)
    in_any_order = list(findings)
    random.shuffle(in_any_order)
    for finding in in_any_order if is_any_order else findings:
        if not finding["fix"]:
            assert finding["severity"] == "note", finding
            continue
        paste(finding["fix"])
        site.rest()
    left = [f for f in site.doctor(*before) if f["fix"]
            or f["severity"] != "note"]
    assert left == [], json.dumps([findings, left], indent=1)
    return findings


def test_nothing_is_found_where_all_is_well(site):
    site.write()
    assert site.doctor() == []
    text = site.origin.postlane("doctor").stdout
    assert "nothing was found" in text or "note KERNEL-IDLE" in text
    assert (f"  lane_smarthost = [127.0.0.1]:{site.sim.port}"
            f"   # {site.origin.etc}/main.cf:") in text
    assert f"lane_connection_reserve = 4   # {site.origin.etc}/master.cf:" \
        in text
    assert "lane_smarthost" not in site.origin.postlane("-q", "doctor").stdout
    done = site.origin.postlane("doctor", user="postfix")
    assert done.returncode == 77 and "only root" in done.stderr


# ---- what the files say ----------------------------------------------------

def test_queue_manager_that_hands_out_too_little(site):
    """A window of 20, feeling its way up from 5, a delay of whole seconds, one
    recipient at a time, endless asking, no way to the lane."""
    del site.main["fast_destination_concurrency_limit"]
    del site.main["fast_initial_destination_concurrency"]
    site.main.update({
        "slow_destination_rate_delay": "1s",
        "fast_destination_recipient_limit": "1",
        "fast_destination_concurrency_failed_cohort_limit": "100",
        "default_transport": "smtp"})
    site.fast["fast_transport_rate_delay"] = "0s"
    findings = found_and_cured(
        site, "WINDOW INITIAL-WINDOW RATE-DELAY RECIPIENT-LIMIT FAILED-COHORT "
        "NOT-USED MISPLACED-OPTION", is_any_order=True)
    [window] = (f for f in findings if f["code"] == "WINDOW")
    assert window["fix"] == (
        f"postconf -c {site.origin.etc} -e "
        "'fast_destination_concurrency_limit = 2000'")
    # what the queue manager's delay meant
    assert in_force(site)["slow", "lane_message_rate_limit"] == "1/1s"


def test_lane_without_mail_beside_one_that_has_it(site):
    """The other lane keeps what no rule takes."""
    with open(site.table, "w", encoding="ascii"):
        pass
    [finding] = found(site, "NOT-USED")
    assert (finding["lane"], finding["fix"]) == ("fast", "")
    assert finding["text"].endswith(
        'a table of transport_maps, such as "example.com fast:"')


def test_tables_of_transports_that_cannot_be_asked(site):
    """Postfix defers mail for that; a table that only has to be made is."""
    site.main["transport_maps"] = f"hash:{site.table}"
    found_and_cured(site, "TRANSPORT-TABLE")
    for maps, words in (
            ("texthash:/nonexistent/table", "write it, if only an empty one"),
            ("nosuch:/nonexistent/table", "nosuch")):
        site.main["transport_maps"] = f"texthash:{site.table} {maps}"
        [finding] = found(site, "TRANSPORT-TABLE")
        assert maps in finding["text"] and words in finding["text"]
        assert not finding["fix"]
        assert "if only" in finding["text"] or maps.startswith("nosuch")


def test_star_of_transport_maps(site):
    """It goes before default_transport, and before local delivery."""
    def table(text):
        with open(site.table, "w", encoding="ascii") as f:
            f.write(text)
    site.main["default_transport"] = "smtp"
    table("quick.example fast:\n* slow:\n")
    found(site, "")
    site.main["mydestination"] = "here.example"
    [finding] = found(site, "TRANSPORT-STAR")
    assert "own domains, too, such as here.example" in finding["text"]
    table("quick.example fast:\nhere.example local:\n* slow:\n")
    found(site, "")
    table("breakfast.example fast:\n* smtp:\n")
    [finding] = found(site, "NOT-USED")
    assert not finding["fix"] and '"* smtp:"' in finding["text"]
    site.main["default_transport"] = "slow"
    found(site, "TRANSPORT-STAR")
    table("breakfast.example breakfast:\n")
    found(site, "NOT-USED")


def test_default_transport_of_a_site_with_senders_relays(site):
    """They keep them, as with postlane setup."""
    site.main.update(
        default_transport="smtp",
        sender_dependent_relayhost_maps="inline:{@a.example=[b.example]}")
    [finding] = found_and_cured(site, "NOT-USED")
    assert "pipemap:{unionmap:{inline:{@a.example=[b.example]}}, static:smtp}"\
        in finding["fix"]
    assert "'address_verify_default_transport = smtp'" in finding["fix"]
    site.main["default_transport"] = "nowhere:"
    found(site, "NOT-USED TRANSPORT-MISSING")
    assert not any(f["fix"] for f in site.doctor())


def in_force(site):
    """{(lane, name): value} of what is set anywhere."""
    site.rest()
    told = json.loads(site.origin.postlane("-j", "doctor").stdout)
    return {(v["lane"], v["name"]): v["value"] for v in told["values"]}


def test_settings_that_are_wrong_or_not_obeyed(site):
    """A limit that is written in the wrong way, or by the wrong name, is one
    behind the fix; and nothing is dialed before it is understood."""
    site.fast.update({
        "lane_conection_limit": "3", "lane_recipient_rate_limit": "100/day",
        "lane_connection_reserve": "2"})
    site.slow["lane_message_rate_limit"] = "5 per second"
    site.main.update({
        "lane_messages_per_conection": "20", "smtp_never_send_ehlo": "yes",
        "lane_account_connection_limit": "20 connections"})
    found_and_cured(
        site, "UNKNOWN-NAME UNKNOWN-NAME BAD-VALUE BAD-VALUE BAD-VALUE "
        "NOT-SUPPORTED NOT-SUPPORTED NOT-DIALED NOT-DIALED",
        is_any_order=True)
    values = in_force(site)
    assert values["fast", "lane_connection_limit"] == "3"
    assert values["fast", "lane_recipient_rate_limit"] == "100/1d"
    assert values["slow", "lane_message_rate_limit"] == "5/1s"
    for lane in ("fast", "slow"):
        assert values[lane, "lane_messages_per_connection"] == "20"
        assert values[lane, "lane_account_connection_limit"] == "20"


def test_settings_that_nobody_can_read(site):
    """No command takes away what it is not known to stand for."""
    site.alone().fast.update({
        "lane_connection_limit": "ten", "lane_wishes": "many",
        "smtp_tls_per_site": "hash:/nowhere",
        "lane_messages_per_connection": "6"})
    site.words["fast"] = "lane -o lane_messages_per_connection=5"
    site.write()
    findings = {f["code"]: f for f in site.doctor()}
    assert sorted(findings) == [
        "BAD-VALUE", "DUPLICATE", "NOT-DIALED", "SETTING", "UNKNOWN-NAME"]
    assert not any(f["fix"] for f in findings.values()), findings
    assert "write there what was meant" in findings["BAD-VALUE"]["text"]


def test_level_that_is_none_of_ours(site):
    """dane and dane-only of a main.cf or of an entry become secure, whichever
    fix is pasted first."""
    site.fast["smtp_tls_security_level"] = "dane-only"
    del site.slow["smtp_tls_security_level"]
    site.main.update(smtp_tls_security_level="dane")
    findings = found_and_cured(
        site, "BAD-VALUE BAD-VALUE NOT-DIALED NOT-DIALED", is_any_order=True)
    values = in_force(site)
    for lane in ("fast", "slow"):
        assert values[lane, "smtp_tls_security_level"] == "secure"
    assert not any("-e" in f["fix"].split() for f in findings)


def test_limits_that_were_written_for_smtp(site):
    """What the queue manager was told of connections and of a pace is in force
    in the lane behind any of the fixes, the strictest of it behind all."""
    site.alone().main.update(
        fast_destination_concurrency_limit="3",
        fast_destination_rate_delay="10s", fast_transport_rate_delay="2s")
    site.fast.update(
        fast_destination_concurrency_limit="2", lane_connection_limit="25",
        fast_destination_rate_delay="20s", fast_recipient_limit="7")
    found_and_cured(
        site, "MISPLACED-OPTION MISPLACED-OPTION MISPLACED-OPTION WINDOW "
        "CONNECTION-LIMIT RATE-DELAY RATE-DELAY", is_any_order=True)
    values = in_force(site)
    assert values["fast", "lane_connection_limit"] == "2"
    assert values["fast", "lane_connection_reserve"] == "2"
    assert values["fast", "lane_message_rate_limit"] == "1/10s,1/20s"
    with open(os.path.join(site.origin.etc, "main.cf"), encoding="utf-8") as f:
        assert "fast_recipient_limit = 7\n" in f.read()


def test_room_that_somebody_has_measured(site):
    site.main["qmgr_message_active_limit"] = "500"
    [finding] = found(site, "ACTIVE-ROOM")
    assert not finding["fix"] and "where there is memory" in finding["text"]


def unused(site):
    site.rest()
    return sorted(
        line for command in (("-n",), ("-M",)) for line in subprocess.run(
            ["postconf", "-c", site.origin.etc, *command], check=True,
            capture_output=True, text=True).stderr.splitlines())


def test_fixes_leave_no_name_that_postconf_calls_unused(site):
    """As main.cf.example and master.cf.example have it."""
    site.alone().main["lane_conection_limit"] = "3"
    site.main["fast_destination_rate_delay"] = "2s"
    del site.main["fast_initial_destination_concurrency"]
    for name in [n for n in site.main if n.startswith("slow_")]:
        del site.main[name]
    site.fast.update(lane_mesages_per_connection="20",
                     fast_transport_rate_delay="5s")
    names = {name for name in (*site.main, *site.fast)
             if name.startswith(("lane_", "fast_"))}
    site.fast["smtpd_log_access_permit_actions"] = " ".join(
        f"${{{name}?{{}}}}" for name in names)
    site.write()
    assert unused(site) == []
    found_and_cured(
        site, "UNKNOWN-NAME UNKNOWN-NAME INITIAL-WINDOW RATE-DELAY "
        "MISPLACED-OPTION NOT-DIALED", is_any_order=True)
    assert unused(site) == []
    assert in_force(site)["fast", "lane_connection_limit"] == "3"


def test_names_that_postconf_would_warn_of(site):
    """One finding, and one command, for all that was set since."""
    site.fast["smtpd_log_access_permit_actions"] = " ".join(
        f"${{{name}?{{}}}}" for name in (*site.main, *site.fast)
        if name.startswith(("lane_", "fast_", "slow_")))
    site.slow["smtpd_log_access_permit_actions"] = " ".join(
        f"${{{name}?{{}}}}" for name in site.slow if name.startswith("lane_"))
    site.main["lane_account_message_rate_limit"] = "100/1s"
    site.slow["lane_log_name"] = "slow"
    site.write()
    assert unused(site)
    [finding] = found_and_cured(site, "UNUSED-NAME")
    assert finding["text"].endswith(
        "lane_account_message_rate_limit, lane_log_name")
    assert unused(site) == []
    assert not site.origin.postlane("-q", "doctor").stdout


def test_settings_that_lanes_have_together_with_smtp(site):
    """Nothing is wrong with it: one note for all lanes, not with -q."""
    site.main["smtp_helo_timeout"] = "100s"
    [finding] = found_and_cured(site, "SHARED")
    assert "smtp_helo_timeout; nothing is wrong" in finding["text"]
    for lane in ("fast", "slow"):
        assert in_force(site)[lane, "smtp_helo_timeout"] == "100s"


def test_entry_of_master_cf_that_is_not_a_lanes(site):
    """Options behind class=, too many processes, public, root."""
    site.words["fast"] = "lane class=fast"
    site.fields["fast"] = {"limit": "-"}
    site.fields["slow"] = {"private": "n", "unpriv": "n"}
    found_and_cured(
        site, "OPTION-BEHIND-WORD PROCESS-LIMIT PRIVATE UNPRIVILEGED")


@pytest.mark.parametrize("words,told", [
    ("-o lane_connection_limit = 2 class=slow",
     "-o lane_connection_limit = 2: must be -o lane_connection_limit=2, with "
     "no blanks round =, or -o { lane_connection_limit = 2 }"),
    ("class=slow -o\n  lane_connection_limit\n  =2",
     "-o lane_connection_limit =2: must be"),
    ("-o lane_connection_limit= 2 -o smtp_tls_exclude_ciphers=aNULL, DES\n"
     "# between\n  class=slow",
     "-o smtp_tls_exclude_ciphers=aNULL, DES: must be "
     "-o { smtp_tls_exclude_ciphers = aNULL, DES }"),
    ("-o 'lane_connection_limit=2' class=slow", "without quotes"),
    ("-o {lane_connection_limit=2}, class=slow", "with nothing behind a }"),
    ("-o smtp_tls_loglevel=1 lane_connection_limit=2 class=slow",
     "a parameter is set with -o lane_connection_limit=2"),
    ("class=slow -o lane_connection_limit=2 # only two, see above",
     "a comment has lines of its own"),
    ("-olane_connection_limit=2 class=slow", "must be -o name=value"),
    ("-olane_connection_limit = 2 class=slow", "with no blanks round ="),
])
def test_entry_whose_words_were_cut(site, words, told):
    """One finding, whose command makes the entry right."""
    site.slow.pop("lane_connection_limit")
    site.tails["slow"] = words
    is_obeyed = words.startswith("-olane_connection_limit=")
    finding, *_ = found_and_cured(
        site, "ENTRY" if is_obeyed else "ENTRY NOT-DIALED")
    assert told in finding["text"] and finding["lane"] == "slow"
    assert in_force(site)["slow", "lane_connection_limit"] == "2"


def test_entry_whose_words_nobody_can_put_right(site):
    """No command, then, that would write them back."""
    for words in ("-o lane_connection_limit=2 # -o b=3\n  -o "
                  "smtp_tls_loglevel=1 class=slow",
                  "-o lane_connection_limit = 2 class=slow whatever"):
        site.tails["slow"] = words
        site.slow.pop("lane_connection_limit", None)
        site.write()
        finding = site.doctor()[0]
        assert finding["code"] == "ENTRY" and not finding["fix"]
        assert "write its entry in master.cf anew" in finding["text"]


def test_files_that_others_may_read_or_nobody_has(site):
    """Passwords for all, a table older than its text, a jail without files,
    state of another user."""
    site.fast["smtp_sasl_password_maps"] = f"hash:{site.login}"
    site.alone()
    site.fields["fast"] = {"chroot": "y"}
    os.mkdir(site.state, 0o700)
    site.write()
    site.origin.command("postmap", f"hash:{site.login}")
    os.chmod(site.login, 0o644)
    os.utime(site.login + ".db", (1, 1))
    found_and_cured(
        site, "PASSWORD-RIGHTS TABLE-STALE CHROOT-FILES STATE-DIRECTORY")


def test_lanes_of_one_account_that_want_too_much(site):
    site.fast.update(lane_connection_reserve="18", lane_connection_limit="25",
                     lane_pipeline_depth="8")
    site.slow.update(lane_connection_reserve="6", lane_connection_limit="6",
                     lane_pipeline_depth="3",
                     lane_account_connection_limit="30")
    found_and_cured(site, "CONNECTION-LIMIT ACCOUNT-LIMIT RESERVES")


# ---- what the smarthost says -----------------------------------------------

def other_port(site):
    site.leads_to(site.main["lane_smarthost"], "[127.0.0.1]:587")


def no_brackets(site):
    site.leads_to(site.main["lane_smarthost"],
                  f"127.0.0.1:{site.sim.port}")


def other_authority(site):
    site.main["smtp_tls_CAfile"] = site.certs.ca.cert
    site.fast["smtp_tls_CAfile"] = site.certs.other_ca.cert


def level_of_others(site):
    site.main["smtp_tls_security_level"] = "none"
    del site.fast["smtp_tls_security_level"]


def level_for_anybody(site):
    site.fast["smtp_tls_security_level"] = "encrypt"


def no_plain_password(site):
    """Nobody said anything about passwords within TLS."""
    del site.fast["smtp_sasl_tls_security_options"]
    site.fast["smtp_sasl_mechanism_filter"] = "plain"


def nobody_logs_in(site):
    site.fast["smtp_sasl_auth_enable"] = "no"


def name_of_another(site):
    site.sim = site.simulator(site.certs.wrong_name)
    site.leads_to(f"[127.0.0.1]:{site.sim.port}")


WIRE = [(other_port, "LOGIN-KEY"), (no_brackets, "LOGIN-KEY"),
        (other_authority, "AUTHORITY"), (level_of_others, "TLS-LEVEL"),
        (level_for_anybody, "TLS-LEVEL"), (no_plain_password, "LOGIN"),
        (nobody_logs_in, "AUTH-OFF")]


@pytest.mark.parametrize("break_it, code", WIRE,
                         ids=[case[0].__name__ for case in WIRE])
def test_wire(site, break_it, code):
    break_it(site.alone())
    for finding in found_and_cured(site, code):
        # nothing of it reaches other transports
        assert "-e" not in finding["fix"].split()


def test_what_is_a_persons_to_decide(site):
    """Whom to trust, and what has been forbidden, is not changed by a command
    that is pasted."""
    name_of_another(site.alone())
    [finding] = found(site, "CERTIFICATE-NAME")
    assert not finding["fix"]
    assert "if the provider says that other.example is its name" in (
        finding["text"])
    site.reset().alone().fast.update(
        smtp_sasl_mechanism_filter="plain",
        smtp_sasl_tls_security_options="noplaintext, noanonymous")
    [finding] = found(site, "LOGIN")
    assert not finding["fix"]
    site.reset().alone().fast["smtp_tls_CAfile"] = site.certs.other_ca.cert
    [finding] = found(site, "AUTHORITY")
    assert not finding["fix"]
    level_for_anybody(site.reset().alone())
    site.fast["smtp_tls_CAfile"] = site.certs.other_ca.cert
    [finding] = found(site, "TLS-LEVEL")
    assert not finding["fix"]


def test_login_that_is_not_there_behind_a_certificate_that_fails(site):
    """What the one hides of the other."""
    site.alone().fast["smtp_tls_CAfile"] = site.certs.other_ca.cert
    with open(site.login, "w", encoding="ascii") as f:
        f.write("# nothing yet\n[other.example] joe:secret\n")
    findings = found(site, "AUTHORITY LOGIN-KEY")
    [finding] = (f for f in findings if f["code"] == "LOGIN-KEY")
    assert f'write "{site.main["lane_smarthost"]} USER:PASSWORD" there' \
        in finding["text"]


def test_login_for_another_port_stays(site):
    other_port(site.alone())
    found_and_cured(site, "LOGIN-KEY")
    with open(site.login, encoding="ascii") as f:
        assert [line.split()[0] for line in f][1:] == [
            "[127.0.0.1]:587", f"[127.0.0.1]:{site.sim.port}"]


def test_expired_certificate_and_refused_login(site):
    """What nobody here can repair is told, and no more is tried."""
    expired = site.simulator(site.certs.expired)
    site.alone().leads_to(f"[127.0.0.1]:{expired.port}")
    [finding] = found(site, "CERTIFICATE-DATE")
    assert "has expired" in finding["text"]
    site.leads_to(f"[127.0.0.1]:{site.sim.port}")
    site.sim.script('auth reply "535 5.7.8 bad credentials"\n')
    [finding] = found(site, "LOGIN-REFUSED")
    assert "535 5.7.8 bad credentials" in finding["text"]
    assert not finding["fix"]
    assert finding["text"].endswith(
        f": put the right one into smtp_sasl_password_maps = "
        f"texthash:{site.login}")
    site.sim.script("")
    with open(site.login, "w", encoding="ascii"):
        pass
    [finding] = found(site, "LOGIN-KEY")
    assert finding["text"].endswith(
        f': write "[127.0.0.1]:{site.sim.port} USER:PASSWORD" there')
    site.leads_to("[127.0.0.1]:1")
    [finding] = found(site, "UNREACHABLE")


def test_resolver_that_dane_lacks(site):
    """A row of smtp_tls_policy_maps waits for it; one that is set is asked."""
    table = os.path.join(site.base, "tls_policy")
    with open(table, "w", encoding="ascii") as f:
        f.write("# of others\nx.example secure\ndane.example  DANE-only a=b\n")
    site.alone().fast["smtp_tls_policy_maps"] = f"texthash:{table}"
    [finding] = found(site, "DANE-RESOLVER")
    assert (finding["severity"], finding["fix"]) == ("error", "")
    for words in (f'texthash:{table}: "dane.example  DANE-only a=b": mail',
                  "without smtp_tls_dane_resolver"):
        assert words in finding["text"]
    nobody = f"127.0.0.1:{paths.free_port()}"
    site.fast["smtp_tls_dane_resolver"] = nobody
    findings = found(site, "DANE-RESOLVER DANE-RESOLVER")
    assert [f["severity"] for f in findings] == ["error", "warning"]
    paste(findings[1]["fix"])
    site.rest()
    [finding] = site.doctor()
    assert finding["code"] == "DANE-RESOLVER"
    assert f'{nobody}: no answer to "ns:." (dnssec_probe)' in finding["text"]


def test_name_that_only_the_hosts_file_has(site):
    """By a hosts file and a name server of its own, in a mount name space."""
    hosts = os.path.join(site.base, "hosts")
    resolv = os.path.join(site.base, "resolv.conf")
    with open(hosts, "w", encoding="ascii") as f:
        f.write(f"127.0.0.1 localhost {HOST}\n")
    with open(resolv, "w", encoding="ascii") as f:
        f.write("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    site.alone().leads_to(f"[{HOST}]:{site.sim.port}")
    found_and_cured(
        site, "SEARCH-LIST", "unshare", "-m", "sh", "-ec",
        f'mount --bind {hosts} /etc/hosts; '
        f'mount --bind {resolv} /etc/resolv.conf; exec "$@"', "sh")


def test_windows_of_the_kernel_over_a_distance(site):
    """What they cost, and what a larger one gains, is worth a note, and no
    more."""
    with open("/proc/sys/net/ipv4/tcp_slow_start_after_idle",
              encoding="ascii") as f:
        begins_anew = f.read().strip() == "1"
    proxy = DelayProxy(site.base, site.sim.port, delay_ms=60,
                       initial_window=14480).start()
    try:
        site.alone().leads_to(f"[127.0.0.1]:{proxy.port}")
        site.write()
        window, *idle = site.doctor(is_far=True)
        assert (window["code"], window["severity"]) == (
            "KERNEL-WINDOW", "note")
        for words in ("begins with 14480 octets: 50 messages of 5000 take 5 "
                      "round trips", "and 3 if it begins with 40 segments: "):
            assert words in window["text"]
        assert window["fix"] == (
            "ip route change $(ip route show to match 127.0.0.1 | "
            "tail -n 1) initcwnd 40")
        assert [(f["code"], f["severity"]) for f in idle] == (
            [("KERNEL-IDLE", "note")] if begins_anew else [])
    finally:
        proxy.destroy()
