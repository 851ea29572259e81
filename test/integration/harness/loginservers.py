"""Servers that logins are played to: what one says to AUTH, and of whom its
certificate is, may change while it runs. Beside what every upstream has
(upstream.py) there are

  plays               what say() knows, beside RIGHT
  say(what)           how logins are answered from now on
  show(pair)          another certificate
  mark(), heard(mark) the commands of sessions that ended since, as it tells
                      them; None: none has ended

open: it takes mail without a login, too.
"""
import base64
import json
import os
import re
import subprocess

from .exim import Exim
from .foreign import FOREIGN, SmtpServer
from .messages import examine
from .simulator import Simulator
from .upstream import PASSWORD, USER, PostfixSmarthost, client_settings

RIGHT = "right"
WRONG = "wrong"             # the password is another: 535
DISABLED = "disabled"       # there is no such login any more: 535
LATER = "later"             # 454
CLOSING = "closing"         # 535, and the connection is closed
DROPPING = "dropping"       # 235, and what came with AUTH is thrown away
ALL = {WRONG, DISABLED, LATER, CLOSING, DROPPING}


class Simulated(Simulator):
    plays = ALL
    scripts = {
        RIGHT: "",
        WRONG: 'auth reply "535 5.7.8 authentication failed"\n',
        DISABLED: 'auth reply "535 5.7.8 account disabled"\n',
        LATER: 'auth reply "454 4.7.0 later"\n',
        CLOSING: 'auth reply "535 5.7.8 authentication failed" close\n',
        DROPPING: "auth drop-input\n",
    }

    def __init__(self, base, certs, open=False):
        super().__init__(base, certs, store=True, transcript=True,
                         demands=not open)

    def say(self, what):
        self.script(self.scripts[what])

    def show(self, pair):
        self.stop()
        self.pair = pair
        self.start()

    def mark(self):
        return len(self.transcript())

    def heard(self, mark):
        return self.transcript()[mark:] or None


class Postfixed(PostfixSmarthost):
    """LATER: its passwords cannot be read. CLOSING: one error is too many."""
    plays = ALL - {DROPPING}

    def __init__(self, base, certs, open=False):
        super().__init__(base, certs)
        if open:
            self.set(smtpd_recipient_restrictions="permit")
        self.database = os.path.join(self.etc, "sasl", "sasldb2")

    def _saslpasswd(self, *options, password=""):
        subprocess.run(
            ["saslpasswd2", *options, "-f", self.database, "-u",
             f"{self.name}.example", USER],
            input=password.encode(), check=True, capture_output=True)

    def say(self, what):
        limit = "1" if what == CLOSING else "20"
        if self.main.get("smtpd_hard_error_limit", "20") != limit:
            self.set(smtpd_hard_error_limit=limit, reload=True)
        if what == DISABLED:
            self._saslpasswd("-d")
        else:
            self._saslpasswd("-p", "-c", password=PASSWORD if what == RIGHT
                             else "another")
        os.chmod(self.database, 0o600 if what == LATER else 0o644)

    def show(self, pair):
        self.stop()
        self.set(smtpd_tls_cert_file=pair.cert, smtpd_tls_key_file=pair.key)
        self.start()

    def mark(self):
        return self.log.mark()

    def heard(self, mark):
        return "\n".join(self.log.lines(
            r"smtpd\[\d+\]: disconnect from", since=mark)).upper() or None


class Exims(Exim):
    """Its password, and what it says to AUTH at all, are in files that each
    connection reads."""
    plays = ALL - {DROPPING}
    words = {
        DISABLED: "deny message = 535 5.7.8 account disabled\n",
        LATER: "defer message = 454 4.7.0 later\n",
        CLOSING: "drop message = 535 5.7.8 not you\n",
    }

    def __init__(self, base, certs, open=False):
        acl = os.path.join(base, "exim", "auth.acl")
        super().__init__(
            base, certs, rcpt_acl="  accept\n" if open else "",
            main=f"acl_smtp_auth = {acl}\n")
        self.acl = acl
        self.say(RIGHT)
        self._edit("log_selector =", "log_selector = +smtp_no_mail")
        self._edit(f"{{eq{{$auth3}}{{{PASSWORD}}}}}",
                   f"{{eq{{$auth3}}{{${{readfile"
                   f"{{{self.path('password')}}}{{}}}}}}}}")

    def _edit(self, old, new):
        path = self.path("exim.conf")
        with open(path, encoding="ascii") as f:
            text = f.read()
        assert old in text
        with open(path, "w", encoding="ascii") as f:
            f.write(text.replace(old, new))

    def _write(self, path, text):
        with open(path + ".new", "w", encoding="ascii") as f:
            f.write(text)
        os.rename(path + ".new", path)

    def say(self, what):
        self._write(self.path("password"),
                    "another" if what == WRONG else PASSWORD)
        self._write(self.acl, self.words.get(what, "accept\n"))

    def show(self, pair):
        with open(self.path("exim.conf"), encoding="ascii") as f:
            text = f.read()
        self.stop()
        self._edit(re.search("tls_certificate = .*", text)[0],
                   f"tls_certificate = {pair.cert}")
        self._edit(re.search("tls_privatekey = .*", text)[0],
                   f"tls_privatekey = {pair.key}")
        self.start()

    def mark(self):
        return len(self.log())

    def heard(self, mark):
        log = self.log()[mark:]
        return " ".join(
            re.findall(r"no MAIL in SMTP connection .* C=(\S+)", log)
            + ["MAIL"] * log.count(" <= ")) or None


SMTP_SERVER = """
const fs = require('node:fs')
const { SMTPServer } = require('%(module)s')
const read = (name) => fs.readFileSync('%(home)s/' + name)
const tell = (text) => fs.appendFileSync('%(home)s/heard', text + '\\n')
const refused = (code, text) =>
    Object.assign(new Error(text), { responseCode: code })

// What is read with AUTH is thrown away, whatever it was.
const dropInput = (connection) => {
    const parser = connection._parser
    const { oncommand, _write } = parser
    let isDropping = true
    parser.oncommand = (line, next) =>
        isDropping ? next() : oncommand(line, next)
    parser._write = (...what) => {
        isDropping = false
        return _write.apply(parser, what)
    }
}

const server = new SMTPServer({
    key: read('key.pem'), cert: read('cert.pem'), authOptional: %(open)s,
    authMethods: ['PLAIN'], disableReverseLookup: true, logger: false,
    onAuth(auth, session, done) {
        const state = String(read('state'))
        const connection = [...server.connections]
            .find((c) => c.session === session)
        tell('AUTH')
        setTimeout(() => {
            if (state === 'later')
                return done(refused(454, '4.7.0 later'))
            if (state === 'disabled')
                return done(refused(535, '5.7.8 account disabled'))
            if (state === 'closing') {
                done(refused(535, '5.7.8 not you'))
                return connection.close()
            }
            if (auth.password !== String(read('password')))
                return done(refused(535, '5.7.8 wrong password'))
            if (state === 'dropping')
                dropInput(connection)
            done(null, { user: auth.username })
        }, 20)
    },
    onMailFrom(address, session, done) {
        tell('MAIL')
        done()
    },
    onClose() {
        tell('end')
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
})
server.on('error', (error) => tell('error ' + error.message))
server.listen(%(port)d, '127.0.0.1')
"""


class Nodes(SmtpServer):
    """nodemailer's, over TLS, with a login that takes its time."""
    plays = ALL

    def __init__(self, base, certs, open=False):
        super().__init__(base)
        self.certs = certs
        self.say(RIGHT)
        self._certify(certs.good)
        self.write("heard", "")
        self.write("server.js", SMTP_SERVER % {
            "module": os.path.join(FOREIGN, self.fetched,
                                   "node_modules/smtp-server"),
            "open": "true" if open else "false", "home": self.home,
            "ledger": self.ledger, "port": self.port})

    def _write(self, name, text):
        self.write(name + ".new", text)
        os.rename(self.path(name + ".new"), self.path(name))

    def _certify(self, pair):
        for name, path in (("cert.pem", pair.cert), ("key.pem", pair.key)):
            with open(path, encoding="ascii") as f:
                self._write(name, f.read())

    def say(self, what):
        self._write("password", "another" if what == WRONG else PASSWORD)
        self._write("state", what)

    def show(self, pair):
        self.stop()
        self._certify(pair)
        self.start()

    def _told(self):
        with open(self.path("heard"), encoding="utf-8") as f:
            return f.read()

    def mark(self):
        return len(self._told())

    def heard(self, mark):
        return self._told()[mark:] or None

    def client_settings(self, origin, wrapped=False, port=None):
        return client_settings(origin, port or self.port,
                               self.certs.ca.cert, wrapped)

    def taken(self):
        try:
            with open(self.ledger, encoding="utf-8") as f:
                found = [json.loads(line) for line in f]
        except FileNotFoundError:
            return []
        return [examine(base64.b64decode(m["content"]), m["sender"],
                        m["recipients"]) for m in found]


SERVERS = (Simulated, Postfixed, Exims, Nodes)
