"""DANE beside smtp(8): a signed zone and a resolver that validates it, with
the resolv.conf of a mount name space of its own: who gets the mail, and who
the password. The inner tests run in that name space; the first one starts it.
"""
import hashlib
import json
import os
import subprocess

import pytest

from harness import dnssec, messages
from harness.dnssec import BOGUS, PLAIN, SIGNED
from harness.namespace import inside, outside, run_again
from harness.postfix import Postfix
from harness.tlszoo import Authority, Kind, Zoo
from harness.wait import wait_until

pytestmark = pytest.mark.skipif(
    not dnssec.is_there(), reason="scripts/foreign has not fetched dnssec")
NET = f"127.84.{os.getpid() % 250 + 1}"
RESOLVER, SERVER = f"{NET}.1", f"{NET}.2"
OLD = {"dates": ("20200101000000Z", "20200201000000Z")}
LEVELS = ["dane", "dane-only"]


def mine(name, **more):
    """A certificate for the host, or another name."""
    return {"alt": f"DNS:{name}", **more}


class Case:
    """records: "u s m what", what: leaf, mid, root, other (a digest of
    nothing), short, or octets. host, mx: where names live. mail: levels at
    which it is delivered; known: the server is proven at them, too."""

    def __init__(self, name, *records, mail=(), known=None, host=SIGNED,
                 mx=None, alias=None, tlsa_alias=None, more=(), **kind):
        self.name, self.records = name, records
        self.kind = Kind(name, **kind)
        self.mail = set(mail)
        self.known = self.mail if known is None else set(known)
        self.host = f"{name}.{host}"
        self.mx, self.alias, self.tlsa_alias = mx, alias, tlsa_alias
        self.more = more

    def nexthop(self, port):
        return f"mx-{self.name}.{self.mx}:{port}" if self.mx else \
            f"[{self.host}]:{port}"

    def zone_lines(self, zoo, port, tlsa):
        """(zone, line)"""
        zone = self.host.partition(".")[2]
        target = self.host
        if self.alias:
            target = f"end-{self.name}.{self.alias}"
            yield zone, f"{self.host}. 1 IN CNAME {target}."
        yield target.partition(".")[2], f"{target}. 1 IN A 127.0.0.1"
        if self.mx:
            yield self.mx, (f"mx-{self.name}.{self.mx}. 1 IN MX 10 "
                            f"{self.host}.")
        owner = target if "end" in self.more else self.host
        name = f"_{port}._tcp.{owner}"
        if self.tlsa_alias:
            yield zone, f"{name}. 1 IN CNAME {self.tlsa_alias}."
            return
        for record in self.records:
            yield owner.partition(".")[2], (
                f"{name}. 1 IN TLSA {tlsa(zoo, self.kind, record)}")


ALL, OPEN = {"dane", "dane-only"}, {"dane"}
MANY = tuple(f"3 1 1 {i:064x}" for i in range(1, 60))

CASES = [
    Case("ee311", "3 1 1 leaf", mail=ALL),
    Case("ee301", "3 0 1 leaf", mail=ALL),
    Case("ee312", "3 1 2 leaf", mail=ALL),
    Case("ee300", "3 0 0 leaf", mail=ALL),
    Case("ta201", "2 0 1 mid", mail=ALL, chain=({},),
         cert=mine("ta201." + SIGNED)),
    Case("ta211", "2 1 1 mid", mail=ALL, chain=({},),
         cert=mine("ta211." + SIGNED)),
    Case("ta200", "2 0 0 root", mail=ALL, cert=mine("ta200." + SIGNED)),
    Case("tachain", "2 1 1 mid", mail=ALL, chain=({}, {}),
         cert=mine("tachain." + SIGNED)),
    Case("taname", "2 1 1 mid", chain=({},), cert=mine("other.example")),
    Case("taold", "2 1 1 mid", chain=({},),
         cert=mine("taold." + SIGNED, **OLD)),
    Case("tapart", "2 1 1 mid", chain=({},),
         cert=mine("tapa*." + SIGNED)),
    Case("taother", "2 0 0 other", cert=mine("taother." + SIGNED)),
    Case("eeold", "3 1 1 leaf", mail=ALL, cert=dict(OLD)),
    Case("eename", "3 1 1 leaf", mail=ALL, cert=mine("other.example")),
    Case("eeself", "3 0 1 leaf", mail=ALL,
         cert={"signer": "self", "subject": "nobody"}),
    Case("eeweak", "3 1 1 leaf", cert={"bits": 768}),
    Case("mismatch", "3 1 1 wrong"),
    Case("rollover", "3 1 1 wrong", "3 1 1 leaf", mail=ALL),
    Case("agility", "3 1 2 wrong", "3 1 1 leaf"),
    Case("usage01", "0 1 1 leaf", "1 0 1 leaf", mail=OPEN, known=()),
    Case("short", "3 1 1 short", mail=OPEN, known=()),
    Case("unknown", "3 1 9 wrong", "3 7 1 wrong", mail=OPEN, known=()),
    Case("private", "3 1 255 leaf", mail=OPEN, known=()),
    Case("garbage", "2 0 0 short", "2 1 0 short", mail=OPEN, known=()),
    Case("halfbad", "1 1 1 leaf", "3 1 1 short", "3 1 1 leaf", mail=ALL),
    Case("none", mail=OPEN, known=()),
    Case("plainhost", "3 1 1 leaf", host=PLAIN, mail=OPEN, known=()),
    Case("plainwrong", "3 1 1 wrong", host=PLAIN, mail=OPEN, known=()),
    Case("bogus", "3 1 1 leaf", host=BOGUS),
    Case("bogustlsa", tlsa_alias=f"bogus.{BOGUS}"),
    Case("sharedtlsa", tlsa_alias=f"shared.{SIGNED}", mail=ALL),
    Case("aliasend", "3 1 1 leaf", alias=SIGNED, more=("end",), mail=ALL),
    Case("aliasown", "3 1 1 leaf", alias=SIGNED, mail=ALL),
    Case("aliasout", "3 1 1 leaf", alias=PLAIN, mail=ALL),
    Case("aliaswrong", "3 1 1 wrong", alias=PLAIN),
    Case("aliasbogus", "3 1 1 leaf", alias=BOGUS),
    Case("mxgood", "3 1 1 leaf", mx=SIGNED, mail=ALL),
    Case("mxname", "2 1 1 mid", mx=SIGNED, mail=ALL, chain=({},),
         cert=mine("mx-mxname." + SIGNED)),
    Case("mxwrong", "3 1 1 wrong", mx=SIGNED),
    Case("mxplain", "3 1 1 leaf", mx=PLAIN, mail=OPEN, known=()),
    Case("mxplainwrong", "3 1 1 wrong", mx=PLAIN),
    Case("mxplainnone", mx=PLAIN, mail=OPEN, known=()),
    Case("mxbogus", "3 1 1 leaf", mx=BOGUS),
    Case("many", *MANY, "3 1 1 leaf", mail=ALL),
    Case("thousand", *(f"3 1 1 {i:064x}" for i in range(1, 1001))),
    Case("long", "3 0 0 " + "ab" * 60000, "3 1 1 leaf", mail=ALL),
    Case("notls", "3 1 1 leaf", has_tls=False),
    Case("notlsnone", mail=OPEN, known=(), has_tls=False),
]

# Transports of a site: what stands with them in master.cf.
OPTIONS = {
    "out": {},
    "may": {"smtp_tls_dane_insecure_mx_policy": "may"},
    "encrypt": {"smtp_tls_dane_insecure_mx_policy": "encrypt"},
    "login": {"smtp_sasl_auth_enable": "yes",
              "smtp_sasl_password_maps": "static:user:secret",
              "smtp_sasl_security_options": "",
              "smtp_sasl_tls_security_options": ""},
}
LOGGED_IN = """ee311 taname mismatch usage01 none plainhost mxgood mxplain
notlsnone""".split()

MAIN = {
    "inet_protocols": "ipv4", "smtp_host_lookup": "dns",
    "smtp_dns_support_level": "dnssec", "dnssec_probe": f"soa:{SIGNED}",
    "smtp_sasl_auth_enable": "no", "smtp_tls_security_level": "none",
    "smtp_tls_dane_insecure_mx_policy": "dane", "smtp_tls_loglevel": "1",
    "smtp_tls_mandatory_protocols": ">=TLSv1",
    "minimal_backoff_time": "1h", "maximal_backoff_time": "1h",
    "queue_run_delay": "1h", "smtp_connection_cache_on_demand": "no",
}


def der(path, key=False):
    args = ["openssl", "x509", "-in", path, "-outform", "DER"]
    if key:
        args = ["sh", "-c", 'openssl x509 -in "$0" -noout -pubkey | '
                "openssl pkey -pubin -outform DER", path]
    return subprocess.run(args, check=True, capture_output=True).stdout


def tlsa(zoo, kind, record):
    """Data of a TLSA record, as a zone has it."""
    usage, selector, matching, what = record.split()
    head = f"{usage} {selector} {matching} "
    if what in ("wrong", "short"):
        n = {"short": 2, "wrong": 64 if matching == "2" else 32}[what]
        return head + "ab" * n
    if what not in ("leaf", "mid", "root", "other"):
        return head + what
    authority = zoo.authority
    path = {"root": authority.root[0], "other": authority.other[0],
            "leaf": authority.of(kind)[0]}.get(what) or \
        authority.mids[kind.name]
    octets = der(path, selector == "1")
    digest = {"1": hashlib.sha256, "2": hashlib.sha512}.get(matching)
    return head + (digest(octets).hexdigest() if digest else octets.hex())


@outside
def test_dane_beside_smtp(base):
    """All that follows, in a name space with a resolv.conf of its own."""
    run_again(__file__, base, "-x", timeout=1200)


class Site:
    """The zones, their servers, and the mail servers of some cases."""

    def __init__(self, base, authority, cases, levels=LEVELS, validates=True):
        self.base, self.cases = base, cases
        self.zoo = Zoo(authority, [c.kind for c in cases], levels)
        self.authority = dnssec.Authority(base, SERVER, self.records())
        self.authority.start()
        self.resolver = dnssec.Resolver(base, RESOLVER, self.authority,
                                        validates)
        self.resolver.start()
        with open("/etc/resolv.conf", "w", encoding="ascii") as f:
            f.write(f"nameserver {RESOLVER}\noptions timeout:5 attempts:3\n")

    def records(self):
        lines = {zone: {} for zone in dnssec.ZONES}
        # a host without records goes before one that has some
        for preference, host in ((10, "none"), (20, "ee311")):
            lines[SIGNED][f"mx-pair.{SIGNED}. 1 IN MX {preference} "
                          f"{host}.{SIGNED}."] = None
        for c in self.cases:
            for (name, _), port in self.zoo.ports.items():
                if name == c.name:
                    for zone, line in c.zone_lines(self.zoo, port, tlsa):
                        lines[zone][line] = None
            if c.tlsa_alias == f"shared.{SIGNED}":
                lines[SIGNED][f"{c.tlsa_alias}. 1 IN TLSA " + tlsa(
                    self.zoo, c.kind, "3 1 1 leaf")] = None
        return {zone: list(found) for zone, found in lines.items()}

    def destroy(self):
        self.zoo.close()
        self.resolver.destroy()
        self.authority.destroy()

    def origin(self, started, base, agent, *more, **settings):
        """more: other transports than "out", see OPTIONS."""
        os.makedirs(base, exist_ok=True)
        os.chmod(base, 0o755)
        o = Postfix(base, agent)
        names = ["out", *more]
        if agent == "lane" and "login" in names:
            o.agent(agent, "wrapped", "class=fast", {
                "smtp_tls_security_level": "dane", "lane_tls_wrappermode_ports":
                    self.zoo.ports["ee311", "dane"]})
        for name in names:
            o.agent(agent, name, "class=fast", {
                "lane_connection_limit": 100, "lane_chunking": "no",
                "lane_account_connection_limit": 100, **OPTIONS[name]})
        hops = {(c.name, level): c.nexthop(self.zoo.ports[c.name, level])
                for c in self.cases for level in self.levels()}
        main = {**MAIN, **settings}
        if agent == "lane":
            main.setdefault("smtp_tls_dane_resolver", RESOLVER)
        o.set(transport_maps=o.map("transport", {
            f"{name}-{level}.{transport}.example": f"{transport}:{hop}"
            for (name, level), hop in hops.items() for transport in names}),
            smtp_tls_policy_maps=o.map("policy", {
                hop: level for (_, level), hop in hops.items()}), **main)
        started(o)
        return o

    def levels(self):
        return sorted({level for _, level in self.zoo.ports})

    def submit(self, o, cases, transport="out", tag="m"):
        """{"case-level": delivery} of one message to each."""
        cells = [f"r@{c.name}-{level}.{transport}.example"
                 for c in cases for level in self.levels()]

        def seen():
            return [d for d in o.log.deliveries() if d.to in cells]
        before = len(seen())
        o.inject([messages.make(f"{tag}{i}", "from@sender.example",
                                cells[i:i + 40], b"x\r\n")
                  for i in range(0, len(cells), 40)])
        wait_until(lambda: len(seen()) >= before + len(cells), 300,
                   f"{len(cells)} outcomes")
        return {d.to[2:].partition(".")[0]: d for d in seen()[before:]}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def site(base, authority):
    made = []

    def make(cases, **options):
        made.append(Site(base, authority, cases, **options))
        return made[-1]
    yield make
    for one in made:
        one.destroy()


def wanted(cases, of):
    return {(c.name, level) for c in cases for level in getattr(c, of)}


# One of each sort but for those that a lane tries for ten seconds and more,
# bogus ones; POSTLANE_LONG=1 takes all.
FEW = """ee311 ta211 taname tapart mismatch rollover agility usage01 none plainhost
aliasout mxgood mxplain notls notlsnone""".split()


@inside
def test_who_gets_the_mail_and_the_password(base, site, started):
    """And by each smtp_tls_dane_insecure_mx_policy. No password goes to one
    who is not proven: opportunistic is no way for it."""
    cases = CASES if os.environ.get("POSTLANE_LONG") == "1" else [
        c for c in CASES if c.name in FEW]
    [bogus] = (c for c in CASES if c.name == "bogustlsa")
    s = site([*cases, *(() if bogus in cases else (bogus,))])
    by_mx = [c for c in cases if c.name.startswith("mxplain")]
    got = {}
    for agent in ("smtp", "lane"):
        o = s.origin(started, os.path.join(base, agent), agent, "may",
                     "encrypt", *["login"] * (agent == "lane"))
        for policy in ("may", "encrypt"):
            s.zoo.mail.clear()
            s.submit(o, by_mx, policy)
            assert not o.log.lines("Verified TLS connection")
            assert s.zoo.mail == {(c.name, "dane") for c in by_mx}, agent
        s.zoo.mail.clear()
        said = s.submit(o, cases)
        got[agent] = set(s.zoo.mail)
        for name, level in sorted(wanted(cases, "mail") ^ got[agent]):
            print(agent, said[f"{name}-{level}"])
        for c in cases:
            for level in LEVELS:
                d = said[f"{c.name}-{level}"]
                assert d.status == ("sent" if (c.name, level) in got[agent]
                                    else "deferred"), d
        verified = {
            port for port in s.zoo.ports.values()
            if o.log.lines(rf"Verified TLS connection established to "
                           rf"\S+:{port}:")}
        assert verified == {s.zoo.ports[cell]
                            for cell in wanted(cases, "known")}, agent
    assert got["smtp"] == got["lane"] == wanted(cases, "mail")
    s.zoo.mail.clear()
    some = [c for c in cases if c.name in LOGGED_IN]
    said = s.submit(o, some, "login")
    assert s.zoo.logins == s.zoo.mail == wanted(some, "known")
    for c in some:
        if "dane" in c.mail - c.known:
            d = said[f"{c.name}-dane"]
            assert "no login is sent to " in d.reason and d.relay == "none"
    probe_tells_what_was_found(s, o)
    host_after_host_is_tried(s, o)
    doctor_looks_at_the_resolver(s, o)


def probe_tells_what_was_found(s, o):
    """Of these cases: what it comes to, records, whether one matches."""
    for name, comes_to, records, text in (
            ("ee311", "dane", 1, "the server fits a TLSA record"),
            ("rollover", "dane", 2, " (matches)"),
            ("mismatch", "dane", 1, "Server certificate not verified"),
            ("usage01", "encrypt", 0, "TLSA records unusable"),
            ("mxplain", "halfdane", 1, "level halfdane: the server fits"),
            ("none", "may", 0, "no TLSA records found"),
            ("bogustlsa", "dane", 0, "TLSA lookup error for bogustlsa.")):
        [case] = (c for c in s.cases if c.name == name)
        hop = case.nexthop(s.zoo.ports[name, "dane"])
        told = o.postlane("probe", "out", hop).stdout
        dane = json.loads(o.postlane("-j", "probe", "out", hop).stdout)["dane"]
        assert (dane["level"], dane["comes_to"]) == ("dane", comes_to), dane
        assert len(dane["records"]) == records and text in told, told
        assert (dane["matched"] in dane["records"]) == (
            records > 0 and name != "mismatch"), dane


def host_after_host_is_tried(s, o):
    """What TLS before the greeting lacks at one may be there at the next."""
    hop = f"mx-pair.{SIGNED}:{s.zoo.ports['ee311', 'dane']}"
    one, two = json.loads(
        o.postlane("-j", "probe", "wrapped", hop).stdout)["tried"]
    assert (one["host"], two["host"]) == (f"none.{SIGNED}", f"ee311.{SIGNED}")
    assert "lane_tls_wrappermode_ports has this port" in one["failed"]
    assert "handshake" in two["failed"]


def doctor_looks_at_the_resolver(s, o):
    def texts():
        return [f["text"] for f in json.loads(
            o.postlane("-j", "doctor").stdout)["findings"]
            if f["code"] == "DANE-RESOLVER" and f["lane"] == "out"]
    assert not texts()
    s.resolver.stop()
    [text] = texts()
    assert f"{RESOLVER}: no answer to" in text
    s.resolver.validates = False
    s.resolver.start()
    [text] = texts()
    assert f"{RESOLVER}: does not validate its answer to" in text


@inside
@pytest.mark.skipif(os.environ.get("POSTLANE_LONG") != "1", reason="long")
def test_while_it_runs(base, site, started):
    """Other records than the certificate's; a resolver that is gone, and one
    that validates no more: mail waits, and none goes in clear text."""
    case = Case("host", "3 1 1 leaf", mail=ALL)
    s = site([case], levels=["dane"])
    o = s.origin(started, os.path.join(base, "lane"), "lane",
                 lane_connection_idle_limit="1s")
    right = s.records()[SIGNED]
    wrong = [line.replace(line.split()[-1], "ab" * 32)
             if " TLSA " in line else line for line in right]
    count = 0

    def comes_to(status, text=""):
        """For one message after the other: records are kept for a second,
        and what is not validated is believed for a minute."""
        nonlocal count
        wait_until(lambda: not s.zoo.open, 100, "the session's end")
        count += 1
        d = s.submit(o, [case], tag=f"m{count}-")["host-dane"]
        return d.status == status and text in d.reason

    assert comes_to("sent")
    wait_until(lambda: comes_to("sent") and o.log.lines(
        "Verified TLS connection reused"), 200, "a session that is resumed")
    s.authority.change(SIGNED, wrong)
    wait_until(lambda: comes_to("deferred", "not verified"), 200, "refused")
    s.authority.change(SIGNED, right)
    wait_until(lambda: comes_to("sent"), 200, "taken again")
    s.resolver.stop()
    wait_until(lambda: comes_to("deferred"), 200, "nobody answers")
    s.resolver.validates = False
    s.resolver.start()
    wait_until(lambda: comes_to(
        "deferred", "DNSSEC validation is not available"), 200, "no proof")
    s.resolver.stop()
    s.resolver.validates = True
    s.resolver.start()
    wait_until(lambda: comes_to("sent"), 200, "back")
    assert not s.zoo.clear
