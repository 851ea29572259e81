"""Servers that send their public key alone (RFC 7250), beside smtp(8)."""
import hashlib
import subprocess

import pytest

from harness import messages
from harness.upstream import PostfixSmarthost


def release():
    """(3, 7) of the installed Postfix."""
    said = subprocess.run(["postconf", "-dh", "mail_version"], text=True,
                          check=True, capture_output=True).stdout
    return tuple(int(n) for n in said.split("-")[0].split(".")[:2])


pytestmark = pytest.mark.skipif(
    release() < (3, 9), reason="Postfix 3.9 and OpenSSL 3.2 have them")

# level, what it is asked for: what smtp(8) calls the connection, and whether
# a key is enough
CASES = {
    "may": ("may", "yes", "Untrusted", True),
    "not asked for": ("encrypt", "no", "Trusted", False),
    "encrypt": ("encrypt", "yes", "Untrusted", True),
    "fingerprint": ("fingerprint match={digest}", "yes", "Verified", True),
    "another key": ("fingerprint match=00:11", "yes", "Untrusted", True),
    "names": ("verify match=smarthost.example", "yes", "Verified", False),
}


def key_digest(pair):
    der = subprocess.run(
        ["openssl", "pkey", "-in", pair.key, "-pubout", "-outform", "DER"],
        check=True, capture_output=True).stdout
    return ":".join(f"{octet:02X}" for octet in hashlib.sha256(der).digest())


@pytest.mark.parametrize("case", CASES)
def test_key_alone_is_taken_as_by_smtp(
        base, certs, origin, started, agent, case):
    policy, asked, word, is_key = CASES[case]
    host = started(PostfixSmarthost(base, certs, smtpd_tls_enable_rpk="yes"))
    origin.agent(agent, "fast", "class=fast")
    origin.relay_to(host, transport="fast")
    origin.set(
        smtp_tls_enable_rpk=asked, smtp_tls_loglevel="1",
        smtp_tls_fingerprint_digest="sha256",
        smtp_tls_policy_maps=origin.map("policies", {
            f"[127.0.0.1]:{host.port}": policy.format(
                digest=key_digest(certs.good))}))
    started(origin)
    sent = messages.generate(2)
    origin.inject(sent)
    line = origin.log.wait("TLS connection established")[0]
    assert f"{word} TLS connection established to" in line, line
    assert ("raw public key" in line) == is_key, line
    if case == "another key":
        origin.log.wait("status=deferred.*Server certificate not verified")
        return
    origin.wait_empty()
    host.wait_empty()
    assert messages.compare(sent, host.taken()).is_clean()
