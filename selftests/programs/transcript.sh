#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What util-linux prints for some segments: transcript.sh [PREFIX...], each program is started with the prefix. In IPC and pid namespaces of
# its own, where ids and pids begin anew, two transcripts of the same things are the same, but for times and keys drawn at random.
prefix=("$@")
run() {
	printf '\n$'
	printf ' %q' "$@"
	echo
	"${prefix[@]}" "$@" 2>&1
	echo "[exit status $?]"
}
other_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
id_of() { sed -n 's/^Shared memory id: //p' <<<"$1"; }
make() { # arguments of ipcmk: sets id
	id=$(run ipcmk "$@")
	echo "$id"
	id=$(id_of "$id")
}

run ipcs -m
run lsipc -m
run ipcs -m -u
make -M 4096
small=$id
make -M 100000 -p 0640
middle=$id
make -M 1MiB -p 0600
large=$id
run ipcmk -M 0
run ipcmk -M 4096 -p 0400

# A process that stays: attached once and twice, for reading only too; with a segment of its own, with one that is locked, and with one
# that is to be removed below.
rm -f "$TMP/holder" "$TMP/ready"
mkfifo "$TMP/holder"
cat >"$TMP/holder.py" <<'END'
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
def call(result):
    if result in (-1, ctypes.c_void_p(-1).value):
        sys.exit("holder: " + os.strerror(ctypes.get_errno()))
    return result
small, middle, large = map(int, sys.argv[1:4])
ctypes.memset(call(libc.shmat(middle, None, 0)), 1, 100000)
call(libc.shmat(middle, None, 0o10000))
ctypes.memset(call(libc.shmat(large, None, 0)), 1, 1 << 20)
own = call(libc.shmget(0x1234abcd, 5000, 0o1644))
call(libc.shmdt(ctypes.c_void_p(call(libc.shmat(own, None, 0)))))
call(libc.shmctl(own, 11, None))
print("ready", own, flush=True)
sys.stdin.read()
END
mkfifo "$TMP/ready"
"${prefix[@]}" python3 "$TMP/holder.py" "$small" "$middle" "$large" <"$TMP/holder" >"$TMP/ready" &
holder=$!
exec 9>"$TMP/holder"
read -r word own <"$TMP/ready"
echo "holder: $word"

for option in '' -t -p -c -u -l -b --human; do
	# shellcheck disable=SC2086
	run ipcs -m $option
done
for id in $small $middle $own 77777; do run ipcs -m -i "$id"; done
run ipcs
run ipcs -a
run ipcs -lm
run ipcs -um

run lsipc
run lsipc -g -m
run lsipc -g -m -b --json
for option in '' -c -t -b -P --json --raw --export --noheadings --notruncate --list --newline '--time-format=iso' '--time-format=full'; do
	# shellcheck disable=SC2086
	run lsipc -m $option
done
columns=KEY,ID,OWNER,PERMS,CUID,CUSER,CGID,CGROUP,UID,USER,GID,GROUP,CTIME,SIZE,NATTCH,STATUS,ATTACH,DETACH,COMMAND,CPID,LPID
run lsipc -m -o $columns
run lsipc -m -J -b -P -o $columns
for id in $small $middle $own 77777; do run lsipc -m -i "$id"; done

# Somebody else sees all, gets only what the bits allow, and removes nothing.
run "${other_user[@]}" ipcs -m
run "${other_user[@]}" ipcs -m -i "$small"
run "${other_user[@]}" ipcs -m -i "$large"
run "${other_user[@]}" lsipc -m -i "$large"
run "${other_user[@]}" ipcrm -m "$small"
run "${other_user[@]}" ipcrm -M 0x1234abcd
run "${other_user[@]}" ipcrm --all=shm

# By id, by key, both wrong, all of them; what is attached stays, without its key, until the holder is gone.
key=$("${prefix[@]}" ipcs -m | awk -v id="$small" '$2 == id { print $1 }')
run ipcrm -m "$large"
run ipcs -m
run ipcs -m -i "$large"
run lsipc -m
run ipcrm -m 77777
run ipcrm -m "$small" -m 77777
run ipcrm -M "$key"
run ipcrm -M 0x1234abcd
run ipcrm shm "$middle" 77777
run ipcs -m
make -M 8192
run ipcs -m
run ipcs -um
exec 9>&-
wait $holder
echo "holder: exit status $?"
run ipcs -m
run ipcrm --all=shm
run ipcs -m
run ipcrm -v --all=shm
run lsipc -g -m
run ipcs -um
