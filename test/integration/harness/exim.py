"""A private Exim, from the package unpacked by scripts/setup."""
import glob
import os
import re
import socket

from . import paths
from .daemon import Daemon
from .messages import examine, header, split
from .upstream import PASSWORD, USER, client_settings

CONFIG = r"""
primary_hostname = exim.example
exim_path = {exim}
spool_directory = {home}/spool
log_file_path = {home}/%s.log
pid_file_path = {home}/exim.pid
keep_environment =
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port} : {tls_port}
tls_on_connect_ports = {tls_port}
tls_advertise_hosts = *
tls_certificate = {cert}
tls_privatekey = {key}
auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}
pipelining_advertise_hosts = *
chunking_advertise_hosts = {chunking}
dsn_advertise_hosts = *
smtputf8_advertise_hosts = *
accept_8bitmime = true
message_size_limit = {size_limit}
never_users =
smtp_accept_max = 100
smtp_accept_max_per_connection = 0
smtp_accept_queue_per_connection = 0
smtp_accept_reserve = 0
host_lookup =
rfc1413_query_timeout = 0s
log_selector = +smtp_confirmation +received_recipients
acl_smtp_rcpt = check_rcpt
{main}

begin acl
check_rcpt:
  deny    message = no such user
          local_parts = nosuchuser
  defer   message = come back later
          local_parts = later
{rcpt_acl}
  accept  authenticated = *
  deny    message = authentication required

begin routers
file:
  driver = accept
  transport = file

begin transports
# One file per message, whatever the number of its recipients.
file:
  driver = appendfile
  directory = {home}/mail
  maildir_format
  create_directory
  batch_max = 10000
  user = Debian-exim
  return_path_add
  envelope_to_add
  message_prefix =
  message_suffix =

begin retry
* * F,1h,1s

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${{if and{{{{eq{{$auth2}}{{{user}}}}}\
      {{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = User Name : Password
  server_condition = ${{if and{{{{eq{{$auth1}}{{{user}}}}}\
      {{eq{{$auth2}}{{{password}}}}}}}}}
  server_set_id = $auth1
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${{if eq{{$auth1}}{{{user}}}{{{password}}}fail}}
  server_set_id = $auth1
"""


class Exim(Daemon):
    """Recipients nosuchuser@... get 550, later@... 451. main: more settings;
    rcpt_acl: more statements of acl_smtp_rcpt."""

    def __init__(self, base, certs, name="exim", pair=None, chunking=True,
                 size_limit="20M", main="",
                 rcpt_acl=""):
        super().__init__(base, name)
        self.certs = certs
        self.port = paths.free_port()
        self.tls_port = paths.free_port()
        pair = pair or certs.good
        for folder in ("spool", "mail"):
            os.makedirs(self.path(folder))
            os.chmod(self.path(folder), 0o777)
        os.chmod(self.home, 0o777)
        with open(self.path("exim.conf"), "w", encoding="ascii") as f:
            f.write(CONFIG.format(
                exim=paths.EXIM, home=self.home, port=self.port,
                tls_port=self.tls_port, cert=pair.cert, key=pair.key,
                chunking="*" if chunking else "", size_limit=size_limit,
                user=USER, password=PASSWORD, main=main,
                rcpt_acl=rcpt_acl))

    def command(self):
        return [paths.EXIM, "-C", self.path("exim.conf"), "-bdf", "-q1s"]

    def is_ready(self):
        for port in (self.port, self.tls_port):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) != 0:
                    return False
        return True

    def client_settings(self, origin, wrapped=False, port=None):
        return client_settings(
            origin, port or (self.tls_port if wrapped else self.port),
            self.certs.ca.cert, wrapped)

    def contents(self):
        found = []
        for path in sorted(glob.glob(self.path("mail/new/*"))):
            with open(path, "rb") as f:
                found.append(f.read())
        return found

    def taken(self):
        """One entry per filed message."""
        entries = []
        for data in self.contents():
            head, _ = split(data)
            unfolded = re.sub(rb"\r?\n[ \t]+", b" ", head)
            entries.append(examine(
                data, header(head, "Return-path").strip("<>"),
                re.split(r",\s*", header(unfolded, "Envelope-to"))))
        return entries

    def log(self):
        try:
            with open(self.path("main.log"), encoding="utf-8",
                      errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""
