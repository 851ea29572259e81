"""doc/json.md, and postlane(1) of doctor's codes, say what the code has, no less
and no more. That all that is printed is there the harness looks at, whenever a
test asks postlane for JSON."""
import glob
import os
import re

from harness import described, paths

# Those who make the objects, and what they fill in by other names.
SOURCES = ("monitor/*.c", "monitor/postlane/*.c", "agent/why.c",
           "agent/probe.c", "agent/smarthost/survey.c",
           "agent/smarthost/tlsreport.c")
# Words of others in what looks for faults.
NO_CODES = {"GET", "CONFIG", "EVALSHA", "HGETALL", "DEL", "STARTTLS", "HMGET",
            "HSET"}


def board_rows(name):
    """Of a list in board.h, as {name: help}."""
    with open(os.path.join(paths.ROOT, "common/shared/board.h"),
              encoding="ascii") as f:
        text = f.read().replace("\\\n", " ")
    text = re.search(rf"#define {name}\(X\)(.*)", text)[1]
    return {row[1]: "".join(re.findall(r'"([^"]*)"', row[2]))
            for row in re.finditer(r'X\((\w+),\s*((?:"[^"]*"\s*)+)\)', text)}


def test_figures_are_described_as_the_board_has_them():
    found = described.members()["status"]
    for name, member in (("BOARD_COUNTERS", "counters"),
                         ("BOARD_GAUGES", "gauges"),
                         ("BOARD_HISTS", "latency_us")):
        rows = board_rows(name)
        assert len(rows) > 5
        assert rows == {
            path.rpartition(".")[2]: text for path, text in found.items()
            if path.rpartition(".")[0] == f"lanes[].{member}"}


def test_members_that_are_described_are_there():
    known = {name for rows in ("BOARD_COUNTERS", "BOARD_GAUGES", "BOARD_HISTS")
             for name in board_rows(rows)}
    for source in SOURCES:
        for path in glob.glob(os.path.join(paths.ROOT, source)):
            with open(path, encoding="utf-8") as f:
                text = f.read()
            known.update(re.findall(r'"(\w+)"', text))
            known.update(re.findall(
                r"\b(?:TEXT|NUMBER|COUNT|BOOL)\(\w+, \w+, (\w+)\)", text))
    for verb, found in described.members().items():
        assert found, verb
        for path in found:
            name = path.removesuffix("[]").rpartition(".")[2]
            assert name in known, (verb, path)


def test_verbs_that_print_json_are_described():
    # A terminal, and a text.
    assert set(described.members()) == described.verbs() - {"top", "help"}


def test_codes_of_doctor_are_in_its_manual_page():
    codes = set()
    for path in glob.glob(os.path.join(paths.ROOT, "monitor/checkup*.c")) + [
            os.path.join(paths.ROOT, "monitor/postlane/doctor.c")]:
        with open(path, encoding="utf-8") as f:
            codes.update(re.findall(r'"([A-Z]{2,}(?:-[A-Z]+)*)"', f.read()))
    with open(os.path.join(paths.ROOT, "man/postlane.1"),
              encoding="utf-8") as f:
        page = set(re.findall(r"[A-Z]{2,}(?:-[A-Z]+)*", " ".join(
            line for line in f if line.startswith(".Li "))))
    assert len(codes) > 60
    assert codes - NO_CODES == page
