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

# Not compiled for the kernels `kasan` and `fault`: they have CONFIG_SYSVIPC, and lack nothing.
ELSEWHERE = ("shm/sys/compat/", "shm/sys/fs/proc_file.rs")

# What an error comes from where it is neither an allocation nor a copy of user memory, by the function that returns it.
OTHER = re.compile(
    r"""^(?:[\w:]*\b)?(?:
    # a wrong value
      (?:usize|u16|i64)::try_from\( | from_utf8\( | to_str\( | [ug]id_from_user\( | Mode::new\( | Placement::new\( | huge_pages\( | check_size::
    | user_ptr\( | parameter::number\( | V::parse\(
    # a limit, or no room
    | fit\( | file_fits\( | take_from_pool\( | range\( | is_occupied\( | room\( | LockedPages::new\( | checked_\w+\( | add::<
    # it is not there, or not so
    | ok_or(?:_else)?\((?!ENOMEM) | ok\(\) | find\( | get(?:_mut)?\( | next\( | cursor_lower_bound\( | chain\( | array\( | load\( | as_ref\( | remove\(&creator | (?:key|file)$
    | active_pid_ns\( | with\(\|namespace\|\ stat\( | of_current\( | NonNull::new\((?:of_current|unsafe\ \{\ c::rust_shm_end_serving) | stat\( | Segment::pin\( | mapped\( | find_fragment\b | end_serving\(
    # the caller is being killed or exits, or the module is unloaded
    | limits\(\) | usage\(\) | LockedMm::current\( | .*down_read_killable\( | ModuleRef::get\(
    # a hole is punched: where memory is short, that is no error
    | .*\bshmem\(file,\ mode | write\(&mut\ \|\|
    )""",
    re.X,
)
# The same, where an ENOMEM is none of an allocation: a size that no memory has room for; a function that never returns null.
NO_ALLOCATION = re.compile(r"^(?:memory::in_huge_pages|limits::pages)\([\w.]+\)\.ok_or\(ENOMEM\)|^NonNull::new\(from_err_ptr\(file\)\?\.cast\(\)\)\.ok_or\(ENOMEM\)")

MET = """
use kernel::prelude::*;

/// Whether a `?` has met a failure of an allocation or of a copy, for `selftests/runner/met.py`.
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

impl<T, E: Clone + Into<Error>> Met for Result<T, E> {
    fn met(self, place: usize) -> Self {
        self.inspect_err(|e| {
            if [ENOMEM, EFAULT].contains(&e.clone().into()) {
                tell(place);
            }
        })
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


def plain(text):
    """The same text, with nothing in its comments and quotes that is taken for code."""
    return TOKENS.sub(lambda m: m[0] if m["end"] else re.sub(r"[^\n]", "_" if m[0][0] in "\"'" else " ", m[0]), text)


def before(text, end):
    """The expression that ends there, without what is in the braces of its closures."""
    at, closed, found = end, [], ""
    while at:
        at -= 1
        char = text[at]
        if char in ")]}":
            if char == "}" and not closed and found.strip() and not found.lstrip().startswith("."):
                break  # the end of a statement before it
            closed.append(found)
        elif char in "([{":
            if not closed:
                break
            after = closed.pop()
            if char == "{" and not text[:at].rstrip().endswith("unsafe"):
                found = "..}" + after
        elif not closed and (char in ";,=" or (char == "|" and text[at - 1] != "|")):
            break
        found = char + found
    return " ".join(found.split())


def source(expression):
    """The last call of an expression, or the block or variable that it is: where its error comes from."""
    while expression.endswith(")"):
        depth = 0
        for at in range(len(expression) - 1, -1, -1):
            depth += (expression[at] in ")]}") - (expression[at] in "([{")
            if not depth:
                break
        head = expression[:at].rstrip()
        handed_on = re.search(r"\s*\.\s*(map_err|transpose|cast|inspect_err)$", head)
        if not handed_on:
            name = re.search(r"[\w:!<>]*$", head)
            return name[0] + expression[at:]
        expression = head[:handed_on.start()]
    return expression


def is_other(expression):
    return OTHER.match(source(expression)) or NO_ALLOCATION.match(expression)


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
            if not name.endswith(".rs") or inside.startswith(("shm/rules/", "shm/call/report.rs", *ELSEWHERE)):
                continue
            with open(path, encoding="utf-8") as file:
                text = file.read()
            code = plain(text)

            def marked(match):
                end = match.end() - 1
                # In a pattern of a macro, it is another thing.
                if match["end"] is None or "$(" in text[text.rfind("\n", 0, end) + 1:end]:
                    return match[0]
                places.append(f"{inside}:{text.count(chr(10), 0, end) + 1}\t{before(code, end)}")
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
    counted = [number for number, place in enumerate(places) if not is_other(place.split("\t")[1])]
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
