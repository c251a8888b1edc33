#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`make shell` on a terminal, as TAP: prompt.py MODULE. Runs in the toolbox, after `make tools`."""
import os
import pty
import select
import sys
import time

PROMPT = b"guest:/src# "
PATIENCE = 120 * int(os.environ.get("RUST_SHM_SLOW") or 1)
# What it is, what is typed, and what the terminal shows then.
STEPS = [
    ("there is a prompt", b"", PROMPT),
    ("a shell started there, by rshm run, has one too", b"rshm run -- bash\n", PROMPT),
    ("its programs have the library", b"echo $LD_PRELOAD\n", b"/librust_shm_preload.so\r"),
    ("its end is not the guest's", b"exit\n", PROMPT),
    ("the guest goes on", b"echo still $((6 * 7))\n", b"still 42\r"),
]


def main():
    print(f"TAP version 13\n1..{len(STEPS) + 1}")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv("qemu/boot", ["qemu/boot", sys.argv[1], "--shell"])
    shown, number = b"", 0

    def read_until(text):
        nonlocal shown
        end = time.monotonic() + PATIENCE
        while text is None or text not in shown:
            if not select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
                return False
            try:
                shown += os.read(terminal, 65536)
            except OSError:  # all that had it open have ended
                return text is None
        shown = shown.split(text, 1)[1]
        return True

    for number, (name, typed, text) in enumerate(STEPS, 1):
        # What is typed is shown too, before the answer.
        os.write(terminal, typed)
        good = (not typed or read_until(typed.rstrip() + b"\r")) and read_until(text)
        if not good:
            print(*(f"# {line!r}" for line in shown.splitlines()[-10:]), sep="\n")
        print(f"{'ok' if good else 'not ok'} {number} {name}", flush=True)
        if not good:
            break
    os.write(terminal, b"exit\n")
    ended = read_until(None)
    if not ended:
        os.close(terminal)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(f"# status {status}\n{'ok' if ended and status == 0 else 'not ok'} {number + 1} exit ends the guest")


main()
