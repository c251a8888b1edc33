# shellcheck shell=bash
# Sourced by scripts/in-toolbox: what needs no guest: `make check`, and the unit tests of cargo workspaces.

# One TAP program for each kind of check.
check() { # name command...
	local name=$1 log status=0
	shift
	log=$(mktemp)
	n=$((n + 1))
	"$@" >"$log" 2>&1 </dev/null || status=$?
	case $status in
	0) echo "ok $n $name" ;;
	77) echo "ok $n $name # SKIP $(tail -n 1 "$log")" ;;	# it cannot be told
	*)
		sed 's/^/# /' "$log"
		echo "not ok $n $name" ;;
	esac
}

headers() {
	local file=include/uapi/rust_shm.h lang bits flags='-Wall -Wextra -pedantic -Werror -Iinclude/uapi -fsyntax-only'
	for lang in c99 c11 c++17; do
		for bits in 64 32; do
			# shellcheck disable=SC2086
			check "header as $lang, $bits bits" gcc -m$bits -x "$(case $lang in c++*) echo c++ ;; *) echo c ;; esac)" -std=$lang $flags \
				-include stdint.h -include "$file" /dev/null
		done
	done
}

# A build from scratch, for a build that does nothing does not warn; it is repeated when something has changed that it is made of.
module_clean() {
	local log=build/check-module.log key
	key=$( (readlink -f /usr/src/kernel; sources | grep -E '^(rust_shm_main\.rs|Kbuild|scripts/module|(shm|include)/.*)$' | LC_ALL=C sort |
		while read -r file; do [ ! -f "$file" ] || sha256sum "$file"; done) | sha256sum)
	if [ "$(cat build/check-module.key 2>/dev/null)" != "$key" ]; then
		# Another check may be building there.
		(flock 9; rm -rf build/check-module build/check-module.key) 9>build/check-module.lock
		scripts/module /usr/src/kernel build/check-module CLIPPY=1 >$log 2>&1 || { cat $log; return 1; }
		echo "$key" >build/check-module.key
	fi
	if grep -qE '^(warning|error)|: warning:|^WARNING:' $log; then
		grep -E -A 8 '^(warning|error)|: warning:|^WARNING:' $log | head -n 120
		return 1
	fi
}

checks() {
	local file scripts=() rust=() pages=() package
	n=0
	echo "# === checks"
	echo "TAP version 13"
	headers
	mapfile -t scripts < <(sources | while read -r file; do
		[ -f "$file" ] && head -n 1 "$file" | grep -qaE '^#! ?/.*\b(sh|bash)$' && echo "$file"; done)
	check "shellcheck" shellcheck -xa "${scripts[@]}"
	mapfile -t rust < <(sources | grep -E '^(rust_shm_main|shm/.*)\.rs$')
	[ ${#rust[@]} -eq 0 ] || check "rustfmt" rustfmt --edition 2021 --check --config-path /usr/src/kernel/.rustfmt.toml \
		--config skip_children=true "${rust[@]}"
	[ ! -e Kbuild ] || check "module builds without a warning, clippy's included" module_clean
	mapfile -t pages < <(sources | grep '\.md$')
	check "links in the pages, and make's targets" scripts/links.py "${pages[@]}"
	check "scripts that the sources name are there" named_scripts
	check "the pages make a book, whose links lead somewhere" Documentation/book --quick
	check "Documentation/pictures/numbers.svg shows what Documentation/performance.md says" numbers
	check "Documentation/pictures/ shows what is in bench/results/" plots
	check "Documentation/differences.md lists the differences that selftests/oracle lets pass (right), and no others" differences
	for package in $(packages); do
		check "cargo fmt: $package" cargo fmt --manifest-path "$package/Cargo.toml" --all --check
		check "cargo clippy: $package" cargo_in "$package" clippy --workspace --all-targets -- -D warnings
		[ -e "$package/deny.toml" ] || continue
		check "licences of dependencies: $package" scripts/dependencies.py licences "$package"
		check "sources of dependencies: $package" scripts/dependencies.py sources "$package"
		check "advisories about dependencies: $package" scripts/dependencies.py advisories "$package" build/advisory-db
	done
	check "the crates in tools/ can be published" packaging/crates
	check "the public interface of the crates in tools/ is what their api.txt say" cargo_in tools test -p rshm --test api
	check "licences of the project's own files in tools/ and the examples" own_licences
	check "scripts/symbols lists what an object imports, and fails for what the kernel does not export" imports
	check "qemu/kernel-log tells a complaint of the kernel from what looks like one" qemu/kernel-log-test
	check "scripts/dependencies.py, which checks these, is right itself" scripts/dependencies.py test
	echo "1..$n"
}

# What programs of any licence may link with or copy from says so. Headers for C are as the kernel's are.
own_licences() {
	local file want status=0
	for file in $(sources | grep -E '^(tools|Documentation/example)/.*\.(rs|c|h|toml)$' | grep -v '/deny\.toml$'); do
		case $file in
		*/include/*) want='GPL-2.0 WITH Linux-syscall-note' ;;
		Documentation/example/* | tools/rshm/examples/*) want=MIT ;;
		tools/abi/* | tools/derive/* | tools/link/* | tools/preload/* | tools/rshm/*) want='MIT OR Apache-2.0' ;;
		*) want=GPL-2.0-only ;;
		esac
		head -n 1 "$file" | grep -qE "SPDX-License-Identifier: $want( \*/)?$" || { echo "$file: is not $want"; status=1; }
	done
	for file in abi derive link preload rshm; do
		cargo metadata --manifest-path tools/$file/Cargo.toml --format-version=1 --no-deps --offline |
			grep -qE '"license":"MIT OR Apache-2.0"' || { echo "tools/$file/Cargo.toml"; status=1; }
	done
	return $status
}

imports() {
	local dir
	dir=$(mktemp -d)
	echo 'extern int b, a; int *both[] = { &b, &a };' | gcc -c -x c -o "$dir/object" - || return
	printf '0x0\tb\tvmlinux\tEXPORT_SYMBOL_GPL\tNS\n' >"$dir/symvers"
	if scripts/symbols "$dir/object" "$dir/symvers" 2>"$dir/said" >/dev/null || ! grep -q 'has no a$' "$dir/said"; then cat "$dir/said"; return 1; fi
	printf '0x0\ta\tvmlinux\tEXPORT_SYMBOL\t\n' >>"$dir/symvers"
	diff <(scripts/symbols "$dir/object" "$dir/symvers") <(printf 'a\tEXPORT_SYMBOL\nb\tEXPORT_SYMBOL_GPL\tNS\n') &&
		diff <(scripts/symbols "$dir/object" "$dir/symvers" abi_symbollist) <(printf '[abi_symbol_list]\n  a\n  b\n')
}

# The page lists just those differences that the tester lets pass.
differences() {
	diff <(sed -n '/^## /,$p' Documentation/differences.md) <(cargo_in selftests/oracle run -q -- --rules)
}

numbers() { diff Documentation/pictures/numbers.svg <(Documentation/pictures/numbers.py); }

plots() {
	local drawn picture
	drawn=$(mktemp -d)
	bench/plot.py bench/results/*.json "$drawn" >/dev/null && for picture in "$drawn"/*; do diff "$picture" Documentation/pictures/ || return; done
}

# cargo's own report is turned into TAP by selftests/runner/tally.py.
units() {
	local package status
	for package in $(packages); do
		echo "# cargo $package"
		status=0
		cargo_in "$package" test --workspace --no-fail-fast 2>&1 || status=$?
		echo "# cargo end $status"
	done
}

# A script that moves leaves no name behind.
named_scripts() {
	local name status=0
	while read -r name; do
		[ -e "$name" ] || { echo "there is no $name, which is named in:"; sources | xargs grep -lF -- "$name"; status=1; }
	done < <(sources | grep -v '^bench/results/' | xargs grep -ohIP '(?<![\w./-])(/src/|\./)?\K(qemu|scripts|selftests/runner)/[a-z][\w-]*(\.(sh|py))?(?!\.?\w)' | sort -u)
	return $status
}
