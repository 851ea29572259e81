"""Servers that differ in certificate and TLS alone, and what they saw.

`Authority` makes certificates of every kind with openssl(1). `Zoo` listens on
one port for each pair of (kind, level), so that each can have its own policy,
and notes for each the logins and the messages it got.
"""
import hashlib
import os
import socket
import ssl
import subprocess
import threading
import warnings
from dataclasses import dataclass, field

_CONFIG = """[ca]
default_ca = one
[one]
database = {index}
new_certs_dir = {base}
rand_serial = yes
default_md = sha256
policy = any
email_in_dn = no
unique_subject = no
[any]
commonName = supplied
[ext]
basicConstraints = {constraints}
{more}
"""


@dataclass(frozen=True)
class Kind:
    """One server. `match`: the name wanted, if not its host name."""
    name: str
    cert: dict = field(default_factory=dict)    # of Authority.leaf()
    chain: tuple = ()                           # intermediates, top first
    hide_chain: bool = False
    match: str = ""
    digest: str = ""                            # wanted, if not its own
    versions: tuple = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_3)
    ciphers: str = "ALL:COMPLEMENTOFALL"
    curve: str = ""
    anchors: tuple = ()     # what its tafile holds, see Authority.anchor()
    has_tls: bool = True


class Authority:
    """A root below `base`, trusted as `pem`."""

    def __init__(self, base):
        self.base = str(base)
        os.makedirs(self.base, exist_ok=True)
        self.count = 0
        self.keys = {}
        self.made = {}      # of kinds: files and digest
        self.tafiles = {}   # of kinds that have anchors
        self.mids = {}      # topmost intermediates, of kinds that have some
        self.root = self._self_signed("Zoo CA")
        self.pem = self.root[0]
        self.other = self._self_signed("Other CA")

    def _openssl(self, *args):
        subprocess.run(["openssl", *args], check=True, cwd=self.base,
                       capture_output=True)

    def _path(self, suffix):
        self.count += 1
        return os.path.join(self.base, f"{self.count}.{suffix}")

    def _key(self, bits):
        """Keys of one size are shared: making them is what takes time."""
        if bits not in self.keys:
            self.keys[bits] = self._path("key")
            self._openssl("genpkey", "-algorithm", "RSA", "-pkeyopt",
                          f"rsa_keygen_bits:{bits}", "-out", self.keys[bits])
        return self.keys[bits]

    def _self_signed(self, subject, bits=2048, alt=""):
        cert = self._path("pem")
        more = ["-addext", f"subjectAltName={alt}"] if alt else []
        self._openssl("req", "-x509", "-new", "-key", self._key(bits), "-days",
                      "30", "-subj", f"/CN={subject}", "-out", cert, *more)
        return cert, self._key(bits)

    def _issue(self, issuer, subject, constraints, more, bits, md, dates):
        request, cert = self._path("csr"), self._path("pem")
        config, index = self._path("cnf"), self._path("index")
        key = self._key(bits)
        with open(index, "w", encoding="ascii"):
            pass
        with open(config, "w", encoding="ascii") as f:
            f.write(_CONFIG.format(index=index, base=self.base, more=more,
                                   constraints=constraints))
        self._openssl("req", "-new", "-key", key, "-out", request, "-subj",
                      f"/CN={subject}")
        self._openssl("ca", "-batch", "-notext", "-config", config,
                      "-extensions", "ext", "-in", request, "-cert",
                      issuer[0], "-keyfile", issuer[1], "-md", md, "-out",
                      cert, *(["-startdate", dates[0], "-enddate", dates[1]]
                              if dates else ["-days", "30"]))
        return cert, key

    def leaf(self, issuer, alt="DNS:localhost", subject="a server", bits=2048,
             md="sha256", dates=None, usage="serverAuth", ca=False,
             signer=None):
        if signer == "self":
            return self._self_signed(subject, bits, alt)
        more = f"extendedKeyUsage = {usage}\n"
        more += f"subjectAltName = {alt}\n" if alt else ""
        return self._issue(self.other if signer == "other" else issuer,
                           subject, "CA:TRUE" if ca else "CA:FALSE", more,
                           bits, md, dates)

    def of(self, kind):
        """Files of a kind, chain and key, and SHA-256 of the leaf."""
        if kind.name not in self.made:
            self.made[kind.name] = self._make(kind)
        return self.made[kind.name]

    def anchor(self, name, cert, between):
        """root, other, leaf, or mid for the topmost intermediate; with "key"
        behind it, its public key alone."""
        path = {"root": self.root[0], "other": self.other[0], "leaf": cert,
                "mid": between[-1] if between else None}[
                    name.removesuffix("key")]
        if not name.endswith("key"):
            with open(path, encoding="ascii") as f:
                return f.read()
        return subprocess.run(
            ["openssl", "x509", "-in", path, "-noout", "-pubkey"], check=True,
            capture_output=True, text=True).stdout

    def _make(self, kind):
        issuer, between = self.root, []
        for step, options in enumerate(kind.chain):
            issuer = self._issue(
                issuer, f"{kind.name} {step}", "critical,CA:TRUE", "",
                options.get("bits", 2048 + 8 * (step + 1)),
                options.get("md", "sha256"), options.get("dates"))
            between.insert(0, issuer[0])
        if between:
            self.mids[kind.name] = between[-1]
        cert, key = self.leaf(issuer, **kind.cert)
        if kind.anchors:
            self.tafiles[kind.name] = self._path("pem")
            with open(self.tafiles[kind.name], "w", encoding="ascii") as f:
                f.writelines(self.anchor(name, cert, between)
                             for name in kind.anchors)
        chain = self._path("pem")
        with open(chain, "w", encoding="ascii") as out:
            for name in [cert] + ([] if kind.hide_chain else between):
                with open(name, encoding="ascii") as part:
                    out.write(part.read())
        with open(cert, encoding="ascii") as f:
            der = ssl.PEM_cert_to_DER_cert(f.read())
        digest = hashlib.sha256(der).hexdigest().upper()
        return chain, key, ":".join(
            digest[i:i + 2] for i in range(0, len(digest), 2))


class Zoo:
    """A running set; (kind, level) -> port, logins, messages."""

    def __init__(self, authority, kinds, levels):
        self.authority = authority
        self.ports, self.digests = {}, {}
        self.logins, self.mail = set(), set()
        self.clear = set()      # mail that came without TLS
        self.open = 0           # connections
        self._without_tls = {k.name for k in kinds if not k.has_tls}
        self._listeners = {}
        self._lock = threading.Lock()
        for kind in kinds:
            chain, key, digest = authority.of(kind)
            self.digests[kind.name] = kind.digest or digest
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.set_ciphers(kind.ciphers + ":@SECLEVEL=0")
            with warnings.catch_warnings():     # of old versions: meant
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version, context.maximum_version = \
                    kind.versions
            if kind.curve:
                context.set_ecdh_curve(kind.curve)
            context.load_cert_chain(chain, key)
            for level in levels:
                listener = socket.create_server(("127.0.0.1", 0), backlog=64)
                self.ports[kind.name, level] = listener.getsockname()[1]
                self._listeners[kind.name, level] = listener
                threading.Thread(target=self._serve, daemon=True, args=(
                    listener, (kind.name, level), context)).start()

    def close(self):
        for listener in self._listeners.values():
            listener.close()

    def _serve(self, listener, cell, context):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, daemon=True,
                             args=(client, cell, context)).start()

    def _talk(self, client, cell, context):
        with self._lock:
            self.open += 1
        try:
            self._dialogue(client, cell, context)
        except (OSError, ValueError):
            pass
        finally:
            client.close()
            with self._lock:
                self.open -= 1

    def _dialogue(self, client, cell, context):
        lines, is_tls = client.makefile("rb"), False
        client.sendall(b"220 zoo ESMTP\r\n")
        while line := lines.readline():
            verb = line.split()[0].upper() if line.split() else b""
            reply = b"250 2.0.0 ok"
            if verb == b"EHLO":
                reply = b"250-zoo\r\n250-AUTH PLAIN\r\n" + (
                    b"250 8BITMIME" if is_tls or cell[0] in
                    self._without_tls else b"250 STARTTLS")
            elif verb == b"STARTTLS":
                client.sendall(b"220 2.0.0 go ahead\r\n")
                client = context.wrap_socket(client, server_side=True)
                lines, is_tls = client.makefile("rb"), True
                continue
            elif verb == b"AUTH":
                self.logins.add(cell)
                reply = b"235 2.7.0 welcome"
            elif verb == b"DATA":
                client.sendall(b"354 go ahead\r\n")
                while lines.readline() not in (b".\r\n", b""):
                    pass
                self.mail.add(cell)
                if not is_tls:
                    self.clear.add(cell)
            elif verb == b"QUIT":
                client.sendall(b"221 2.0.0 bye\r\n")
                return
            client.sendall(reply + b"\r\n")
