"""Content and envelope that are changed on their way out, as smtp(8) does it.

One queue file goes by lane and by smtp(8) to one simulator; sender, recipients,
parameters and all octets must be equal.
"""
import os
import re
import socket
import threading

import pytest

from harness import messages
from harness.sidebyside import Both

pytestmark = pytest.mark.sanitized

# Addresses are not completed before the queue.
PLAIN = {"local_header_rewrite_clients": "", "header_size_limit": "150000"}

ADDRESSES = b"""\
From: "Doe, John" <john@in.example> (the boss)
Sender: plain@in.example
Reply-To: john+ext@in.example, "a b"@in.example,
 <@relay.example:john@in.example>
To: undisclosed: john@in.example, Jane Roe <jane@in.example>;, (note) john@in.example
Cc : one@keep.example, two words@in.example, root, root+x, john@[10.0.0.1]
Bcc: <>
Resent-To: john@IN.EXAMPLE jane@in.example last@in.example
Disposition-Notification-To: <whole@in.example>
Errors-To: bang@in.example, percent@in.example, bare@in.example
Mail-Followup-To: =?utf-8?Q?J=C3=B6rg?= <john@in.example>, J\xc3\xb6rg <john@in.example>
Return-Receipt-To: "quo\\"te" <"quo\\"te"@in.example>, x.y@in.example.
Subject: john@in.example stays
X-Other: john@in.example
Apparently-To: , john@in.example,, ;
Resent-From: john@in.example"""

MANY = b"To: " + b",\n\t".join(b"user%d@in.example" % n for n in range(300))
NAMES = b"Cc: " + b"x" * 150 + b" (" + b"y" * 150 + b") <john@in.example>, " \
    + b"<jane@in.example>"
LONG = b"X-Long: " + b"\n ".join(b"l" * 70 for _ in range(1500))

PARTS = b"""\
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="out(er"; (comment) charset=x
Content-Transfer-Encoding: 8bit
Subject: parts

preamble \xe4
--out(er
Content-Type: text/plain; format=flowed
Content-Transfer-Encoding: 8BIT

gr\xfc\xdfe \nflowed \x00 = tab\t
%s
.dot
--out(er
Content-Type: message/rfc822
Content-Transfer-Encoding: 8bit

From: inner@in.example
Subject: inner
Content-Type: multipart/alternative; boundary=inner

--inner
Content-Type : text/html

<p>
--inner
Content-Transfer-Encoding: quoted-printable

=3D
--inner--
--out(er
Content-Type: multipart/digest; boundary=dig

--dig

To: digested@in.example
Subject: digested

\xff body
--dig--
--out(er
garbage without headers \xe4
--out(er
Content-Type: application/octet-stream
Content-Transfer-Encoding: binary

bin\rary \x01\x7f
--out(er--
epilogue""" % (b"w" * 200)

SIGNED = b"""\
MIME-Version: 1.0
Content-Type: multipart/signed; micalg=pgp-sha256; boundary=sig;
 protocol="application/pgp-signature"

--sig
Content-Type: text/plain; charset=us-ascii

seven bits  \n--sig
Content-Type: application/pgp-signature

-----BEGIN PGP SIGNATURE-----
--sig--"""

MESSAGES = {
    "addresses": ADDRESSES + b"\n\nbody john@in.example",
    "many": MANY + b"\n\nbody",
    "names": NAMES + b"\n\nbody",
    "long": LONG + b"\nFrom: john@in.example\n\nbody",
    "parts": PARTS,
    "signed": SIGNED,
    "no_blank_line": b"Subject: x\nFrom: john@in.example\nnot a header\nTo: y",
    "headers_only": b"Subject: x\nFrom: john@in.example",
    "eight_bit_header": b"Subject: gr\xfc\xdfe\nFrom: \xfc <john@in.example>\n"
                        b"Content-Transfer-Encoding: 8bit\n\n\xfc",
    "nul": b"Subject: a\x00b\nFrom: john@in.example (a\x00b)\n\na\x00b",
    "long_lines": b"Content-Transfer-Encoding: 8bit\n\n" + b"z" * 5000 + b"\n"
                  + b"\xfc" * 5000 + b"\n" + b"\xfc" * 2047 + b"\n" + b".",
    "blanks": b"Content-Transfer-Encoding: 8bit\n\n\xfc \n\xfc\t\n \n"
              + b"a" * 72 + b" \n" + b"a" * 73 + b" \n" + b"=" * 80,
    "base64": b"Content-Transfer-Encoding: base64\n\n"
              + b"QUJD" * 18 + b"\n" + (b"QUJD" * 18 + b"\n") * 30000,
    "deep": b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n"
                     % (n, n) for n in range(60))
            + b"Content-Transfer-Encoding: 8bit\n\n\xfc",
    "global": b"Content-Type: message/global\n"
              b"Content-Transfer-Encoding: 8bit\n\nFrom: \xfc@x\n\n\xfc",
    "type_twice": b"Content-Type: multipart/mixed; boundary=a; boundary=b\n"
                  b"Content-Type: image/png\n\n--b\nSubject: b\n\n--a\n"
                  b"Content-Transfer-Encoding: 8bit\n\n\xfc\n--a--",
}


def table(pair_home, name, text, kind="regexp"):
    path = os.path.join(pair_home, name)
    with open(path, "w", encoding="latin-1") as f:
        f.write(text)
    return f"{kind}:{path}"


def lines_of(pair, agent):
    """What an agent says, each text once and without its queue id. Both have
    the same name in the log: its processes are those that deliver for it."""
    lines = pair.origin.log.parsed()
    pids = {line.pid for line in lines
            if re.search(rf" to=<.*@{agent}\.example>, .* status=", line.text)}
    return {re.sub(r"^[0-9A-Za-z]+: ", "", line.text)
            for line in lines if line.pid in pids}


def run(base, certs, started, main, names=None, sender="john@in.example",
        options=("BODY=8BITMIME",), **upstream):
    pair = Both(base, certs, started, main={**PLAIN, **main}, **upstream)
    for name in names or MESSAGES:
        data = MESSAGES[name].replace(b"\n", b"\r\n") + b"\r\n"
        pair.origin.inject([messages.Message(
            name, sender, ("r@lane.example", "r@smtp.example"), data, "")],
            options=list(options))
    pair.origin.wait_empty()
    return pair


def same(pair, count):
    by_lane, by_smtp = pair.took("lane.example"), pair.took("smtp.example")
    assert len(by_smtp) == count
    for one, other in zip(by_lane, by_smtp):
        # lane sends a bare CR as a blank, see test_octets
        other = other[:-1] + (re.sub(rb"\r(?!\n)", b" ", other[-1]),)
        assert one == other
    assert len(by_lane) == len(by_smtp)
    return by_lane


GENERIC = """\
john@in.example      john.doe@out.example
jane@in.example      @jane.example
plain@in.example     "p l"@out.example
whole@in.example     Whole Name <whole@out.example>
bang@in.example      host!user
percent@in.example   user%host
bare@in.example      bare
"a b"@in.example     a_b@out.example
root                 super@out.example
r@lane.example       s@lane.example
r@smtp.example       s@smtp.example
x.y@in.example.      z@out.example
@in.example          @out.example
"""


@pytest.mark.parametrize("main", [
    {}, {"recipient_delimiter": "+",
         "propagate_unmatched_extensions": "canonical, generic",
         "append_dot_mydomain": "yes", "mydomain": "my.example"},
    {"recipient_delimiter": "+-", "swap_bangpath": "no",
     "append_at_myorigin": "no", "allow_percent_hack": "no",
     "propagate_unmatched_extensions": ""}],
    ids=["plain", "extension", "bare"])
def test_generic_maps(base, certs, started, main):
    maps = table(base, "generic", GENERIC, "texthash")
    pair = run(base, certs, started, {"smtp_generic_maps": maps, **main})
    taken = same(pair, len(MESSAGES))
    assert all(entry[0] == "john.doe@out.example" for entry in taken)
    assert {e.recipients[0] for e in pair.upstream.ledger()} == {
        "s@lane.example", "s@smtp.example"}
    contents = [entry[-1] for entry in taken]
    assert any(b'"Doe, John" <john.doe@out.example>(the boss)' in c
               and b"X-Other: john@in.example" in c for c in contents)


def test_generic_maps_of_patterns(base, certs, started):
    """Parts of addresses are not looked for in them; extensions neither."""
    maps = table(base, "generic", r"/^(.*)@in\.example$/ $1.x@out.example"
                 "\n/^john$/ wrong@out.example\n/^@/ wrong@out.example\n")
    pair = run(base, certs, started, {
        "smtp_generic_maps": maps, "recipient_delimiter": "+"},
        sender="john+ext@in.example")
    taken = same(pair, len(MESSAGES))
    assert {entry[0] for entry in taken} == {"john+ext.x@out.example"}


def test_generic_maps_that_only_proxymap_can_ask(base, certs, started):
    """Parts of addresses are looked for in them, and tables of mydestination
    are asked likewise."""
    maps = [f"unionmap:{{{table(base, name, text, 'texthash')}}}"
            for name, text in (("generic", GENERIC),
                               ("own", "own.example  x\n"))]
    pair = run(base, certs, started, {
        "smtp_generic_maps": "proxy:" + maps[0],
        "mydestination": f"sender.example proxy:{maps[1]}",
        "recipient_delimiter": "+", "myorigin": "local.example",
        "proxy_read_maps": f"proxy:{maps[0]} proxy:{maps[1]}"})
    taken = same(pair, len(MESSAGES))
    assert all(entry[0] == "john.doe@out.example" for entry in taken)
    assert any(b'"Doe, John" <john.doe@out.example>(the boss)' in entry[-1]
               for entry in taken)


class SocketMap:
    """Answers NAME KEY with a mapped address, as long as it is told to."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.answers = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self._serve, args=(client,),
                             daemon=True).start()

    def _serve(self, client):
        lines = client.makefile("rb")
        while digits := lines.read(1):
            while not digits.endswith(b":"):
                digits += lines.read(1)
            _, key = lines.read(int(digits[:-1]) + 1)[:-1].split(b" ", 1)
            self.answers.wait()
            user, _, domain = key.partition(b"@")
            reply = b"OK " + user + b"@out.example" \
                if domain == b"in.example" else b"NOTFOUND "
            client.sendall(b"%d:%s," % (len(reply), reply))


def test_mail_waits_for_tables_that_do_not_answer(base, certs, started):
    server = SocketMap()
    maps = f"socketmap:inet:127.0.0.1:{server.port}:x"
    pair = Both(base, certs, started, main={
        **PLAIN, "smtp_generic_maps": maps, "ipc_timeout": "2s",
        "proxy_read_maps": f"proxy:{maps}"})
    pair.origin.inject([messages.Message(
        f"m{n}", "john@in.example", ("r@lane.example",),
        b"To: jane@in.example\r\n\r\nx\r\n", "") for n in range(5)])
    pair.origin.log.wait(r"dsn=4.3.0, status=deferred \(smtp_generic_maps",
                         count=5)
    pair.origin.log.wait(r"smtp_generic_maps: table socketmap:.*timed out")
    assert not pair.upstream.ledger()
    server.answers.set()
    pair.origin.wait_empty()
    assert {e.sender for e in pair.upstream.ledger()} == {"john@out.example"}
    assert all(b"\r\nTo: jane@out.example\r\n" in b"\r\n" + content
               for content in pair.upstream.contents())


def test_generic_maps_of_no_address_defer(base, certs, started):
    maps = table(base, "generic", "john@in.example  ,\n", "texthash")
    pair = Both(base, certs, started, main={
        **PLAIN, "smtp_generic_maps": maps})
    pair.origin.inject([messages.Message(
        "x", "john@in.example", ("r@lane.example",), b"\r\n", "")])
    pair.origin.log.wait(r"dsn=4.3.0, status=deferred \(smtp_generic_maps")
    assert not pair.upstream.ledger()


HEADER_CHECKS = """\
/^Subject: john@/ REPLACE Subject: changed
/^From: "(Doe)/ PREPEND X-Before: ${1}new
/^Sender:/ STRIP gone
/^X-Other:/ IGNORE
/^Bcc/ WARN watch this
/^Cc: .*\\n/ INFO
/^Errors-To: (.*)/ REPLACE no header
/^Apparently-To:/ REPLACE
/^Resent-From: (.*)/ REPLACE RESENT-FROM: $1, two@in.example
/^Reply-To:/ HOLD
/^MIME-Version/ REPLACE X-Wrong: table
/^Subject: inner/ REPLACE X-Wrong: table
/^X-Long/ REPLACE X-Short: header
/^Return-Receipt-To/ PREPEND no header
/^Disposition/ DUNNO
"""
MIME_CHECKS = """\
/^MIME-Version: (.*)/ REPLACE Mime-Version: $1
/^Content-Type: text\\/html/ PREPEND X-Html: yes
/^Content-Type: multipart\\/signed/ WARN signed
/quoted-printable/ INFO
"""
NESTED_CHECKS = "/^Subject: (inner|digested)/ REPLACE Subject: nested $1\n"
BODY_CHECKS = """\
/^preamble/ REPLACE preface
/^dot/ STRIP
/^=3D/ IGNORE
/^zzz/ INFO zs
/^seven/ PREPEND eight
/^<p>/ REPLACE
/^body/ REJECT no
/^--sig$/ WARN boundary
/^not a header/ REPLACE a line
"""


LOGGED = re.compile(r"((?:replace|prepend|strip|warning|info): (?:header|body)) "
                    r"(.*)|bad |unsupported|.* action without")


def actions(pair, agent):
    """What an agent says of checks: of the text that was found, smtp(8) shows
    60 octets up to 3.9, 200 later; lane always 200."""
    found = []
    for line in lines_of(pair, agent):
        action = LOGGED.match(line)
        if action:
            found.append(line if not action.group(1) else
                         (action.group(1), action.group(2)[:60]))
    return sorted(found, key=str)


def checks(base):
    return {"smtp_header_checks": table(base, "header", HEADER_CHECKS),
            "smtp_mime_header_checks": table(base, "mime", MIME_CHECKS),
            "smtp_nested_header_checks": table(base, "nested", NESTED_CHECKS),
            "smtp_body_checks": table(base, "body", BODY_CHECKS)}


@pytest.mark.parametrize("with_maps", [False, True])
def test_checks(base, certs, started, with_maps):
    main = checks(base)
    if with_maps:
        main["smtp_generic_maps"] = table(base, "generic", GENERIC, "texthash")
    pair = run(base, certs, started, main)
    taken = same(pair, len(MESSAGES))
    contents = b"".join(entry[-1] for entry in taken)
    for text in (b"Subject: changed", b"X-Before: Doenew", b"preface",
                 b"Subject: nested inner", b"Mime-Version: 1.0", b"eight\r\n"):
        assert b"\r\n" + text in contents or contents.startswith(text), text
    assert b"X-Wrong" not in contents and b"Sender: plain" not in contents
    said = [actions(pair, agent) for agent in ("lane", "smtp")]
    assert len(said[0]) > 10
    assert said[0] == said[1]


@pytest.mark.parametrize("name", ["header", "body"])
def test_a_check_that_fails_defers(base, certs, started, name):
    """A pattern that is given up as too expensive."""
    rules = table(base, "slow", "/^Slow: (a+)+$/ IGNORE\n", "pcre")
    pair = Both(base, certs, started, main={
        **PLAIN, f"smtp_{name}_checks": rules})
    line = b"Slow: " + b"a" * 60 + b"b\r\n"
    data = line + b"\r\n" if name == "header" else b"\r\n" + line
    pair.origin.inject([messages.Message(
        "x", "a@in.example", ("r@lane.example",), data, "")])
    pair.origin.log.wait(rf"smtp {name} checks lookup error")
    pair.origin.log.wait(r"dsn=4.3.0, status=deferred \(local data error while "
                         r"talking to 127.0.0.1\[127.0.0.1\]\)")
    assert not pair.upstream.ledger()


SMALL = {"no_8bitmime": True, "no_smtputf8": True}


@pytest.mark.parametrize("offer", [{}, {"no_chunking": True}],
                         ids=["bdat", "data"])
def test_a_server_without_8bitmime_gets_seven_bits(
        base, certs, started, offer):
    pair = run(base, certs, started, {}, **SMALL, **offer)
    taken = same(pair, len(MESSAGES))
    assert all(not entry[1] for entry in taken)     # no SIZE
    contents = [entry[-1] for entry in taken]
    assert any(b"=FC=FC" in c for c in contents)
    sent = SIGNED.replace(b"\n", b"\r\n") + b"\r\n"
    assert any(c.endswith(sent) for c in contents)


def test_conversion_beside_checks_and_maps(base, certs, started):
    main = checks(base)
    main["smtp_generic_maps"] = table(base, "generic", GENERIC, "texthash")
    same(run(base, certs, started, main, **SMALL), len(MESSAGES))


def test_a_header_that_became_another_one(base, certs, started):
    """smtp(8) would take the former name's length for the new one's."""
    rules = table(base, "header", """\
/^Sender: (.*)/ REPLACE X-Sender: $1
/^Resent-From: (.*)/ REPLACE To: $1
/^X-Other: (.*)/ REPLACE Cc: $1
""")
    pair = Both(base, certs, started, main={
        **PLAIN, "smtp_header_checks": rules, "smtp_generic_maps": table(
            base, "generic", GENERIC, "texthash")})
    head = ("Sender: john@in.example", "Resent-From: john@in.example",
            "X-Other: john@in.example")
    pair.origin.inject([messages.make(
        "x", "a@sender.example", ("r@lane.example",), b"", head)])
    pair.origin.wait_empty()
    (taken,) = pair.took("lane.example")
    for line in (b"X-Sender: john@in.example", b"To: john.doe@out.example",
                 b"Cc: john@in.example"):
        assert b"\r\n" + line + b"\r\n" in b"\r\n" + taken[-1]


def test_conversion_can_be_switched_off(base, certs, started):
    pair = run(base, certs, started, {"disable_mime_output_conversion": "yes"},
               **SMALL)
    taken = same(pair, len(MESSAGES))
    assert all(entry[1].startswith("SIZE=") for entry in taken)
    assert any(b"\xfc\xfc" in entry[-1] for entry in taken)


def test_what_says_it_is_7bit_is_not_converted(base, certs, started):
    pair = run(base, certs, started, {}, options=("BODY=7BIT",), **SMALL)
    taken = same(pair, len(MESSAGES))
    assert any(entry[1].startswith("SIZE=") for entry in taken)


def test_parts_too_deep_to_convert_bounce(base, certs, started):
    pair = run(base, certs, started, {"mime_nesting_limit": "20"}, ["deep"],
               sender="a@sender.example", **SMALL)
    assert not pair.took("lane.example") and not pair.took("smtp.example")
    said = [re.search(r"dsn=.*", line).group()
            for agent in ("lane", "smtp") for line in lines_of(pair, agent)
            if "status=" in line]
    assert said == ["dsn=5.6.0, status=bounced "
                    "(MIME nesting exceeds safety limit)"] * 2
