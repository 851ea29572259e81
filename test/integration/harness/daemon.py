"""A foreground program that serves until it is told to stop."""
import os
import signal
import subprocess

from .process import kill_session
from .wait import wait_until


class Daemon:
    """Runs in a session of its own; output goes to home/NAME.log."""

    def __init__(self, base, name):
        self.name = name
        self.home = os.path.join(base, name)
        os.makedirs(self.home)
        os.chmod(self.home, 0o755)
        self.process = None

    def path(self, name):
        return os.path.join(self.home, name)

    def command(self):
        """Program and arguments."""
        raise NotImplementedError

    def is_ready(self):
        raise NotImplementedError

    def start(self, timeout_s=20):
        log = self.path(self.name + ".log")
        with open(log, "ab") as out:
            self.process = subprocess.Popen(
                self.command(), stdout=out, stderr=out,
                stdin=subprocess.DEVNULL, start_new_session=True)

        def up():
            if self.process.poll() is not None:
                with open(log, encoding="utf-8", errors="replace") as f:
                    raise AssertionError(
                        f"{self.name} ended with status "
                        f"{self.process.returncode}: {f.read()}")
            return self.is_ready()
        wait_until(up, timeout_s, f"{self.name} ready")
        return self

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, timeout_s=20):
        """Orderly end; the status."""
        if self.process is None:
            return 0
        self.process.terminate()
        status = self.process.wait(timeout_s)
        kill_session(self.process.pid)
        self.process = None
        return status

    def destroy(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            kill_session(self.process.pid)
            self.process = None

    def kill9(self):
        self.signal(signal.SIGKILL)
        self.process.wait()
