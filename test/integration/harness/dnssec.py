"""A signed zone and a resolver that validates it: nsd and unbound, as
scripts/foreign unpacked them.

  signed.test     signed, and trusted by the resolver
  plain.test      not signed
  bogus.test      signed, by another key than the one the resolver trusts
"""
import glob
import os
import socket
import struct
import subprocess

from . import paths
from .daemon import Daemon

ROOT = os.path.join(paths.ROOT, "build/foreign/dnssec")
SIGNED, PLAIN, BOGUS = ZONES = "signed.test", "plain.test", "bogus.test"
SOA = "{zone}. 1 IN SOA ns.{zone}. root.{zone}. {serial} 60 60 3600 1\n" \
      "{zone}. 1 IN NS ns.{zone}.\n" \
      "ns.{zone}. 1 IN A 127.0.0.1\n"


def is_there():
    return os.path.exists(os.path.join(ROOT, "usr/sbin/unbound"))


def program(name):
    libraries = glob.glob(os.path.join(ROOT, "usr/lib/*-linux-gnu*"))
    return ["env", "LD_LIBRARY_PATH=" + ":".join(libraries),
            glob.glob(os.path.join(ROOT, "usr/*bin", name))[0]]


def answer(address, port, name, kind, timeout_s=1):
    """Flags of the answer to a question with AD, or None."""
    labels = b"".join(bytes([len(x)]) + x.encode()
                      for x in name.rstrip(".").split(".")) + b"\0"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(timeout_s)
        try:
            s.sendto(struct.pack(">HHHHHH", 7, 0x0120, 1, 0, 0, 0) + labels
                     + struct.pack(">HH", kind, 1), (address, port))
            return struct.unpack(">H", s.recv(4096)[2:4])[0]
        except OSError:
            return None


class Authority(Daemon):
    """nsd with the three zones; `records` of each are lines of a zone file."""

    def __init__(self, base, address, records):
        super().__init__(base, "nsd")
        self.address, self.port = address, paths.free_port()
        self.records = {zone: list(records.get(zone, ())) for zone in ZONES}
        self.serial = 1
        self.keys = {zone: self._make_key(zone) for zone in (SIGNED, BOGUS)}
        self.trusted = {SIGNED: self.keys[SIGNED],
                        BOGUS: self._make_key(BOGUS)}
        self.write()
        with open(self.path("conf"), "w", encoding="ascii") as f:
            f.write(f"""server:
  ip-address: {address}@{self.port}
  username: ""
  chroot: ""
  zonesdir: "{self.home}"
  database: ""
  pidfile: ""
  xfrdfile: "{self.home}/xfrd"
  xfrdir: "{self.home}"
  zonelistfile: "{self.home}/zones"
  cookie-secret-file: "{self.home}/cookies"
remote-control:
  control-enable: no
""" + "".join(f'zone:\n  name: {z}\n  zonefile: "{z}.zone"\n' for z in ZONES))

    def _make_key(self, zone):
        return os.path.join(self.home, subprocess.run(
            [*program("ldns-keygen"), "-a", "ECDSAP256SHA256", "-k", zone],
            cwd=self.home, check=True, capture_output=True,
            text=True).stdout.strip())

    def write(self):
        for zone in ZONES:
            path = self.path(zone + ".zone")
            plain = path + ".plain"
            with open(plain, "w", encoding="ascii") as f:
                f.write(SOA.format(zone=zone, serial=self.serial))
                f.writelines(line + "\n" for line in self.records[zone])
            if zone == PLAIN:
                os.replace(plain, path)
            else:
                subprocess.run(
                    [*program("ldns-signzone"), "-f", path, plain,
                     self.keys[zone]], check=True, cwd=self.home,
                    capture_output=True)
        self.serial += 1

    def change(self, zone, records):
        """Other records, served when this returns."""
        self.records[zone] = list(records)
        self.stop()
        self.write()
        self.start()

    def command(self):
        return [*program("nsd"), "-d", "-c", self.path("conf")]

    def is_ready(self):
        return answer(self.address, self.port, SIGNED, 6) is not None


class Resolver(Daemon):
    """unbound at `address`, port 53; validates: else it takes what it gets."""

    def __init__(self, base, address, authority, validates=True):
        super().__init__(base, "unbound")
        self.address, self.authority = address, authority
        self.validates = validates

    def command(self):
        anchors = self.path("anchors")
        with open(anchors, "w", encoding="ascii") as out:
            for key in self.authority.trusted.values():
                with open(key + ".ds", encoding="ascii") as f:
                    out.write(f.read())
        at = f"{self.authority.address}@{self.authority.port}"
        with open(self.path("conf"), "w", encoding="ascii") as f:
            f.write(f"""server:
  interface: {self.address}
  port: 53
  do-daemonize: no
  use-syslog: no
  logfile: ""
  username: ""
  chroot: ""
  directory: "{self.home}"
  pidfile: ""
  do-not-query-localhost: no
  qname-minimisation: no
  cache-max-ttl: 1
  cache-max-negative-ttl: 1
  infra-host-ttl: 1
  infra-cache-min-rtt: 4000
  unknown-server-time-limit: 4000
  val-bogus-ttl: 1
  max-udp-size: 1232
  module-config: "{'validator ' if self.validates else ''}iterator"
  trust-anchor-file: "{anchors}"
  domain-insecure: {PLAIN}
  local-zone: "test." nodefault
""" + "".join(f'stub-zone:\n  name: {z}\n  stub-addr: {at}\n' for z in ZONES)
                    + 'remote-control:\n  control-enable: no\n')
        return [*program("unbound"), "-d", "-c", self.path("conf")]

    def is_ready(self):
        return answer(self.address, 53, SIGNED, 6) is not None
