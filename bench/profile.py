#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Where the instructions of a row of bench go: `make profile ROW=attach`. Runs inside the toolbox, after the module and bench are built.

QEMU translates single instructions and logs each that runs, for some repetitions of the row. kallsyms of the guest says whose they are.

    profile.py MODULE ROW SIDE    writes build/profile/ROW-SIDE.svg, a flame graph whose widths are instructions (.folded: the same as text),
                                  and prints for each function the instructions in a system call, by itself and with what it calls
"""
import bisect
import collections
import html
import os
import pathlib
import re
import socket
import subprocess
import sys
import time

DIRECTORY = pathlib.Path("build/profile")
# How many instructions are looked at, or a thousand system calls.
MOST, CALLS = 6_000_000, 400
# A system call begins here.
ENTRY = "entry_SYSCALL_64"


class Symbols:
    """Names of the guest's kernel, by address."""

    def __init__(self, path):
        rows = {}
        text = subprocess.run(["c++filt"], stdin=path.open(), capture_output=True, text=True, check=True).stdout
        for address, kind, name, module in re.findall(r"^([0-9a-f]+) (.) (.+?)(?:\t(\[.*\]))?$", text, re.M):
            if kind in "tTwW" and not name.startswith(("__pfx_", "__cfi_")):
                rows.setdefault(int(address, 16), f"{shorten(name)} {module}".rstrip())
        self.starts = sorted(rows)
        self.names = [rows[start] for start in self.starts]

    def find(self, address):
        """The function's first address, and its name."""
        at = bisect.bisect_right(self.starts, address) - 1
        if address < 1 << 63 or at < 0:
            return 0, "user space"
        return self.starts[at], self.names[at]


def shorten(name):
    """The last two parts of a path, without generic arguments and hash."""
    while re.search(r"<[^<>]*>", name):
        name = re.sub(r"<(?:[^<>]* as )?([^<>]*)>", lambda match: match[1].split(" as ")[0] if match.start() == 0 else "", name, count=1)
    return "::".join([part for part in name.split("::") if part and not re.fullmatch(r"h[0-9a-f]{16}", part)][-2:])


class Monitor:
    """QEMU's monitor for people."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.wait()

    def wait(self):
        text = b""
        while not text.endswith(b"(qemu) "):
            text += self.socket.recv(4096)

    def do(self, command):
        self.socket.sendall(command.encode() + b"\n")
        self.wait()


class Profile:
    """Instructions by stack of functions. A stack is told from where instructions are: the first of a function is a call of it."""

    def __init__(self, symbols):
        self.symbols, self.stack, self.last = symbols, [], None
        self.stacks, self.calls, self.own = collections.Counter(), 0, collections.Counter()

    def add(self, address):
        start, name = self.symbols.find(address)
        if start != self.last or address == start:
            if name == ENTRY and address == start:
                self.calls += 1
                self.stack = []
            elif start in (frame for frame, _ in self.stack) and address != start:
                while self.stack[-1][0] != start:
                    self.stack.pop()
            if not self.stack or self.stack[-1][0] != start or address == start:
                self.stack.append((start, name))
            if start == 0:
                self.stack = [(0, name)]
            self.last = start
        # What runs before the first system call is the end of another one.
        if self.calls:
            self.stacks[tuple(name for _, name in self.stack)] += 1
            self.own[name] += 1


def measure(module, row, side):
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    monitor, log = DIRECTORY / "monitor", DIRECTORY / "log"
    for path in (monitor, log):
        path.unlink(missing_ok=True)
    os.mkfifo(log)
    environment = dict(
        os.environ,
        CMD=f"cat /proc/kallsyms >{DIRECTORY}/kallsyms; echo PROFILE; build/bench/bench --profile={side} {row}",
        ACCEL="icount",
        CPUS="1",
        APPEND="nokaslr",
        QEMU_ARGS=f"-monitor unix:/tmp/profile.{os.getpid()},server=on,wait=off",
    )
    with subprocess.Popen(["qemu/boot", module], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as guest:
        try:
            for line in guest.stdout:
                if line.startswith("PROFILE"):
                    break
            else:
                sys.exit(f"the guest ended before the row ran: build/kernel.log says why")
            qemu = Monitor(f"/tmp/profile.{os.getpid()}")
            time.sleep(3)
            return follow(qemu, log)
        finally:
            guest.terminate()


def follow(qemu, log):
    profile = Profile(Symbols(DIRECTORY / "kallsyms"))
    qemu.do("one-insn-per-tb on")
    # The other end opens it now.
    reader = subprocess.Popen(["cat", log], stdout=subprocess.PIPE)
    qemu.socket.sendall(f"logfile {log}\nlog exec,nochain\n".encode())
    pattern = re.compile(rb"/([0-9a-f]{16})/")
    count = 0
    for line in reader.stdout:
        if match := pattern.search(line):
            profile.add(int(match[1], 16))
            count += 1
            if count >= MOST or profile.calls > CALLS:
                break
    reader.kill()
    qemu.socket.sendall(b"quit\n")
    return profile


def table(profile, operations):
    total = collections.Counter()
    for stack, count in profile.stacks.items():
        for name in set(stack):
            total[name] += count
    print(f"{'itself':>9} {'with calls':>11}  function   (instructions a system call)")
    for name, count in profile.own.most_common(60):
        print(f"{count / operations:9.1f} {total[name] / operations:11.1f}  {name}")
    print(f"{sum(profile.own.values()) / operations:9.1f} {'':11}  all")


def flame(profile, operations, title, path):
    """A flame graph, the outermost function at the bottom."""
    tree = {}
    for stack, count in sorted(profile.stacks.items()):
        node = tree
        for name in stack:
            entry = node.setdefault(name, [0, {}])
            entry[0] += count
            node = entry[1]
    depth = max(map(len, profile.stacks))
    width, height, whole = 1200, 17, sum(profile.stacks.values())
    parts = []

    def draw(node, left, level):
        for name, (count, below) in node.items():
            size = count / whole * width
            if size >= 0.3:
                top = (depth - level) * height + 30
                hue = 20 if "[rust_shm]" in name else 210
                label = html.escape(name)
                shown = label if len(name) * 6.5 < size else ""
                parts.append(
                    f'<g><title>{label}: {count / operations:.1f}</title><rect x="{left:.1f}" y="{top}" width="{size:.1f}" height="{height - 1}" '
                    f'fill="hsl({hue},70%,{70 + level % 3 * 5}%)"/><text x="{left + 2:.1f}" y="{top + 12}">{shown}</text></g>'
                )
                draw(below, left, level + 1)
            left += size

    draw(tree, 0, 0)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {(depth + 1) * height + 40}" font-family="monospace" font-size="11">'
        f'<text x="4" y="16" font-size="14">{html.escape(title)}</text>{"".join(parts)}</svg>\n'
    )


def main():
    module, row, side = sys.argv[1:]
    profile = measure(module, row, side)
    if not profile.calls:
        sys.exit("no system call was seen")
    # The last one may not be complete.
    table(profile, profile.calls)
    folded = (f"{';'.join(stack)} {count}\n" for stack, count in sorted(profile.stacks.items()))
    (DIRECTORY / f"{row}-{side}.folded").write_text("".join(folded))
    path = DIRECTORY / f"{row}-{side}.svg"
    flame(profile, profile.calls, f"{row}, {side}: instructions of a system call, {profile.calls} of them", path)
    print(f"{path}: the same as a flame graph; orange is the module")


main()
