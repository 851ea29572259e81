"""Tests that need an /etc/resolv.conf of their own: smtp(8) has no other way
to be told of a name server. A file of tests runs itself once more, in a name
space of mounts, and of the name of the host."""
import os
import subprocess
import sys

import pytest


def is_private():
    """This process sees a file of ours there, which it may write to."""
    conf = os.environ.get("POSTLANE_RESOLV_CONF")
    return bool(conf) and os.path.samefile(conf, "/etc/resolv.conf")


inside = pytest.mark.skipif(not is_private(), reason="in a name space")
outside = pytest.mark.skipif(is_private() or os.geteuid() != 0,
                             reason="runs those in a name space")


def run_again(file, base, *options, timeout):
    """What pytest says of the tests marked inside."""
    conf = os.path.join(base, "resolv.conf")
    with open(conf, "w", encoding="ascii") as f:
        os.fchmod(f.fileno(), 0o644)
    done = subprocess.run(
        ["unshare", "-m", "-u", "--propagation", "private", "sh", "-c",
         'mount --bind "$0" /etc/resolv.conf && exec "$@"', conf,
         sys.executable, "-B", "-m", "pytest", "-q", *options,
         "-p", "no:cacheprovider", file],
        env={**os.environ, "POSTLANE_RESOLV_CONF": conf},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=timeout, check=False)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout
    return done.stdout
