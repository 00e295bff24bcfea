"""Run a program on a terminal and type answers: the part of `Sandbox.talk` that runs inside.

Standard input is JSON: ``{"words": [...], "answers": [[text to wait for, line to type], ...]}``.
"""

import json
import os
import pty
import select
import signal
import sys
import time

SILENCE = 6.0


def drive(words: list[str], answers: list[tuple[str, str]]) -> int:
    """Run `words`, type each answer when its text has appeared, and return the exit status.

    The terminal of a program that prints nothing for `SILENCE` seconds is closed.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(words[0], words)
    seen = ""
    while select.select([terminal], [], [], SILENCE)[0]:
        try:
            text = os.read(terminal, 4096).decode(errors="replace")
        except OSError:  # EIO: the other side is closed (pty(7))
            break
        sys.stdout.write(text)
        seen += text
        while answers and answers[0][0] in seen:
            wanted, line = answers.pop(0)
            seen = seen.partition(wanted)[2]
            os.write(terminal, line.encode(errors="surrogateescape") + b"\n")
    os.close(terminal)
    return reap(pid)


def reap(pid: int) -> int:
    """Wait for a program whose terminal is closed; kill it if it continues."""
    end = time.monotonic() + SILENCE
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    told = json.load(sys.stdin)
    sys.exit(drive(told["words"], [(wanted, line) for wanted, line in told["answers"]]) & 0xFF)
