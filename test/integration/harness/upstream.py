"""Upstreams that mail is handed to. Each has

  port, tls_port             STARTTLS and implicit TLS, 127.0.0.1
  client_settings(origin, wrapped=False, port=None)
                             main.cf settings of a client that trusts it and
                             logs in; port: of a proxy in front of it
  taken()                    what it accepted, list of messages.Taken
  start(), stop(), destroy()
"""
import os
import re
import subprocess

from . import paths
from .messages import examine, header, split
from .postfix import Postfix

USER = "lane"
PASSWORD = "wo:rd pass"
MECHANISMS = "PLAIN LOGIN CRAM-MD5"


def client_settings(origin, port, ca, wrapped=False, login=(USER, PASSWORD)):
    """What an administrator would put into main.cf for a smarthost."""
    nexthop = f"[127.0.0.1]:{port}"
    settings = {
        "relayhost": nexthop,
        "smtp_tls_security_level": "secure",
        "smtp_tls_secure_cert_match": "smarthost.example",
        "smtp_tls_CAfile": ca,
        "smtp_tls_wrappermode": "yes" if wrapped else "no",
    }
    if login:
        settings.update({
            "smtp_sasl_auth_enable": "yes",
            "smtp_sasl_security_options": "noanonymous",
            "smtp_sasl_password_maps": origin.map(
                "relay_auth", {nexthop: ":".join(login)}, mode=0o600),
        })
    return settings


class PostfixSmarthost(Postfix):
    """A Postfix that takes mail for everybody who logs in over TLS and
    files it: one Maildir file per recipient."""

    def __init__(self, base, certs, name="smarthost", pair=None,
                 mechanisms=MECHANISMS, chunking=True, **main):
        self.certs = certs
        self.tls_port = paths.free_port()
        super().__init__(base, name)
        pair = pair or certs.good
        self.main.update({
            "virtual_mailbox_domains": "static:all",
            "smtpd_tls_cert_file": pair.cert,
            "smtpd_tls_key_file": pair.key,
            "smtpd_tls_security_level": "may",
            "smtpd_tls_auth_only": "yes",
            "smtpd_tls_loglevel": "1",
            "smtpd_sasl_auth_enable": "yes",
            "smtpd_sasl_path": "smtpd",
            "smtpd_sasl_local_domain": f"{name}.example",
            "smtpd_sasl_security_options": "noanonymous",
            "cyrus_sasl_config_path": self._make_sasl(mechanisms),
            "smtpd_recipient_restrictions":
                "permit_sasl_authenticated, reject",
            "smtpd_discard_ehlo_keywords": "" if chunking else "chunking",
            "message_size_limit": "20480000",
        })
        self.main.update(main)
        self.service("smtpd", f"127.0.0.1:{self.tls_port}", "inet",
                     private="n", options={"smtpd_tls_wrappermode": "yes"})

    def _make_sasl(self, mechanisms):
        """A Cyrus SASL configuration and password file of its own. Debian's
        Postfix looks below config_directory, whatever the parameter says."""
        folder = os.path.join(self.etc, "sasl")
        os.makedirs(folder)
        database = os.path.join(folder, "sasldb2")
        with open(os.path.join(folder, "smtpd.conf"), "w",
                  encoding="ascii") as f:
            f.write(f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\n"
                    f"sasldb_path: {database}\nmech_list: {mechanisms}\n")
        subprocess.run(
            ["saslpasswd2", "-p", "-c", "-f", database, "-u",
             f"{self.name}.example", USER],
            input=PASSWORD.encode(), check=True, capture_output=True)
        # root's, as `postfix check` wants it, and readable by mail_owner
        os.chmod(database, 0o644)
        return folder

    def client_settings(self, origin, wrapped=False, port=None):
        return client_settings(
            origin, port or (self.tls_port if wrapped else self.port),
            self.certs.ca.cert, wrapped)

    def taken(self):
        """One entry per filed copy, that is per recipient."""
        return [stored(data) for data in self.mailbox()]

    def accepted_count(self):
        """Messages (not recipients) that got a 250."""
        return len(self.log.lines(r"postfix/smtpd\[\d+\]: \w+: client="))

    def sessions(self):
        """Per session: messages taken, from smtpd's disconnect lines."""
        counts = []
        for line in self.log.lines(r"smtpd\[\d+\]: disconnect from"):
            m = re.search(r" data=(\d+)", line) \
                or re.search(r" bdat=(\d+)", line)
            counts.append(int(m[1]) if m else 0)
        return counts


def stored(data):
    """Taken for a message filed with Return-Path and X-Original-To."""
    head, _ = split(data)
    return examine(data, header(head, "Return-Path").strip("<>"),
                   [header(head, "X-Original-To").strip("<>")])
