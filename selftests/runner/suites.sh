# shellcheck shell=bash
# Sourced by scripts/in-toolbox: `make test`, what `make test-all` has besides, and stress, oracle, fuzz, coverage.

# The parts that `test-all` has and `test` has not, one after the other. A part is a function. It gets the streams, which are open
# descriptors that guests may write to at the same time, each beginning with "# guest LABEL" (see `guest`); what it says itself goes
# to stdout, as TAP. All of it is counted into the one result.
MORE=(real_programs nosysv kasan another failures packaging prompt)
[ -z "${ARCH:-}" ] || MORE=()

# Programs that others have written, unchanged. They take more memory than the selftests.
real_programs() {
	real_programs_only
	export MEM=${MEM:-3G}
	helpers && guests '' "$@"
}

real_programs_only() { tests=selftests/programs seconds=build/seconds-programs; }

# The selftests, or what `tests` says.
suite() { guests '' "$@"; }

# What does not depend on the kernel is not done again for another one.
still() { [ "$kdir" != /usr/src/kernel ] || { checks; units; }; }

# The suite on a kernel of our own.
suite_on() { # name tree stream...
	# /kernel is what the module is built for, and what boots.
	# shellcheck disable=SC2016
	unshare --mount --propagation private -- bash -c 'mount --bind "$2" /kernel && exec scripts/in-toolbox suite "$1" "${@:3}"' bash "$@" ||
		echo "not ok - $1: it did not come to its end"
}

# Without System V IPC, and with lockdep and the like.
nosysv() {
	local tree
	tree=$(qemu/kernel nosysv) || { echo "not ok - nosysv: the kernel does not build"; return; }
	suite_on nosysv "$tree" "$@"
}

# With KASAN and kmemleak: where it is there already, as it takes long to build; and not in CI, as the suite takes long there, too.
kasan() {
	local tree
	[ -z "${CI:-}" ] || { echo "# the KASAN kernel is left out in CI"; return; }
	if tree=$(qemu/kernel --cached kasan); then suite_on kasan "$tree" "$@"
	else echo "# there is no KASAN kernel in the cache: make kernel KERNEL=kasan builds it, and make test-all has it from then on"; fi
}

# One of Debian's other kernels, of those in the cache: another one each day.
another() {
	local name names=()
	for name in 6.18 7.2 7.2-cloud 7.2-rt 7.3-cloud 7.3-rt testing; do
		! qemu/kernel --cached $name >/dev/null || names+=("$name")
	done
	[ ${#names[@]} -gt 0 ] || { echo "# no other kernel of Debian's is in the cache: make kernel KERNEL=7.2 fetches one, and make test-all has it from then on"; return; }
	name=${names[$(date +%s) / 86400 % ${#names[@]}]}
	suite_on "$name" "$(qemu/kernel --cached "$name")" "$@"
}

# Every failure, one by one: where the kernel for that is there already.
failures() {
	local tree
	if tree=$(qemu/kernel --cached fault); then
		# shellcheck disable=SC2016
		unshare --mount --propagation private -- bash -c 'mount --bind "$1" /kernel && exec scripts/in-toolbox named failnth' bash "$tree" >&"$1" ||
			echo "not ok - failures: it did not come to its end"
	else echo "# there is no kernel with fault injection in the cache: make kernel KERNEL=fault builds it, and make test-all runs failnth from then on"; fi
}

# What calls cost on the stock kernel, in instructions of a guest of its own, and whether that is more than bench/instructions.json keeps.
# What is more in one boot is measured in two others, too: how slabs lie after a boot makes 4% of a create.
instructions() {
	local n result results=build/bench/instructions
	[ "$kdir" = /usr/src/kernel ] || return 0
	echo "# === instructions"
	mkdir -p build/bench
	rm -f $results*
	result=$(make -s -C bench OUT=/src/build/bench 2>&1) || { printf '%s\n' "$result"; echo "not ok - instructions: bench/ does not build"; return; }
	for n in 1 2 3; do
		CMD="build/bench/bench --json --rounds=3 --long=1 --ms=20 $(bench/check.py --rows) >$results.$n.json" ACCEL=icount CPUS=1 \
			qemu/boot "$out/rust_shm.ko" 2>&1 || { echo "not ok - instructions: the guest failed"; return; }
		! result=$(bench/check.py $results.*.json 2>&1) || { printf '%s\n' "$result"; return; }
	done
	printf '%s\nnot ok - instructions\n' "$result"
}

# `make install`, DKMS and the Debian packages.
packaging() { tools >build/tools.log 2>&1 || { sed 's/^/# /' build/tools.log; echo "not ok - tools/ does not build"; return; }; packaging/test ${MACHINE:+all}; }

# `make shell`.
prompt() { echo "# === prompt"; selftests/runner/prompt.py "$out/rust_shm.ko"; }

run_tests() { # what needs no guest, part...
	local still=$1 dir report names=() streams=() i name fd part
	shift
	export TIMEOUT=${TIMEOUT:-$((${GUESTS:-2} == 1 ? 3000 : 1500))}
	dir=$(mktemp -d)
	echo "# building the module and the selftests"
	report=$(build_all) || { printf '%s\n' "$report" | selftests/runner/tally.py; return; }
	if [ -n "${T:-}" ]; then
		# shellcheck disable=SC2086
		named_tests $T | selftests/runner/tally.py
		return
	fi
	for ((i = 1; i <= ${GUESTS:-2}; i++)); do names+=("$dir/guest$i"); done
	mkfifo "$dir/checks" "$dir/rest" "${names[@]}"
	"$still" >"$dir/checks" &
	# In the order in which selftests/runner/tally.py opens them: each end waits for the other.
	{
		for name in "${names[@]}"; do
			exec {fd}>"$name"
			streams+=("$fd")
		done
		for part; do ("$part" "${streams[@]}"); done
	} >"$dir/rest" &
	selftests/runner/tally.py "$dir/checks" "$dir/rest" "${names[@]}"
}

# The guest's worker takes the module away in the end.
run_stress() {
	local log status=0 limit
	export STRESS_SECONDS=${STRESS_SECONDS:-120} CPUS=${CPUS:-8}
	limit=$((STRESS_SECONDS * 5 + 300))
	export TIMEOUT=${TIMEOUT:-$((limit + 60))}
	log=$(mktemp)
	build_all >"$log" || { selftests/runner/tally.py <"$log"; return; }
	queue=$(mktemp -d build/queue.XXXXXX)
	echo stress >"$queue/list"
	guest plain "TIMEOUT=$limit selftests/runner/worker $queue" | selftests/runner/tally.py || status=$?
	rm -rf "$queue"
	return $status
}

run_oracle() {
	export TIMEOUT=${TIMEOUT:-14400}
	build_all >build/oracle.log || { cat build/oracle.log; return 1; }
	guest plain "echo '# === oracle'; build/selftests/oracle --with ${WITH:-rust_shm} --seeds '${SEEDS:-1 2 3 4}' --steps ${STEPS:-10000}; status=\$?
		selftests/runner/leaks || status=1; exit \$status" | selftests/runner/tally.py
}

# The fuzzer runs in build/fuzz/, where it keeps its corpus and what it ran last. The first complaint of the kernel ends the guest.
# A kernel without KCOV gets a module that has it.
run_fuzz() {
	local status=0 insert='' options="--directory build/fuzz" dir=build/fuzz log seconds=$((${MINUTES:-10} * 60))
	export TIMEOUT=${TIMEOUT:-$((seconds + 900 * ${RUST_SHM_SLOW:-1}))} APPEND="nokaslr kasan.fault=panic ${APPEND:-}"
	if kernel_has KCOV; then module
	else
		out+=-covered
		insert="insmod $out/selftests/fuzz/rust_shm_kcov.ko && insmod $out/rust_shm.ko && "
		scripts/module "$kdir" "$out" RUST_SHM_COVERAGE=1 >build/fuzz-module.log 2>&1 || { cat build/fuzz-module.log; return 1; }
	fi
	static_selftest fuzz >build/fuzz.log 2>&1 || { cat build/fuzz.log; return 1; }
	! kernel_has KCSAN || { echo "fuzz: a kernel with KCSAN stops at races of its own: KERNEL=kasan" >&2; return 2; }
	mkdir -p $dir
	rm -f $dir/run-*
	if [ -n "${REPLAY:-}" ]; then
		cp "$REPLAY" $dir/replay
		options="--replay $dir/replay --times ${TIMES:-100} --directory $dir"
	else
		options+=" --seconds $seconds --seed ${SEED:-$RANDOM}"
		options+=" --places $(objdump -dr "$out/rust_shm.ko" | grep -c '__sanitizer_cov_trace_pc')"
	fi
	CMD="${insert}echo 1 >/proc/sys/kernel/panic_on_warn; build/selftests/fuzz $options; status=\$?; selftests/runner/leaks || status=1; exit \$status" \
		qemu/boot "$([ -n "$insert" ] && echo - || echo "$out/rust_shm.ko")" || status=$?
	[ $status != 0 ] || return 0
	log=$(readlink -f build/kernel.log)
	dir=$(mktemp -d $dir/crash.XXXXXX)
	chmod 755 "$dir"
	cat build/fuzz/run-* | tr -d '\0' >"$dir/programs" || true
	cp "$log" "$dir/kernel.log"
	echo "fuzz: the programs that ran last, and the kernel's log, are in $dir; make fuzz REPLAY=$dir/programs runs them again"
	return $status
}

# Each failure of selftests/failnth.c, with a module that tells which of its `?` have met one.
run_failures() {
	local copy=build/met
	kernel_has_faults || { echo "failures: the kernel makes no allocation fail: KERNEL=fault or KERNEL=kasan does" >&2; return 2; }
	export TIMEOUT=${TIMEOUT:-3600}
	if ! { selftests/runner/met.py mark $copy && selftests >build/failures.log 2>&1 && $copy/scripts/module "$kdir" "$out-met" >>build/failures.log 2>&1; }; then
		cat build/failures.log
		return 1
	fi
	{
		out+=-met named_tests failnth failnth-32
		selftests/runner/met.py report $copy build/kernel.log
	} | selftests/runner/tally.py
}

run_coverage() {
	# A parameter that is only given when the module is loaded.
	export TIMEOUT=${TIMEOUT:-3600} MODULE_PARAMS=${MODULE_PARAMS:-device_mode=0666}
	build_all >build/coverage.out || { cat build/coverage.out; return 1; }
	selftests/runner/coverage.py "$out/rust_shm.ko" "build/selftests/oracle --seeds '${SEEDS:-1 2 3 4}' --steps ${STEPS:-2000}"
}
