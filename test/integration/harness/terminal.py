"""A terminal without a window, which tmux draws."""
import os
import re
import subprocess

from .wait import wait_until


class Terminal:
    """A program in a terminal that tmux draws."""

    def __init__(self, base, width=80, height=24):
        self.socket = os.path.join(base, "tmux")
        self.size = ("-x", str(width), "-y", str(height))

    def tmux(self, *words):
        return subprocess.run(
            ["tmux", "-f", "/dev/null", "-S", self.socket, *words],
            check=True, capture_output=True, text=True, timeout=300).stdout

    def start(self, *words, **environment):
        environment = {"LC_ALL": "C.UTF-8", "TERM": "screen-256color",
                       # of the terminal it was started from
                       "LINES": self.size[3], "COLUMNS": self.size[1],
                       **environment}
        env = [f"{name}={value}" for name, value in environment.items()]
        self.tmux("new-session", "-d", *self.size, "env", *env, *words)

    def stop(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"],
                       check=False, capture_output=True)

    def screen(self):
        return self.tmux("capture-pane", "-p").splitlines()

    def coloured(self):
        """Its rows with the escapes that colour them."""
        return self.tmux("capture-pane", "-p", "-e", "-N").splitlines()

    def keys(self, *names):
        self.tmux("send-keys", *names)

    def shows(self, pattern, what):
        return wait_until(
            lambda: re.search(pattern, "\n".join(self.screen()), re.M), 30,
            what)

    def is_over(self):
        return subprocess.run(["tmux", "-S", self.socket, "has-session"],
                              check=False, capture_output=True).returncode != 0
