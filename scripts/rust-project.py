#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Makes rust-project.json for rust-analyzer of what the kernel's scripts write in the toolbox: rust-project.py FILE TOOLBOX >OUTPUT.
Paths in the toolbox become those of this machine."""
import json
import os
import sys


def outside(value, places):
    if isinstance(value, dict):
        return {name: outside(part, places) for name, part in value.items()}
    if isinstance(value, list):
        return [outside(part, places) for part in value]
    if isinstance(value, str):
        for inside, place in places:
            if value == inside or value.startswith(inside + "/"):
                return place + value[len(inside):]
    return value


def main():
    source, toolbox = sys.argv[1:]
    checkout = os.getcwd()
    with open(source, encoding="utf-8") as file:
        project = outside(json.load(file), [("/usr", f"{toolbox}/usr"), ("/src", checkout)])
    module = project["crates"][-1]
    # What Kbuild gives the compiler.
    module["env"]["RUST_SHM_BINDINGS"] = f"{checkout}/{os.path.dirname(source)}/rust_shm_bindings.rs"
    json.dump(project, sys.stdout)


main()
