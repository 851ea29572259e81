"""A private certificate authority and the server certificates tests need."""
import os
import subprocess
from dataclasses import dataclass

SERVER_NAME = "smarthost.example"


@dataclass(frozen=True)
class Pair:
    """PEM files of one certificate and its key."""
    cert: str
    key: str


class Certs:
    """Makes everything below `base` once.

    ca, other_ca      the trusted authority and one that is not
    good              SERVER_NAME, localhost, 127.0.0.1, ::1; by ca
    wrong_name        another host's name; by ca
    expired           right name, validity over; by ca
    untrusted         right name; by other_ca
    """

    def __init__(self, base):
        self.base = base
        os.makedirs(base, exist_ok=True)
        os.chmod(base, 0o755)
        self.ca = self._authority("ca", "Test CA")
        self.other_ca = self._authority("other_ca", "Other CA")
        names = f"DNS:{SERVER_NAME},DNS:localhost,IP:127.0.0.1,IP:::1"
        self.good = self._server("good", self.ca, names)
        self.wrong_name = self._server("wrong_name", self.ca,
                                       "DNS:other.example")
        self.expired = self._server("expired", self.ca, names, expired=True)
        self.untrusted = self._server("untrusted", self.other_ca, names)

    def _path(self, name):
        return os.path.join(self.base, name)

    def _openssl(self, *args):
        subprocess.run(["openssl", *args], check=True, cwd=self.base,
                       capture_output=True)

    def _key(self, name):
        key = self._path(name + ".key")
        self._openssl("genpkey", "-algorithm", "EC", "-pkeyopt",
                      "ec_paramgen_curve:P-256", "-out", key)
        # private instances read it as root, Exim as its own user
        os.chmod(key, 0o644)
        return key

    def _authority(self, name, subject):
        key = self._key(name)
        cert = self._path(name + ".pem")
        self._openssl("req", "-x509", "-new", "-key", key, "-days", "30",
                      "-subj", f"/CN={subject}", "-out", cert)
        return Pair(cert, key)

    def _server(self, name, ca, alt_names, expired=False):
        """`openssl ca` is the one command of 3.0 that can set the past."""
        key = self._key(name)
        request = self._path(name + ".csr")
        cert = self._path(name + ".pem")
        self._openssl("req", "-new", "-key", key, "-out", request,
                      "-subj", "/CN=" + alt_names.split(",")[0][4:])
        index = self._path(name + ".index")
        with open(index, "w", encoding="ascii"):
            pass
        config = self._path(name + ".cnf")
        with open(config, "w", encoding="ascii") as f:
            f.write(f"""[ca]
default_ca = one
[one]
database = {index}
new_certs_dir = {self.base}
rand_serial = yes
default_md = sha256
policy = any
email_in_dn = no
[any]
commonName = supplied
[ext]
basicConstraints = CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = {alt_names}
""")
        when = ["-startdate", "20200101000000Z", "-enddate",
                "20200201000000Z"] if expired else ["-days", "30"]
        self._openssl("ca", "-batch", "-notext", "-config", config,
                      "-extensions", "ext", "-in", request, "-cert", ca.cert,
                      "-keyfile", ca.key, "-out", cert, *when)
        return Pair(cert, key)
