"""Runs `postlane setup`, and looks at what it left of a configuration."""
import hashlib
import os
import subprocess

from . import paths
from .upstream import PASSWORD


def contents(etc):
    found = {}
    for name in sorted(os.listdir(etc)):
        path = os.path.join(etc, name)
        if os.path.isdir(path):
            found[name] = "a directory"
            continue
        with open(path, "rb") as f:
            st = os.stat(path)
            found[name] = (hashlib.sha256(f.read()).hexdigest(), st.st_mode,
                           st.st_uid)
    return found


def rest(etc):
    """Postfix's programs wait for a main.cf that was just written."""
    os.utime(f"{etc}/main.cf", (0, 0))


def run_setup(origin, *words, status=0, stdin="", faults=None):
    """origin: an instance, or the folder of one; faults: of faults.c, for
    postlane."""
    etc = getattr(origin, "etc", origin)
    rest(etc)
    environment = dict(os.environ)
    if faults:
        environment.update(LD_PRELOAD=paths.built("faults.so"), FAULTS=faults,
                           FAULTS_PROGRAM="postlane")
    done = subprocess.run(
        [paths.built("postlane"), "-c", etc, *words[:-1], "setup",
         *words[-1].split()], input=stdin, capture_output=True,
        encoding="utf-8", errors="surrogateescape",
        check=False, timeout=300, env=environment)
    rest(etc)
    assert done.returncode == status, done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    return done.stdout + done.stderr
