"""The provider simulator and the delay proxy keep their promises.

Everything else is judged by their ledger, statistics and faults, so each of
those is provoked here by a client of the standard library or a bare socket.
"""

import base64
import hashlib
import json
import os
import pathlib
import signal
import smtplib
import socket
import ssl
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("POSTLANE_BUILD", "build")
DEADLINE = 60.0
BODY = b"Subject: hello\r\nX-Lane-Id: id-1\r\n\r\ntext\r\n"


def wait_for(condition, what):
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.005)
    raise AssertionError("waited in vain for " + what)


class Tool:
    """A program that writes a ready file and stops at SIGTERM."""

    def __init__(self, folder, name, *args):
        self.folder = pathlib.Path(folder)
        ready = self.folder / (name + ".ready")
        self.process = subprocess.Popen(
            [str(BUILD / name), "--ready-file", str(ready), *map(str, args)])
        wait_for(lambda: ready.exists() or self.process.poll() is not None,
                 name + " to listen")
        assert self.process.poll() is None
        self.ports = [int(line.rsplit(":", 1)[1])
                      for line in ready.read_text().splitlines()]
        self.port = self.ports[0]

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(DEADLINE)


class Smarthost(Tool):
    def __init__(self, folder, *args, script=None):
        folder = pathlib.Path(folder)
        self.ledger_file = folder / "ledger"
        self.stats_file = folder / "stats"
        self.cert = folder / "cert.pem"
        self.script_file = folder / "script"
        self.transcript = folder / "transcript"
        if script is not None:
            self.script_file.write_text(script)
            args += ("--script", self.script_file)
        super().__init__(
            folder, "smarthost", "--listen", "127.0.0.1:0",
            "--ledger", self.ledger_file, "--stats", self.stats_file,
            "--write-cert", self.cert, "--transcript", self.transcript, *args)

    def flush(self):
        """Ledger and statistics as of now."""
        before = self.stats_file.stat().st_ino
        self.process.send_signal(signal.SIGUSR1)
        wait_for(lambda: self.stats_file.stat().st_ino != before, "stats")

    def stats(self):
        self.flush()
        return json.loads(self.stats_file.read_text())

    def ledger(self):
        self.flush()
        return [line.split("\t") for line in
                self.ledger_file.read_text().splitlines()]

    def tls(self):
        return ssl.create_default_context(cafile=str(self.cert))

    def smtp(self, ehlo=True):
        client = smtplib.SMTP("127.0.0.1", self.port, timeout=DEADLINE)
        if ehlo:
            client.ehlo("client.example")
        return client

    def raw(self, ehlo=True):
        return Raw(self.port, ehlo)


class Raw:
    """A bare socket that reads whole replies."""

    def __init__(self, port, ehlo=True):
        self.sock = socket.create_connection(("127.0.0.1", port), DEADLINE)
        self.pending = b""
        if ehlo:
            assert self.reply()[:3] == "220"
            assert self.ask("EHLO raw.example")[:3] == "250"

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        while b"\n" not in self.pending:
            part = self.sock.recv(65536)
            if not part:
                return ""
            self.pending += part
        line, self.pending = self.pending.split(b"\n", 1)
        return line.decode("latin-1").rstrip("\r")

    def reply(self):
        """The last line of a reply; "" at the end of the connection."""
        while True:
            line = self.line()
            if line[3:4] != "-":
                return line

    def ask(self, command):
        self.send(command + "\r\n")
        return self.reply()

    def codes(self, count):
        return [self.reply()[:3] for _ in range(count)]

    def is_closed(self):
        try:
            return self.pending + self.sock.recv(65536) == b""
        except ConnectionResetError:
            return True


@pytest.fixture
def smarthost(tmp_path):
    started = []

    def start(*args, script=None):
        host = Smarthost(tmp_path, *args, script=script)
        started.append(host)
        return host

    yield start
    for host in started:
        assert host.stop() == 0


def bdat(sender, rcpts, body, reset=False, size=True):
    """One message as a BDAT client pipelines it."""
    text = b"RSET\r\n" if reset else b""
    text += b"MAIL FROM:<%s>" % sender.encode()
    text += b" SIZE=%d\r\n" % len(body) if size else b"\r\n"
    for rcpt in rcpts:
        text += b"RCPT TO:<%s>\r\n" % rcpt.encode()
    return text + b"BDAT %d LAST\r\n" % len(body) + body


# Login, TLS, what is offered

@pytest.mark.parametrize("mech", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_each_mechanism_logs_in_and_refuses_a_wrong_password(smarthost, mech):
    host = smarthost("--user", "me:secret", "--mechs", mech)
    client = host.smtp()
    client.starttls(context=host.tls())
    client.ehlo("client.example")
    with pytest.raises(smtplib.SMTPAuthenticationError) as error:
        client.login("me", "wrong")
    assert error.value.smtp_code == 535
    client.login("me", "secret")
    client.quit()
    stats = host.stats()
    assert (stats["auths"], stats["tls_handshakes"]) == (1, 1)
    assert stats["auth_failures"] >= 1
    assert "secret" not in host.transcript.read_text()


def test_xoauth2_takes_any_token(smarthost):
    host = smarthost("--mechs", "XOAUTH2", "--auth-without-tls")
    token = base64.b64encode(b"user=me\x01auth=Bearer abc\x01\x01").decode()
    assert host.raw().ask("AUTH XOAUTH2 " + token)[:3] == "235"


def test_mail_needs_login_and_auth_needs_tls_when_so_ordered(smarthost):
    host = smarthost("--require-auth")
    client = host.smtp()
    assert not client.has_extn("auth")
    assert client.docmd("AUTH PLAIN AAAA")[0] == 502
    assert client.mail("a@example.com")[0] == 530


def test_implicit_tls_resumes_a_session(smarthost):
    host = smarthost("--listen-tls", "127.0.0.1:0")
    context, session = host.tls(), None
    for _ in range(2):
        sock = socket.create_connection(("127.0.0.1", host.ports[1]), DEADLINE)
        tls = context.wrap_socket(sock, server_hostname="localhost",
                                  session=session)
        assert tls.recv(100)[:3] == b"220"
        session = tls.session
        tls.close()
    stats = host.stats()
    assert (stats["tls_handshakes"], stats["tls_resumed"]) == (2, 1)


@pytest.mark.parametrize("option,keyword", [
    ("--no-starttls", "STARTTLS"), ("--no-pipelining", "PIPELINING"),
    ("--no-chunking", "CHUNKING"), ("--no-size", "SIZE"),
    ("--no-8bitmime", "8BITMIME"), ("--no-smtputf8", "SMTPUTF8"),
    ("--no-dsn", "DSN"), ("--no-enhanced", "ENHANCEDSTATUSCODES")])
def test_what_is_switched_off_is_not_offered(smarthost, option, keyword):
    client = smarthost(option).smtp()
    offered = ["STARTTLS", "PIPELINING", "CHUNKING", "SIZE", "8BITMIME",
               "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"]
    for word in offered:
        assert client.has_extn(word) == (word != keyword)
    code, text = client.mail("a@example.com")
    assert text == (b"Ok" if option == "--no-enhanced" else b"2.1.0 Ok")


def test_a_foreign_certificate_is_used(smarthost, tmp_path):
    cert, key = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=other.example",
         "-addext", "subjectAltName=DNS:other.example",
         "-keyout", key, "-out", cert], check=True, capture_output=True)
    host = smarthost("--cert", cert, "--key", key)
    context = ssl.create_default_context(cafile=str(cert))
    with pytest.raises(ssl.SSLCertVerificationError):
        client = host.smtp()
        client.starttls(context=context)


# Taking mail

def test_ledger_and_store_say_exactly_what_was_taken(smarthost, tmp_path):
    host = smarthost("--store", tmp_path / "store")
    body = (b"X-Lane-Id: q1\r\n\r\n.\r\n..\r\n.x\r\n" +
            b"tab\there\r\n" * 20000 + b"\r\n.")
    client = host.raw()
    client.ask("MAIL FROM:<a@x.example> RET=HDRS ENVID=e+2B1")
    client.ask("RCPT TO:<b@y.example> NOTIFY=NEVER")
    client.ask("RCPT TO:<c@y.example> ORCPT=rfc822;c@y.example")
    assert client.ask("DATA")[:3] == "354"
    stuffed = (b"\r\n" + body).replace(b"\r\n.", b"\r\n..")[2:]
    client.send(stuffed + b"\r\n.\r\n")
    assert client.reply()[:3] == "250"
    body += b"\r\n"
    client.send(bdat("", ["d@z.example"], body))
    assert client.codes(3) == ["250"] * 3
    first, second = host.ledger()
    assert first[1:9] == [
        "1", "1", "a@x.example", "b@y.example,c@y.example",
        "RET=HDRS ENVID=e+2B1", "NOTIFY=NEVER;ORCPT=rfc822;c@y.example",
        str(len(body)), hashlib.sha256(body).hexdigest()]
    assert first[9:11] == ["q1", "DATA"]
    assert first[11] == str(client.sock.getsockname()[1])
    assert second[2:5] == ["2", "", "d@z.example"]
    assert second[8] == first[8] and second[10] == "BDAT"
    for nr in ("1", "2"):
        assert (tmp_path / "store" / (nr + ".eml")).read_bytes() == body
    assert host.stats()["violations"] == 0


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 64])
def test_dots_are_undone_however_the_octets_arrive(smarthost, cut):
    host = smarthost()
    body = b"X-Lane-Id: q\r\n\r\n.\r\n..\r\n.a\r\nb.\r\n\r\n"
    wire = b"".join(
        b"." + line if line.startswith(b".") else line
        for line in body.splitlines(True)) + b".\r\n"
    client = host.raw()
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.ask("MAIL FROM:<a@x.example>")
    client.ask("RCPT TO:<b@y.example>")
    client.ask("DATA")
    for at in range(0, len(wire), cut):
        client.send(wire[at:at + cut])
    assert client.reply()[:3] == "250"
    assert host.ledger()[0][8] == hashlib.sha256(body).hexdigest()
    assert host.stats()["violations"] == 0


def test_bdat_chunks_make_one_message_and_an_empty_last_one_ends_it(smarthost):
    host = smarthost()
    client = host.raw()
    client.send(b"MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nBDAT 10\r\n" +
                BODY[:10] + b"BDAT %d\r\n" % (len(BODY) - 10) + BODY[10:] +
                b"BDAT 0 LAST\r\n")
    assert client.codes(5) == ["250"] * 5
    assert host.ledger()[0][7:9] == [
        str(len(BODY)), hashlib.sha256(BODY).hexdigest()]


def test_a_window_of_fifty_messages_keeps_every_envelope(smarthost):
    host = smarthost()
    client = host.raw()
    client.send(b"".join(
        bdat("s%d@x" % i, ["r%d@y" % i], BODY, reset=True) for i in range(50)))
    assert client.codes(200) == ["250"] * 200
    assert [(row[3], row[4]) for row in host.ledger()] == [
        ("s%d@x" % i, "r%d@y" % i) for i in range(50)]
    stats = host.stats()
    assert stats["rsets"] == 50 and stats["messages_per_connection_max"] == 50
    assert stats["violations"] == 0


def test_too_big_is_refused_at_each_stage(smarthost):
    host = smarthost("--size", 1000)
    client = host.raw()
    big = b"x\r\n" * 400
    assert client.ask("MAIL FROM:<a@x> SIZE=1001")[:3] == "552"
    client.send(bdat("a@x", ["b@y"], big, size=False) +
                bdat("c@x", ["d@y"], BODY))
    assert client.codes(6) == ["250", "250", "552", "250", "250", "250"]
    client.ask("MAIL FROM:<a@x>")
    client.ask("RCPT TO:<b@y>")
    client.ask("DATA")
    assert client.ask(big.decode() + ".")[:3] == "552"
    assert [row[3] for row in host.ledger()] == ["c@x"]


# Limits of the account

def test_one_connection_too_many_gets_421_and_is_counted(smarthost):
    host = smarthost("--max-connections", 2)
    clients = [host.raw(), host.raw()]
    third = host.raw(ehlo=False)
    assert third.reply() == "421 4.4.5 Too many connections"
    assert third.is_closed()
    stats = host.stats()
    assert stats["connections_max"] == 3
    assert stats["connections_refused"] == 1
    clients[0].sock.close()
    wait_for(lambda: host.stats()["connections"] == 1, "the close to be seen")
    assert host.raw()


@pytest.mark.parametrize("option,reply", [
    ("--max-messages", "421"), ("--max-messages-close", "")])
def test_after_its_quota_a_connection_is_ended(smarthost, option, reply):
    host = smarthost(option, 2)
    client = host.raw()
    client.send(b"".join(
        bdat("s%d@x" % i, ["r@y"], BODY, reset=True) for i in range(4)))
    assert client.codes(10) == ["250"] * 8 + ["250", reply]
    assert client.is_closed()
    assert len(host.ledger()) == 2


@pytest.mark.parametrize("stage,codes", [
    ("mail", ["454", "503", "503"]), ("rcpt", ["250", "454", "554"]),
    ("data", ["250", "250", "454"]), ("eod", ["250", "250", "454"])])
def test_beyond_the_rate_mail_is_throttled(smarthost, stage, codes):
    host = smarthost("--rate", "2/1h:2", "--rate-stage", stage)
    client = host.raw()
    for _ in range(2):
        client.send(bdat("a@x", ["b@y"], BODY))
        assert client.codes(3) == ["250"] * 3
    client.send(bdat("a@x", ["b@y"], BODY))
    assert client.codes(3) == codes
    assert host.stats()["throttled"] == 1


def test_too_many_recipients_get_452_and_the_rest_is_taken(smarthost):
    host = smarthost("--max-rcpts", 2)
    client = host.raw()
    client.send(bdat("a@x", ["1@y", "2@y", "3@y"], BODY))
    assert client.codes(5) == ["250", "250", "250", "452", "250"]
    assert host.ledger()[0][4] == "1@y,2@y"


# Time

def test_latency_delays_replies_but_not_throughput(smarthost):
    host = smarthost("--latency", 100)
    client = host.raw()
    start = time.monotonic()
    client.send(b"".join(
        bdat("a@x", ["b@y"], BODY, reset=True) for _ in range(20)))
    assert client.codes(80) == ["250"] * 80
    assert time.monotonic() - start >= 0.1
    client.ask("NOOP")
    assert time.monotonic() - start >= 0.2


def test_the_greeting_can_be_late_and_early_talkers_are_noticed(smarthost):
    host = smarthost("--greeting-delay", 150)
    start = time.monotonic()
    client = host.raw(ehlo=False)
    client.send("EHLO early.example\r\n")
    assert client.reply()[:3] == "220"
    assert time.monotonic() - start >= 0.15
    assert client.reply()[:3] == "250"
    assert host.stats()["violation_kinds"]["early_talker"] == 1


def test_a_client_that_does_not_read_replies_blocks_the_server(smarthost):
    host = smarthost("--sndbuf", 8192, "--recvbuf", 8192)
    client = Raw(host.port, ehlo=False)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    assert client.reply()[:3] == "220"
    assert client.ask("EHLO x")[:3] == "250"
    client.sock.setblocking(False)
    sent, blocked = 0, 0
    end = time.monotonic() + DEADLINE
    while blocked < 20 and time.monotonic() < end:
        try:
            sent += client.sock.send(b"RSET\r\n" * 1000)
            blocked = 0
        except BlockingIOError:
            blocked += 1
            time.sleep(0.005)
    assert blocked == 20, "the server never stopped reading"
    client.sock.settimeout(DEADLINE)
    assert client.codes(sent // 6) == ["250"] * (sent // 6)


# Personalities

ALL_REFUSED = 'rcpt if rcpt "refuse" reply "550 5.1.1 no such user"\n'


def poison(host, form):
    """Good, all refused, good; no RSET. Codes and senders as stored."""
    client = host.raw()
    codes = []
    for sender, rcpt in (("one@x", "r@y"), ("two@x", "refuse@y"),
                         ("three@x", "r@y")):
        if form == "BDAT":
            client.send(bdat(sender, [rcpt], BODY))
            codes.append(client.codes(3))
            continue
        client.send("MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n" %
                    (sender, rcpt))
        codes.append(client.codes(3))
        if codes[-1][2] == "354":
            client.send(BODY + b".\r\n")
            codes[-1][2] = client.reply()[:3]
    return codes, [row[3] for row in host.ledger()]


@pytest.mark.parametrize("who,form,content,third,stored", [
    ("plain", "DATA", "554", "250", "three@x"),
    ("plain", "BDAT", "554", "250", "three@x"),
    ("postfix", "DATA", "554", "503", "two@x"),
    ("postfix", "BDAT", "554", "250", "three@x"),
    ("exim", "DATA", "503", "503", "two@x"),
    ("exim", "BDAT", "503", "503", "two@x")])
def test_a_refused_message_poisons_the_next_as_measured(
        smarthost, who, form, content, third, stored):
    host = smarthost("--personality", who, script=ALL_REFUSED)
    codes, senders = poison(host, form)
    assert codes == [["250"] * 3, ["250", "550", content],
                     [third, "250", "250"]]
    assert senders == ["one@x", stored]


def test_postfix_says_a_refused_sender_at_rcpt(smarthost):
    host = smarthost("--personality", "postfix",
                     script='mail if sender "bad" reply "450 4.1.8 later"\n')
    client = host.raw()
    client.send(bdat("bad@x", ["r@y"], BODY))
    assert client.codes(3) == ["250", "450", "554"]


def test_postfix_hangs_up_at_the_twentieth_error(smarthost):
    host = smarthost("--personality", "postfix", "--tarpit", 1,
                     script=ALL_REFUSED)
    client = host.raw()
    client.send(b"".join(bdat("a@x", ["refuse@y"], BODY, reset=True)
                         for _ in range(15)))
    assert client.codes(41) == ["250", "250", "550", "554"] * 10 + ["421"]
    assert client.is_closed()


def test_postfix_waits_from_the_tenth_error(smarthost):
    host = smarthost("--personality", "postfix", "--tarpit", 200)
    client = host.raw()
    start = time.monotonic()
    for _ in range(9):
        assert client.ask("RCPT TO:<a@b>")[:3] == "503"
    early = time.monotonic() - start
    assert client.ask("RCPT TO:<a@b>")[:3] == "503"
    # a timer may come up to a millisecond early
    assert time.monotonic() - start - early >= 0.1


def test_exim_drops_a_client_that_only_resets(smarthost):
    host = smarthost("--personality", "exim")
    client = host.raw()
    client.send(b"".join(bdat("a@x", ["b@y"], BODY, reset=True)
                         for _ in range(30)))
    assert client.codes(120) == ["250"] * 120
    client.send("RSET\r\n" * 20)
    codes = client.codes(13)
    assert "554" in codes and codes.index("554") in (10, 11)


def test_exim_loses_its_place_behind_a_chunk_that_is_too_big(smarthost):
    host = smarthost("--personality", "exim", "--size", 100)
    client = host.raw()
    client.send(bdat("a@x", ["b@y"], b"line\r\n" * 100, size=False))
    assert client.codes(7) == [
        "250", "250", "552", "500", "500", "500", "554"]


def test_lockstep_server_hangs_up_on_pipelining(smarthost):
    host = smarthost("--no-pipelining", "--enforce-lockstep")
    client = host.raw()
    assert client.ask("MAIL FROM:<a@x>")[:3] == "250"
    client.send("RCPT TO:<b@y>\r\nDATA\r\n")
    assert client.reply()[:3] == "500"
    assert client.is_closed()
    assert host.stats()["violation_kinds"]["pipelining"] == 1


def test_nothing_behind_the_final_dot_is_carried_out(smarthost):
    host = smarthost("--refuse-overlap")
    client = host.raw()
    client.send("MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n")
    assert [client.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
    client.send(BODY + b".\r\nRSET\r\nMAIL FROM:<c@x>\r\n")
    assert [client.reply()[:3] for _ in range(3)] == ["250", "503", "503"]
    assert client.ask("RCPT TO:<d@y>")[:3] == "503"
    assert client.ask("MAIL FROM:<c@x>")[:3] == "250"
    assert len(host.ledger()) == 1


def test_go_ahead_without_recipients_is_never_a_delivery(smarthost):
    host = smarthost(script=ALL_REFUSED +
                     'data if sender "go" go-ahead\n'
                     'eod if sender "gold" reply "250 2.0.0 fine"\n')
    client = host.raw()
    for sender, verdict in (("go@x", "554"), ("gold@x", "250")):
        client.send("MAIL FROM:<%s>\r\nRCPT TO:<refuse@y>\r\nDATA\r\n" %
                    sender)
        assert client.codes(3) == ["250", "550", "354"]
        assert client.ask(".")[:3] == verdict
    client.send("MAIL FROM:<a@x>\r\nRCPT TO:<refuse@y>\r\nDATA\r\n")
    assert client.codes(3) == ["250", "550", "554"]
    assert host.ledger() == []


# The script

def test_rules_choose_by_conditions_and_counts(smarthost):
    host = smarthost(script="""
# first match wins
rcpt if rcpt "keep" normal
rcpt if rcpt "k" and sender "s*@x" reply "450 4.2.0 one\\nand two"
mail nth 2 reply "451 4.3.0 second"
mail every 3 reply "452 4.3.1 third"
mail times 1 reply "453 4.0.0 once"
eod if subject "hel?o" and msg-nr 6-7 and xid "id-1" reply "554 5.6.0 no"
""")
    client = host.raw()
    codes = []
    for _ in range(5):
        codes.append(client.ask("MAIL FROM:<s1@x>")[:3])
        client.ask("RSET")
    # "nth 2" and "every 3" count what reaches them, not all MAILs.
    assert codes == ["453", "451", "250", "452", "250"]
    client.send(bdat("s1@x", ["keep@y", "k@y"], BODY))
    assert client.codes(2) == ["250", "250"]
    assert client.line() == "450-4.2.0 one"
    assert client.reply() == "450 and two"
    assert client.reply()[:3] == "554"


def test_probability_is_repeatable_by_seed(smarthost):
    host = smarthost("--seed", 42, script='noop prob 0.5 reply "450 no"\n')

    def sample():
        client = host.raw()
        client.send("NOOP\r\n" * 64)
        return client.codes(64)

    first = sample()
    assert 10 < first.count("450") < 54
    restarts = host.stats()["scripts_read"]
    host.process.send_signal(signal.SIGHUP)
    wait_for(lambda: host.stats()["scripts_read"] > restarts, "the script")
    assert sample() == first


def test_a_bad_script_names_its_line(smarthost, tmp_path):
    (tmp_path / "bad").write_text("mail normal\nrcpt when reply \"250 x\"\n")
    result = subprocess.run(
        [BUILD / "smarthost", "--listen", "127.0.0.1:0", "--script",
         tmp_path / "bad"], capture_output=True, text=True, timeout=DEADLINE)
    assert result.returncode == 1 and "line 2" in result.stderr


@pytest.mark.parametrize("stage,steps", [
    ("greeting", 0), ("ehlo", 1), ("mail", 2), ("rcpt", 3), ("data", 4),
    ("eod", 5), ("rset", 6), ("noop", 7), ("quit", 8)])
@pytest.mark.parametrize("action,reply", [
    ("close", ""), ("reset", None), ('reply "421 4.7.0 go" close', "421")])
def test_any_stage_can_end_the_connection(
        smarthost, stage, steps, action, reply):
    host = smarthost(script="%s %s\n" % (stage, action))
    commands = [None, "EHLO x", "MAIL FROM:<a@x>", "RCPT TO:<b@y>", "DATA",
                "X: y\r\n.", "RSET", "NOOP", "QUIT"]
    last = None
    try:
        # a reset at the greeting may come before connect() has returned
        client = host.raw(ehlo=False)
        for command in commands[:steps + 1]:
            last = client.ask(command) if command else client.reply()
    except ConnectionResetError:
        assert reply is None
        return
    assert reply is not None and last[:3] == reply
    assert client.is_closed()
    assert len(host.ledger()) == (steps > 5)


def test_a_message_can_be_taken_without_an_answer(smarthost):
    host = smarthost(script="eod accept-then-close\n")
    client = host.raw()
    client.send(bdat("a@x", ["b@y"], BODY))
    assert client.codes(3) == ["250", "250", ""]
    assert len(host.ledger()) == 1


def test_stall_and_freeze_say_nothing_and_notice_the_end(smarthost):
    host = smarthost(script="noop times 1 stall\nnoop freeze\n")
    for _ in range(2):
        client = host.raw()
        client.send("NOOP\r\nRSET\r\n")
        client.sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.reply()
        client.sock.close()
    wait_for(lambda: host.stats()["connections"] == 0, "the ends")


def test_delay_drip_raw_and_garbage(smarthost):
    host = smarthost(script="""
noop nth 1 delay 100
noop nth 1 drip 5
noop nth 1 raw "250-a\\r\\n250 \\x62\\r\\n"
noop garbage
rset delay 50 reply "250 late"
""")
    client = host.raw()
    for least, reply in ((0.1, "250 2.0.0 Ok"), (0.05, "250 2.0.0 Ok"),
                         (0, "250 b")):
        start = time.monotonic()
        assert client.ask("NOOP") == reply
        assert time.monotonic() - start >= least
    start = time.monotonic()
    assert client.ask("RSET") == "250 late"
    assert time.monotonic() - start >= 0.05
    assert "\x80" in client.ask("NOOP")


def test_replies_are_left_out_doubled_and_run_together(smarthost):
    host = smarthost(script="""
mail if msg-nr 1 missing
mail if msg-nr 2 extra
mail if msg-nr 3 merged
bdat if msg-nr 4 nth 1 missing
bdat if msg-nr 4 nth 1 extra
bdat if msg-nr 4 nth 1 merged
eod if msg-nr 5 extra
""")
    client = host.raw()
    client.send("MAIL FROM:<a@x>\r\nRSET\r\n")
    assert client.reply() == "250 2.0.0 Ok"
    client.send("MAIL FROM:<a@x>\r\nRSET\r\n")
    assert [client.reply() for _ in range(3)] == [
        "250 2.1.0 Ok", "250 2.1.0 Ok", "250 2.0.0 Ok"]
    client.send("MAIL FROM:<a@x>\r\nRSET\r\n")
    assert client.reply() == "250 2.1.0 Ok250 2.0.0 Ok"
    client.send("MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n"
                "BDAT 2\r\n\r\nBDAT 4\r\n\r\n\r\nBDAT 6\r\nABCDEFRSET\r\n")
    assert [client.reply() for _ in range(5)] == [
        "250 2.1.0 Ok", "250 2.1.5 Ok", "250 2.0.0 Ok: 4 octets",
        "250 2.0.0 Ok: 4 octets",
        "250 2.0.0 Ok: 6 octets250 2.0.0 Ok"]
    client.send(bdat("a@x", ["b@y"], BODY))
    replies = [client.reply() for _ in range(4)]
    assert replies[2] == replies[3] and "queued as" in replies[3]
    assert len(host.ledger()) == 1


@pytest.mark.parametrize("octets", [0, 1, 17, 60])
@pytest.mark.parametrize("action", ["cut", "cut-hard"])
def test_a_connection_is_cut_after_so_many_octets(smarthost, action, octets):
    host = smarthost(script="rset %s %d\n" % (action, octets))
    client = host.raw()
    message = bdat("a@x", ["b@y"], BODY)
    client.send(b"RSET\r\n" + message)
    replies = []
    try:
        while True:
            replies.append(client.reply())
            if replies[-1] == "":
                break
    except ConnectionResetError:
        pass
    assert len(replies) < 6
    assert host.ledger() == []  # the message has more octets than 60
    assert host.stats()["bytes_in"] == len(b"EHLO raw.example\r\n"
                                           b"RSET\r\n") + octets


@pytest.mark.parametrize("action", [
    "close", "reset", "garbage close", "stall"])
def test_the_handshake_can_fail(smarthost, action):
    host = smarthost(script="tls %s\n" % action)
    client = host.smtp()
    client.sock.settimeout(0.3)
    with pytest.raises(OSError):
        client.starttls(context=host.tls())


def test_starttls_and_auth_can_be_refused(smarthost):
    host = smarthost("--auth-without-tls",
                     script='starttls reply "454 4.7.0 not now"\n'
                     'auth if login "me" reply "454 4.7.0 try later"\n')
    client = host.smtp()
    assert client.docmd("STARTTLS")[0] == 454
    plain = base64.b64encode(b"\0me\0pw").decode()
    assert client.docmd("AUTH PLAIN " + plain)[0] == 454
    assert client.mail("a@x")[0] == 250


# What a careless client does wrong

@pytest.mark.parametrize("kind,octets", [
    ("pipelining", b"EHLO a\r\nNOOP\r\n"),
    ("pipelining", b"MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n.\r\n"),
    ("line_ending", b"NOOP\n"),
    ("line_ending", b"NOOP \rx\r\n"),
    ("line_length", b"MAIL FROM:<" + b"a" * 2000 + b"@x>\r\n"),
    ("syntax", b"MAIL FROM:a@x\r\n"),
    ("syntax", b"MAIL FROM:<\xc3\xa4@x>\r\n"),
    ("syntax", b"HALLO\r\n"),
    ("sequence", b"RCPT TO:<a@x>\r\n"),
    ("sequence", b"MAIL FROM:<a@x>\r\nMAIL FROM:<a@x>\r\n"),
    ("sequence", b"MAIL FROM:<a@x>\r\nBDAT 3 LAST\r\na\r\n"),
    ("not_offered", b"MAIL FROM:<a@x> AUTH=<>\r\n"),
    ("content_bare_cr_lf", bdat("a@x", ["b@y"], b"a\nb\r\n")),
    ("content_bare_cr_lf", bdat("a@x", ["b@y"], b"a\rb\r\n")),
    ("content_long_line", bdat("a@x", ["b@y"], b"a" * 999 + b"\r\n")),
    ("content_8bit", bdat("a@x", ["b@y"], b"\xe4\r\n")),
    ("content_no_final_crlf", bdat("a@x", ["b@y"], b"abc"))])
def test_a_breach_of_protocol_is_counted(smarthost, kind, octets):
    host = smarthost()
    client = host.raw()
    client.send(octets)
    client.reply()
    stats = wait_for(
        lambda: (s := host.stats())["violations"] and s, "a violation")
    assert stats["violation_kinds"][kind] == 1
    assert stats["violations"] == 1 and kind in stats["violation_last"]


def test_correct_content_at_its_limits_is_no_breach(smarthost):
    host = smarthost()
    client = host.raw()
    client.send(bdat("a@x", ["b@y"], b"a" * 998 + b"\r\n"))
    client.send("MAIL FROM:<\u00e4@x> BODY=8BITMIME SMTPUTF8\r\n"
                "RCPT TO:<\u00f6@y>\r\nBDAT 4 LAST\r\n\u00e4\r\n")
    assert client.codes(6) == ["250"] * 6
    assert host.stats()["violations"] == 0


def test_commands_behind_starttls_are_noticed_and_dropped(smarthost):
    host = smarthost()
    client = host.raw()
    client.send("STARTTLS\r\nMAIL FROM:<evil@x>\r\n")
    assert client.reply()[:3] == "220"
    tls = host.tls().wrap_socket(client.sock, server_hostname="localhost")
    tls.sendall(b"EHLO x\r\n")
    assert tls.recv(1000)[:3] == b"250"
    assert host.stats()["violation_kinds"]["pipelining"] == 1


def test_the_end_writes_everything(smarthost):
    host = smarthost()
    client = host.raw()
    client.send(bdat("a@x", ["b@y"], BODY) * 20)
    assert client.codes(60) == ["250"] * 60
    assert host.stop() == 0
    assert len(host.ledger_file.read_text().splitlines()) == 20
    assert json.loads(host.stats_file.read_text())["messages"] == 20


def test_twenty_connections_at_full_speed_lose_nothing(smarthost):
    """tools/smarthost/README.md has the figures measured this way."""
    host = smarthost("--user", "me:secret", "--require-auth")
    result = subprocess.run(
        [BUILD / "smtpblast", "127.0.0.1", str(host.port), "20", "20000",
         "5000", "10"], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    stats = host.stats()
    assert stats["messages"] == len(host.ledger()) == 20000
    assert stats["violations"] == 0 and stats["connections_max"] <= 20
    print(result.stdout)


# The delay proxy

@pytest.fixture
def proxy(tmp_path):
    started = []

    def start(port, *args):
        tool = Tool(tmp_path, "delayproxy", "--listen", "127.0.0.1:0",
                    "--to", "127.0.0.1:%d" % port, *args)
        started.append(tool)
        return tool

    yield start
    for tool in started:
        assert tool.stop() == 0


@pytest.fixture
def peer():
    """A bare listening socket to sit behind the proxy."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE)
        yield server


def through(tool):
    return socket.create_connection(("127.0.0.1", tool.port), DEADLINE)


def test_connecting_and_each_reply_cost_a_round_trip(smarthost, proxy):
    host = smarthost()
    tool = proxy(host.port, "--delay", 50)
    start = time.monotonic()
    client = Raw(tool.port, ehlo=False)
    assert client.reply()[:3] == "220"
    assert time.monotonic() - start >= 0.19  # connect + greeting: 2 RTT
    start = time.monotonic()
    assert client.ask("NOOP")[:3] == "250"
    assert time.monotonic() - start >= 0.09
    # ten at once are one round trip, when nothing stands still meanwhile
    took = 10 * 0.1
    for _ in range(50):
        start = time.monotonic()
        client.send("NOOP\r\n" * 10)
        client.codes(10)
        took = min(took, time.monotonic() - start)
        if took < 10 * 0.1:
            break
    assert took < 10 * 0.1


def test_the_end_of_a_stream_is_delayed_too(proxy, peer):
    tool = proxy(peer.getsockname()[1], "--delay", 50)
    client = through(tool)
    server = peer.accept()[0]
    client.sendall(b"last words")
    start = time.monotonic()
    client.shutdown(socket.SHUT_WR)
    received = b""
    while part := server.recv(100):
        received += part
    assert received == b"last words"
    assert time.monotonic() - start >= 0.04
    server.sendall(b"answer")  # the other direction is still open
    assert client.recv(100) == b"answer"
    start = time.monotonic()
    server.close()
    assert client.recv(100) == b""
    assert time.monotonic() - start >= 0.04


def test_a_reset_arrives_as_a_reset_in_either_direction(proxy, peer):
    tool = proxy(peer.getsockname()[1], "--delay", 30)
    for who in (0, 1):
        ends = [through(tool), peer.accept()[0]]
        ends[who].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             b"\1\0\0\0\0\0\0\0")
        start = time.monotonic()
        ends[who].close()
        ends[1 - who].settimeout(DEADLINE)
        with pytest.raises(ConnectionResetError):
            ends[1 - who].recv(100)
        assert time.monotonic() - start >= 0.02


def test_a_link_with_a_window_lets_through_twice_as_much_each_time(
        proxy, peer):
    """Ten segments, twenty, forty: the last of 71 leaves after three round
    trips, and arrives half of one later."""
    tool = proxy(peer.getsockname()[1], "--delay", 50,
                 "--initial-window", 14480)
    client = through(tool)
    server = peer.accept()[0]
    sent = os.urandom(71 * 1448)
    start = time.monotonic()
    client.sendall(sent)
    client.shutdown(socket.SHUT_WR)
    received = b""
    while part := server.recv(1 << 16):
        received += part
    assert received == sent
    assert time.monotonic() - start >= 0.34


def test_a_link_that_loses_everything_is_late_and_complete(proxy, peer):
    """Each segment comes by its second try, an RTO later at the end."""
    tool = proxy(peer.getsockname()[1], "--delay", 20, "--loss", 1)
    client = through(tool)
    server = peer.accept()[0]
    sent = os.urandom(50000)
    start = time.monotonic()
    client.sendall(sent)
    client.shutdown(socket.SHUT_WR)
    received = b""
    while part := server.recv(1 << 16):
        received += part
    assert received == sent
    assert time.monotonic() - start >= 0.02 + 0.24


@pytest.mark.parametrize("words", [
    ("--loss", "2"), ("--loss", "much"), ("--initial-window", "-1")])
def test_a_link_that_cannot_be_is_refused(words):
    done = subprocess.run(
        [BUILD / "delayproxy", "--listen", "127.0.0.1:0", "--to",
         "127.0.0.1:1", "--delay", "1", *words],
        capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode != 0
    assert "must be a number from 0 to" in done.stdout + done.stderr


def test_a_refused_upstream_becomes_a_reset(proxy):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    client = through(proxy(port, "--delay", 10))
    with pytest.raises(ConnectionResetError):
        client.recv(100)


def test_order_and_octets_survive_and_memory_is_bounded(proxy, peer):
    tool = proxy(peer.getsockname()[1], "--delay", 20)
    client = through(tool)
    server = peer.accept()[0]
    client.setblocking(False)
    block = bytes(range(256)) * 256
    sent, blocked, digest = 0, 0, hashlib.sha256()
    end = time.monotonic() + DEADLINE
    while blocked < 40 and time.monotonic() < end:
        try:
            n = client.send(block)
            digest.update(block[:n])
            sent += n
            blocked = 0
        except BlockingIOError:
            blocked += 1
            time.sleep(0.005)
    assert blocked == 40 and 16 << 20 <= sent < 48 << 20
    client.close()
    received, got = hashlib.sha256(), 0
    server.settimeout(DEADLINE)
    while part := server.recv(1 << 20):
        received.update(part)
        got += len(part)
    assert got == sent and received.digest() == digest.digest()


def test_bandwidth_is_limited_when_asked(proxy, peer):
    tool = proxy(peer.getsockname()[1], "--delay", 1,
                 "--bandwidth", 1000000)
    client = through(tool)
    server = peer.accept()[0]
    start = time.monotonic()
    client.sendall(bytes(300000))
    got = 0
    while got < 300000:
        got += len(server.recv(65536))
    assert time.monotonic() - start >= 0.25
