"""Other programs that hand mail to a smarthost, set for a provider that takes
CONNECTIONS sessions of PER_SESSION messages: Exim, OpenSMTPD, and what an
application uses, nodemailer's pool. Each has

  prepare(count)   so many messages of `size` octets wait in its queue
  go()             it begins to send
  stop()
"""
import os
import subprocess

from harness import inject, paths
from harness.foreign import FOREIGN, Foreign, OpenSmtpd
from harness.wait import Timeout, wait_until

from cases import PER_SESSION

CONNECTIONS = 20
USER, PASSWORD = "bench", "word"    # no file needs quotes for these
HOST = "smarthost.example"          # as the certificate says
SENDER, RECIPIENT = "load@sender.example", "load{}@rcpt.example"
INJECT_S = 600

EXIM = """
primary_hostname = exim.example
exim_path = {exim}
spool_directory = {home}/spool
log_file_path = {home}/%s.log
pid_file_path = {home}/exim.pid
keep_environment =
trusted_users = root
never_users =
deliver_drop_privilege
queue_run_max = {connections}
local_interfaces =
smtp_accept_queue_per_connection = 0
bounce_return_message = false

begin acl

begin routers
relay:
  driver = manualroute
  domains = rcpt.example
  transport = relay
  route_data = 127.0.0.1
  self = send
local:
  driver = redirect
  data = :blackhole:

begin transports
relay:
  driver = smtp
  port = {port}
  hosts_require_auth = *
  hosts_require_tls = *
  hosts_noproxy_tls =
  hosts_try_chunking = *
  tls_verify_certificates = {ca}
  tls_verify_hosts = *
  tls_verify_cert_hostnames =
  tls_sni = {host}
  tls_resumption_hosts = *
  connection_max_messages = {per_session}

begin retry
* * F,1h,1s

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  client_send = ^{user}^{password}
"""


def message(size):
    line = "x" * 70 + "\n"
    return ("From: <" + SENDER + ">\nSubject: load\n\n"
            + line * max(1, (size - 100) // len(line)))


class Exim:
    """Queued with its routing done (-odqs), so that a delivery finds what else
    is for the host; then as many runners as there may be sessions. With TLS a
    session goes on to the next message through a process that keeps it."""
    name = "Exim"

    def __init__(self, base, certs, port, size):
        self.size, self.runners = size, []
        self.home = os.path.join(base, "exim-sender")
        os.makedirs(os.path.join(self.home, "spool"))
        subprocess.run(["chown", "-R", "Debian-exim", self.home], check=True)
        self.conf = os.path.join(self.home, "exim.conf")    # root's
        with open(self.conf, "w", encoding="ascii") as f:
            f.write(EXIM.format(
                exim=paths.EXIM, home=self.home, port=port, host=HOST,
                ca=certs.ca.cert, user=USER, password=PASSWORD,
                connections=CONNECTIONS, per_session=PER_SESSION))

    @staticmethod
    def is_there():
        return os.path.exists(paths.EXIM)

    def run(self, *words, **how):
        return subprocess.run([paths.EXIM, "-C", self.conf, *words],
                              check=True, text=True, **how)

    def waiting(self):
        return int(self.run("-bpc", capture_output=True).stdout or 0)

    def prepare(self, count):
        body = message(self.size)
        batch = "".join(
            f"MAIL FROM:<{SENDER}>\nRCPT TO:<{RECIPIENT.format(n)}>\n"
            f"DATA\n{body}.\n" for n in range(count))
        self.run("-odqs", "-bS", input=batch, timeout=INJECT_S,
                 stdout=subprocess.DEVNULL)
        wait_until(lambda: self.waiting() == count
                   and not self.is_working(), INJECT_S,
                   f"{count} messages in Exim's queue")

    def is_working(self):
        """Some process of its still routes or delivers."""
        done = subprocess.run(["pgrep", "-f", "^" + paths.EXIM + " -C "
                               + self.conf], check=False, capture_output=True)
        return done.returncode == 0

    def go(self):
        self.runners = [subprocess.Popen(
            [paths.EXIM, "-C", self.conf, "-qff"], stdin=subprocess.DEVNULL,
            start_new_session=True) for _ in range(CONNECTIONS)]

    def stop(self):
        for runner in self.runners:
            runner.wait(INJECT_S)
        self.runners = []


class OpenSmtpdSender(OpenSmtpd):
    """Injected while its mail transfer agent is paused."""
    name = "OpenSMTPD"

    def __init__(self, base, certs, port, size):
        super().__init__(base, "opensmtpd-sender")
        self.size = size
        os.mkfifo(self.path("orders"))
        self.write("smtpd.conf", f"""
table creds file:{self.path('creds')}
ca "relay" cert "{certs.ca.cert}"
smtp max-message-size 50M
listen on 127.0.0.1 port {self.port}
action "keep" relay host smtp+tls://label@127.0.0.1:{port} auth <creds> \\
    tls no-verify
match from any for any action "keep"
""")
        self.write("creds", f"label {USER}:{PASSWORD}\n")
        self.write("run", f"""
mkdir -p /var/lib/opensmtpd/empty
chmod 711 {self.spool}
while read -r order <{self.path('orders')}; do
    smtpctl $order >{self.path('told')} 2>&1
    echo end >>{self.path('told')}
done &
exec smtpd -d -f {self.path('smtpd.conf')}
""")

    def order(self, words):
        told = self.path("told")
        if os.path.exists(told):
            os.unlink(told)
        with open(self.path("orders"), "w", encoding="ascii") as f:
            f.write(words + "\n")

        def answer():
            try:
                with open(told, encoding="utf-8") as f:
                    text = f.read()
            except FileNotFoundError:
                return None
            return text if text.endswith("end\n") else None
        return wait_until(answer, 60, f"smtpctl {words}")

    def prepare(self, count):
        if self.process is None:
            self.start()
        self.order("pause mta")
        inject.by_smtp_source(self.port, count, SENDER, "load@rcpt.example",
                              size=self.size, connections=8)

    def go(self):
        self.order("resume mta")


NODEMAILER = """
const nodemailer = require('%(path)s')
const fs = require('node:fs')
const count = Number(process.argv[2])
const text = fs.readFileSync(process.argv[3], 'utf8')
const pool = nodemailer.createTransport({
    pool: true, maxConnections: %(connections)d, maxMessages: %(per_session)d,
    host: '127.0.0.1', port: %(port)d, secure: false, requireTLS: true,
    auth: { user: '%(user)s', pass: '%(password)s' },
    tls: { servername: '%(host)s', ca: [fs.readFileSync('%(ca)s')] },
})
process.stdin.once('data', async () => {
    const all = []
    for (let n = 0; n < count; n++)
        all.push(pool.sendMail({
            envelope: { from: '%(sender)s', to: [`load${n}@rcpt.example`] },
            raw: text }))
    await Promise.all(all)
    pool.close()
    process.exit(0)
})
console.log('ready')
"""


class Nodemailer(Foreign):
    """It has no queue: the messages are in the program's memory."""
    name = "nodemailer's pool"
    fetched = "nodemailer"

    def __init__(self, base, certs, port, size):
        super().__init__(base, "nodemailer")
        self.size, self.program = size, None
        self.write("send.js", NODEMAILER % {
            "path": os.path.join(FOREIGN, "nodemailer/node_modules/nodemailer"),
            "connections": CONNECTIONS, "per_session": PER_SESSION,
            "port": port, "user": USER, "password": PASSWORD, "host": HOST,
            "ca": certs.ca.cert, "sender": SENDER})

    def prepare(self, count):
        text = self.write("message", message(self.size))
        self.program = subprocess.Popen(
            ["node", self.path("send.js"), str(count), text],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            start_new_session=True)
        assert self.program.stdout.readline() == "ready\n"

    def go(self):
        self.program.stdin.write("go\n")
        self.program.stdin.flush()

    def stop(self, timeout_s=INJECT_S):
        status = self.program.wait(timeout_s)
        self.program.stdin.close()
        self.program.stdout.close()
        assert status == 0
        return status


PEERS = (Exim, OpenSmtpdSender, Nodemailer)


def wait_sent(sim, count, limit_s):
    """Until the simulator has taken so many; how many it has then."""
    def taken():
        return sum(1 for e in sim.ledger() if e.run == sim.run)
    try:
        wait_until(lambda: taken() >= count, limit_s, "all is sent")
    except Timeout:
        pass        # the table shows it
    return taken()
