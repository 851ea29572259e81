"""The program is built as hard as the compiler can, whatever CFLAGS say."""
import os
import re
import shutil
import subprocess

import pytest

from harness import paths

OBJECT = "common/base/log.o"


def output(*command):
    return subprocess.run(command, check=True, capture_output=True,
                          text=True, cwd=paths.ROOT).stdout


def readelf(path, *options):
    return output("readelf", "-W", *options, path)


def make(base, *arguments):
    """The text of an object file's symbols, notes and code."""
    build = os.path.join(base, "build")
    done = subprocess.run(
        ["make", "-s", f"BUILD={build}", *arguments,
         os.path.join(build, OBJECT)],
        capture_output=True, text=True, check=True, cwd=paths.ROOT)
    path = os.path.join(build, OBJECT)
    return (readelf(path, "-s", "-n"), output("objdump", "-d", path),
            done.stderr)


@pytest.mark.skipif(paths.is_sanitized(), reason="built for other purposes")
def test_program_is_position_independent_and_read_only():
    lane = paths.LANE
    assert "DYN (" in readelf(lane, "-h")
    dynamic = readelf(lane, "-d")
    assert re.search(r"FLAGS_1.*NOW.*PIE", dynamic)
    segments = readelf(lane, "-l")
    assert "GNU_RELRO" in segments
    assert re.search(r"GNU_STACK.* RW +0x", segments)
    # code stands in pages of its own
    loads = re.findall(r"LOAD +\S+ \S+ \S+ \S+ \S+ (R.E|R..|RW.)", segments)
    # where data that is only read goes is the linker's choice
    kinds = [kind.strip() for kind in loads]
    assert kinds[:2] == ["R", "R E"] and set(kinds[2:]) <= {"R", "RW"}
    assert "_chk@" in readelf(lane, "--dyn-syms")


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("cflags", [
    "-O2 -g", "-O2 -fno-stack-protector -fno-pie -U_FORTIFY_SOURCE "
    "-D_FORTIFY_SOURCE=0 -fcf-protection=none -fno-stack-clash-protection"])
def test_cflags_do_not_undo_it(base, compiler, cflags):
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    symbols, code, told = make(base, f"CC={compiler}", f"CFLAGS={cflags}")
    assert "__stack_chk_fail" in symbols
    assert "__vsnprintf_chk" in symbols
    if os.uname().machine == "x86_64":
        assert "endbr64" in code
        assert re.search(r"IBT.*SHSTK", symbols)
    assert "warning" not in told


def test_what_is_left_out_without_optimisation_is_told(base):
    symbols, _, told = make(base, "CFLAGS=-O0")
    assert "__stack_chk_fail" in symbols
    assert "without _FORTIFY_SOURCE" in told
