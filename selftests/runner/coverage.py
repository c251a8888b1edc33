#!/usr/bin/env python3
"""Which lines of shm/, outside shm/sys/, run under a command in a guest: `make coverage`. Runs inside the toolbox, after the module is built.

QEMU's own translator logs each block of the guest's code that it meets the first time (-d in_asm), so that it takes no instrumented kernel.
The addresses are those of the module's sections, which the guest tells; DWARF says which lines they are, the inlined ones too.

    coverage.py MODULE COMMAND    COMMAND runs in the guest. Prints covered lines, lines with code, and those not covered, for each file
"""
import collections
import functools
import os
import re
import struct
import subprocess
import sys

# Where the kernel puts modules without KASLR.
MODULES = "0xffffffffc0000000+0x3f000000"


def output(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def run_guest(module, command, log):
    """Runs the command; where the module's sections were."""
    sections = "cd /sys/module/rust_shm/sections && for f in .[!.]*; do echo SECTION $f $(cat $f); done"
    environment = dict(
        os.environ,
        CMD=f"({sections}); {command}",
        ACCEL="tcg",
        APPEND="nokaslr " + os.environ.get("APPEND", ""),
        QEMU_ARGS=f"-d in_asm -D {log} -dfilter {MODULES}",
    )
    guest = subprocess.Popen(["qemu/boot", module], env=environment, stdout=subprocess.PIPE, text=True)
    found = {}
    for line in guest.stdout:
        if match := re.match(r"SECTION (\S+) 0x([0-9a-f]+)$", line):
            found[match[1]] = int(match[2], 16)
        else:
            print(line, end="", flush=True)
    if guest.wait() != 0:
        sys.exit(guest.returncode)
    return found


@functools.cache
def lines_of(file):
    with open(file, encoding="utf-8") as source:
        return source.read().split("\n")


def text_of(file, line):
    """A line; nothing for line 0, which is what the compiler has made itself."""
    return lines_of(file)[line - 1].strip() if line > 0 else ""


def executable_sections(module):
    """Names and sizes."""
    rows = re.findall(r"^ *\d+ (\S+) +([0-9a-f]+) .*\n.*\bCODE\b", output("objdump", "-h", module), re.M)
    return {name: int(size, 16) for name, size in rows}


def uncalled(linked, listing, ran):
    """
    The addresses of functions that nothing in the module refers to. They are what is left of those that the compiler has put into their
    callers: code that cannot run, beside the same lines elsewhere that can.
    """
    functions = {}
    for start, size in re.findall(r"^([0-9a-f]+) ([0-9a-f]+) [tTwW] ", output("nm", "-S", linked), re.M):
        functions[int(start, 16)] = int(size, 16)
    owner = {address: start for start, size in functions.items() for address in range(start, start + size)}
    refers = collections.defaultdict(set)
    for address, rest in re.findall(r"^ *([0-9a-f]+):\t(.*)$", listing, re.M):
        for target in re.findall(r"\b(?:0x)?([0-9a-f]{16})\b", rest):
            if int(target, 16) in functions:
                refers[owner.get(int(address, 16))].add(int(target, 16))
    # What data points to; tables of the kernel's that have an entry for every function are no data.
    with open(linked, "rb") as file:
        image = file.read()
    row = r"\] (?:\.(?:data|rodata|init\.data|gnu\.linkonce)\S*|__param) +PROGBITS +[0-9a-f]+ ([0-9a-f]+) ([0-9a-f]+) "
    for offset, size in re.findall(row, output("readelf", "-SW", linked)):
        data = image[int(offset, 16) : int(offset, 16) + int(size, 16)]
        words = struct.unpack(f"<{len(data) // 8}Q", data[: len(data) // 8 * 8])
        refers[None].update(word for word in words if word in functions)
    refers[None].update(owner[address] for address in ran if address in owner)
    called, left = set(), [None]
    while left:
        new = refers[left.pop()] - called
        called |= new
        left += new
    return {address for address, start in owner.items() if start not in called}


def report(module, sections, log):
    """What of the module is in the log."""
    linked = "build/coverage.elf"
    code = {name: size for name, size in executable_sections(module).items() if name in sections}
    starts = [f"--section-start={name}={sections[name]:#x}" for name in code]
    output("ld", "-o", linked, module, "--unresolved-symbols=ignore-all", "-e", "0", "--no-relax", "--no-check-sections", *starts)

    ran = set()
    with open(log, encoding="ascii", errors="replace") as lines:
        for line in lines:
            if line.startswith("0x"):
                ran.add(int(line[2 : line.index(":")], 16))

    # Every instruction, and the lines that it is for.
    listing = "".join(output("objdump", "-d", "--no-show-raw-insn", "-j", name, linked) for name in code)
    idle = uncalled(linked, listing, ran)
    addresses = [int(match, 16) for match in re.findall(r"^ *([0-9a-f]+):\t", listing, re.M)]
    addresses = [address for address in addresses if address not in idle]
    frames = output(
        "llvm-symbolizer", "--inlining", "--functions=none", "--relativenames", f"--obj={linked}", input="".join(f"{a:#x}\n" for a in addresses)
    )
    covered, coverable = collections.defaultdict(set), collections.defaultdict(set)
    for address, text in zip(addresses, frames.split("\n\n")):
        for file, line in re.findall(r"^(?:.*/)?(shm/[^/\s]+\.rs):(\d+)", text, re.M):
            # A line of brackets is the end of many things, and says nothing.
            if re.search(r"\w", text_of(file, int(line))):
                coverable[file].add(int(line))
                if address in ran:
                    covered[file].add(int(line))

    total = [0, 0]
    for file in sorted(coverable):
        done, all_lines = len(covered[file]), len(coverable[file])
        total = [total[0] + done, total[1] + all_lines]
        print(f"{done:5} of {all_lines:5}  {100 * done / all_lines:5.1f}%  {file}")
        for line in sorted(coverable[file] - covered[file]):
            print(f"          {file}:{line}: {text_of(file, line)}")
    print(f"{total[0]:5} of {total[1]:5}  {100 * total[0] / max(1, total[1]):5.1f}%  of shm/ outside shm/sys/")


def main():
    module, command = sys.argv[1:]
    log = "build/coverage.log"
    sections = run_guest(module, command, log)
    report(module, sections, log)


if __name__ == "__main__":
    main()
