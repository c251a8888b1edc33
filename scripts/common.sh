# shellcheck shell=bash
# Sourced by scripts/in-toolbox: which kernel tree it is for, where the objects go, and what several pieces need.
# shellcheck disable=SC2034	# other pieces use these

# For a kernel tree of the caller's own, objects go to a place of their own.
if [ -e /kernel/Makefile ]; then
	kdir=/kernel out=build/module-$(stat -c %d-%i /kernel)
else
	kdir=/usr/src/kernel out=build/module
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
	(flock 9; make -C "$1" OUT="/src/$2" -j"$(nproc)" "${@:3}") 9>"$2.lock"
}
