# shellcheck shell=bash
# Sourced by scripts/in-toolbox: which guests there are, which test programs each can run, and their queue.

# What a program must find, by its line `needs: WORD...` in a comment; most are content with any guest. NAME-32 is NAME as a 32-bit program.
needs_of() { # name
	local file
	set -- "${1#preloaded-}"
	set -- "${1#served-}"
	for file in "selftests/${1%-32}.c" "selftests/$1/Cargo.toml"; do
		[ ! -e "$file" ] || sed -nE 's%^(/\*| \*|#) needs: ([a-z ]*).*%\2%p' "$file" | head -n 1
	done
}

# There are three kinds of guest, each with the words for what it has. "numa" is two nodes (NODES), and "extend" is room for 16 million ids, which
# makes ids look different: a test of the usual ones needs "plain". "parallel" is processors that really run at the same time, as races
# need; a plain guest has them too where it is alone, and in `make test-all`. "small" is little memory (SMALL=512M): nothing runs there
# that does not need it. The words of `kernel_lacks` are for what not all kernels have: where one has not, such programs are not run.
guest_has() {
	local words
	words=$(kernel_words)
	if [ "$1" = more ]; then echo "extend parallel$words"; else echo "$1${words/ numa/}"; fi
}

# "fault": it makes allocations fail; "numa": it makes two nodes of the memory; "balancing": it moves pages between them; "huge": it has
# folios larger than a page; "ipcns", "pidns": it has such namespaces.
declare -A OPTIONS=([ipcns]=IPC_NS [pidns]=PID_NS [fault]=FAULT_INJECTION_USERCOPY [numa]=$([ -n "${ARCH:-}" ] && echo NUMA || echo NUMA_EMU) [balancing]=NUMA_BALANCING [huge]=TRANSPARENT_HUGEPAGE)

kernel_words() {
	local word
	for word in "${!OPTIONS[@]}"; do ! kernel_has "${OPTIONS[$word]}" || printf ' %s' "$word"; done
}

kernel_lacks() { # needs: prints the first of them that the kernel has not
	local word
	for word in $1; do
		[ -z "${OPTIONS[$word]:-}" ] || kernel_has "${OPTIONS[$word]}" || { echo "CONFIG_${OPTIONS[$word]}"; return; }
	done
	return 1
}

kernel_has_faults() { kernel_has "${OPTIONS[fault]}"; }
guest_boots() { [ "$1" != more ] || echo ipcmni_extend; }
guest_nodes() { if [ "$1" = more ] && kernel_has "${OPTIONS[numa]}"; then echo 2; else echo 1; fi; }
guest_memory() { if [ "$1" = small ]; then echo "${SMALL:-512M}"; else echo "${MEM:-}"; fi; }

# The kind that a program needs; nothing if any will do.
kind_of() { # needs
	case " $1 " in
	*' small '*) echo small ;;
	*' numa '* | *' extend '* | *' parallel '*) echo more ;;
	*' plain '*) echo plain ;;
	esac
}

# The 32-bit programs that `make test` runs; `make test-all` runs all.
programs_32='abi ctl preload preloaded-ctl seen served served-ctl'

# And those that it leaves out: tests of many calls each, half a minute of them.
programs_long='preloaded-permission served-permission served-policy served-forced served-limits served-lifetime'

# Where the tests are that guests run, and how long each took.
tests=build/selftests seconds=build/seconds

programs() {
	local file name
	for file in "$tests"/*; do
		name=${file##*/}
		[ -n "${ALL:-}" ] || [[ " $programs_long " != *" $name "* ]] || continue
		case $name in
		*.*) continue ;;
		*-32)
			# Their C library waits by a futex(2) that is not there without the second.
			kernel_has "$([ "${ARCH:-}" = arm64 ] && echo COMPAT || echo IA32_EMULATION)" || continue
			kernel_has COMPAT_32BIT_TIME || continue
			[ -n "${ALL:-}" ] || [[ " $programs_32 " = *" ${name%-32} "* ]] || continue ;;
		esac
		! kernel_lacks "$(needs_of "$name")" >/dev/null || continue
		if [ -f "$file" ] && [ -x "$file" ]; then echo "$name"; fi
	done
}

# The programs in the order in which guests take them, and what these need.
queue_list() { # directory of the last run's times, number of guests
	local name needs rank
	programs | while read -r name; do
		needs=$(needs_of "$name") rank=2
		case $(kind_of "$needs") in small | more) rank=1 ;; esac
		echo "$rank $(cat "$1/$name" 2>/dev/null || echo 999) $name $needs"
	done | selftests/runner/schedule.py "$2"
}

guest() { # plain|more|small command [label]
	local status=0
	echo "# guest${3:+ $3}"
	CMD=$2 APPEND="$(guest_boots "$1") ${APPEND:-}" MEM=$(guest_memory "$1") NODES=$(guest_nodes "$1") TIMEOUT=$((TIMEOUT * ${RUST_SHM_SLOW:-1})) qemu/boot "$out/rust_shm.ko" 2>&1 || status=$?
	echo "# guest end $status"
}

# Whether a program is in the queue that needs such a guest.
queued() { # kind
	local name needs
	while read -r name needs; do
		[ "$(kind_of "$needs")" != "$1" ] || return 0
	done <"$queue/list"
	return 1
}

# Guests side by side, each with its own kernel, and what they have not done. Each writes to a stream, which is a descriptor that is open.
# The second of them has more; where there is only one at a time, that one comes second in time. Before the first of them there is the small
# one, if anything needs it.
guests() { # label stream...
	local label=$1 stream name needs times=$seconds${1:+-$1} command="TESTS=/src/$tests " kind=plain
	shift
	queue=$(mktemp -d build/queue.XXXXXX)
	queue_list "$times" $# >"$queue/list"
	[ "$label" != nosysv ] || command+='RUST_SHM_SYSVIPC=n '
	[ "$tests" = build/selftests ] || command+='TIMEOUT=600 '
	for stream; do
		{
			SERIAL=$([ $# = 1 ] || [ "$kind" != plain ] || [ -n "${ALL:-}" ] || kernel_has KCSAN || echo 1)
			export SERIAL
			if [ "$stream" = "$1" ] && queued small; then guest small "${command}selftests/runner/worker $queue small" "$label"; fi
			guest $kind "${command}selftests/runner/worker $queue $(guest_has $kind)" "$label"
		} >&"$stream" &
		if [ $kind = plain ] && [ "$stream" = "$1" ]; then kind='more'; else kind='plain'; fi
	done
	wait
	if [ $# = 1 ] && queued more; then
		guest more "${command}selftests/runner/worker $queue $(guest_has more)" "$label" >&"$1"
	fi
	[ -s "$queue/list" ] || echo "not ok - there are no selftests"
	for name in "$tests"/*; do
		[[ ${name##*/} == *.* || ! -x $name ]] || ! needs=$(kernel_lacks "$(needs_of "${name##*/}")") || echo "# ${name##*/} is left out: the kernel has no $needs"
	done
	mkdir -p "$times"
	while read -r name needs; do
		if [ ! -d "$queue/$name" ]; then
			echo "not ok - ${label:+$label: }$name: no guest was left to run it${needs:+, which needs: $needs}"
		elif [ ! -s "$queue/$name/seconds" ]; then echo "not ok - ${label:+$label: }$name: the guest ended before it did"
		else mv "$queue/$name/seconds" "$times/$name"; fi
	done <"$queue/list"
	rm -rf "$queue"
}

# Programs by name, in as few guests as they can share: one, unless they need several kinds.
named_tests() { # name...
	local name kind names any=plain run="selftests/run /src/$tests"
	local -A kinds
	[ "$tests" = build/selftests ] || run="TIMEOUT=600 $run"
	for name; do kinds[$name]=$(kind_of "$(needs_of "$name")"); done
	if [[ " ${kinds[*]} " = *' more '* && " ${kinds[*]} " != *' plain '* ]]; then any='more'; fi
	for kind in small plain more; do
		names=()
		for name; do [ "${kinds[$name]:-$any}" != $kind ] || names+=("$name"); done
		[ ${#names[@]} = 0 ] || guest $kind "$run ${names[*]}; status=\$?; selftests/runner/leaks || status=1; exit \$status"
	done
}
