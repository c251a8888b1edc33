# shellcheck shell=bash
# Sourced by scripts/in-toolbox: what is built, into build/: the module, tools/, and the programs that guests run.

module() {
	local log
	log=$(mktemp)
	if ! scripts/module "$kdir" "$out" >"$log" 2>&1; then
		cat "$log" >&2
		return 1
	fi
	[ -z "${V:-}" ] || cat "$log" >&2
}

# For rust-analyzer; scripts/rust-project.py makes it one of this machine.
rust_project() {
	module
	make -s -C "$kdir" CC="$(cat /etc/rust_shm/cc)" M=/src MO="/src/$out" rust-analyzer
}

# A program in Rust, linked statically: its address space is small, and the same from run to run.
static_selftest() { # name
	RUSTFLAGS='-C target-feature=+crt-static' cargo_in "selftests/$1" build --release --target $target --target-dir /src/build/cargo-static &&
		mkdir -p build/selftests && install "build/cargo-static/$target/release/$1" "build/selftests/$1"
}

# The programs for the guest.
selftests() {
	locked_make selftests build/selftests M32=1 && static_selftest oracle && static_selftest fuzz || return
	# The test of the command and the crate in tools/, and the crate's examples, which it runs.
	cargo_in tools build -p rshm --examples "${to[@]}" || return
	mkdir -p build/tools/examples
	install -p $built/debug/examples/{producer,consumer,sandbox} build/tools/examples/ && install -p selftests/rshm.py build/selftests/rshm || return
	crate_tests || return
	preloaded
	served
}

# The crate's tests of several processes, which the test of the command runs on segments.
crate_tests() {
	local names=(death kills ring) list name
	list=$(cargo_in tools test -p rshm "${names[@]/#/--test=}" --no-run --message-format=json "${to[@]}") || return
	rm -rf build/tools/tests
	mkdir -p build/tools/tests
	for name in "${names[@]}"; do
		install -p "$(grep -oP "\"executable\":\"\K[^\"]*/$name-[^\"]*" <<<"$list")" "build/tools/tests/$name" || return
	done
}

# Selftests that tools/preload answers for too: what they expect of the built-in, they get from the module. Not those of what is different
# on purpose.
preloaded_programs='get attach ctl detach permission'

preloaded() {
	local name bits library
	for name in $preloaded_programs; do
		for bits in '' -32; do
			library=/src/build/tools/rust_shm/$([ -z "$bits" ] && echo $platform || echo $platform32)/librust_shm_preload.so
			cat >"build/selftests/preloaded-$name$bits" <<-END || return
				#!/bin/sh
				RUST_SHM_THROUGH_LIBC=1 LD_PRELOAD=$library exec /src/build/selftests/$name$bits -v builtin "\$@"
			END
			chmod 755 "build/selftests/preloaded-$name$bits"
		done
	done
}

# Selftests whose system calls the module answers, in namespaces that it serves.
served_programs='attach commit ctl detach forced get hole lifetime limits lock namespace permission policy stat'

served() {
	local name bits
	for name in $served_programs; do
		for bits in '' -32; do
			printf '#!/bin/sh\nRUST_SHM_SERVED=1 exec /src/build/selftests/%s -v builtin "$@"\n' "$name$bits" >"build/selftests/served-$name$bits" &&
				chmod 755 "build/selftests/served-$name$bits" || return
		done
	done
}

# User space: what is in tools/, where it is easily found: build/tools/.
tools() {
	cargo_in tools build --release --workspace "${to[@]}" || return
	# The libraries for 32-bit programs. Debian's compiler comes without a core for them, but with its source, and builds it when it is
	# asked as no stable compiler may be.
	RUSTC_BOOTSTRAP=1 cargo_in tools build --release -p librust_shm -p librust_shm_preload --target $target32 -Zbuild-std=core || return
	rm -rf build/tools/rust_shm
	mkdir -p build/tools/lib32 build/tools/rust_shm/$platform build/tools/rust_shm/$platform32
	install -p $built/release/rshm build/tools/ || return
	# The name that programs ask for, and the one that they are linked by.
	install -p $built/release/librust_shm.so build/tools/librust_shm.so.0 &&
		install -p build/cargo/$target32/release/librust_shm.so build/tools/lib32/librust_shm.so.0 || return
	ln -sf librust_shm.so.0 build/tools/librust_shm.so && ln -sf librust_shm.so.0 build/tools/lib32/librust_shm.so || return
	# As they are installed, for rshm run.
	install -p $built/release/librust_shm_preload.so build/tools/rust_shm/$platform/ &&
		install -p build/cargo/$target32/release/librust_shm_preload.so build/tools/rust_shm/$platform32/ || return
	scripts/dependencies.py notices tools rshm-command librust_shm librust_shm_preload >build/tools/NOTICES || return
	# What stands in for a kernel without System V shared memory: Documentation/programs.md.
	locked_make selftests/programs build/programs no-sysv
}

# What the drivers of real programs need besides what the toolbox has.
helpers() { # prints what went wrong
	locked_make selftests/programs build/programs M32=1 >build/programs.log 2>&1 ||
		{ sed 's/^/# /' build/programs.log; echo "not ok - selftests/programs does not build"; return 1; }
	sysv_ipc >build/programs/sysv_ipc.reason
	criu >build/programs/criu.reason
	unreachable >build/programs/system-calls.reason
}

# Why a driver has not got what it needs from elsewhere: it fails, but is skipped where nothing may be downloaded.
not_downloaded() { # what, log of scripts/debian or scripts/pypi
	local last
	last=$(grep -v '^ ' "$2" | tail -n 1)
	case $last in
	'RUST_SHM_OFFLINE is set'*) echo "SKIP $last" ;;
	*) echo "$1 cannot be downloaded: try again, or skip these tests with RUST_SHM_OFFLINE=1; $2 ends with: $last" ;;
	esac
}

# Programs that no library reaches: one in Go, linked statically, and Debian's that the toolbox has not. Where they are not to be had, their
# driver says why: our last line.
unreachable() {
	local dir=build/programs/debian log=build/programs/system-calls.log go
	[ "${ARCH:-$(dpkg --print-architecture)}" = amd64 ] || { echo "SKIP only on x86-64"; return; }
	if ! { [ -d $dir ] || scripts/debian $dir bubblewrap podman crun sudo; } >$log 2>&1; then
		not_downloaded "bubblewrap, podman, sudo" $log
		return
	fi
	# No container here has a network.
	rm -rf $dir/usr/lib/cni $dir/usr/share/{doc,man,locale}
	[ selftests/programs/raw.go -nt build/programs/raw ] || return 0
	rm -f build/programs/raw
	go=$(mktemp -d)
	if ! scripts/debian "$go/unpacked" golang-go >$log 2>&1; then
		not_downloaded Go $log
	elif ! (
		export GOROOT=$go/unpacked/usr/lib/go GOCACHE=$go/cache GOPATH=$go/path GOTOOLCHAIN=local GOTELEMETRY=off GO111MODULE=off CGO_ENABLED=0
		"$GOROOT/bin/go" build -o build/programs/raw selftests/programs/raw.go
	) >$log 2>&1; then
		echo "raw.go does not build: see $log"
	fi
	rm -rf "$go"
}

# Python's sysv_ipc, kept in the cache with what builds it. Where it is not to be had, its driver says why: our last line.
sysv_ipc() {
	local dir=build/programs/sysv_ipc log=build/programs/sysv_ipc.log setuptools archive
	[ ! -e $dir/sysv_ipc.built ] || return 0
	rm -rf $dir
	local -x PYTHONPATH
	PYTHONPATH=$(mktemp -d)
	if ! { setuptools=$(scripts/pypi setuptools-80.9.0-py3-none-any.whl setuptools==80.9.0 062d34222ad13e0cc312a4c02d73f059e86a4acbfbdea8f8f76b28c99f306922) &&
		python3 -m zipfile -e "$setuptools" "$PYTHONPATH" &&
		archive=$(scripts/pypi sysv_ipc-1.2.0.tar.gz sysv_ipc==1.2.0 ef96ab33bb62e4d14142f0be0524dcc0c3c70c96442df2fc773c67b7c7514199); } 2>$log; then
		not_downloaded sysv_ipc $log
		return
	fi
	mkdir -p $dir
	if tar -C $dir -xf "$archive" --strip-components=1 && (cd $dir && python3 setup.py -q build_ext --inplace) >$log 2>&1
	then touch $dir/sysv_ipc.built
	else echo "sysv_ipc does not build: see $log"; fi
}

# CRIU, with libraries that the toolbox has not, or not so new; and its own tests of System V shared memory. As sysv_ipc.
criu() {
	local dir=build/programs/criu log=build/programs/criu.log got=build/programs/criu.unpacked test flags
	[ "${ARCH:-$(dpkg --print-architecture)}" = amd64 ] || { echo "SKIP only on x86-64"; return; }
	[ ! -e $dir/criu.built ] || [ tools/criu/rust_shm_plugin.c -nt $dir/criu.built ] || return 0
	rm -rf $dir
	if ! scripts/debian --of forky $got criu libcompel1 libnet9 libnftables1 libnftnl11 libnl-3-200 libprotobuf-c1 >$log 2>&1; then
		not_downloaded "CRIU of Debian's next release" $log
		return
	fi
	mkdir -p $dir/lib
	mv $got/usr/sbin/criu $dir/
	cp -P $got/usr/lib/*/lib*.so.* $dir/lib/
	if ! LD_LIBRARY_PATH=$dir/lib $dir/criu --version >$log 2>&1; then
		echo "CRIU of Debian's next release does not run with this one's libraries: add what it misses to its packages in scripts/build.sh: $(tail -n 1 $log)"
		return
	fi
	# Its makefiles build all of the tests, and what they take.
	got=/src/$got/source/test/zdtm
	mkdir -p $dir/include/common $dir/include/compel/plugins/std
	: >$dir/include/common/config.h
	ln -s "$got/../../include/common/arch/x86/asm" $dir/include/common/asm
	echo '#include <sys/syscall.h>' >$dir/include/compel/plugins/std/syscall-codes.h
	for test in shm shm-unaligned shm-mp ipc_namespace; do
		flags=''
		[ $test != shm-unaligned ] || flags=-DZDTM_SHM_UNALIGNED
		# shellcheck disable=SC2046
		cc -O2 -g -w -D_GNU_SOURCE $flags -o $dir/zdtm-$test -I "$got/lib" -I $dir/include -I "$got/../../include" \
			-iquote "$got/lib/arch/x86/include" -iquote "$got/../../criu/include" -iquote "$got/../.." "$got/static/$test.c" \
			$(printf "$got/lib/%s.c " datagen msg parseargs test streamutil lock ns tcp unix fs sysctl mem file mountinfo) 2>$log ||
			{ echo "zdtm's $test does not build: see $log"; return; }
	done
	if cc -shared -fPIC -O2 -Wall -Wextra -Werror -o $dir/rust_shm_plugin.so tools/criu/rust_shm_plugin.c 2>$log
	then rm -rf build/programs/criu.unpacked && touch $dir/criu.built
	else echo "the plugin for CRIU does not build: see $log"; fi
}

build_all() { # prints what went wrong
	module || { echo "not ok - the module does not build"; return 1; }
	tools >build/tools.log 2>&1 ||
		{ sed 's/^/# /' build/tools.log; echo "not ok - tools/ does not build"; return 1; }
	if [ "$tests" != build/selftests ]; then helpers; return; fi
	selftests >build/selftests.log 2>&1 ||
		{ sed 's/^/# /' build/selftests.log; echo "not ok - the selftests do not build"; return 1; }
}
