#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Checks what the pages point at: links.py FILE.md... Files and headings exist, `make` targets too,
and all pages are in the book. Nothing is looked up in the network.

links.py --book DIRECTORY checks the pages that mdBook has made: each link, picture and script is there, and each anchor."""
import html.parser
import os
import re
import sys
import urllib.parse

FENCE = re.compile(r"^(```|~~~).*?^\1", re.M | re.S)
LINK = re.compile(r"\]\(([^)\s]+)\)")
# Targets of the kernel's own Makefile, which install.md shows.
FOREIGN = {"olddefconfig", "modules_prepare", "kernelrelease", "kernelversion"}


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def prose(path):
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", read(path)))


def anchors(path):
    """Those of the headings, as GitHub and mdBook make them."""
    seen = {}
    for title in re.findall(r"^#+ +(.+?) *$", FENCE.sub("", read(path)), re.M):
        name = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower()).replace(" ", "-")
        count = seen[name] = seen.get(name, -1) + 1
        yield name if count == 0 else f"{name}-{count}"


def wrong(path):
    for link in LINK.findall(prose(path)):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        target = os.path.normpath(os.path.join(os.path.dirname(path), target)) if target else path
        if not os.path.exists(target):
            yield f"{link}: there is no {target}"
        elif anchor and anchor not in anchors(target):
            yield f"{link}: {target} has no such heading"
    named = set(re.findall(r"(?:^ {4}|`|&& |sudo )make ([a-z][a-z0-9-]*(?:\.json)?)\b(?!=)", read(path), re.M)) - FOREIGN
    for name in sorted(named - set(re.findall(r"^([a-z][a-z0-9.-]*):", read("Makefile"), re.M))):
        yield f"make {name}: the Makefile has no such target"


class Page(html.parser.HTMLParser):
    """What a page of the book points at, and what can be pointed at in it."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(read(path))

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("href", "src") and value is not None:
                self.links.append(value)
            elif name == "id":
                self.anchors.add(value)


def wrong_in_book(directory):
    # Pages are named from anywhere by 404.html, and from one place by print.html.
    names = [os.path.join(at, name) for at, _, files in os.walk(directory) for name in files if name.endswith(".html")]
    pages = {os.path.normpath(name): Page(name) for name in names if os.path.basename(name) not in ("404.html", "print.html")}
    for path, page in sorted(pages.items()):
        for link in page.links:
            target, anchor = urllib.parse.urldefrag(link)
            if re.match(r"[a-z]+:|//", target):
                continue
            target = os.path.normpath(os.path.join(os.path.dirname(path), urllib.parse.unquote(target))) if target else path
            if not os.path.isfile(target):
                yield f"{path}: {link}: there is no {target}"
            elif anchor and target in pages and urllib.parse.unquote(anchor) not in pages[target].anchors:
                yield f"{path}: {link}: {target} has no such heading"
    if not pages:
        yield f"{directory}: there are no pages"


def main():
    pages = sys.argv[1:]
    if pages[:1] == ["--book"]:
        found = list(wrong_in_book(pages[1]))
        print(*found, sep="\n", end="\n" if found else "")
        sys.exit(bool(found))
    found = [f"{path}: {what}" for path in pages for what in wrong(path)]
    summary = "Documentation/SUMMARY.md"
    listed = {os.path.normpath(os.path.join("Documentation", link)) for link in LINK.findall(read(summary))}
    # A crate's own page is for those who find the crate.
    of_crates = {path for path in pages if os.path.exists(os.path.join(os.path.dirname(path), "Cargo.toml"))}
    found += [f"{path}: is not in {summary}" for path in pages if path not in listed | {summary} | of_crates]
    for line in found:
        print(line)
    sys.exit(bool(found) or not pages)


main()
