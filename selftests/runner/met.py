#!/usr/bin/env python3
"""Which `?` of the module have been met by an error: for `make failures`. Runs inside the toolbox.

    met.py mark COPY          a copy of the module's source, in which each `?` tells the kernel's log when it meets an error
    met.py report COPY LOG    how many of those on allocations and copies of user memory have, and which have not
"""
import os
import re
import shutil
import sys

SOURCE = ["Kbuild", "include", "rust_shm_main.rs", "scripts", "shm"]
GOAL = 95  # percent

# A comment, a string, a character, or a `?` that ends an expression: not that of ?Sized.
TOKENS = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|\'(?:\\.[^\']*|[^\\\'])\'|(?P<end>[\w)\]}]\s*)\?(?![\w:])', re.S)

# What an error comes from where it is neither an allocation nor a copy of user memory, by the text before the `?`.
OTHER = re.compile(
    r"""
    ok_or(_else)?\((EINVAL|ESRCH|EFAULT|ENOENT|eopnotsupp|LimitError|fmt::Error) | try_from\( | checked_\w+\( | from_user\( | from_str\(  # a wrong value
    | \.fit\( | file_fits\( | check_size | range\(place | in_huge_pages\( | pages\(exact\)                                                # a limit
    | find\(id\) | find_fragment | cursor_lower_bound | (?<!self)\.get(_mut)?\( | \.take\(\) | places\.next | \.room\(                              # it is not there
    | with_key\(key | \.array\(bits | as_ref\(\) | checked_ilog2 | load\(next | chain\(hash | eidrm | self\.ns$ | stat\(\w+,              # nor this
    | write_str | write! | writeln! | to\.add | f\(&registry                                                                              # a text that is full
    | down_read_killable | LockedMm | of_current | to_str\( | V::parse | ModuleRef::get | from_utf8 | is_occupied | shares\.get | reserve_from                             # a state, a place
    """,
    re.X,
)

MET = """
/// Whether a `?` has met an error, for `selftests/runner/met.py`.
pub(crate) trait Met {
    fn met(self, place: usize) -> Self;
}

fn tell(place: usize) {
    use core::sync::atomic::{AtomicBool, Ordering};
    static MET: [AtomicBool; %d] = [const { AtomicBool::new(false) }; %d];
    if !MET[place].swap(true, Ordering::Relaxed) {
        kernel::pr_info!("met {place}\\n");
    }
}

impl<T, E> Met for Result<T, E> {
    fn met(self, place: usize) -> Self {
        self.inspect_err(|_| tell(place))
    }
}

impl<T> Met for Option<T> {
    fn met(self, place: usize) -> Self {
        if self.is_none() {
            tell(place);
        }
        self
    }
}
"""


def before(text, end):
    """The expression's last line or lines: from the statement's begin, as far as that can be told without a parser."""
    line = text.rfind("\n", 0, end) + 1
    found = text[line:end].strip()
    while not re.search(r"\w", re.sub(r"^[)}\]]+", "", found)) or found.startswith((".", ")", "}")):
        if line == 0:
            break
        previous = text.rfind("\n", 0, line - 1) + 1
        found = text[previous:line].strip() + " " + found
        line = previous
    return found


def mark(copy):
    places = []
    shutil.rmtree(copy, ignore_errors=True)
    os.makedirs(copy)
    for name in SOURCE:
        (shutil.copytree if os.path.isdir(name) else shutil.copy)(name, os.path.join(copy, name))
    for folder, _, files in os.walk(copy):
        for name in files:
            path = os.path.join(folder, name)
            inside = os.path.relpath(path, copy)
            # shm/rules is tested on the host, and allocates nothing; what report.rs writes to takes any text.
            if not name.endswith(".rs") or inside.startswith("shm/rules/") or inside == "shm/call/report.rs":
                continue
            with open(path, encoding="utf-8") as file:
                text = file.read()

            def marked(match):
                end = match.end() - 1
                # In a pattern of a macro, it is another thing.
                if match["end"] is None or "$(" in text[text.rfind("\n", 0, end) + 1:end]:
                    return match[0]
                places.append(f"{inside}:{text.count(chr(10), 0, end) + 1}\t{before(text, end)}")
                return f"{match['end']}.met({len(places) - 1})?"

            new = TOKENS.sub(marked, text)
            if new != text:
                # After the attributes and comments of the whole file.
                new = re.sub(r"(?m)^(?!//|#!|$)", "use crate::met::Met as _;\n", new, count=1)
            with open(path, "w", encoding="utf-8") as file:
                file.write(new)
    with open(os.path.join(copy, "met.rs"), "w", encoding="utf-8") as file:
        file.write("// SPDX-License-Identifier: GPL-2.0\n" + MET % (len(places), len(places)))
    with open(os.path.join(copy, "rust_shm_main.rs"), "a", encoding="utf-8") as file:
        file.write("\nmod met;\n")
    with open(os.path.join(copy, "places"), "w", encoding="utf-8") as file:
        file.write("\n".join(places) + "\n")


def report(copy, log):
    with open(os.path.join(copy, "places"), encoding="utf-8") as file:
        places = file.read().splitlines()
    with open(log, encoding="utf-8", errors="replace") as file:
        met = {int(number) for number in re.findall(r"rust_shm: met (\d+)$", file.read(), re.M)}
    counted = [number for number, place in enumerate(places) if not OTHER.search(place.split("\t")[1])]
    missed = [number for number in counted if number not in met]
    for number in missed:
        print("# not met:", places[number])
    for number, place in enumerate(places):
        if number not in counted:
            print("# not counted:", place, "(met)" if number in met else "")
    share = 100 * (len(counted) - len(missed)) / len(counted)
    print(f"# {len(counted) - len(missed)} of {len(counted)} `?` on allocations and copies of user memory have met an error: {share:.0f}%")
    print(f"{'ok' if share >= GOAL else 'not ok'} - failures met: at least {GOAL}%")


if __name__ == "__main__":
    {"mark": mark, "report": report}[sys.argv[1]](*sys.argv[2:])
