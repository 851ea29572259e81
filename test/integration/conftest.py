"""Fixtures. Every instance is taken down at the end of its test, whatever
happened; logs of a failed test stay below build/log/it/TEST. A test that
fails, comes to its deadline or is interrupted tells what its instances were
doing."""
import os
import re
import shutil
import signal
import subprocess

import pytest
from xdist.workermanage import NodeManager

from harness import paths, state
from harness.certs import Certs
from harness.hook import Hook
from harness.postfix import Postfix
from harness.upstream import PostfixSmarthost
from harness.wait import Stopwatch, Timeout

# For each phase of a test; POSTLANE_DEADLINE: another one, 0 none
DEADLINE_S = int(os.environ.get("POSTLANE_DEADLINE") or (
    3600 if os.environ.get("POSTLANE_LONG") else 420))
INTERRUPTED_S = 50      # for workers to take down what is running
_running = []       # instances of the test under way


def pytest_configure(config):
    # the end of time comes as SIGINT, also to what a script has started in
    # the background, where it is ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # and workers take their instances down before they are killed
    if config.pluginmanager.hasplugin("dsession"):
        NodeManager.EXIT_TIMEOUT = INTERRUPTED_S
    config.addinivalue_line(
        "markers", "sanitized: also with a lane built with sanitizers")
    if os.geteuid() != 0:
        pytest.exit("integration tests start Postfix: run them as root", 2)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        item.has_failed = True
    if report.failed and _running:
        hung = call.excinfo is not None and call.excinfo.errisinstance(
            (Timeout, subprocess.TimeoutExpired))
        report.sections.append(
            ("what was going on", state.describe(_running, stacks=hung)))


def _with_deadline(what):
    """Whatever a test waits for, it ends, and others have their turn."""
    watch = Stopwatch()

    def ring(*_):
        if watch.seconds() >= DEADLINE_S:
            raise Timeout(f"{what} not over within {DEADLINE_S} s")
    before = signal.signal(signal.SIGALRM, ring)
    if DEADLINE_S:
        signal.setitimer(signal.ITIMER_REAL, 1, 1)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_setup(item):
    yield from _with_deadline(f"setup of {item.name}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    yield from _with_deadline(item.name)


def pytest_keyboard_interrupt(excinfo):
    """The time limit of scripts/check comes as one."""
    if _running:
        print("\ninterrupted; what was going on:\n"
              + state.describe(_running, stacks=True))


@pytest.fixture
def base(request):
    """A directory with a short path that everybody may enter."""
    path = paths.make_base()
    keep = os.path.join(paths.BUILD, "log/it",
                        re.sub(r"[^\w.-]+", "_", request.node.name))
    shutil.rmtree(keep, ignore_errors=True)
    yield path
    failed = getattr(request.node, "has_failed", False)
    paths.drop_base(path, keep if failed else None)


@pytest.fixture(scope="session")
def certs():
    path = paths.make_base()
    yield Certs(path)
    paths.drop_base(path)


@pytest.fixture
def started(base):
    """started(instance): start it now, destroy it after the test. `base`
    is asked for so that it is removed later than what lives in it."""
    def start(instance, **how):
        _running.append(instance)
        instance.start(**how)
        return instance
    yield start
    for instance in reversed(_running):
        instance.destroy()
    reports = [report for instance in _running
               if isinstance(instance, Postfix)
               for report in (*instance.sanitizer_reports(),
                              *instance.log.lines(": sandbox: "))]
    _running.clear()
    assert not reports, "\n".join(reports)


@pytest.fixture
def hook():
    """Who is told of alarms."""
    server = Hook()
    yield server
    server.close()


@pytest.fixture
def origin(base):
    """A Postfix to be configured and then started with started()."""
    return Postfix(base, "origin")


@pytest.fixture
def smarthost(base, certs, started):
    """A running Postfix smarthost with TLS and AUTH."""
    return started(PostfixSmarthost(base, certs))


@pytest.fixture(params=paths.agents())
def agent(request):
    """Name of the delivery agent: the test runs once with each."""
    return request.param
