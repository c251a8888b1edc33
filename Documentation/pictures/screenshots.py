#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Draws what `rshm` shows on a terminal, as SVG: screenshots.py DIRECTORY. Runs as root in a guest with the module; needs pyte.

Processes named as real ones create segments and use them; `rshm` runs on a pseudo-terminal, and pyte keeps its screen. `make docs` draws
them for the book. To keep them beside the pages: cp build/book/Documentation/pictures/*.svg Documentation/pictures/
"""
import ctypes
import html
import itertools
import os
import pathlib
import pty
import pwd
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import fcntl

MIB = 1 << 20
# How a process is called, its user, the key and size of the segment that it makes or attaches, and how much it touches.
WORKERS = [
    ("postgres", "postgres", 0x0052E2C1, 144 * MIB, 128 * MIB),
    ("postgres", "postgres", 0x0052E2C1, 144 * MIB, 96 * MIB),
    ("postgres", "postgres", 0x0052E2C1, 144 * MIB, 20 * MIB),
    ("php-fpm", "www-data", 0x51000A2F, 32 * MIB, 32 * MIB),
    ("php-fpm", "www-data", 0x51000A2F, 32 * MIB, 8 * MIB),
    ("Xvfb", "nobody", 0, 8 * MIB, 6 * MIB),
    ("chronyd", "_chrony", 0x4E545030, 96, 96),
]
# File, size of the terminal, command, and what is typed: (seconds to wait, keys) until the picture is taken.
SCREENS = [
    ("top.svg", (12, 112), ["top", "-d", "1"], [(8, "")]),
    ("top-segment.svg", (22, 112), ["top", "-d", "1"], [(4, "\r"), (14, "")]),
    ("ls.svg", (12, 80), ["ls"], []),
    ("show.svg", (36, 100), ["show", "--key", "0x52e2c1"], []),
    ("doctor.svg", (14, 112), ["doctor"], []),
]
COLOURS = {
    "black": "#484f58", "red": "#ff7b72", "green": "#3fb950", "brown": "#d29922", "blue": "#58a6ff", "magenta": "#bc8cff",
    "cyan": "#39c5cf", "white": "#b1bac4",
}
PAPER, INK = "#0d1117", "#e6edf3"
WIDE, HIGH, LEFT, TOP = 8.4, 18, 16, 44


def work(name, user, key, size, touch):
    """A process with a segment: touches it slowly, and goes on attaching and detaching."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype = ctypes.c_void_p
    libc.shmdt.argtypes = [ctypes.c_void_p]
    libc.shmget.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_int]
    pathlib.Path("/proc/self/comm").write_text(name, encoding="ascii")
    account = pwd.getpwnam(user)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    id = libc.shmget(key, size, 0o1600)  # IPC_CREAT
    assert id >= 0, os.strerror(ctypes.get_errno())
    address = libc.shmat(id, None, 0)
    print("attached", flush=True)
    signal.alarm(600)
    for offset in itertools.count(0, 2 * MIB):
        if offset < touch:
            ctypes.memset(address + offset, 1, min(2 * MIB, touch - offset))
        if name == "php-fpm":
            libc.shmdt(libc.shmat(id, None, 0))
        time.sleep(0.4)


def spawn(worker):
    process = subprocess.Popen(["rshm", "run", "--", sys.executable, __file__, "--work", *map(str, worker)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"attached\n", worker
    return process


def screen_of(command, size, keys):
    """What is on a terminal once the keys are typed, or once the command ends."""
    import pyte

    screen = pyte.Screen(size[1], size[0])
    stream = pyte.ByteStream(screen)
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", LANG="C.UTF-8")
        os.execvp("rshm", ["rshm", *command])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))

    def read(seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([terminal], [], [], left)[0]:
                try:
                    stream.feed(os.read(terminal, 65536))
                except OSError:  # it has ended
                    return

    for seconds, text in keys:
        read(seconds)
        os.write(terminal, text.encode())
    if keys:
        os.kill(pid, signal.SIGSTOP)  # what it would print when it ends is not in the picture
        read(0.5)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    else:
        read(120)
        assert os.waitpid(pid, 0)[1] == 0, command
    os.close(terminal)
    return screen


def colour(name, default):
    return default if name == "default" else COLOURS.get(name.removeprefix("bright"), f"#{name}")


def draw(title, screen):
    """The screen, without the empty lines at its end."""
    rows = [[screen.buffer[y][x] for x in range(screen.columns)] for y in range(screen.lines)]
    while rows and all(char.data == " " and not char.reverse for char in rows[-1]):
        rows.pop()
    width, height = LEFT * 2 + WIDE * screen.columns, TOP + HIGH * len(rows) + 12
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height}" font-family="ui-monospace, DejaVu Sans Mono, monospace" font-size="14" role="img">'
    yield "<!-- SPDX-License-Identifier: GPL-2.0-only; made by screenshots.py -->"
    yield f"<title>{html.escape(title)} on a terminal</title>"
    yield f'<rect width="{width:g}" height="{height}" rx="8" fill="{PAPER}"/><rect width="{width:g}" height="28" rx="8" fill="#21262d"/>'
    yield f'<text x="{LEFT}" y="19" fill="#9da7b3">$ {html.escape(title)}</text>'
    for y, row in enumerate(rows):
        at = 0
        look = lambda char: (char.fg, char.bg, char.bold, char.reverse)
        for (fg, bg, bold, reverse), run in itertools.groupby(row, look):
            text = "".join(char.data for char in run)
            fore, back = colour(fg, INK), colour(bg, PAPER)
            if reverse:
                fore, back = back, fore
            x, length = LEFT + WIDE * at, WIDE * len(text)
            if back != PAPER:
                yield f'<rect x="{x:g}" y="{TOP + HIGH * y - 14}" width="{length:g}" height="{HIGH}" fill="{back}"/>'
            at += len(text)
            x += WIDE * (len(text) - len(text.lstrip()))
            if text := text.strip():
                weight = ' font-weight="bold"' if bold else ""
                yield (f'<text x="{x:g}" y="{TOP + HIGH * y}" textLength="{WIDE * len(text):g}" lengthAdjust="spacingAndGlyphs"'
                       f' fill="{fore}"{weight} xml:space="preserve">{html.escape(text)}</text>')
    yield "</svg>"


def main():
    if sys.argv[1] == "--work":
        name, user, *numbers = sys.argv[2:]
        return work(name, user, *map(int, numbers))
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    subprocess.run(["rshm", "create", "16M", "--key", "0x6d2", "--populate"], check=True, stdout=subprocess.DEVNULL)
    workers = [spawn(worker) for worker in WORKERS]
    try:
        for file, size, command, keys in SCREENS:
            lines = draw(" ".join(["rshm", *command]), screen_of(command, size, keys))
            (directory / file).write_text("\n".join(lines) + "\n", encoding="utf-8")
            print(directory / file, flush=True)
    finally:
        for process in workers:
            process.kill()
            process.wait()
        subprocess.run(["rshm", "rm", "--all", "--yes"], check=True)


main()
