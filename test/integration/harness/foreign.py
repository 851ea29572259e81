"""Mail servers that are not Postfix, as scripts/foreign fetched them.

They talk in the clear and without a login (Dovecot wants one), so that what
goes over the wire can be watched. Each has

  port                       127.0.0.1
  client_settings(origin, wrapped=False, port=None)
  recipients()               of what it accepted, one for each acceptance
  is_there()                 it was fetched

Servers that know their files by compiled-in paths run in a root of their own:
the system's, with the package laid over it, seen by them alone.
"""
import glob
import os
import re
import shutil

from . import paths
from .daemon import Daemon
from .exim import Exim
from .postfix import Postfix
from .simulator import Simulator
from .upstream import PASSWORD, USER

FOREIGN = os.path.join(paths.ROOT, "build/foreign")


def plain_settings(origin, port, login=None):
    """main.cf of a client: no TLS, no login unless one is given."""
    nexthop = f"[127.0.0.1]:{port}"
    settings = {"relayhost": nexthop, "smtp_tls_security_level": "none",
                "smtp_sasl_auth_enable": "no"}
    if login:
        settings.update({
            "smtp_sasl_auth_enable": "yes",
            "smtp_sasl_security_options": "noanonymous",
            "smtp_sasl_password_maps": origin.map(
                "relay_auth", {nexthop: ":".join(login)}, mode=0o600)})
    return settings


def is_listening(port):
    """Without a connection: some servers take one that is closed at once for
    an attack, or stop at it."""
    with open("/proc/net/tcp", encoding="ascii") as f:
        return any(line.split()[1:4:2] == [f"0100007F:{port:04X}", "0A"]
                   for line in f)


class Foreign(Daemon):
    """What they have in common; ledger: a file with a recipient a line."""
    login = None
    fetched = ""            # folder below build/foreign

    def __init__(self, base, name):
        super().__init__(base, name)
        self.port = paths.free_port()
        self.ledger = self.path("ledger.txt")

    @classmethod
    def is_there(cls):
        return os.path.isdir(os.path.join(FOREIGN, cls.fetched))

    def is_ready(self):
        return is_listening(self.port)

    def client_settings(self, origin, wrapped=False, port=None):
        assert not wrapped
        return plain_settings(origin, port or self.port, self.login)

    def write(self, name, text):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def recipients(self):
        try:
            with open(self.ledger, encoding="utf-8") as f:
                return f.read().split()
        except FileNotFoundError:
            return []


HARAKA_PLUGIN = """
const fs = require('node:fs')
exports.hook_rcpt = (next) => next(OK)
exports.hook_queue = (next, connection) => {
    for (const r of connection.transaction.rcpt_to)
        fs.appendFileSync('%s', `${r.user}@${r.host}\\n`)
    next(OK)
}
"""


class Haraka(Foreign):
    fetched = "haraka-3.3.4"

    def __init__(self, base, name="haraka"):
        super().__init__(base, name)
        self.write("config/smtp.ini",
                   f"listen=127.0.0.1:{self.port}\n[headers]\n")
        # 3.3.4 ends at the first connection without this one
        defaults = os.path.join(FOREIGN, self.fetched, "node_modules/Haraka",
                                "config/connection.ini")
        if os.path.exists(defaults):
            shutil.copy(defaults, self.path("config/connection.ini"))
        self.write("config/plugins", "take\n")
        self.write("config/me", "haraka.example\n")
        self.write("config/log.ini", "[main]\nlevel=warn\n")
        self.write("plugins/take.js", HARAKA_PLUGIN % self.ledger)

    def command(self):
        return ["node", os.path.join(FOREIGN, self.fetched,
                                     "node_modules/Haraka/bin/haraka"),
                "-c", self.home]


class OlderHaraka(Haraka):
    fetched = "haraka-3.0.0"


SMTP_SERVER = """
const fs = require('node:fs')
const { SMTPServer } = require('%s')
new SMTPServer({
    disabledCommands: ['AUTH', 'STARTTLS'], authOptional: true,
    disableReverseLookup: true, logger: false,
    onData(stream, session, done) {
        stream.on('end', () => {
            for (const r of session.envelope.rcptTo)
                fs.appendFileSync('%s', r.address + '\\n')
            done(null, 'taken')
        })
        stream.resume()
    },
}).listen(%d, '127.0.0.1')
"""


class SmtpServer(Foreign):
    """nodemailer's."""
    fetched = "smtp-server"

    def __init__(self, base, name="smtp-server"):
        super().__init__(base, name)
        module = os.path.join(FOREIGN, self.fetched,
                              "node_modules/smtp-server")
        self.write("server.js", SMTP_SERVER
                   % (module, self.ledger, self.port))

    def command(self):
        return ["node", self.path("server.js")]


AIOSMTPD = """
import asyncio
from aiosmtpd.smtp import SMTP

class Take:
    async def handle_DATA(self, server, session, envelope):
        with open({ledger!r}, "a") as f:
            f.writelines(r + "\\n" for r in envelope.rcpt_tos)
        return "250 2.0.0 taken"

async def main():
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Take(), enable_SMTPUTF8=True, hostname="aio.example"),
        "127.0.0.1", {port})
    await server.serve_forever()

asyncio.run(main())
"""


class Aiosmtpd(Foreign):
    fetched = "aiosmtpd"

    def __init__(self, base, name="aiosmtpd"):
        super().__init__(base, name)
        self.write("server.py", AIOSMTPD.format(ledger=self.ledger,
                                                port=self.port))

    def command(self):
        modules = os.path.join(
            FOREIGN, self.fetched, "usr/lib/python3/dist-packages")
        return ["env", "PYTHONPATH=" + modules,
                "/usr/bin/python3", "-B", self.path("server.py")]


# $1 home, $2 the unpacked package, $3 the spool's path as the server knows it
ROOTED = r"""
set -e
mount -t tmpfs tmpfs "$1/fs"
cp -a "$2" "$1/fs/low"
mkdir "$1/fs/up" "$1/fs/work" "$1/fs/root"
chmod 755 "$1/fs"
mount -t overlay overlay \
    -o "lowerdir=$1/fs/low:/,upperdir=$1/fs/up,workdir=$1/fs/work" \
    "$1/fs/root"
root=$1/fs/root
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mkdir -p "$root$1" "$root$3"
mount --bind "$1" "$root$1"
mount --bind "$1/spool" "$root$3"
cat "$1/passwd" >>"$root/etc/passwd"
cat "$1/group" >>"$root/etc/group"
# names are asked of nobody
echo "127.0.0.1 $(hostname).example $(hostname) localhost" >"$root/etc/hosts"
echo "hosts: files" >"$root/etc/nsswitch.conf"
exec chroot "$root" sh "$1/run"
"""


class Rooted(Foreign):
    """users: made in its root. run: the command, for sh, in the root."""
    users = ()
    spool = ""              # where it keeps mail, seen from its root
    setup = ""

    def __init__(self, base, name):
        super().__init__(base, name)
        for folder in ("fs", "spool"):
            os.makedirs(self.path(folder))
        self.write("enter", ROOTED)
        self.write("passwd", "".join(
            f"{user}:x:{900 + n}:{900 + n}::/nonexistent:/bin/false\n"
            for n, user in enumerate(self.users)))
        self.write("group", "".join(
            f"{user}:x:{900 + n}:\n" for n, user in enumerate(self.users)))

    def command(self):
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child",
                "sh", self.path("enter"), self.home,
                os.path.join(FOREIGN, self.fetched), self.spool]

    def stop(self, timeout_s=20):
        """unshare(1) hands no signal on: the whole of it ends at once."""
        self.destroy()
        return 0

    def spooled(self, pattern, address):
        """Addresses in spool files."""
        found = []
        for path in glob.glob(self.path("spool/" + pattern),
                              recursive=True):
            try:
                with open(path, encoding="utf-8", errors="replace") as f:
                    found += re.findall(address, f.read(), re.M)
            except (FileNotFoundError, IsADirectoryError):
                pass
        return found


class OpenSmtpd(Rooted):
    fetched = "opensmtpd"
    users = ("opensmtpd", "opensmtpq")
    spool = "/var/spool/smtpd"

    def __init__(self, base, name="opensmtpd"):
        super().__init__(base, name)
        self.write("smtpd.conf", f"""
listen on 127.0.0.1 port {self.port}
action "keep" relay host smtp://127.0.0.1:9
match from any for any action "keep"
""")
        self.write("run", f"""
mkdir -p /var/lib/opensmtpd/empty
chmod 711 {self.spool}
exec smtpd -d -f {self.path('smtpd.conf')}
""")

    def recipients(self):
        return self.spooled("queue/**/*", r"^dest: (\S+)$")


class Sendmail(Rooted):
    fetched = "sendmail"
    users = ("smmta", "smmsp")
    spool = "/var/spool/mqueue"

    def __init__(self, base, name="sendmail"):
        super().__init__(base, name)
        self.write("sendmail.mc", f"""
include(`/usr/share/sendmail/cf/m4/cf.m4')
OSTYPE(`linux')
define(`confDELIVERY_MODE', `queueonly')
define(`confQUEUE_LA', `1000')
define(`confREFUSE_LA', `1000')
define(`confDELAY_LA', `1000')
define(`confTO_IDENT', `0')
define(`confDOMAIN_NAME', `sendmail.example')
define(`confDONT_BLAME_SENDMAIL', `GroupWritableDirPathSafe')
define(`confCONNECTION_RATE_THROTTLE', `0')
define(`confPID_FILE', `{self.path("sendmail.pid")}')
define(`confSERVICE_SWITCH_FILE', `/etc/mail/service.switch')
undefine(`ALIAS_FILE')
FEATURE(`nocanonify')
FEATURE(`promiscuous_relay')
FEATURE(`accept_unresolvable_domains')
FEATURE(`no_default_msa')
DAEMON_OPTIONS(`Port={self.port}, Addr=127.0.0.1, Name=MTA')
MAILER(`smtp')
""")
        self.write("run", f"""
cp {self.path('sendmail.mc')} /tmp/sendmail.mc
printf 'hosts files\\naliases files\\n' >/etc/mail/service.switch
m4 /tmp/sendmail.mc >/etc/mail/sendmail.cf || exit 1
chown root:smmsp {self.spool}
chmod 700 {self.spool}
exec /usr/libexec/sendmail/sendmail -bD -C/etc/mail/sendmail.cf
""")

    def recipients(self):
        return self.spooled("**/qf*", r"^R[A-Z]*:<?([^<>\s]+)>?$")


class Dovecot(Rooted):
    """Its submission service hands mail to another server while the client
    waits: that is where it is counted."""
    fetched = "dovecot"
    users = ("dovecot", "dovenull")
    spool = "/var/spool/dovecot"
    login = (USER, PASSWORD)

    def __init__(self, base, certs, name="dovecot"):
        super().__init__(base, name)
        self.behind = Simulator(base, certs, name + "-behind", login=None)

    def start(self, timeout_s=20):
        self.behind.start()
        self.write("dovecot.conf", f"""
protocols = submission
log_path = /dev/stderr
base_dir = /run/dovecot
ssl = no
disable_plaintext_auth = no
hostname = dovecot.example
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid=dovecot gid=dovecot home=/tmp/home
}}
mail_location = maildir:/tmp/home
mail_max_userip_connections = 0
submission_relay_host = 127.0.0.1
submission_relay_port = {self.behind.port}
service submission-login {{
  inet_listener submission {{
    address = 127.0.0.1
    port = {self.port}
  }}
  service_count = 0
}}
service submission {{
  process_limit = 200
}}
service anvil {{
  client_limit = 1000
}}
service auth {{
  client_limit = 2000
}}
""")
        self.write("run", f"""
mkdir -p /tmp/home /run/dovecot
chown dovecot:dovecot /tmp/home
exec dovecot -F -c {self.path('dovecot.conf')}
""")
        return super().start(timeout_s)

    def stop(self, timeout_s=20):
        Daemon.destroy(self)
        return self.behind.stop(timeout_s)

    def destroy(self):
        super().destroy()
        self.behind.destroy()

    def recipients(self):
        return [r for e in self.behind.ledger() for r in e.recipients]


class PlainExim(Exim):
    """It keeps what it takes: a delivery is four processes for each message,
    and all the machine does while they run."""
    def __init__(self, base, certs, name="exim"):
        super().__init__(base, certs, name, rcpt_acl="  accept",
                         main="queue_only")

    def command(self):
        return [paths.EXIM, "-C", self.path("exim.conf"), "-bdf"]

    @classmethod
    def is_there(cls):
        return os.path.exists(paths.EXIM)

    def client_settings(self, origin, wrapped=False, port=None):
        return plain_settings(origin, port or self.port)

    def recipients(self):
        """Of the lines that it writes before the 250."""
        lines = re.findall(r"^.* <= .* for (.*)$", self.log(), re.M)
        return [r for line in lines for r in line.split()]


class PlainPostfix(Postfix):
    """The installed one, which files what it takes: one file for each."""

    def __init__(self, base, name="postfix"):
        super().__init__(base, name, virtual_mailbox_domains="static:all",
                         smtpd_relay_restrictions="permit_mynetworks, reject")

    @classmethod
    def is_there(cls):
        return True

    def client_settings(self, origin, wrapped=False, port=None):
        return plain_settings(origin, port or self.port)

    def recipients(self):
        found = []
        for data in self.mailbox():
            head = data.partition(b"\n\n")[0].decode("utf-8", "replace")
            found += re.findall(r"^X-Original-To: (\S+)", head, re.M)
        return found
