"""Levels of TLS against servers with some thirty certificates and protocols,
beside smtp(8): who gets the mail, and who the password."""
import os
import ssl

from harness import messages
from harness.postfix import Postfix
from harness.tlszoo import Authority, Kind, Zoo
from harness.wait import wait_until

LEVELS = ["none", "may", "encrypt", "fingerprint", "verify", "secure"]
V10, V11, V12, V13 = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1,
                      ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
UP_TO_12 = (V10, V12)

KINDS = [
    Kind("good"),
    Kind("rsa1024", {"bits": 1024}),
    Kind("rsa768", {"bits": 768}, versions=UP_TO_12),
    Kind("rsa512", {"bits": 512}, versions=UP_TO_12),
    Kind("md5", {"md": "md5"}),
    Kind("sha1", {"md": "sha1"}),
    Kind("expired", {"dates": ("20200101000000Z", "20200201000000Z")}),
    Kind("notyet", {"dates": ("20400101000000Z", "20400201000000Z")}),
    Kind("wrongname", {"alt": "DNS:other.example"}),
    Kind("namelessalt", {"alt": "email:a@localhost", "subject": "localhost"}),
    Kind("commonname", {"alt": "", "subject": "localhost"}),
    Kind("addressonly", {"alt": "IP:127.0.0.1"}),
    Kind("selfsigned", {"signer": "self", "subject": "localhost"}),
    Kind("otherca", {"signer": "other"}),
    Kind("clientuse", {"usage": "clientAuth"}),
    Kind("caleaf", {"ca": True}),
    Kind("wildone", {"alt": "DNS:*.a.example"}, match="x.a.example"),
    Kind("wilddeep", {"alt": "DNS:*.a.example"}, match="x.deep.a.example"),
    Kind("wildbare", {"alt": "DNS:*.a.example"}, match="a.example"),
    Kind("wildpart", {"alt": "DNS:x*.a.example"}, match="xy.a.example"),
    Kind("wilddot", {"alt": "DNS:x.a.example"}, match=".a.example"),
    Kind("wildtop", {"alt": "DNS:*.example"}, match="a.example"),
    Kind("digest", digest=":".join(["AA"] * 32)),
    Kind("chain1", chain=({},)),
    Kind("chain1hidden", chain=({},), hide_chain=True),
    Kind("chain2", chain=({}, {})),
    Kind("chain3", chain=({}, {}, {})),
    Kind("chain4", chain=({}, {}, {}, {})),
    Kind("chainold", chain=({"dates": ("20200101000000Z",
                                       "20200201000000Z")},)),
    Kind("chain768", chain=({"bits": 768},), versions=UP_TO_12),
    Kind("chainsha1", chain=({"md": "sha1"},)),
    Kind("tls10", versions=(V10, V10)),
    Kind("tls11", versions=(V11, V11)),
    Kind("tls12", versions=(V12, V12)),
    Kind("tls13", versions=(V13, V13)),
    Kind("curve384", versions=(V13, V13), curve="secp384r1"),
    Kind("curve521", versions=(V13, V13), curve="secp521r1"),
    Kind("listed", versions=UP_TO_12, ciphers="ECDHE-RSA-AES256-GCM-SHA384"),
    Kind("unlisted", versions=UP_TO_12, ciphers="AES128-SHA"),
    Kind("anonymous", versions=UP_TO_12, ciphers="aNULL"),
    Kind("taroot", anchors=("root",)),
    Kind("tarootkey", anchors=("rootkey",)),
    Kind("taleaf", anchors=("leaf",)),
    Kind("taleafkey", anchors=("leafkey",)),
    Kind("taother", anchors=("other",)),
    Kind("taboth", {"signer": "other"}, anchors=("root", "other")),
    Kind("taself", {"signer": "self", "subject": "localhost"},
         anchors=("leaf",)),
    Kind("taselfkey", {"signer": "self", "subject": "localhost"},
         anchors=("leafkey",)),
    Kind("taold", {"dates": ("20200101000000Z", "20200201000000Z")},
         anchors=("leaf",)),
    Kind("taoldroot", {"dates": ("20200101000000Z", "20200201000000Z")},
         anchors=("root",)),
    Kind("tawrongname", {"alt": "DNS:other.example"}, anchors=("leaf",)),
    Kind("taweak", {"bits": 512}, versions=UP_TO_12, anchors=("leaf",)),
    Kind("tamid", chain=({}, {}), anchors=("mid",)),
    Kind("tamidkey", chain=({}, {}), anchors=("midkey",)),
    Kind("tamidhidden", chain=({},), hide_chain=True, anchors=("mid",)),
    Kind("tahiddenkey", chain=({},), hide_chain=True, anchors=("midkey",)),
    Kind("tamidold", chain=({"dates": ("20200101000000Z",
                                       "20200201000000Z")},),
         anchors=("leaf",)),
    Kind("tadeep", chain=({}, {}, {}, {}), anchors=("root",)),
]

# One of each sort; POSTLANE_LONG=1 takes all.
FEW = """good rsa768 sha1 expired wrongname selfsigned wilddeep digest chain4
tls11 curve384 unlisted taother taself""".split()

MAIN = {
    "inet_protocols": "ipv4",
    "smtp_host_lookup": "native",
    "smtp_sasl_auth_enable": "yes",
    "smtp_sasl_password_maps": "static:user:secret",
    "smtp_sasl_security_options": "noanonymous",
    "smtp_sasl_tls_security_options": "noanonymous",
    "smtp_tls_fingerprint_digest": "sha256",
    "smtp_tls_mandatory_protocols": ">=TLSv1",
    "smtp_tls_scert_verifydepth": "2",
    "tls_eecdh_auto_curves": "X25519 prime256v1 secp521r1",
    "tls_medium_cipherlist":
        "aNULL:-aNULL:HIGH:MEDIUM:!AES128-SHA:+RC4:@STRENGTH",
    "minimal_backoff_time": "1h", "maximal_backoff_time": "1h",
    "queue_run_delay": "1h",
}


def policy(zoo, kind, level):
    text = matches(zoo, kind, level)
    if kind.anchors and level in ("verify", "secure"):
        text += f" tafile={zoo.authority.tafiles[kind.name]}"
    return text


def matches(zoo, kind, level):
    if level == "fingerprint":
        return f"fingerprint match={zoo.digests[kind.name]}"
    if level in ("verify", "secure") and kind.match:
        return f"{level} match={kind.match}"
    return f"{level} match=localhost" if level == "secure" else level


def run(base, started, agent, authority, kinds):
    zoo = Zoo(authority, kinds, LEVELS)
    origin = Postfix(base, agent)
    origin.agent(agent, "out", "class=fast", {
        "lane_connection_limit": 100, "lane_account_connection_limit": 100,
        "lane_chunking": "no"})
    cells = [(k, level) for k in kinds for level in LEVELS]
    nexthops = {(k.name, level): f"[localhost]:{zoo.ports[k.name, level]}"
                for k, level in cells}
    routes = origin.map(
        "transport", {f"{k}-{level}.cell.example": f"out:{hop}"
                      for (k, level), hop in nexthops.items()})
    origin.set(
        smtp_tls_CAfile=authority.pem, transport_maps=routes,
        smtp_tls_policy_maps=origin.map("policy", {
            nexthops[k.name, level]: policy(zoo, k, level)
            for k, level in cells}), **MAIN)
    started(origin)
    origin.inject([messages.make(
        f"m{i}", "from@sender.example",
        [f"r@{k.name}-{level}.cell.example" for k, level in
         cells[i:i + 40]], b"x\r\n") for i in range(0, len(cells), 40)])

    def judged():
        return {d.to for d in origin.log.deliveries()
                if d.to.endswith(".cell.example")}
    wait_until(lambda: len(judged()) == len(cells), 240,
               f"{len(cells)} outcomes of {agent}")
    zoo.close()
    return zoo


def test_no_server_gets_what_smtp_keeps_from_it(base, started):
    authority = Authority(f"{base}/zoo")
    kinds = [k for k in KINDS if k.name in FEW or os.getenv("POSTLANE_LONG")]
    theirs = run(base, started, "smtp", authority, kinds)
    ours = run(base, started, "lane", authority, kinds)
    strict = theirs.mail - ours.mail
    table = [f"{k.name:13}" + "".join(
        f" {level}:" + "/".join(
            ("mail" if (k.name, level) in zoo.mail else "-") +
            ("+login" if (k.name, level) in zoo.logins else "")
            for zoo in (theirs, ours)) for level in LEVELS) for k in kinds]
    print("\n".join(table))
    print("stricter:", sorted(strict))
    assert ours.mail - theirs.mail == set(), "\n".join(table)
    assert ours.logins - theirs.logins == set(), "\n".join(table)
    # Levels that ask for no certificate, and good ones, are not in the way.
    assert {c for c in strict if c[1] in ("verify", "secure",
                                          "fingerprint")} == set()
    assert ("good", "secure") in ours.mail
    assert len(ours.mail) > len(kinds)
