"""Completion of postlane's command line by bash."""
import os
import subprocess

from harness import described, paths

SCRIPT = """
. "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_postlane
printf '%s\\n' "${COMPREPLY[@]}"
"""


def complete(*words):
    environment = {**os.environ,
                   "PATH": f"{paths.BUILD}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-c", SCRIPT, "bash",
         os.path.join(paths.ROOT, "completion/postlane.bash"), *words],
        check=True, capture_output=True, text=True, timeout=300,
        env=environment).stdout.split()


def test_completion(tmp_path):
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\n")
    (tmp_path / "master.cf").write_text(
        "smtp unix - - n - - smtp\n"
        "fast unix - - n - 1 lane class=fast\n"
        "slow unix - - n - 1 lane -o lane_class=x class=slow\n"
        "token unix - - n - 1 lane token\n")
    assert sorted(complete("postlane", "")) == sorted(described.verbs())
    assert complete("postlane", "res") == ["resume"]
    at = ("postlane", "-c", str(tmp_path))
    assert complete(*at, "pause", "") == ["fast", "slow"]
    assert complete(*at, "rate", "s") == ["slow"]
    assert complete(*at, "rate", "slow", "") == ["default", "50%"]
    assert complete(*at, "connections", "slow", "") == ["default"]
    assert complete(*at, "pause", "fast", "--for", "1") == ["10m", "1h", "1d"]
    assert complete(*at, "-j", "pause", "fast", "--f") == ["--for"]
    assert complete(*at, "trace", "fast", "--") == ["--to", "--count"]
    assert complete(*at, "setup", "[a.example]", "--p") == ["--provider"]
    assert complete(*at, "setup", "[a.example]", "--provider", "no") == ["none"]
    assert complete(*at, "help", "doc") == ["doctor"]
    assert complete(*at, "fleet", "") == ["forget"]
