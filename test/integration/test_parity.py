"""No parameter of smtp(8) is passed over in silence: what lane does not do is
refused by name, or told, and every name that smtp(8) reads is in a table."""
import glob
import importlib.machinery
import importlib.util
import os
import re
import subprocess

import pytest

from harness import messages, paths
from harness.simulator import Simulator

pytestmark = pytest.mark.skipif("lane" not in paths.agents(),
                                reason="no lane yet")
SCRIPT = os.path.join(paths.ROOT, "scripts/parity")

# Refused elsewhere: with other parameters, or by its values.
REFUSED_BY_PARAMS = {"smtp_tls_per_site": "hash:/sites",
                     "smtp_tls_security_level": "dane"}


@pytest.fixture(scope="module")
def parity():
    loader = importlib.machinery.SourceFileLoader("parity", SCRIPT)
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader("parity", loader))
    loader.exec_module(module)
    return module


def of_kind(parity, wanted):
    return [name for name, (kind, _, _) in parity.foreign().items()
            if kind == wanted]


def deferred_for(origin, text):
    origin.inject(messages.generate(1))
    return origin.log.wait(r"dsn=4\.3\.5, status=deferred .*" + text)


def test_every_name_is_in_a_table(parity):
    assert len(parity.installed()) > 200
    done = subprocess.run([SCRIPT, "--check"], text=True,
                          stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_is_not_supported_is_refused(parity, base, certs, origin, started):
    sim = started(Simulator(base, certs))
    origin.agent("lane", "fast", "class=fast")
    values = {name: "yes" for name in of_kind(parity, "REFUSE")}
    values["smtp_quote_rfc821_envelope"] = "no"
    origin.relay_to(sim, transport="fast")
    origin.set(**values, **REFUSED_BY_PARAMS)
    started(origin)
    deferred_for(origin, "bad parameter: ")
    for name, value in values.items():
        origin.log.wait(rf"fatal: bad parameter: {name} = {value}: "
                        "not supported by lane: ")
    origin.log.wait("fatal: bad parameter: smtp_tls_per_site = hash:/sites: "
                    "not supported by lane: ")
    origin.log.wait("fatal: bad parameter: smtp_tls_security_level = dane: ")
    assert not sim.ledger()


def test_what_distributions_set_is_refused_by_no_name(parity):
    """Else a lane beside a distribution's own main.cf defers all mail."""
    files = glob.glob("/usr/share/postfix/main.cf.*") + [
        os.path.join(paths.ROOT, "test/fixtures/distributions.cf")]
    assert len(files) > 1
    names = set()
    for path in files:
        with open(path) as f:
            names |= set(re.findall(r"^(\w+) *=", f.read(), re.M))
    assert len(names) > 35
    assert not names & set(of_kind(parity, "REFUSE"))


def test_what_is_missing_and_changes_no_mail_is_told(
        parity, base, certs, origin, started):
    sim = started(Simulator(base, certs))
    names = of_kind(parity, "WARN")
    origin.agent("lane", "fast", "class=fast", {"fast_recipient_limit": 3})
    origin.relay_to(sim, transport="fast")
    values = {name: "yes" for name in names}
    values.update(known_tcp_ports="smtp=25", notify_classes="protocol",
                  tcp_windowsize="65536", smtp_tls_securty_level="may")
    origin.set(**values)
    started(origin)
    origin.inject(messages.generate(1))
    origin.wait_empty()
    assert len(sim.ledger()) == 1
    told = re.findall(r"warning: ((?:-o )?\w+) = [^:]+: (?:not supported by lane, "
                      r"without effect|without effect|there is no such parameter)",
                      origin.log.text())
    assert sorted(told) == sorted(
        names + ["-o fast_recipient_limit", "smtp_tls_securty_level"])


def test_a_slip_in_an_option_is_refused(base, certs, origin, started):
    sim = started(Simulator(base, certs))
    origin.agent("lane", "fast", "class=fast",
                 {"smtp_tls_securty_level": "encrypt"})
    origin.relay_to(sim, transport="fast")
    started(origin)
    deferred_for(origin, "-o smtp_tls_securty_level = encrypt: there is no "
                 "such parameter")
    assert not sim.ledger()
