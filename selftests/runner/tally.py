#!/usr/bin/env python3
"""Passes test reports through as they come, counts them, and ends with one line: "N passed, N failed[, N skipped]".

    tally.py [FILE...]     reports that come at the same time, from as many pipes, are shown a program at a time; without FILE: stdin

It reads TAP and KTAP (nested, or one program after the other), cargo's reports between "# cargo NAME" and "# cargo end STATUS",
and "# guest end STATUS"; "# === NAME" names the program that follows. A report that ends before its plan is a failure, and so is one that counts nothing.
"# guest LABEL" begins a guest that repeats the tests of the others on another kernel: a test of the module that it skips, and they do not,
is a failure, unless it is EXCUSED.
"""
import re
import selectors
import sys

RESULT = re.compile(r"(not ok|ok)\b *(\d+)? *(?:- )?(.*)")
NOISE = re.compile(r" *# +(RUN|OK) +\S+( \.\.\.)?$")  # kselftest_harness.h says it thrice
CARGO_TEST = re.compile(r"test (.+) \.\.\. (ok|FAILED|ignored.*)$")
SECTION = re.compile(r"# (===|guest|cargo) ?")  # begins a part that may stand alone

# Without SYSVIPC there are no such sysctls, and the module has nothing for them.
EXCUSED = {
    "SKIP a kernel without System V shared memory has no kernel.shm_rmid_forced",
    "SKIP there is no kernel.shm_next_id",
    "SKIP a kernel without System V shared memory has none of its own",
    # qemu/kernels/common is small. Debian's kernel has it, and the test runs there.
    "SKIP this kernel has no UFFD_FEATURE_WP_ASYNC",
}

passed, failed, skipped = 0, [], []
injected = 0  # failures, as selftests/failnth.c tells
repeated = []  # what was skipped on another kernel: label, name


class Report:
    """What comes by one pipe. Live: shown line by line; otherwise a section at a time."""

    def __init__(self, live):
        self.live = live
        self.held = []  # lines of the section that has not ended
        self.rest = b""  # the line that has not ended
        self.program = ""
        self.levels = {}  # indentation -> [plan, results, leaves below the next result, failures before them]
        self.failures = 0  # so far, by this pipe
        self.in_cargo = False
        self.cargo = None  # [announced, seen]
        self.cargo_failures = 0
        self.guest_failures = 0  # before the guest began
        self.label = ""  # of the guest

    def fail(self, text):
        self.failures += 1
        failed.append(text)

    def name_of(self, text):
        label = f"{self.label}: " if self.label else ""
        return label + (text if not self.program or text.startswith(self.program) else f"{self.program}: {text}")

    def count(self, ok, text):
        global passed
        name, _, directive = text.partition(" # ")
        if directive.upper().startswith(("SKIP", "TODO")):
            skipped.append((self.name_of(name.strip()), directive))
            if self.label and directive not in EXCUSED:
                repeated.append((self.label, name.strip()))
        elif ok:
            passed += 1
        else:
            self.fail(self.name_of(name.strip() or "(no name)"))

    def close(self, indent):
        """Ends all reports that are indented at least so far."""
        for level in sorted((key for key in self.levels if key >= indent), reverse=True):
            plan, results, _, _ = self.levels.pop(level)
            if plan is None and results:
                self.fail(self.name_of("ended without a plan"))
            elif plan is not None and plan != results:
                self.fail(self.name_of(f"planned {plan} tests, reported {results}"))
            elif plan is None and not results:
                self.fail(self.name_of("reported nothing"))

    def tap(self, line):
        body = line.lstrip(" ")
        indent = len(line) - len(body)
        if header := re.match(r"# (?:===|program:?|Subtest:) *(\S+)$", body):
            if not header[0].startswith("# Sub"):
                self.close(0)
            self.program = header[1]
            return
        if re.match(r"K?TAP version \d", body):
            self.close(indent)
            self.levels[indent] = [None, 0, 0, self.failures]
            return
        if plan := re.match(r"1\.\.(\d+)", body):
            self.levels.setdefault(indent, [None, 0, 0, self.failures])
            if self.levels[indent][0] is not None and self.levels[indent][0] == self.levels[indent][1]:
                self.close(indent)
                self.levels[indent] = [None, 0, 0, self.failures]
            self.levels[indent][0] = int(plan[1])
            return
        result = RESULT.match(body)
        if not result:
            return
        ok, number, text = result[1] == "ok", result[2], result[3]
        if number is None:  # "not ok - why": said by our own scripts, in no plan
            self.count(ok, text)
            return
        self.levels.setdefault(indent, [None, 0, 0, self.failures])
        self.close(indent + 1)
        level = self.levels[indent]
        level[1] += 1
        if level[2]:  # the sum of the tests below it
            if not ok and self.failures == level[3]:
                self.count(False, text)
            level[2] = 0
        else:
            self.count(ok, text)
        level[3] = self.failures
        for outer in (key for key in self.levels if key < indent):
            self.levels[outer][2] += 1

    def cargo_line(self, line):
        if running := re.match(r"running (\d+) tests?$", line):
            self.cargo_check()
            self.cargo = [int(running[1]), 0]
        elif test := CARGO_TEST.match(line):
            if self.cargo:
                self.cargo[1] += 1
            if test[2] == "FAILED":
                self.cargo_failures += 1
            self.count(test[2] == "ok", test[1] + (" # SKIP ignored" if test[2].startswith("ignored") else ""))

    def cargo_check(self):
        if self.cargo and self.cargo[0] != self.cargo[1]:
            self.cargo_failures += 1
            self.fail(self.name_of(f"planned {self.cargo[0]} tests, reported {self.cargo[1]}"))
        self.cargo = None

    def line(self, line):
        global injected
        if not NOISE.match(line):
            print(line, flush=True)
        if failures := re.match(r" *# (\d+) failures injected\b", line):
            injected += int(failures[1])
        if start := re.match(r"# cargo (?!end )(.+)", line):
            self.close(0)
            self.in_cargo, self.program, self.cargo_failures = True, start[1], 0
        elif end := re.match(r"# cargo end (\d+)", line):
            self.cargo_check()
            if end[1] != "0" and not self.cargo_failures:
                self.fail(self.name_of(f"cargo test ended with status {end[1]}"))
            self.in_cargo, self.program = False, ""
        elif guest := re.match(r"# guest(?: (?!end )(\S+))?$", line):
            self.close(0)
            self.program, self.guest_failures, self.label = "", self.failures, guest[1] or ""
        elif end := re.match(r"# guest end (\d+)", line):
            self.close(0)
            self.program = ""
            if end[1] == "124":
                self.fail(self.name_of("guest: stopped by the time limit"))
            elif end[1] == "3":
                self.fail(self.name_of("guest: it crashed, or the kernel complained"))
            elif end[1] != "0" and self.failures == self.guest_failures:
                self.fail(self.name_of(f"guest: selftests/run ended with status {end[1]}"))
            self.label = ""
        elif self.in_cargo:
            self.cargo_line(line)
        else:
            self.tap(line)

    def show(self):
        for line in self.held:
            self.line(line)
        self.held = []

    def feed(self, data):
        *lines, self.rest = (self.rest + data).split(b"\n")
        for raw in lines:
            line = raw.decode(errors="replace").rstrip("\r")
            if SECTION.match(line):
                self.show()
            self.held.append(line)
            if self.live or re.match(r"# (guest|cargo) end ", line):
                self.show()

    def end(self):
        if self.rest:
            self.feed(b"\n")
        self.show()
        self.close(0)


# Opened for reading one after the other, which waits for each writer; all of them are there from the start.
pipes = [open(name, "rb", buffering=0) for name in sys.argv[1:]] or [sys.stdin.buffer.raw]
with selectors.SelectSelector() as selector:  # which takes a file, too
    for pipe in pipes:
        selector.register(pipe, selectors.EVENT_READ, Report(live=len(pipes) == 1))
    while selector.get_map():
        for key, _ in selector.select():
            if data := key.fileobj.read(65536):
                key.data.feed(data)
            else:
                key.data.end()
                selector.unregister(key.fileobj)

names = {name for name, _ in skipped}
failed += [f"{label}: {name}: skipped there only" for label, name in repeated if ".rust_shm." in name and name not in names]

if skipped:
    print("\nSkipped:")
    reasons = {}
    for name, reason in skipped:
        reasons.setdefault(reason, []).append(name)
    for reason, tests in reasons.items():
        print(*(f"  {name} # {reason}" for name in tests) if len(tests) < 10 else (f"  {len(tests)} tests # {reason}",), sep="\n")
if failed:
    print("\nFailed:", *failed, sep="\n  ")
print()
if injected:
    print(f"{injected} failures injected")
print(f"{passed} passed, {len(failed)} failed" + (f", {len(skipped)} skipped" if skipped else ""), flush=True)
sys.exit(1 if failed or not passed else 0)
