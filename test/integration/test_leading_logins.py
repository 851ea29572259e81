"""Logins in one write with the first mail: whatever becomes of them, no mail
bounces, none is lost and none is taken twice."""
import base64
import json
import os
import subprocess

import pytest

from harness import messages
from harness.exim import Exim
from harness.foreign import FOREIGN, SmtpServer
from harness.simulator import Simulator
from harness.upstream import (
    PASSWORD, USER, PostfixSmarthost, client_settings)
from harness.wait import wait_until
from test_figures import lane_of

COUNT = 500 if os.environ.get("POSTLANE_LONG") else 40
PER_SESSION = 4


def counters(origin):
    return lane_of(origin)["counters"]


def start(origin, started, upstream, **main):
    """A lane whose sessions are short, so that there are many logins."""
    origin.agent("lane", "fast", "class=fast", {
        "lane_connection_limit": "2", "lane_pipeline_depth": "4",
        "lane_messages_per_connection": str(PER_SESSION),
        "lane_connection_idle_limit": "1s", "lane_alert_retry": "1s"})
    origin.relay_to(upstream, transport="fast")
    origin.set(smtp_sasl_mechanism_filter="plain", **main)
    started(origin)


def send(origin, prefix, count=COUNT):
    sent = messages.generate(count, recipients=2, prefix=prefix)
    origin.inject(sent)
    return sent


def rest(origin):
    """No session is left that may yet log in; the counters as they stay."""
    wait_until(lambda: not lane_of(origin)["sessions"], 60,
               "idle sessions are over")
    return counters(origin)


def deliver(origin, prefix, count=COUNT):
    sent = send(origin, prefix, count)
    origin.wait_empty(120 + COUNT)
    return sent


def check(origin, sent, upstream):
    """What a server has accepted it files a moment later."""
    wait_until(lambda: not messages.compare(sent, upstream.taken()).lost, 60,
               lambda: str(messages.compare(sent, upstream.taken())))
    verdict = messages.compare(sent, upstream.taken())
    assert verdict.is_clean(), verdict
    assert "bounced" not in origin.log.statuses("/smtp")
    assert origin.mailbox() == []


def check_doubt(origin, sent, taken):
    """As above, but what a server was given that answers out of place may have
    been taken, and goes again; the log says so of each."""
    verdict = messages.compare(sent, taken)
    assert not verdict.lost and not verdict.mixed_up, verdict
    told = "".join(origin.log.lines("may be sent more than once"))
    assert all(f"<{rcpt}>" in told for _, rcpt in verdict.duplicates), verdict
    assert "bounced" not in origin.log.statuses("/smtp")


class Simulated(Simulator):
    """One password, which may change."""

    def __init__(self, base, certs):
        super().__init__(base, certs, store=True, transcript=True)

    def change(self, is_right):
        self.script("" if is_right
                    else 'auth reply "535 5.7.8 authentication failed"\n')


class Postfixed(PostfixSmarthost):
    def change(self, is_right):
        database = os.path.join(self.etc, "sasl", "sasldb2")
        subprocess.run(
            ["saslpasswd2", "-p", "-c", "-f", database, "-u",
             f"{self.name}.example", USER],
            input=(PASSWORD if is_right else "another").encode(),
            check=True, capture_output=True)


class Exims(Exim):
    """Its password is in a file that is read for each login."""

    def __init__(self, base, certs):
        super().__init__(base, certs)
        self.change(True)
        path = self.path("exim.conf")
        with open(path, encoding="ascii") as f:
            text = f.read()
        wanted = f"{{eq{{$auth3}}{{{PASSWORD}}}}}"
        assert wanted in text
        with open(path, "w", encoding="ascii") as f:
            f.write(text.replace(
                wanted, f"{{eq{{$auth3}}{{${{readfile"
                        f"{{{self.path('password')}}}{{}}}}}}}}"))

    def change(self, is_right):
        with open(self.path("password"), "w", encoding="ascii") as f:
            f.write(PASSWORD if is_right else "another")


SMTP_SERVER = """
const fs = require('node:fs')
const { SMTPServer } = require('%(module)s')
new SMTPServer({
    key: fs.readFileSync('%(key)s'), cert: fs.readFileSync('%(cert)s'),
    authMethods: ['PLAIN'], disableReverseLookup: true, logger: false,
    onAuth(auth, session, done) {
        const password = fs.readFileSync('%(password)s', 'utf8')
        setTimeout(() => auth.password === password
            ? done(null, { user: auth.username })
            : done(new Error('wrong password')), 20)
    },
    onData(stream, session, done) {
        const parts = []
        stream.on('data', (part) => parts.push(part))
        stream.on('end', () => {
            fs.appendFileSync('%(ledger)s', JSON.stringify({
                sender: session.envelope.mailFrom.address,
                recipients: session.envelope.rcptTo.map((r) => r.address),
                content: Buffer.concat(parts).toString('base64'),
            }) + '\\n')
            done(null, 'taken')
        })
    },
}).listen(%(port)d, '127.0.0.1')
"""


class Nodes(SmtpServer):
    """nodemailer's, over TLS, with a login that takes its time."""

    def __init__(self, base, certs):
        super().__init__(base)
        self.certs = certs
        self.change(True)
        self.write("server.js", SMTP_SERVER % {
            "module": os.path.join(FOREIGN, self.fetched,
                                   "node_modules/smtp-server"),
            "key": certs.good.key, "cert": certs.good.cert,
            "password": self.path("password"), "ledger": self.ledger,
            "port": self.port})

    change = Exims.change

    def client_settings(self, origin, wrapped=False, port=None):
        return client_settings(origin, port or self.port,
                               self.certs.ca.cert, wrapped)

    def taken(self):
        with open(self.ledger, encoding="utf-8") as f:
            found = [json.loads(line) for line in f]
        return [messages.examine(base64.b64decode(m["content"]), m["sender"],
                                 m["recipients"]) for m in found]


@pytest.mark.parametrize("kind", [Simulated, Postfixed, Exims, Nodes])
def test_password_that_changes_costs_no_mail(
        base, certs, origin, started, kind):
    if kind is Nodes and not Nodes.is_there():
        pytest.skip("scripts/foreign has not fetched smtp-server")
    upstream = started(kind(base, certs))
    start(origin, started, upstream)
    sent = deliver(origin, "before")
    led = rest(origin)["auths_led"]
    assert led > 0
    upstream.change(False)
    sent += send(origin, "meanwhile")
    origin.log.wait(r"refused the login in front of mail: 535")
    origin.log.wait(r"SASL authentication failed; server .* said: 535")
    origin.log.wait(r"alarm: login")
    assert counters(origin)["auths_led"] == led
    upstream.change(True)
    origin.flush()
    origin.wait_empty(120 + COUNT)
    sent += deliver(origin, "after")
    assert counters(origin)["auths_led"] > led
    check(origin, sent, upstream)


SCRIPTS = {
    "454": 'auth if conn-nr %4 reply "454 4.7.0 later"',
    "535": 'auth if conn-nr %4 reply "535 5.7.8 disabled"',
    "535-close": 'auth if conn-nr %4 reply "535 5.7.8 disabled" close',
    "421": 'auth if conn-nr %4 reply "421 4.3.2 going down" close',
    "334": 'auth if conn-nr %4 reply "334 "',
    "530": 'auth if conn-nr %4 reply "530 5.7.0 not now"',
    "close": "auth if conn-nr %4 close",
    "reset": "auth if conn-nr %4 reset",
    "missing": "auth if conn-nr %4 missing",
    "extra": "auth if conn-nr %4 extra",
    "drop": "auth if conn-nr >=4 drop-input",
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_login_that_fails_now_and_then_costs_no_mail(
        base, certs, origin, started, script):
    """Also where the server is one that takes mail without a login."""
    sim = started(Simulator(base, certs, script=SCRIPTS[script] + "\n",
                            store=True, transcript=True,
                            demands=script != "535"))
    start(origin, started, sim, smtp_helo_timeout="5s",
          smtp_mail_timeout="5s", smtp_rcpt_timeout="5s",
          smtp_data_done_timeout="5s")
    sent = deliver(origin, "m")
    if script in ("missing", "extra"):
        check_doubt(origin, sent, sim.taken())
    else:
        check(origin, sent, sim)


def test_no_mail_for_a_server_that_is_not_verified(
        base, certs, origin, started):
    sim = started(Simulator(base, certs, store=True, transcript=True))
    start(origin, started, sim)
    sent = deliver(origin, "m", 20)
    assert rest(origin)["auths_led"] > 0
    sim.stop()
    before = len(sim.transcript())
    sim.pair = certs.wrong_name
    sim.start()
    more = send(origin, "later", 5)
    origin.log.wait("Server certificate not verified")
    assert "MAIL" not in sim.transcript()[before:]
    assert "AUTH" not in sim.transcript()[before:]
    sim.stop()
    sim.pair = certs.good
    sim.start()
    origin.flush()
    origin.wait_empty(120)
    check(origin, sent + more, sim)


def test_what_a_server_does_not_take_outlives_the_process(
        base, certs, origin, started):
    sim = started(Simulator(base, certs, store=True,
                            script="auth if conn-nr 3 close\n"))
    start(origin, started, sim)
    sent = deliver(origin, "m", 20)
    origin.log.wait("does not take a (command behind a login|login in front "
                    "of mail): logging in before mail is sent, for a week")
    led = rest(origin)["auths_led"]     # perhaps some, before
    origin.reload()
    sent += deliver(origin, "n", 20)
    assert rest(origin)["auths_led"] == led
    check(origin, sent, sim)
