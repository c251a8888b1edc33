#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The order in which guests take test programs from their queue: schedule.py GUESTS <LIST

A line of LIST is `RANK SECONDS NAME WORD...`. RANK is 1 if not every guest can run the program, else 2; SECONDS is what it took in the last
run, WORDs are what it needs. Prints `NAME WORD...`: rank 1 first, then the longest first. `unload` ends its guest, so it stands where the
programs after it, which any guest can run, keep another guest busy for as long as it takes.
"""
import sys


def order(programs, guests):
    """programs: tuples of rank, seconds, name, words."""
    queue = sorted((program for program in programs if program[2] != "unload"), key=lambda program: (program[0], -program[1], program[2]))
    for unload in (program for program in programs if program[2] == "unload"):
        place, after = len(queue), 0
        while guests > 1 and place > 0 and queue[place - 1][0] == 2 and after + queue[place - 1][1] <= unload[1]:
            place -= 1
            after += queue[place][1]
        queue.insert(place, unload)
    return queue


def main():
    programs = []
    for line in sys.stdin:
        rank, seconds, name, *words = line.split()
        programs.append((int(rank), int(seconds), name, words))
    for _, _, name, words in order(programs, int(sys.argv[1])):
        print(name, *words)


main()
