#!/usr/bin/env python3
"""Checks what a cargo workspace depends on by its deny.toml: a small part of what cargo-deny does, which Debian does not have.

    dependencies.py licences WORKSPACE              each dependency has a licence that is allowed
    dependencies.py sources WORKSPACE               ... and is of a registry that is allowed
    dependencies.py advisories WORKSPACE DATABASE   ... and has no advisory in the RustSec database, a directory, which is fetched if it can be
    dependencies.py notices WORKSPACE PACKAGE...    prints the licences and notices of all that is linked into these packages
    dependencies.py test                            tries itself

Exit status: 0 all is well, 1 not, 77 when it cannot be told (the last line says why).
"""
import json
import os
import re
import subprocess
import sys
import time
import tomllib

DATABASE = "https://github.com/RustSec/advisory-db"
DAY = 86400


def packages(workspace, targets):
    """All that is built for one of the targets, but the workspace's own."""
    found = {}
    for target in targets:
        command = ["cargo", "metadata", "--format-version=1", "--locked", "--offline", "--filter-platform", target]
        metadata = json.loads(subprocess.run(command, cwd=workspace, stdout=subprocess.PIPE, check=True).stdout)
        own = set(metadata["workspace_members"])
        found.update((package["id"], package) for package in metadata["packages"] if package["id"] not in own)
    return sorted(found.values(), key=lambda package: (package["name"], package["version"]))


def linked(workspace, target, names):
    """What is linked into packages of the workspace: not what only builds or tests them."""
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--offline", "--filter-platform", target]
    metadata = json.loads(subprocess.run(command, cwd=workspace, stdout=subprocess.PIPE, check=True).stdout)
    by_id = {package["id"]: package for package in metadata["packages"]}
    needs = {node["id"]: [dep["pkg"] for dep in node["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])]
             for node in metadata["resolve"]["nodes"]}
    found, left = set(), [id for id, package in by_id.items() if package["name"] in names]
    while left:
        id = left.pop()
        if id not in found and not any("proc-macro" in target["kind"] for target in by_id[id]["targets"]):
            found.add(id)
            left += needs[id]
    return sorted((by_id[id] for id in found - set(metadata["workspace_members"])), key=lambda package: (package["name"], package["version"]))


def notices(workspace, target, names):
    """Each text once, with the packages that it is of."""
    texts = {}
    for package in linked(workspace, target, names):
        directory = os.path.dirname(package["manifest_path"])
        files = [name for name in sorted(os.listdir(directory)) if re.match(r"(licen[cs]e|copying|notice|unlicense)", name, re.I)]
        files = [os.path.join(directory, name) for name in files if os.path.isfile(os.path.join(directory, name))]
        # Some leave it out of what they publish: then there is a copy of their repository's here.
        copy = os.path.join(workspace, "LICENSES", os.path.basename(package["repository"] or "") + ".txt")
        files = files or [copy] * os.path.isfile(copy)
        if not files:
            raise SystemExit(f"{package['name']} {package['version']} has no text of its licence, {package['license']}")
        for path in files:
            with open(path, encoding="utf-8") as file:
                text = file.read().strip()
            texts.setdefault(text, []).append(f"{package['name']} {package['version']} ({package['license']})")
    yield "What is linked into the programs and libraries of rust_shm, besides Rust's own libraries (MIT OR Apache-2.0)."
    for text, packages_of_it in texts.items():
        yield "\n".join(["", "=" * 80, *packages_of_it, "-" * 80, text])


def allowed(expression, allow):
    """Whether an SPDX expression can be met with the licences that are allowed. A slash is an old way to say OR."""
    words = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))

    def alternatives():
        good = both()
        while words and words[0] == "OR":
            words.pop(0)
            good = both() or good
        return good

    def both():
        good = one()
        while words and words[0] == "AND":
            words.pop(0)
            good = one() and good
        return good

    def one():
        word = words.pop(0)
        if word == "(":
            good = alternatives()
            if words.pop(0) != ")":
                raise ValueError(expression)
            return good
        if word in (")", "OR", "AND", "WITH"):
            raise ValueError(expression)
        if words and words[0] == "WITH":
            words.pop(0)
            word += " WITH " + words.pop(0)
        return word in allow

    try:
        good = alternatives()
    except (IndexError, ValueError):
        return False
    return good and not words


def number(version):
    """To compare by. What comes before a release is less than it."""
    release, _, before = version.partition("+")[0].partition("-")
    parts = [int(part) for part in release.split(".")]
    parts += [0] * (3 - len(parts))
    # Words of what comes before: numbers are less than names, and a longer list is more.
    words = [(0, int(word), "") if word.isdigit() else (1, 0, word) for word in before.split(".")] if before else []
    return parts, not before, words


def matches(version, requirement):
    """Whether a version meets a requirement, as cargo writes it: comparisons, with commas between."""
    for part in requirement.split(","):
        operator, text = re.fullmatch(r"\s*(>=|<=|>|<|=|\^|~|)\s*([^\s]+)\s*", part).groups()
        if text == "*":
            continue
        ours, its = number(version), number(text)
        given = text.partition("-")[0].partition("+")[0].split(".")
        if operator in ("^", "", "~"):
            # Up to the first number that is not 0 may not change; with ~, up to the second that is given.
            numbers = [int(word) for word in given]
            keep = min(len(numbers), 2) if operator == "~" else next((i + 1 for i, n in enumerate(numbers) if n), len(numbers))
            upper = numbers[:keep]
            upper[-1] += 1
            good = its <= ours < (upper + [0] * (3 - len(upper)), False, [])
        elif operator == "=":
            good = ours[0][:len(given)] == its[0][:len(given)] and ours[1:] == its[1:]
        else:
            good = {">=": ours >= its, "<=": ours <= its, ">": ours > its, "<": ours < its}[operator]
        if not good:
            return False
    return True


def concerns(advisory, name, version):
    """Whether an advisory, as TOML, is about a version, as cargo-deny has it: also one that says that nobody maintains it."""
    about, versions = advisory["advisory"], advisory.get("versions", {})
    if about["package"] != name or about.get("withdrawn"):
        return False
    return not any(matches(version, good) for good in versions.get("patched", []) + versions.get("unaffected", []))


def read_advisory(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return tomllib.loads(re.search(r"^```toml\n(.*?)^```", text, re.S | re.M)[1])


def fetch(directory):
    """What went wrong, if there is no database that is a day old at most."""
    stamp = os.path.join(directory, ".git", "FETCH_HEAD")
    if os.path.exists(stamp) and time.time() - os.path.getmtime(stamp) < DAY:
        return None
    commands = [["git", "init", "-q", directory],
                ["git", "-C", directory, "fetch", "-q", "--depth=1", DATABASE, "HEAD"],
                ["git", "-C", directory, "checkout", "-q", "-f", "FETCH_HEAD"]]
    for command in commands:
        try:
            done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if done.returncode:
            if os.path.exists(stamp):
                os.remove(stamp)
            return (done.stderr.strip().splitlines() or ["git failed"])[0]
    return None


def test():
    allow = {"MIT", "Zlib", "Apache-2.0 WITH LLVM-exception"}
    for expression, good in (("MIT", True), ("GPL-3.0", False), ("MIT OR GPL-3.0", True), ("GPL-3.0 OR MIT", True), ("MIT AND GPL-3.0", False),
                             ("GPL-3.0/MIT", True), ("(GPL-3.0 OR MIT) AND Zlib", True), ("(GPL-3.0 OR MIT) AND X", False),
                             ("GPL-3.0 OR MIT AND X", False), ("Apache-2.0 WITH LLVM-exception", True), ("Apache-2.0", False), ("", False),
                             ("MIT MIT", False), ("(MIT", False), ("MIT OR", False), ("MIT)", False)):
        assert allowed(expression, allow) == good, expression
    for version, requirement, good in (("1.2.3", ">= 1.2.3", True), ("1.2.2", ">=1.2.3", False), ("1.10.0", ">1.9", True), ("1.2.3-rc.1", ">=1.2.3", False),
                                       ("1.2.3", ">=1.2.3-rc.2", True), ("1.5.0", ">=1, <2", True), ("2.0.0", ">=1, <2", False), ("1.9.0", "^1.2", True),
                                       ("2.0.0", "^1.2", False), ("0.3.5", "^0.3.2", True), ("0.4.0", "^0.3.2", False), ("1.2.9", "~1.2.3", True),
                                       ("1.3.0", "~1.2.3", False), ("1.3.0", "=1.3.0", True), ("1.3.1", "=1.3", True), ("1.3.1", "*", True),
                                       ("1.0.0-rc.10", "> 1.0.0-rc.9", True), ("1.0.0-beta", ">1.0.0-alpha.1", True), ("0.0.3", "^0.0.3", True),
                                       ("0.0.4", "^0.0.3", False), ("1.0.0+meta", "<=1.0.0", True)):
        assert matches(version, requirement) == good, (version, requirement)
    advisory = tomllib.loads('[advisory]\nid = "A"\npackage = "p"\n[versions]\npatched = [">= 1.2", "^1.0.5"]\nunaffected = ["< 0.5"]\n')
    for version, bad in (("1.0.4", True), ("1.0.5", False), ("1.2.0", False), ("0.4.9", False), ("0.5.0", True)):
        assert concerns(advisory, "p", version) == bad, version
    assert not concerns(advisory, "q", "1.0.4")
    for more, bad in (({"withdrawn": "2024-01-01"}, False), ({"informational": "unmaintained"}, True), ({"informational": "unsound"}, True)):
        assert concerns({**advisory, "advisory": {**advisory["advisory"], **more}}, "p", "1.0.4") == bad, more
    # What nobody maintains has no version that is right.
    assert concerns({"advisory": {"id": "A", "package": "p", "informational": "unmaintained"}, "versions": {"patched": []}}, "p", "99.0.0")


def main(what, workspace="", database="", *more):
    if what == "test":
        return test()
    with open(os.path.join(workspace, "deny.toml"), "rb") as file:
        deny = tomllib.load(file)
    if what == "notices":
        print("\n".join(notices(workspace, deny["graph"]["targets"][0], [database, *more])))
        return 0
    all = packages(workspace, deny["graph"]["targets"])
    if not all:
        print(f"{workspace} depends on nothing: is that so?")
        return 1
    bad = []
    if what == "licences":
        allow = set(deny["licenses"]["allow"])
        bad = [f"{package['name']} {package['version']}: {package['license']}" for package in all if not allowed(package["license"] or "", allow)]
    elif what == "sources":
        good = {"registry+" + registry for registry in deny["sources"]["allow-registry"]}
        bad = [f"{package['name']} {package['version']}: {package['source']}" for package in all if package["source"] not in good]
    elif what == "advisories":
        problem = fetch(database)
        if problem:
            print(f"{DATABASE} cannot be fetched: {problem}")
            return 77
        for package in all:
            directory = os.path.join(database, "crates", package["name"])
            for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
                advisory = read_advisory(os.path.join(directory, name))
                if concerns(advisory, package["name"], package["version"]):
                    bad.append(f"{package['name']} {package['version']}: {advisory['advisory']['id']}")
    else:
        sys.exit(__doc__)
    print("\n".join(bad))
    return bool(bad)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
