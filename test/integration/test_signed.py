"""Signed mail is still signed when it has gone out.

A signature over what left the queue is verified over what an upstream took:
DKIM (RFC 6376), with bodies that a careless hand would spoil.
"""
import base64
import subprocess

import dkim
import pytest

from harness import messages
from harness.sidebyside import Both

pytestmark = pytest.mark.sanitized

HEAD = b"""\
From: "Doe, John" <john@in.example>
To: r@lane.example, r@smtp.example
Subject: =?utf-8?Q?gr=C3=BC=C3=9Fe?= folded
 over two lines
Message-Id: <%s@in.example>
Date: Thu, 01 Jan 2026 00:00:00 +0000
MIME-Version: 1.0
"""
FLOWED = b"""\
Content-Type: text/plain; charset=us-ascii; format=flowed; delsp=yes

A line that goes on \n> quoted \n
 indented, a dot alone:
.
..two
-- \nsigned
"""
PARTS = b"""\
Content-Type: multipart/mixed; boundary=outer

preamble
--outer
Content-Type: multipart/alternative; boundary="in ner"

--in ner
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

gr=FC=DFe=20
--in ner
Content-Type: text/html

<p>=</p>
--in ner--

--outer
Content-Type: application/octet-stream
Content-Transfer-Encoding: base64

%s
--outer--
"""
EIGHT = b"""\
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

gr\xc3\xbc\xc3\x9fe \xe2\x82\xac
"""
BIG = base64.encodebytes(bytes(range(256)) * 4000)

BODIES = {
    "flowed": FLOWED,
    "parts": PARTS % base64.encodebytes(bytes(range(256))).rstrip(),
    "big": b"Content-Transfer-Encoding: base64\n\n" + BIG,
    "trailing": b"\nends with empty lines\n\n\n",
    "empty": b"\n",
}
SELECTOR, DOMAIN = b"test", b"in.example"


@pytest.fixture(scope="module")
def keys():
    """(private PEM, what the DNS would say)"""
    def openssl(*args, data=None):
        return subprocess.run(["openssl", *args], input=data, check=True,
                              capture_output=True).stdout
    private = openssl("genrsa", "2048")
    public = openssl("rsa", "-pubout", "-outform", "DER", data=private)
    return private, b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)


def signed(keys, name, body, canonicalize):
    data = (HEAD % name.encode() + body).replace(b"\n", b"\r\n")
    signature = dkim.sign(data, SELECTOR, DOMAIN, keys[0],
                          canonicalize=canonicalize)
    return signature + data


def is_good(keys, data):
    return dkim.verify(data, dnsfunc=lambda *_, **__: keys[1])


def send(pair, keys, bodies, options=()):
    """Each body signed in both ways of canonicalization."""
    for name, body in bodies.items():
        for ways in ((b"simple", b"simple"), (b"relaxed", b"relaxed")):
            data = signed(keys, name, body, ways)
            assert is_good(keys, data)
            pair.origin.inject([messages.Message(
                name, "john@in.example", ("r@lane.example", "r@smtp.example"),
                data, "")], options=list(options))
    pair.origin.wait_empty()
    return [[entry[-1] for entry in pair.took(f"{agent}.example")]
            for agent in ("lane", "smtp")]


@pytest.mark.parametrize("offer", [
    {}, {"no_chunking": True}, {"no_8bitmime": True, "no_smtputf8": True}],
    ids=["bdat", "data", "7bit"])
def test_a_signature_is_good_after_delivery(base, certs, started, keys, offer):
    """A server that takes 7 bit only gets what has 7 bit as it is."""
    pair = Both(base, certs, started, **offer)
    by_lane, by_smtp = send(pair, keys, BODIES, ["BODY=8BITMIME"])
    assert len(by_lane) == 2 * len(BODIES)
    assert by_lane == by_smtp
    assert all(is_good(keys, data) for data in by_lane)


def test_eight_bits_stay_signed_where_they_are_taken(
        base, certs, started, keys):
    pair = Both(base, certs, started)
    by_lane, _ = send(pair, keys, {"eight": EIGHT}, ["BODY=8BITMIME"])
    assert len(by_lane) == 2 and all(is_good(keys, d) for d in by_lane)


def test_a_changed_message_does_not_verify(base, certs, started, keys):
    """What the tests above would say if something were wrong."""
    pair = Both(base, certs, started, no_8bitmime=True, no_smtputf8=True)
    by_lane, by_smtp = send(pair, keys, {"eight": EIGHT}, ["BODY=8BITMIME"])
    assert by_lane == by_smtp
    assert not any(is_good(keys, data) for data in by_lane)
    assert all(b"gr=C3=BC" in data for data in by_lane)


def test_checks_of_other_headers_leave_it_good(base, certs, started, keys):
    """Not even the lines of a signed header are folded anew."""
    rules = f"{base}/rules"
    with open(rules, "w", encoding="ascii") as f:
        f.write("/^Received:/ IGNORE\n/^X-None:/ STRIP\n/^Subject:/ INFO\n")
    pair = Both(base, certs, started, main={
        "smtp_header_checks": f"regexp:{rules}",
        "smtp_mime_header_checks": f"regexp:{rules}"})
    by_lane, by_smtp = send(pair, keys, BODIES)
    assert by_lane == by_smtp and len(by_lane) == 2 * len(BODIES)
    assert all(is_good(keys, data) for data in by_lane)
    assert not any(b"Received:" in data for data in by_lane)
