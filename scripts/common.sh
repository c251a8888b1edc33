# shellcheck shell=bash
# Sourced by scripts/in-toolbox: which kernel tree it is for, where the objects go, and what several pieces need.
# shellcheck disable=SC2034	# other pieces use these

# For a kernel tree of the caller's own, objects go to a place of their own.
if [ -e /kernel/Makefile ]; then
	kdir=/kernel out=build/module-$(stat -c %d-%i /kernel)
elif [ -n "${ARCH:-}" ] && [ ! -e /run/vmlinuz ]; then
	echo "ARCH=$ARCH is for make, make tools, run, test, kernel, vm and shell" >&2
	exit 2
else
	kdir=/usr/src/kernel out=build/module
fi

# What programs are built for: this machine, or $ARCH. A platform is what their dynamic linker puts for $PLATFORM in a path.
platform=x86_64 target=x86_64-unknown-linux-gnu platform32=i686 target32=i686-unknown-linux-gnu
compilers=() to=() built=build/cargo
if [ "${ARCH:-}" = arm64 ]; then
	platform=aarch64 target=aarch64-unknown-linux-gnu platform32=v8l target32=armv7-unknown-linux-gnueabihf
	compilers=(CC=aarch64-linux-gnu-gcc CC32=arm-linux-gnueabihf-gcc) to=(--target "$target") built=build/cargo/$target
	export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
	export CARGO_TARGET_ARMV7_UNKNOWN_LINUX_GNUEABIHF_LINKER=arm-linux-gnueabihf-gcc
fi

# A kernel that looks at each access to memory is slow, and takes memory for that.
kernel_has() { grep -qsx "CONFIG_$1=y" "$kdir/.config"; }
if ! [[ ${RUST_SHM_SLOW:-1} =~ ^[1-9][0-9]*$ ]]; then
	echo "RUST_SHM_SLOW=$RUST_SHM_SLOW is not a whole number from 1" >&2
	exit 2
fi
if kernel_has KASAN || kernel_has KCSAN; then
	export RUST_SHM_SLOW=${RUST_SHM_SLOW:-5} MEM=${MEM:-4G} SMALL=${SMALL:-1G}
fi
# The random testers are built for pages of one size.
if kernel_has ARM64_16K_PAGES; then export RUST_SHM_16K_PAGES=1; fi
# What others do at once, threads do in turn there.
if kernel_has PREEMPT_RT; then export RUST_SHM_SLOW=${RUST_SHM_SLOW:-5}; fi

# The files of the project, also where .git is not at hand.
sources() {
	git ls-files -co --exclude-standard 2>/dev/null ||
		find . \( -path ./build -o -path ./.git -o -name target \) -prune -o -type f -printf '%P\n'
}

packages() { sources | grep '/Cargo\.lock$' | xargs -r -n 1 dirname; } # also a workspace is one

cargo_in() { # package command...
	local package=$1 try
	shift
	export CARGO_TARGET_DIR=/src/build/cargo CARGO_NET_RETRY=5
	for try in 1 2 3; do
		cargo fetch --manifest-path "$package/Cargo.toml" -q && break
		sleep $((try * 2))
	done
	# From there, for the sake of its .cargo/config.toml.
	(cd "$package" && cargo "$@")
}

locked_make() { # directory output-directory [target or VARIABLE=value...]: builds in another directory's Makefile
	mkdir -p "$2"
	(flock 9; make -C "$1" OUT="/src/$2" -j"$(nproc)" "${compilers[@]}" "${@:3}") 9>"$2.lock"
}
