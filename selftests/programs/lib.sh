# shellcheck shell=bash disable=SC2086,SC2317
# What the drivers of programs share. A driver runs as root in a guest; its tests are TAP, what it measures are comments.
#
# On the built-in, a program is started as it is. On rust_shm, it is started by `rshm run`, and by no-sysv, in whose reach the kernel's own
# calls are ENOSYS: so it cannot have had its shared memory from the built-in.

name=${0##*/}
top=$(cd "$(dirname "$0")/../.." && pwd)
built=$top/build/programs
table=/dev/rust_shm
table_builtin=/proc/sysvipc/shm
backends='builtin rust_shm' # but for a kernel that has no built-in
if [ ! -e $table_builtin ]; then
	# shellcheck disable=SC2034
	backends=rust_shm
	table_builtin=/dev/null
fi
# shellcheck disable=SC2034
user=(setpriv --reuid=postgres --regid=postgres --init-groups) # an ordinary one
export LC_ALL=C.UTF-8 TZ=UTC
: "${LIMIT:=60}" # seconds that a program may take which `on` starts

work=$(mktemp -d "/tmp/$name.XXXXXX")
chmod 755 "$work"
# The library is for everybody, wherever the checkout is.
cp -R "$top/build/tools" "$work/tools"
rshm=$work/tools/rshm
pids=()
count=0 failures=0

cleanup() {
	local pid
	for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null; done
	wait
	# What is left by a program that failed is not for the next one.
	{ [ -z "$(rows $table shmid)" ] || "$rshm" run -- ipcrm --all=shm; [ -z "$(rows $table_builtin shmid)" ] || ipcrm --all=shm; } >/dev/null 2>&1
	[ -n "${KEEP:-}" ] || rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 143' TERM INT

echo "TAP version 13"

say() { printf '# %s\n' "$*"; }
show() { sed 's/^/#   /' "$@"; }

# check TEXT COMMAND [ARGUMENT...]: a test; what the command says is shown when it fails.
check() {
	local text=$1 status=0
	shift
	"$@" >"$work/said" 2>&1 || status=$?
	count=$((count + 1))
	if [ $status = 0 ]; then
		echo "ok $count $text"
	else
		failures=$((failures + 1))
		say "exit status $status of: $*"
		show "$work/said"
		echo "not ok $count $text"
	fi
	return $status
}

# is WHAT EXPECTED
is() {
	[ "$1" = "$2" ] || { printf 'is "%s", should be "%s"\n' "$1" "$2"; return 1; }
}

# launch builtin|rust_shm PROGRAM [ARGUMENT...]: becomes the program.
launch() {
	local backend=$1
	shift
	case $backend in
	builtin) exec "$@" ;;
	rust_shm) exec "$built/no-sysv" "$rshm" run -- "$@" ;;
	*) echo "$name: launch $backend"; exit 2 ;;
	esac
}

# on builtin|rust_shm PROGRAM [ARGUMENT...]: runs it to its end.
on() {
	local backend=$1
	shift
	case $backend in
	builtin) timeout -k 5 "$LIMIT" "$@" ;;
	rust_shm) timeout -k 5 "$LIMIT" "$built/no-sysv" "$rshm" run -- "$@" ;;
	*) echo "$name: on $backend"; return 2 ;;
	esac
}

# within SECONDS COMMAND [ARGUMENT...]: until it succeeds.
within() {
	local end=$((SECONDS + $1)) said
	shift
	until said=$("$@"); do
		[ $SECONDS -le $end ] || { echo "$said"; return 1; }
		sleep 0.2
	done
}

# rows TABLE [COLUMN=VALUE...] COLUMN...: these columns of the lines that have those values.
rows() {
	local file=$1
	shift
	awk -v want="$*" '
		NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; n = split(want, words, " "); next }
		{
			line = ""
			for (i = 1; i <= n; i++)
				if (split(words[i], pair, "=") == 2) { if ($at[pair[1]] != pair[2]) next }
				else line = line (line == "" ? "" : " ") $at[words[i]]
			print line
		}' "$file"
}

# The table of a kind, and of the other kind.
table_of() { if [ "$1" = builtin ]; then echo $table_builtin; else echo $table; fi; }
other_of() { if [ "$1" = builtin ]; then echo rust_shm; else echo builtin; fi; }

# only_on builtin|rust_shm: there are segments of that kind now, and none of the other.
only_on() {
	show "$(table_of "$1")"
	[ -n "$(rows "$(table_of "$1")" shmid)" ] || { echo "no segment in $(table_of "$1")"; return 1; }
	[ -z "$(rows "$(table_of "$(other_of "$1")")" shmid)" ] || { cat "$(table_of "$(other_of "$1")")"; return 1; }
}

nothing_left() {
	[ -z "$(rows $table shmid)$(rows $table_builtin shmid)" ] && return
	cat $table $table_builtin
	return 1
}

# watched builtin|rust_shm PROGRAM [ARGUMENT...]: runs it as `on` does, and sees segments of that kind meanwhile, and none of the other.
watched() {
	local backend=$1 ours other seen=0 strange=0 status=0 child lines
	ours=$(table_of "$backend") other=$(table_of "$(other_of "$backend")")
	launch "$backend" timeout -k 5 "$LIMIT" "${@:2}" &
	child=$!
	pids+=("$child")
	while kill -0 "$child" 2>/dev/null; do
		mapfile -t lines <"$ours"
		[ ${#lines[@]} -le 1 ] || seen=$((seen + 1))
		mapfile -t lines <"$other"
		[ ${#lines[@]} -le 1 ] || strange=$((strange + 1))
		sleep 0.1
	done
	wait "$child" || status=$?
	[ $status != 0 ] || [ $seen = 0 ] || [ $strange != 0 ] || return 0
	echo "exit status $status; segments were seen $seen times, and $strange times on the other"
	return 1
}

# built_or_end NAME WHAT FILE...: goes on if the files are there that scripts/build.sh makes for this driver. If not, it says why, in the
# last line of NAME.reason. That is a failure, unless it is a SKIP: of another architecture, or where nothing may be downloaded.
built_or_end() {
	local reason what=$2 file missing=''
	reason=$(tail -n 1 "$built/$1.reason" 2>/dev/null)
	for file in "${@:3}"; do [ -e "$built/$file" ] || missing=1; done
	[ -n "$missing" ] || return 0
	echo "1..1"
	case $reason in SKIP*) echo "ok 1 $what # $reason"; exit 0 ;; esac
	echo "not ok 1 $what: ${reason:-nobody has built it}"
	exit 1
}

# ratio A B: A / B
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.2f", a / b; else printf "-" }'; }

# The last line of every driver.
finish() {
	check "no segment is left over, in rust_shm or in the built-in" within 5 nothing_left
	echo "1..$count"
	[ $failures = 0 ]
	exit
}

missing=''
for file in "$built/no-sysv" "$rshm" $table; do [ -e "$file" ] || missing+=" $file"; done
if [ -n "$missing" ]; then
	echo "not ok 1 there is what it takes:$missing"
	echo "1..1"
	exit 1
fi
