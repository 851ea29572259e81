"""Fixtures. Every instance is taken down at the end of its test, whatever
happened; logs of a failed test stay below build/log/it/TEST."""
import os
import re
import shutil

import pytest

from harness import paths
from harness.certs import Certs
from harness.postfix import Postfix
from harness.upstream import PostfixSmarthost


def pytest_configure(config):
    if os.geteuid() != 0:
        pytest.exit("integration tests start Postfix: run them as root", 2)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        item.has_failed = True


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
    running = []

    def start(instance, **how):
        running.append(instance)
        instance.start(**how)
        return instance
    yield start
    for instance in reversed(running):
        instance.destroy()


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
