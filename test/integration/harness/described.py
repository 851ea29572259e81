"""What `postlane -j` prints against doc/json.md, which describes each member."""
import functools
import json
import os
import re

from . import paths

DOCUMENT = os.path.join(paths.ROOT, "doc/json.md")
TAKE_A_WORD = ("-c", "-w", "-o", "--for", "--until", "--to", "--count")


def verbs():
    """Of the table that the program goes by."""
    path = os.path.join(paths.ROOT, "monitor/postlane/main.c")
    with open(path, encoding="utf-8") as f:
        table = f.read().split("} verbs[] = {")[1].split("\n};")[0]
    found = set(re.findall(r'^    \{"([a-z]+)",', table, re.M))
    assert {"status", "doctor", "setup"} <= found and len(found) > 15
    return found


@functools.cache
def members():
    """{verb: {member: its row's text}}"""
    found = {}
    of = []
    with open(DOCUMENT, encoding="utf-8") as f:
        for line in f:
            if line.startswith("## "):
                of = line[3:].strip().split(", ")
                for verb in of:
                    found[verb] = {}
            row = re.fullmatch(r"\| (`.*`) \| (.*) \|\n", line)
            if row:
                for name in re.findall(r"`([^`]+)`", row[1]):
                    for verb in of:
                        found[verb][name] = row[2]
    return found


@functools.cache
def _pattern(verb):
    return re.compile("|".join(
        re.escape(name).replace(r"\*", r"\w+") for name in members()[verb]))


def leaves(value, path=""):
    """Members that are no objects, as the document writes them."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from leaves(each, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each, path + "[]")
    else:
        yield path


def verb_of(words):
    rest = iter(words)
    for word in rest:
        if word in TAKE_A_WORD:
            next(rest, None)
        elif not word.startswith("-"):
            return word
    return "status"


def check(words, text):
    """The output of a run with these words; what is no JSON is not looked
    at."""
    if "-j" not in words:
        return
    verb = verb_of(words)
    for line in text.splitlines():
        missing = {name for name in leaves(json.loads(line))
                   if not _pattern(verb).fullmatch(name)}
        assert not missing, f"doc/json.md, {verb}: {sorted(missing)}"
