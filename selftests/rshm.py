#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""tools/command and tools/rshm with the module: the command `rshm`, and the examples, as who uses them does. Prints KTAP.

    rshm.py [DIRECTORY]    where rshm and rust_shm/PLATFORM/librust_shm_preload.so are (default: build/tools of the checkout)
"""
import codecs
import ctypes
import errno
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOOLS = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "../tools"))
CC_32 = ["arm-linux-gnueabihf-gcc"] if os.uname().machine == "aarch64" else ["cc", "-m32"]
SHARED_32 = os.path.join(HERE, "get-32")  # a 32-bit program with a loader
NOBODY = 65534
MIB = 1 << 20
# A kernel with PREEMPT_RT has none.
HUGE = os.path.exists("/sys/kernel/mm/transparent_hugepage")
PAGE = 4096
SLOW = int(os.environ.get("RUST_SHM_SLOW") or 1)  # how many times longer than usual things may take
PATIENCE = 60 * SLOW  # seconds for a test; it takes one or two

tests = []


def test(function):
    tests.append(function)
    return function


class Skip(Exception):
    pass


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def __repr__(self):
        return f"status {self.status}, stdout {self.out!r}, stderr {self.err!r}"


def call(*command, **options):
    """Runs a program; nobody(**) is options for another user."""
    options.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=PATIENCE, **options)
    return Result(done.returncode, done.stdout, done.stderr)


def rshm(*arguments, **options):
    return call(PROGRAM, *arguments, **options)


def ok(*arguments, **options):
    """It succeeds, and has nothing to complain of; what it prints."""
    result = rshm(*arguments, **options)
    assert result.status == 0 and result.err == "", f"rshm {arguments}: {result}"
    return result.out


def must(*command):
    result = call(*command)
    assert result.status == 0, f"{command}: {result}"


def fails(status, text, *arguments, **options):
    """It fails, and says so in one line that has the text."""
    result = rshm(*arguments, **options)
    assert result.status == status and text in result.err, f"rshm {arguments}: {result}"
    assert result.out == "" and (status == 2 or result.err.count("\n") == 1), f"rshm {arguments}: {result}"
    return result.err


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def same(left, right):
    assert left == right, f"{left!r} is not {right!r}"


AS_NOBODY = {"user": NOBODY, "group": NOBODY, "extra_groups": []}


def create(*arguments, **options):
    return int(ok("create", *arguments, **options))


def table():
    """What the module says of its segments: id -> columns of /proc/sysvipc/shm."""
    with open("/dev/rust_shm") as file:
        lines = [line.split() for line in file]
    return {int(line[lines[0].index("shmid")]): dict(zip(lines[0], line)) for line in lines[1:]}


def segments(*arguments):
    return {segment["id"]: segment for segment in json.loads(ok("ls", "-J", "-o", "all", *arguments))["segments"]}


class Holder:
    """A process that has a segment attached, by the library."""

    CODE = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
address = libc.shmat(int(sys.argv[1]), None, int(sys.argv[2]))
failed = ctypes.get_errno() if address in (None, ctypes.c_void_p(-1).value) else 0
if not failed and sys.argv[3:]:
    ctypes.memset(address, 1, int(sys.argv[3]))
print(failed, flush=True)
sys.stdin.read()
"""

    def __init__(self, id, flags=0, preload=True, touch=0, **options):
        environment = dict(os.environ, LD_PRELOAD=LIBRARY) if preload else None
        self.process = subprocess.Popen([sys.executable, "-c", self.CODE, str(id), str(flags), str(touch)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=environment, **options)
        self.pid = self.process.pid

    def __enter__(self):
        same(self.process.stdout.readline(), "0\n")
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(20)


@test
def create_prints_the_id_of_a_segment_as_asked_for():
    id = create("64K", "-k", "0x1234", "-m", "0640")
    line = table()[id]
    same((line["size"], line["perms"], line["key"], line["uid"]), ("65536", "640", str(0x1234), "0"))
    same(create("64K", "-k", 0x1234, "-m", "0640"), id)
    fails(1, "EEXIST", "create", "64K", "-k", "0x1234", "-x")
    # As ipcmk has it.
    must("sh", "-c", f"{PROGRAM} run -- ipcmk -M 64KB")
    create("64KB")
    same(sorted(line["size"] for line in table().values()), ["64000", "64000", "65536"])
    ok("rm", "--all", "--yes")
    id = create("64K", "-k", "0x1234", "-m", "0640")
    fails(1, "EINVAL", "create", "128K", "-k", "0x1234")
    fails(1, "EINVAL", "create", "0")
    fails(2, "is not a size", "create", "lots")
    fails(2, "not a mode", "create", "1", "-m", "888")
    libc = ctypes.CDLL(None)
    key = libc.ftok(b"/etc", 7)
    id = create("1", "--path", "/etc", "--project", "7")
    same(int(table()[id]["key"]) & 0xFFFFFFFF, key & 0xFFFFFFFF)
    fails(1, "ENOENT", "create", "1", "--path", "/nowhere")


@test
def create_huge_and_populate():
    plain = create("3M", "--populate")
    lazy = create("3M", "--noreserve")
    all = segments()
    same(all[plain]["resident"], 3 * MIB)
    same(all[lazy]["resident"], 0)
    if not HUGE:
        fails(1, "EINVAL", "create", "2M", "--huge")
        return
    huge = create("2M", "--huge")
    all = segments()
    same((all[huge]["resident"], all[huge]["huge"]), (2 * MIB, 2 * MIB))
    # It is asked for where it is shown, or sorted by.
    same(ok("ls", "-n", "-o", "huge", str(huge)), f"{2 * MIB}\n")
    same(ok("ls", "-n", "-o", "id", "-s", "huge", "-r", str(huge), str(lazy)), f"{huge}\n{lazy}\n")
    segment, = json.loads(ok("show", "-J", str(huge)))["segments"]
    same(segment["huge"], 2 * MIB)
    fails(1, "EPERM", "create", "2M", "--huge", **AS_NOBODY)


@test
def ls_has_all_columns():
    first, second = create("1", "-k", "77", "-m", "0604"), create("5M")
    columns = "id key owner group creator cgroup mode perms size resident huge swap attached status cpid lpid command atime dtime ctime namespace container from".split()
    lines = [line.split("\t") for line in ok("ls", "-o", "all").splitlines()]
    same(lines[0], [column.upper() for column in columns])
    rows = {int(line[0]): dict(zip(columns, line)) for line in lines[1:]}
    same(set(rows), {first, second})
    row = rows[first]
    same([row[column] for column in columns[:14]],
         [str(first), "0x0000004d", "root", "root", "root", "root", "0604", "rw----r--", "1", "0", "0", "0", "0", "-"])
    same((row["from"], rows[second]["key"]), ("module", "-"))
    assert int(row["cpid"]) > 0 and row["lpid"] == "-" and row["atime"] == "-" and row["ctime"].startswith("20"), row
    same(ok("ls", "-n", "-o", "id,size", str(second)), f"{second}\t{5 * MIB}\n")
    same(ok("ls", "-n", "-o", "size", "-s", "size", "-r"), f"{5 * MIB}\n1\n")
    same(len(ok("ls").splitlines()[0].split("\t")), 10)
    fails(2, "unknown column", "ls", "-o", "nonsense")
    fails(1, "no segment 123456789", "ls", "-n", "-o", "id", "123456789")


@test
def ls_does_not_take_a_younger_process_for_the_creator():
    last = "/proc/sys/kernel/ns_last_pid"
    if not os.path.exists(last):
        raise Skip("SKIP a kernel without CONFIG_CHECKPOINT_RESTORE chooses numbers itself")
    with subprocess.Popen([PROGRAM, "run", "--", "sh", "-c", "ipcmk -M 4K >&2; exec sleep 60"], stderr=subprocess.DEVNULL) as other:
        # ipcmk has ended; its number is given away again.
        while not table():
            time.sleep(0.05)
        (id, row), = table().items()
        time.sleep(2.5)
        for _ in range(100):
            write(last, str(int(row["cpid"]) - 1))
            younger = subprocess.Popen(["sleep", "60"])
            if younger.pid == int(row["cpid"]):
                break
            younger.kill()
            younger.wait()
        same(younger.pid, int(row["cpid"]))
        same(ok("ls", "-n", "-o", "cpid,command", str(id)), f"{younger.pid}\t-\n")
        younger.kill()
        younger.wait()
        other.kill()
    # Who made it is named as long as it runs.
    code = "import ctypes,time;ctypes.CDLL(None).shmget(5,ctypes.c_size_t(1),0o1600);print(flush=True);time.sleep(60)"
    with subprocess.Popen([PROGRAM, "run", "--", sys.executable, "-c", code], stdout=subprocess.PIPE) as maker:
        maker.stdout.readline()
        assert ok("ls", "-n", "-o", "command", "-k", "5").startswith("python"), ok("ls")
        maker.kill()


@test
def ls_json_is_json():
    id = create("4K", "-k", "-1")
    text = ok("ls", "--json", "-o", "all")
    done = subprocess.run([sys.executable, "-m", "json.tool"], input=text, text=True, capture_output=True, timeout=PATIENCE)
    same((done.returncode, done.stderr), (0, ""))
    segment = json.loads(text)["segments"][0]
    same((segment["id"], segment["key"], segment["size"], segment["status"], segment["atime"]), (id, "0xffffffff", 4096, [], None))
    assert abs(segment["ctime"] - time.time()) < 60
    ok("rm", str(id))
    same(json.loads(ok("ls", "--json")), {"segments": [], "version": 1})


TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None)}


def conforms(value, rule, schema, where="$"):
    """Holds a value against the keywords of JSON Schema that Documentation/rshm.schema.json uses. What it does not name may not be there."""
    assert not set(rule) - {"$schema", "$defs", "$ref", "title", "type", "const", "enum", "pattern", "minimum", "maximum", "required", "properties", "items"}, rule
    if "$ref" in rule:
        return conforms(value, schema["$defs"][rule["$ref"].rpartition("/")[2]], schema, where)
    types = [TYPES[name] for name in ([rule["type"]] if isinstance(rule.get("type", []), str) else rule.get("type", []))]
    assert not types or isinstance(value, tuple(types)) and (type(value) is not bool or bool in types), f"{where}: {value!r} is not of {rule['type']}"
    assert value == rule.get("const", value) and value in rule.get("enum", [value]), f"{where}: {value!r}"
    if isinstance(value, str):
        assert re.search(rule.get("pattern", ""), value), f"{where}: {value!r}"
    if type(value) is int:
        assert rule.get("minimum", value) <= value <= rule.get("maximum", value), f"{where}: {value}"
    if isinstance(value, dict):
        assert not set(rule.get("required", [])) - set(value), f"{where}: {sorted(value)}"
        for name in value:
            conforms(value[name], rule["properties"][name], schema, f"{where}.{name}")
    for number, item in enumerate(value if isinstance(value, list) else []):
        conforms(item, rule["items"], schema, f"{where}[{number}]")


def schema_of_json():
    with open(os.path.join(HERE, "../../Documentation/rshm.schema.json")) as file:
        return json.load(file)


@test
def json_is_what_the_schema_says():
    schema = schema_of_json()
    ids = [create("4K", "-k", "0x1234"), create("3M", **AS_NOBODY), create("2M", *["--huge"][:HUGE])]
    ok("lock", str(ids[0]))
    with Holder(ids[0]), Holder(ids[2]):
        ok("rm", str(ids[2]))
        answers = [json.loads(ok("ls", "-J", "-o", "all")), json.loads(ok("show", "-J", *map(str, ids))), json.loads(ok("ls", "-J"))]
    for answer in answers:
        same(len(answer["segments"]), 3)
        conforms(answer, schema, schema)
    owner, = [segment for segment in answers[0]["segments"] if segment["id"] == ids[1]]
    same((owner["uid"], owner["gid"], type(owner["owner"])), (NOBODY, NOBODY, str))
    # That the check sees what is wrong.
    for name, wrong in ("size", "4096"), ("key", "1234"), ("uid", -1), ("status", ["lost"]), ("more", 1):
        try:
            conforms({"version": 1, "segments": [{name: wrong}]}, schema, schema)
        except (AssertionError, KeyError):
            continue
        raise AssertionError(f"{name}: {wrong!r} passes")
    for command in ["limits"], ["doctor"]:
        same(json.loads(call(PROGRAM, *command, "--json").out)["version"], 1)


@test
def contents_are_copied():
    text = bytes(range(256)) * 20
    id = create(str(len(text)))
    run = lambda *arguments, input=b"": subprocess.run([PROGRAM, *arguments], input=input, capture_output=True, timeout=PATIENCE)
    done = run("write", str(id), input=text)
    same((done.returncode, done.stderr), (0, b""))
    same(run("cat", str(id)).stdout, text)
    same(run("cat", str(id), "--offset", "255", "-n", "3").stdout, text[255:258])
    same(run("write", str(id), "--offset", "5118", input=b"xyz").stderr, b"rshm: the input is longer than the segment, which ends at 5120\n")
    same(run("cat", str(id), "--offset", "5116").stdout, text[5116:5118] + b"xy")
    same(run("cat", str(id), "--offset", "5121").stderr, b"rshm: the segment ends at 5120, before 5121\n")
    lines = run("dump", str(id), "-n", "33").stdout.decode().splitlines()
    same(lines[1], "00000010  10 11 12 13 14 15 16 17  18 19 1a 1b 1c 1d 1e 1f  |................|")
    same(lines[2:], ["00000020  20                                                | |", "00000021"])
    # As hexdump(1) has it, lines that are the same are a star.
    other = create("4K")
    same(run("dump", str(other)).stdout.decode().splitlines()[1:], ["*", "00001000"])
    same(run("cat", "77777").returncode, 1)
    ok("chmod", "0400", str(other))
    same(call(PROGRAM, "write", other, **AS_NOBODY).status, 1)
    # It leaves nothing attached.
    same([segment["attached"] for segment in segments().values()], [0, 0])


@test
def metrics_are_for_prometheus():
    ids = [create("4K"), create("1M", "--populate"), create("8K", **AS_NOBODY)]
    with Holder(ids[1]):
        text = ok("metrics")
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    value = lambda name, owner: int(lines[f'rust_shm_{name}{{owner="{owner}"}}'])
    nobody = segments()[ids[2]]["owner"]
    same([value(name, "root") for name in ("segments", "attaches", "size_bytes", "resident_bytes", "unattached_segments")],
         [2, 1, MIB + PAGE, MIB, 1])
    same((value("segments", nobody), value("size_bytes", nobody)), (1, 8192))
    same(int(lines["rust_shm_limit_segments"]), json.loads(ok("limits", "-J"))["shmmni"])
    # Each metric has its help and type, once, before its values.
    names = [line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    for name in names:
        same((text.count(f"# HELP {name} "), text.count(f"# TYPE {name} gauge\n")), (1, 1))
    # Without a segment there are the limits.
    ok("rm", *map(str, ids))
    assert "rust_shm_limit_pages" in ok("metrics")


@test
def dashboard_shows_what_metrics_has():
    with open(os.path.join(HERE, "../../Documentation/grafana/rust_shm.json")) as file:
        panels = json.load(file)["panels"]
    shown = set(re.findall(r"rust_shm_\w+", " ".join(target["expr"] for panel in panels for target in panel["targets"])))
    create("4K")
    there = set(re.findall(r"^(rust_shm_\w+)", ok("metrics"), re.M))
    # There is no sum of sizes of which the largest that one may have is part.
    same(there - shown, {"rust_shm_limit_size_bytes"})
    same(shown - there, set())


@test
def age_and_orphans():
    id, other, attached = create("4K"), create("4K", **AS_NOBODY), create("4K")
    ids = lambda *arguments: sorted(map(int, ok("ls", "-n", "-o", "id", *arguments).split()))
    with Holder(attached):
        # `rshm create` has ended.
        same(ids("--orphans"), [id, other])
        same(ids("--group", str(NOBODY)), [other])
        same((ids("--older", "1h"), ids("--older", "0s")), ([], [id, other, attached]))
    age = f"{2 * SLOW}s"
    time.sleep(2 * SLOW + 0.1)
    same(ids("--older", age, "--unattached"), [id, other, attached])
    ok("chmod", "0600", str(id))
    same(ids("--older", age, "--orphans"), [other, attached])
    for wrong in "", "5", "d", "1y", "-1d", "1.5h", "99999999999999999999w":
        same(call(PROGRAM, "ls", f"--older={wrong}").status, 2)
    # A maker that runs.
    code = "import ctypes, sys\nprint(ctypes.CDLL(None).shmget(0, 4096, 0o600), flush=True)\nsys.stdin.read()"
    with subprocess.Popen([PROGRAM, "run", "--", sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as maker:
        made = int(maker.stdout.readline())
        assert made not in ids("--orphans")
        maker.stdin.close()
    assert made in ids("--orphans")
    # rm takes them too, and asks.
    same(call(PROGRAM, "rm", "--orphans", "--older", "2s").status, 2)
    ok("rm", "--orphans", "--older", "1s", "--group", str(NOBODY), "--yes")
    assert other not in ids() and id in ids()


@test
def ls_filters():
    ids = [create("4K"), create("4K", "-k", "5"), create("4K", **AS_NOBODY)]
    with Holder(ids[0]):
        listed = lambda *arguments: [int(line) for line in ok("ls", "-n", "-o", "id", *arguments).split()]
        same(listed("--unattached"), ids[1:])
        same(listed("--attached"), ids[:1])
        same(listed("-k", "5"), [ids[1]])
        same(listed("-u", "nobody"), [ids[2]])
        same(listed("-u", NOBODY, "--unattached"), [ids[2]])
        same(listed("--creator", "root"), ids[:2])
        same(listed("--removed"), [])
        ok("rm", str(ids[0]))
        same(listed("--removed"), ids[:1])
        same(ok("ls", "-n", "-o", "status,key", str(ids[0])), "removed\t-\n")
        fails(2, "no user", "ls", "-u", "no-such-user")
    assert ids[0] not in table()


class Namespace:
    """An IPC namespace with a process in it, which has made a segment there."""

    def __init__(self):
        if not os.path.exists("/proc/self/ns/ipc"):
            raise Skip("SKIP a kernel without IPC namespaces has but one")
        self.process = subprocess.Popen(["unshare", "--ipc", "sh", "-c", f"{PROGRAM} create 8K -k 0x22; read -r _"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        self.id = int(self.process.stdout.readline())
        self.number = os.stat(f"/proc/{self.process.pid}/ns/ipc").st_ino
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(20)


@test
def ls_and_rm_in_all_namespaces():
    call("mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug")  # it may be there already
    own = os.stat("/proc/self/ns/ipc").st_ino if os.path.exists("/proc/self/ns/ipc") else "-"
    id = create("4K", "-k", "0x11")
    listed = lambda *arguments: {tuple(line.split("\t")) for line in ok("ls", "-n", "-o", "namespace,id,key", *arguments).splitlines()}
    ours = (str(own), str(id), "0x00000011")
    same((listed(), listed("-A")), ({ours}, {ours}))
    with Namespace() as other:
        theirs = (str(other.number), str(other.id), "0x00000022")
        same((listed(), listed("-A"), listed("--namespace", other.number)), ({ours}, {ours, theirs}, {theirs}))
        assert ok("ls", "-A").startswith("NAMESPACE\tCONTAINER\tID\tKEY\t")
        same(sorted(segment["namespace"] for segment in json.loads(ok("ls", "-AJ", "-o", "all"))["segments"]), sorted([own, other.number]))
        fails(1, "only root", "ls", "-A", **AS_NOBODY)
        fails(1, "no IPC namespace 1 ", "rm", "--namespace", "1", "--all", "--yes")
        fails(2, "cannot be used with", "ls", "-A", "--namespace", "1")
        # An engine names the control group of a container.
        if not os.path.exists("/sys/fs/cgroup/cgroup.procs"):
            must("mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup")
        group = "/sys/fs/cgroup/docker-" + "0123456789abcdef" * 4 + ".scope"
        os.mkdir(group)
        write(group + "/cgroup.procs", str(other.process.pid))
        containers = {tuple(line.split("\t")) for line in ok("ls", "-A", "-n", "-o", "namespace,container").splitlines()}
        same(containers, {(str(own), "-"), (str(other.number), "docker:0123456789ab")})
        write("/sys/fs/cgroup/cgroup.procs", str(other.process.pid))
        os.rmdir(group)
        # It is entered by the mount too.
        with tempfile.NamedTemporaryFile() as place:
            must("mount", "--bind", f"/proc/{other.process.pid}/ns/ipc", place.name)
            other.process.stdin.close()
            other.process.wait(20)
            same(listed("-A"), {ours, theirs})
            ok("rm", "--namespace", str(other.number), "-k", "0x22")
            same(listed("-A"), {ours})
            must("umount", place.name)
    # Of a namespace that is only open somewhere it is told that it is there.
    with Namespace() as other:
        file = os.open(f"/proc/{other.process.pid}/ns/ipc", os.O_RDONLY)
    result = rshm("ls", "-A", "-n", "-o", "id")
    os.close(file)
    same((result.status, result.out), (0, f"{id}\n"))
    assert "1 IPC namespace has segments without a process" in result.err, result


@test
def ls_shows_the_kernels_own_beside():
    libc = ctypes.CDLL(None)
    own = libc.shmget(0x33, ctypes.c_size_t(12345), 0o1640)
    if own < 0:
        raise Skip("SKIP a kernel without System V shared memory has none of its own")
    try:
        id = create("4K", "-k", "0x33")
        same({line.split("\t", 1)[0] for line in ok("ls", "--builtin").splitlines()}, {"FROM", "module", "kernel"})
        columns = "from,id,key,mode,size,huge,attached,owner"
        same(sorted(ok("ls", "-n", "--builtin", "-o", columns, "-k", "0x33").splitlines()),
             [f"kernel\t{own}\t0x00000033\t0640\t12345\t-\t0\troot", f"module\t{id}\t0x00000033\t0600\t4096\t0\t0\troot"])
        assert "kernel" not in ok("ls", "-o", "from,id")
        schema = schema_of_json()
        answer = json.loads(ok("ls", "-J", "--builtin", "-o", "all"))
        conforms(answer, schema, schema)
        same(sorted(segment["size"] for segment in answer["segments"]), [4096, 12345])
    finally:
        libc.shmctl(own, 0, None)


@test
def ls_watches_and_says_how_long_ago():
    id = create("4K")
    with subprocess.Popen([PROGRAM, "ls", "--watch=0.2", "-n", "-o", "id"], stdout=subprocess.PIPE, text=True) as watch:
        same([watch.stdout.readline() for _ in range(2)], [f"{id}\n"] * 2)
        other = create("4K")
        while watch.stdout.readline() != f"{other}\n":
            pass
        watch.terminate()
    fails(2, "--watch", "ls", "--watch=0")
    fails(2, "cannot be used with", "ls", "--watch", "--json")
    shown = lambda *arguments: on_a_terminal("ls", "-n", "-o", "key,atime,ctime", *arguments, str(id)).strip()
    assert re.fullmatch(r"-  -  \d+s ago", shown()), shown()
    assert re.fullmatch(r"-  -  \d{4}-\d\d-\d\dT[0-9:]{8}[+-]\d\d:\d\d", shown("-b")), shown("-b")
    assert re.search(r"\nctime +20[^ ]* \(\d+s ago\)\n", on_a_terminal("show", str(id), "--color=never")), on_a_terminal("show", str(id))
    same([segment["key"] for segment in segments().values()], ["0x00000000"] * 2)


@test
def errors_say_what_they_are_about():
    with open("/dev/full", "w") as full:
        done = subprocess.run([PROGRAM, "ls"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    same((done.returncode, done.stderr), (1, "rshm: cannot write: No space left on device\n"))
    for arguments in (["ls", "--nonsense"], ["nonsense"], ["create"], ["create", "lots"]):
        result = rshm(*arguments)
        same((result.status, result.out), (2, ""))
        assert result.err.startswith("rshm: ") and "error:" not in result.err, result
    create("4K")
    fails(2, "remove 1 segment,", "rm", "--all")


def on_a_terminal(*arguments, columns=80, answer=b"", **environment):
    """What is printed there. A variable that is None is not set."""
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
        settings = {"TERM": "xterm", "CI": None, "NO_COLOR": None, "CLICOLOR": None, "CLICOLOR_FORCE": None, **environment}
        plain = {name: value for name, value in os.environ.items() if name not in settings}
        os.execve(PROGRAM, ["rshm", *arguments], plain | {name: value for name, value in settings.items() if value is not None})
    os.write(terminal, answer)
    text = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:
            part = b""
        if not part:
            break
        text += part
    same(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
    return text.decode().replace("\r\n", "\n")


@test
def colours_are_as_asked_for():
    bold = "\x1b[1m"
    coloured = lambda *arguments, **environment: bold in on_a_terminal("ls", *arguments, **environment)
    same([coloured(), coloured(NO_COLOR="1"), coloured(NO_COLOR=""), coloured(TERM="dumb"), coloured(CLICOLOR="0")], [True, False, True, False, False])
    # What shows a job's log has colours, whatever TERM says.
    same([coloured(TERM="dumb", CI="true"), coloured(TERM="dumb", CI="true", NO_COLOR="1")], [True, False])
    same([coloured("--color", "never"), coloured("--color=always", NO_COLOR="1")], [False, True])
    # Where there is no terminal, only who asks for it.
    piped = lambda *arguments, **environment: ok("ls", *arguments, env=dict(os.environ, TERM="xterm", **environment)).startswith(bold + "ID\tKEY")
    same([piped(), piped(CLICOLOR_FORCE="1"), piped("--color", "always"), piped("--color", "never", CLICOLOR_FORCE="1")], [False, True, True, False])
    assert "\x1b[32mok" in call(PROGRAM, "doctor", "--color=always").out
    fails(2, "--color", "ls", "--color", "sometimes")


@test
def tables_fit_the_terminal():
    with tempfile.TemporaryDirectory() as directory:
        python = os.path.join(directory, "a-long-command")
        os.symlink(sys.executable, python)
        code = "import ctypes,time;print(ctypes.CDLL(None).shmget(0x1234567,ctypes.c_size_t(1<<20),0o1600),flush=True);time.sleep(60)"
        with subprocess.Popen([PROGRAM, "run", "--", python, "-c", code], stdout=subprocess.PIPE) as maker:
            id = int(maker.stdout.readline())
            shown = lambda columns: on_a_terminal("ls", "-o", "id,key,owner,size,command", "--color=never", columns=columns).splitlines()
            wide, narrow, least = shown(80), shown(40), shown(20)
            maker.kill()
    same(wide[1].split(), [str(id), "0x01234567", "root", "1M", "a-long-command"])
    same((len(wide), len(narrow), len(least), max(map(len, narrow)) <= 40), (2, 2, 2, True))
    # Text is cut, and nothing else.
    assert re.fullmatch(rf" *{id}  0x01234567  root +1M  a-lon.*…", narrow[1]), narrow
    assert re.fullmatch(rf" *{id}  0x01234567  root +1M  a-lon…", least[1]), least


@test
def ls_on_a_terminal_and_into_a_closed_pipe():
    create("2M")
    text = on_a_terminal("ls")
    assert text.startswith("\x1b[1m") and "  2M " in text, text
    for arguments in (["ls", "-o", "all"], ["--help"], ["limits"], ["completions", "bash"], ["doctor"]):
        out, other = os.pipe()
        os.close(out)
        done = subprocess.run([PROGRAM, *arguments], stdout=other, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
        os.close(other)
        assert done.returncode in (0, 1) and "panicked" not in done.stderr, (arguments, done)


@test
def show_tells_who_is_attached():
    id = create("1M", "-k", "0xabc")
    with Holder(id) as writer, Holder(id, 0o10000) as reader:
        segment, = json.loads(ok("show", "--json", str(id)))["segments"]
        same([(process["pid"], process["mapped"], process["writes"]) for process in segment["processes"]],
             sorted([(writer.pid, MIB, True), (reader.pid, MIB, False)]))
        assert all(process["command"].startswith("python") for process in segment["processes"]), segment
        same((segment["attached"], segment["key"], segment["elsewhere"]), (2, "0x00000abc", 0))
        before = table()
        text = ok("show", "-k", "0xabc")
        assert f"{writer.pid}\troot\tpython3" in text and f"\n{'size':9} {MIB}\n" in text, text
        # To look changes nothing.
        same(table(), before)
    # Wherever the module puts its pages.
    parameter = "/sys/module/rust_shm/parameters/huge"
    with open(parameter) as file:
        usual = file.read()
    try:
        for huge in ("never", "always"):
            write(parameter, huge)
            other = create("4K")
            with Holder(other) as holder:
                segment, = json.loads(ok("show", "--json", str(other)))["segments"]
                same([process["pid"] for process in segment["processes"]], [holder.pid])
            ok("rm", str(other))
    finally:
        write(parameter, usual)
    fails(1, f"no segment {id + 1}", "show", str(id + 1))
    fails(1, "no segment with key", "show", "-k", "0xdef")
    # Root may not see all either, and is told so. Each of these capabilities lets it look (may_access_mm()).
    without = "-sys_ptrace,-perfmon,-sys_admin"
    result = call("setpriv", "--bounding-set", without, "--inh-caps", without, PROGRAM, "show", str(id))
    assert result.status == 0 and "cannot be read\n" in result.err and "as root" not in result.err, result


@test
def show_tells_the_memory_of_each_process():
    id = create("8M", "-m", "0666")
    with Holder(id, touch=4 * MIB) as ours, Holder(id, touch=2 * MIB, **AS_NOBODY) as other, Holder(id, 0o10000) as reader:
        segment, = json.loads(ok("show", "-J", str(id)))["segments"]
        by_pid = {process["pid"]: process for process in segment["processes"]}
        same(set(by_pid), {ours.pid, other.pid, reader.pid})
        same([by_pid[holder.pid]["uid"] for holder in (ours, other, reader)], [0, NOBODY, 0])
        same([by_pid[holder.pid]["resident"] for holder in (ours, other, reader)], [4 * MIB, 2 * MIB, 0])
        # Two of the four are each shared by two.
        same([by_pid[holder.pid]["proportional"] for holder in (ours, other, reader)], [3 * MIB, MIB, 0])
        same(by_pid[ours.pid]["huge"], segment["huge"])
        for process in by_pid.values():
            same(sum(node["bytes"] for node in process["nodes"]), process["resident"] if os.path.exists("/proc/self/numa_maps") else 0)
        row, = [line.split("\t") for line in ok("show", str(id)).splitlines() if line.startswith(f"{other.pid}\t")]
        nodes = ",".join(f"{node['node']}:{node['bytes']}" for node in by_pid[other.pid]["nodes"])
        same(row[4:8] + row[9:], ["1", str(8 * MIB), str(2 * MIB), str(MIB), "0", nodes or "-"])
        letter = "#" if segment["huge"] else "="
        assert f"[{letter * 12}{'.' * 12}]" in on_a_terminal("show", str(id), columns=120), on_a_terminal("show", str(id))
        # Nobody may see the memory of root's.
        mine, = json.loads(call(PROGRAM, "show", "-J", id, **AS_NOBODY).out)["segments"][0]["processes"]
        same((mine["pid"], mine["resident"]), (other.pid, 2 * MIB))


class Traced:
    """A script of bpftrace(8) at work; what it prints is in `out` afterwards."""

    def __init__(self, script, *arguments):
        self.process = subprocess.Popen(["bpftrace", os.path.join(HERE, "../../tools/bpftrace", script), *map(str, arguments)],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def __enter__(self):
        begun = self.process.stdout.readline()
        assert begun.startswith("Attaching "), begun + self.process.stdout.read()
        # The last of its probes comes after that line.
        time.sleep(3 * SLOW)
        return self

    def __exit__(self, *_):
        # An interval has to pass.
        time.sleep(2 * SLOW)
        self.process.send_signal(signal.SIGINT)
        self.out = self.process.stdout.read()
        self.process.wait()


@test
def bpftrace_shows_what_happens():
    if not shutil.which("bpftrace"):
        raise Skip("SKIP there is no bpftrace(8)")
    # Three compilers at once.
    signal.alarm(5 * PATIENCE)
    snoop, others, faults = Traced("shmsnoop.bt"), Traced("shmsnoop.bt", 1), Traced("shmfaults.bt")
    with snoop, others, faults:
        id = create("8M", "-k", "0x1234")
        with Holder(id, touch=PAGE) as holder:
            pass
        ok("rm", str(id))
    lines = [line.split()[1:] for line in snoop.out.splitlines() if f" {id} " in line]
    same([line[2] for line in lines], ["create", "attach", "detach", "remove"])
    own = str(os.stat("/proc/self/ns/ipc").st_ino)
    same(lines[0][4:], [own, "key=0x00001234", "size=8388608", "mode=0600"])
    same([lines[1][0]] + lines[1][4:] + lines[2][4:], [str(holder.pid), own, "attaches=2", own, "attaches=0"])
    assert f" {id} " not in others.out, others.out
    # A block of 2 MiB, if memory has one.
    assert re.search(rf"@faults\[{own}, {id}, [0-9]\]: 1$", faults.out, re.M), faults.out


@test
def show_does_not_take_the_kernels_own_for_the_modules():
    """Both have a segment of this id, and a process attached to each."""
    libc = ctypes.CDLL(None, use_errno=True)
    own = libc.shmget(0, ctypes.c_size_t(PAGE), 0o1666)
    if own < 0:
        raise Skip("SKIP a kernel without System V shared memory has none of its own")
    try:
        # Ids are handed out alike: ours comes to it in the end.
        made = []
        for _ in range(64):
            made.append(create("4K", "-m", "0666"))
            if made[-1] >= own:
                break
        id = made[-1]
        while own < id and own >= 0:
            own = libc.shmget(0, ctypes.c_size_t(PAGE), 0o1666)
        with Holder(id, 0) as ours:
            other = Holder(own, 0, preload=False)
            with other:
                same(id, own)
                for options in ({}, AS_NOBODY):
                    result = rshm("show", "--json", str(id), **options)
                    same(result.status, 0)
                    answer = json.loads(result.out)
                    pids = [process["pid"] for process in answer["segments"][0]["processes"]]
                    if options:
                        same(pids, [])
                        assert answer["processes_not_seen"] > 0, answer
                    else:
                        same(pids, [ours.pid])
                        same(answer["processes_not_seen"], 0)
        # Also for who is not root; and to look changes nothing.
        with Holder(id, 0, **AS_NOBODY) as ours, Holder(own, 0, preload=False, **AS_NOBODY):
            before = set(table())
            result = rshm("show", str(id), **AS_NOBODY)
            assert result.status == 0 and f"\n{ours.pid}\tnobody\tpython" in result.out, result
            same(result.out.count("\tpython"), 1)
            assert "cannot be read: run rshm as root" in result.err, result
            same(set(table()), before)
    finally:
        with open("/proc/sysvipc/shm") as file:
            for line in file.readlines()[1:]:
                libc.shmctl(int(line.split()[1]), 0, None)


@test
def show_knows_of_other_namespaces():
    id = create("4K", "-m", "0666")
    if not os.path.exists("/proc/self/ns/ipc"):
        raise Skip("SKIP a kernel without IPC namespaces has but one")
    # The first segment of a new namespace has a small id too; it is made until it has ours.
    code = "import subprocess,sys;r=sys.argv[1]\nwhile True:\n i=subprocess.run([r,'create','4K'],capture_output=True,text=True).stdout.strip()\n if int(i)>=int(sys.argv[2]): break\nprint(i,flush=True)\n"
    code += Holder.CODE.replace("sys.argv[1]", "i").replace("int(sys.argv[2])", "0")
    other = subprocess.Popen(["unshare", "--ipc", "env", f"LD_PRELOAD={LIBRARY}", sys.executable, "-c", code, PROGRAM, str(id)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    its = int(other.stdout.readline())
    same(other.stdout.readline(), "0\n")
    if its != id:
        while create("4K") < its:
            pass
        id = its
    result = rshm("show", "--json", str(id))
    segment, = json.loads(result.out)["segments"]
    same((segment["processes"], segment["elsewhere"]), ([], 1))
    other.stdin.close()
    other.wait(20)


@test
def rm_takes_what_it_is_told_to():
    ids = [create("4K", "-k", str(key)) for key in range(1, 7)]
    ok("rm", str(ids[0]), "-k", "2")
    same(set(table()), set(ids[2:]))
    result = rshm("rm", "99999", str(ids[2]))
    same((result.status, set(table())), (1, set(ids[3:])))
    assert "no segment 99999" in result.err, result
    fails(1, "no segment with key", "rm", "-k", "2")
    fails(2, "which segments", "rm")
    fails(2, "not both", "rm", "--unattached", str(ids[3]))
    fails(2, "--yes", "rm", "--all")
    same(set(table()), set(ids[3:]))
    same(ok("rm", "--all", "--dry-run").count("\n"), 3)
    same(set(table()), set(ids[3:]))
    with Holder(ids[3]):
        ok("rm", "--unattached", "--yes")
        same(set(table()), {ids[3]})
        mine = create("4K", **AS_NOBODY)
        fails(1, "EPERM", "rm", str(ids[3]), **AS_NOBODY)
        ok("rm", "--owner", "nobody", "--yes")
        same(set(table()), {ids[3]})
        assert mine not in table()
        ok("rm", "--all", "--yes")
        same(table()[ids[3]]["key"], "0")
        # It is removed already, and there is nothing else.
        ok("rm", "--all", "--yes")
    same(table(), {})


@test
def rm_asks_on_a_terminal():
    ids = [create("4K"), create("4K")]
    for answer, left in ((b"n\n", set(ids)), (b"y\n", set())):
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(PROGRAM, [PROGRAM, "rm", "--all"])
        text = b""
        while b"[y/N]" not in text:
            text += os.read(terminal, 4096)
        os.write(terminal, answer)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(terminal)
        same((status, set(table())), (1 if left else 0, left))


@test
def chmod_and_chown():
    id = create("4K", "-m", "0600")
    for mode, result in (("0640", "640"), ("u-w,o+r", "444"), ("a=rw", "666"), ("-w", "444")):
        ok("chmod", mode, str(id))
        same(table()[id]["perms"], result)
    ok("chown", "nobody", str(id))
    same((table()[id]["uid"], table()[id]["gid"], table()[id]["perms"]), (str(NOBODY), "0", "444"))
    ok("chown", ":12", str(id))
    same((table()[id]["uid"], table()[id]["gid"]), (str(NOBODY), "12"))
    ok("chown", "0:0", str(id))
    same((table()[id]["uid"], table()[id]["gid"]), ("0", "0"))
    # Who owns it but may not read it may change it still.
    other = create("4K", "-m", "0", **AS_NOBODY)
    ok("chmod", "u+rw", str(other), **AS_NOBODY)
    same(table()[other]["perms"], "600")
    fails(1, "EPERM", "chmod", "0666", str(id), **AS_NOBODY)
    fails(1, "EINVAL", "chmod", "0666", "99999")
    fails(2, "not a mode", "chmod", "rw", str(id))
    fails(2, "no user", "chown", "no-such-user", str(id))


@test
def lock_and_unlock():
    id = create("4K")
    ok("lock", str(id))
    same(ok("ls", "-n", "-o", "status", str(id)), "locked\n")
    ok("unlock", str(id))
    same(ok("ls", "-n", "-o", "status", str(id)), "-\n")
    fails(1, "EPERM", "lock", str(id), **AS_NOBODY)


@test
def what_is_swapped_out_is_shown():
    if not os.path.exists("/sys/class/zram-control"):
        must("modprobe", "zram")
    with open("/sys/class/zram-control/hot_add") as file:
        number = file.read().strip()
    swap = f"/dev/zram{number}"
    write(f"/sys/block/zram{number}/disksize", "64M")
    must("mkswap", swap)
    must("swapon", swap)
    try:
        id = create("4M", "--populate")
        code = ("""import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
address = libc.shmat(int(sys.argv[1]), None, 0)
ctypes.memset(address, 1, 4 << 20)
assert libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(4 << 20), 21) == 0, ctypes.get_errno()
info = (ctypes.c_ulong * 6)()
assert libc.shmctl(0, 14, info) >= 0
print(info[2], info[3])
""")
        resident, swapped = map(int, ok("run", "--", sys.executable, "-c", code, str(id)).split())
        shown, limits = segments()[id], json.loads(ok("limits", "-J"))
        assert shown["swap"] > 0, shown
        same(shown["resident"] + shown["swap"], 4 * MIB)
        same((table()[id]["rss"], table()[id]["swap"]), (str(shown["resident"]), str(shown["swap"])))
        same((resident, swapped), (shown["resident"] // PAGE, shown["swap"] // PAGE))
        same((limits["resident_pages"], limits["swapped_pages"]), (resident, swapped))
        with Holder(id):
            segment, = json.loads(ok("show", "-J", str(id)))["segments"]
        same([process["swap"] for process in segment["processes"]], [shown["swap"]])
        ok("rm", str(id))
    finally:
        must("swapoff", swap)
        write("/sys/class/zram-control/hot_remove", number)


@test
def a_shell_completes_what_there_is():
    """As bash asks for it, by what `rshm completions bash` prints."""
    def completed(*words):
        code = f'eval "$({PROGRAM} completions bash)"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _clap_complete_rshm rshm "${{@: -1}}"; printf "%s\\n" "${{COMPREPLY[@]}}"'
        path = f"{os.path.dirname(PROGRAM)}:{os.environ['PATH']}"
        result = call("bash", "-c", code, "bash", "rshm", *words, env=dict(os.environ, PATH=path))
        same((result.status, result.err), (0, ""))
        return result.out.split()

    ids = [create("4K", "-k", "0x1234"), create("4K")]
    numbers = [str(id) for id in ids]
    for words in (["show", ""], ["rm", ""], ["chmod", "0600", ""], ["ls", ""]):
        same([word for word in completed(*words) if not word.startswith("-")], numbers)
    same(completed("show", "-k", ""), ["0x00001234"])
    assert {"root", "nobody"} <= set(completed("ls", "-u", "")), completed("ls", "-u", "")
    same(completed("chown", "nobo"), ["nobody"])
    same(sorted(completed("ls", "-o", "id,at")), ["id,atime", "id,attached"])
    assert "swap" in completed("top", "-s", ""), completed("top", "-s", "")
    assert "ipcs" in completed("run", "--", "ipc") and "/etc/passwd" in completed("run", "--", "cat", "/etc/passw"), completed("run", "--", "ipc")
    same(completed("create", "4K", "-m", ""), [])


@test
def limits_are_shown_and_set():
    old = json.loads(ok("limits", "--json"))
    create("2M")
    now = json.loads(ok("limits", "--json"))
    same((now["segments"], now["pages"]), (old["segments"] + 1, old["pages"] + 512))
    assert [line.split("\t")[0] for line in ok("limits").splitlines()[1:]] == ["shmmax", "shmall", "shmmni", "shmmin"]
    try:
        ok("limits", "--shmmax", "1M", "--shmmni", "100", "--shmall", "1000")
        now = json.loads(ok("limits", "-J"))
        same((now["shmmax"], now["shmmni"], now["shmall"]), (MIB, 100, 1000))
        fails(1, "shmmax", "create", str(MIB + 1))
        # Both or neither.
        fails(1, "cannot set shmmni", "limits", "--shmmax", "2M", "--shmmni", "99999999999")
        same(json.loads(ok("limits", "-J")), now)
        now = json.loads(ok("limits", "-J", "--shmall", "1G", "--shmmax", "unlimited"))
        same((now["shmall"], now["shmmax"]), (1 << 18, 18446744073692774399))
        assert "\nshmmax\tunlimited\t" in ok("limits") and "\nshmall\t262144\t" in ok("limits"), ok("limits")
        fails(2, "whole number of pages", "limits", "--shmall", "1K")
        ok("limits", "--shmall", "unlimited")
        assert "of unlimited pages" in ok("doctor"), ok("doctor")
    finally:
        ok("limits", "--shmmax", old["shmmax"], "--shmmni", old["shmmni"], "--shmall", old["shmall"])
    same(json.loads(ok("limits", "-J"))["shmmax"], old["shmmax"])
    fails(1, "use sudo", "limits", "--shmmni", "100", **AS_NOBODY)


@test
def top_in_a_batch():
    call("mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug")  # it may be there already
    id = create("4M")
    top = subprocess.Popen([PROGRAM, "top", "--batch", "-n", "2", "-d", "2"], stdout=subprocess.PIPE, text=True)
    first = top.stdout.readline()
    with Holder(id):
        pass
    text = first + top.stdout.read()
    same((top.wait(), first), (0, "segments 1 of 4096, 0 attached, 0 resident\n"))
    one, two = text.split("\n\nsegments ")
    for part in (one, two):
        headings, row = [line.split("\t") for line in part.splitlines()[3:5]]
        same((headings[0], row[0], row[3]), ("ID", str(id), str(4 * MIB)))
    row = dict(zip(headings, row))
    assert float(row["ATTACH/s"]) > 0 and float(row["DETACH/s"]) > 0, row


@test
def top_as_lines_of_json():
    call("mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug")  # it may be there already
    ids = [create("4M"), create("8K", "--populate", "-k", "0x77")]
    with subprocess.Popen([PROGRAM, "top", "--json", "-n", "2", "-d", "2", "-s", "id"], stdout=subprocess.PIPE, text=True) as top:
        lines = [top.stdout.readline()]
        for _ in range(3):
            with Holder(ids[0]):
                pass
        lines += top.stdout.read().splitlines()
    looks = [json.loads(line) for line in lines]
    same((top.returncode, len(looks)), (0, 2))
    schema = schema_of_json()
    for look in looks:
        conforms(look, schema, schema)
        assert abs(look["time"] - time.time()) < 60, look
        same([segment["id"] for segment in look["segments"]], ids)
    same([segment["attaches_per_second"] for segment in looks[0]["segments"]], [None, None])
    one, other = looks[1]["segments"]
    assert one["attaches_per_second"] > 0 and one["detaches_per_second"] > 0, one
    same((other["attaches_per_second"], other["resident_per_second"], other["resident"], other["key"]), (0, 0, 8192, "0x00000077"))


class Screen:
    """What is seen on a terminal: of what it obeys, what `top` uses."""

    def __init__(self, lines, columns):
        self.lines = [[" "] * columns for _ in range(lines)]
        self.at = [0, 0]
        self.reverse, self.marked = False, set()
        self.rest = ""

    def takes(self, text):
        text = self.rest + text
        self.rest = ""
        while text:
            if found := re.match("\x1b\\[([?0-9;]*)([A-Za-z])", text):
                self.obeys(found[2], found[1])
                text = text[found.end():]
            elif re.fullmatch("\x1b(\\[[?0-9;]*)?", text):
                self.rest, text = text, ""
            else:
                row, column = self.at
                self.lines[row][column] = text[0]
                (self.marked.add if self.reverse else self.marked.discard)(row)
                self.at = [row, min(column + 1, len(self.lines[0]) - 1)]
                text = text[1:]

    def obeys(self, what, numbers):
        if what == "H":
            row, column = (numbers or "1;1").split(";")
            self.at = [int(row) - 1, int(column) - 1]
        elif what == "m" and numbers in ("0", "7", "27"):
            self.reverse = numbers == "7"
        elif what == "J" or (what, numbers) == ("h", "?1049"):
            self.lines = [[" "] * len(line) for line in self.lines]
            self.marked = set()

    def text(self):
        return "\n".join("".join(line).rstrip() for line in self.lines)


class Top:
    """rshm top on a terminal."""

    def __init__(self, columns, *arguments, lines=10):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", lines, columns, 0, 0))
            os.execv(PROGRAM, [PROGRAM, "top", "-d", "0.2", *arguments])
        self.bytes = b""
        self.screen = Screen(lines, columns)
        self.decoder = codecs.getincrementaldecoder("utf-8")()

    def reads(self):
        try:
            part = os.read(self.terminal, 4096)
        except AssertionError as late:
            raise AssertionError(f"{late}; on the screen is\n{self.screen.text()}") from late
        self.bytes += part
        self.screen.takes(self.decoder.decode(part))
        return part

    def sees(self, text):
        """Reads until this is on the screen."""
        while text not in self.screen.text():
            self.reads()

    def chosen(self, id):
        """Reads until the line of this segment is the marked one."""
        while not [row for row in self.screen.marked if self.screen.text().splitlines()[row].split()[0] == str(id)]:
            self.reads()

    def press(self, keys):
        os.write(self.terminal, keys)

    def is_raw(self):
        return not termios.tcgetattr(self.terminal)[3] & termios.ICANON

    def ends(self):
        """How. The terminal is as it was."""
        try:
            while self.reads():
                pass
        except OSError:
            pass
        for on, off in ("\x1b[?1049h", "\x1b[?1049l"), ("\x1b[?25l", "\x1b[?25h"):
            assert self.bytes.rindex(off.encode()) > self.bytes.rindex(on.encode()), self.bytes
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@test
def top_on_a_terminal():
    ids = [create("4M") for _ in range(20)]
    top = Top(60)
    top.sees("segments 20 of")
    top.sees("rows 1-5 of 20; ")
    top.sees("columns hidden; q quits")
    top.sees("RESIDENT▼")
    assert "KEY" not in top.screen.text(), top.screen.text()
    top.press(b"\x1b[B" * 5)
    top.sees("rows 2-6 of 20")
    top.press(b"\x1b[F")
    top.sees("rows 16-20 of 20")
    top.press(b"\x1b[5~s")
    top.sees("SIZE▼")
    top.press(b"R")
    top.sees("SIZE▲")
    top.press(b">R")
    top.sees("RESIDENT▼")
    top.press(b"q")
    same(top.ends(), 0)
    top = Top(40)
    top.sees("rows 1-5 of 20; ")
    top.sees("RESIDENT▼")
    assert "ATTACH/s" not in top.screen.text(), top.screen.text()
    top.press(b"q")
    same(top.ends(), 0)
    # What is chosen stays so when the order changes, or others go.
    top = Top(120, "-s", "id", lines=30)
    top.sees("ID▲")
    top.press(b"\x1b[B" * 3)
    top.chosen(ids[3])
    ok("rm", str(ids[0]))
    top.sees("segments 19 of")
    top.chosen(ids[3])
    top.press(b"R")
    top.sees("ID▼")
    top.chosen(ids[3])
    top.press(b"q")
    same(top.ends(), 0)


@test
def top_shows_one_segment():
    call("mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug")  # it may be there already
    id, other = create("4M", "-k", "0x4d2", "-m", "0640", "--populate"), create("8K")
    with Holder(id) as holder:
        top = Top(120, lines=30)
        top.sees("segments 2 of")
        top.press(b"\r")
        top.sees(f"segment {id}: key 0x000004d2, owner root, group root, mode 0640")
        top.sees("4M resident, ")
        line, = [line for line in top.screen.text().splitlines() if line.split()[:1] == [str(holder.pid)]]
        assert "python" in line and " rw " in line and "4M" in line, line
        # A full bar for each look.
        top.sees("resident  ██")
        top.press(b"\x1b[B")
        top.sees(f"segment {other}: ")
        top.sees("no visible process has it attached")
        top.press(b"?")
        top.sees("this list")
        assert f"segment {other}: " not in top.screen.text()
        top.press(b"?")
        for _ in range(2):
            with Holder(other):
                pass
        top.press(b"q")
        same(top.ends(), 0)
    # Without a segment too.
    ok("rm", str(id), str(other))
    top = Top(80)
    top.sees("segments 0 of")
    top.press(b"\r")
    top.sees("no segment")
    top.press(b"\x1b[Bq")
    same(top.ends(), 0)


@test
def top_leaves_the_terminal_as_it_was():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        top = Top(80)
        top.sees("q quits")
        assert top.is_raw()
        os.kill(top.pid, number)
        same(top.ends(), -number)
    top = Top(80)
    usual = termios.tcgetattr(top.terminal)
    top.sees("q quits")
    for stop in (lambda: top.press(b"\x1a"), lambda: os.kill(top.pid, signal.SIGTSTP), lambda: os.kill(top.pid, signal.SIGSTOP)):
        assert top.is_raw()
        stop()
        # What it prints until then.
        while (stopped := os.waitpid(top.pid, os.WUNTRACED | os.WNOHANG))[0] == 0:
            if select.select([top.terminal], [], [], 0.05)[0]:
                top.reads()
        assert os.WIFSTOPPED(stopped[1]), stopped
        if os.WSTOPSIG(stopped[1]) == signal.SIGSTOP:
            # It cannot know; the shell sees to it.
            termios.tcsetattr(top.terminal, termios.TCSANOW, usual)
        assert not top.is_raw()
        top.screen = Screen(10, 80)
        os.kill(top.pid, signal.SIGCONT)
        top.sees("q quits")
    top.press(b"q")
    same(top.ends(), 0)


@test
def run_gives_a_program_the_modules_segments():
    code = "import ctypes;l=ctypes.CDLL(None);i=l.shmget(0x77,ctypes.c_size_t(5000),0o1600);print(i)"
    id = int(ok("run", "--", sys.executable, "-c", code))
    same((table()[id]["key"], table()[id]["size"]), (str(0x77), "5000"))
    text = ok("run", "sh", "-c", "echo $LD_PRELOAD", env=dict(os.environ, LD_PRELOAD="libm.so.6"))
    same(text, f"{PRELOADED}:libm.so.6\n")
    same(ok("run", "--print", "true"), f"LD_PRELOAD={PRELOADED}\n")
    same(rshm("run", "sh", "-c", "exit 42").status, 42)
    same(rshm("run", "sh", "-c", "kill -TERM $$").status, -signal.SIGTERM)
    fails(127, "no such program", "run", "no-such-program")
    fails(126, "ermission denied", "run", "/etc/passwd")


@test
def run_does_not_keep_the_module():
    if not (module := os.environ.get("RUST_SHM_KO")):
        raise Skip("SKIP RUST_SHM_KO does not name the module's file")
    with subprocess.Popen([PROGRAM, "run", "--", "sh", "-c", "echo; read -r line; ipcs -m"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        same(shell.stdout.readline(), "\n")
        must("rmmod", "rust_shm")
        must("insmod", module)
        id = create("12K")
        out, _ = shell.communicate("\n", timeout=PATIENCE)
    assert f" {id} " in out and shell.returncode == 0, out


@test
def run_without_a_library():
    directory = tempfile.mkdtemp()
    try:
        alone = shutil.copy(os.path.join(TOOLS, "rshm"), directory)
        result = call(alone, "run", "true")
        same((result.status, result.out), (125, ""))
        assert "is not found: install it" in result.err and result.err.count("\n") == 1, result
        result = call(alone, "run", "true", env=dict(os.environ, RUST_SHM_LIBRARY=LIBRARY))
        same((result.status, result.err), (0, ""))
        fails(125, "No such file", "run", "-l", "/nowhere.so", "true")
        fails(125, "not a shared library", "run", "-l", "/etc/passwd", "true")
    finally:
        shutil.rmtree(directory)


@test
def run_without_a_device():
    """The program does not start, unless it may have the kernel's own."""
    def without(*arguments, **options):
        return call("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /dev && exec "$@"', "sh", PROGRAM, *arguments, **options)

    result = without("run", "ipcs", "-m")
    same((result.status, result.out, result.err.count("\n")), (125, "", 1))
    assert "cannot open /dev/rust_shm" in result.err and "load the module" in result.err, result
    code = "echo $LD_PRELOAD; ipcs -m"
    result = without("run", "--fallback", "sh", "-c", code)
    same((result.status, result.out), (call("ipcs", "-m").status, "\n" + call("ipcs", "-m").out))
    same(without("run", "sh", "-c", "echo $LD_PRELOAD", env=dict(os.environ, RUST_SHM_FALLBACK="1")).out, "\n")
    same(without("run", "--print", "true").out, f"LD_PRELOAD={PRELOADED}\n")
    # With the device it is the device.
    same(ok("run", "--fallback", "sh", "-c", "echo $LD_PRELOAD"), f"{PRELOADED}\n")
    fails(2, "--device", "--device", "/dev/null", "run", "true")
    mode = os.stat("/dev/rust_shm").st_mode
    try:
        os.chmod("/dev/rust_shm", 0o600)
        fails(125, "EACCES", "run", "--fallback", "true", **AS_NOBODY)
    finally:
        os.chmod("/dev/rust_shm", mode)


@test
def what_make_tools_builds_is_at_hand():
    """As `make vm CMD='no-sysv rshm ...'` says it."""
    same(call("rshm", "--version").out, ok("--version"))
    result = call("no-sysv", "rshm", "run", "--", "ipcmk", "-M", "4K")
    assert result.status == 0 and len(table()) == 1, result
    assert call("no-sysv", "ipcmk", "-M", "4K").status != 0


@test
def run_32_bit_programs():
    try:
        plain = call(SHARED_32, "-l")
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        raise Skip("SKIP this kernel runs no 32-bit programs")
    same(ok("run", "--print", "--", SHARED_32), f"LD_PRELOAD={PRELOADED}\n")
    result = rshm("run", "--", SHARED_32, "-l")
    same((result.status, result.out, result.err), (plain.status, plain.out, plain.err))
    fails(125, "32-bit", "run", "-l", LIBRARY, "--", SHARED_32)
    # What a 64-bit program starts.
    with tempfile.TemporaryDirectory() as directory:
        program = os.path.join(directory, "narrow")
        write(program + ".c", "#include <sys/shm.h>\nint main(void) { return shmget(0x32, 4096, IPC_CREAT | 0600) < 0; }\n")
        must(*CC_32, "-o", program, program + ".c")
        same(ok("run", "--", "sh", "-c", f"{program}; exit"), "")
    same([line["key"] for line in table().values()], [str(0x32)])


@test
def run_refuses_what_ignores_it():
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        os.chmod(directory, 0o755)
        program = shutil.copy("/usr/bin/true", directory)
        os.chmod(program, 0o4755)
        ok("run", program)
        fails(126, "set-uid", "run", program, **AS_NOBODY)
        result = rshm("run", "--anyway", program, **AS_NOBODY)
        assert result.status == 0 and "set-uid" in result.err, result
        static = os.path.join(HERE, "oracle")
        fails(126, "linked statically", "run", static)


STATIC = """
#include <stdio.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void)
{
	int id = syscall(SYS_shmget, 0x53, 5000, IPC_CREAT | 0600);
	char *memory = (char *)syscall(SYS_shmat, id, NULL, 0);

	memory[0] = 1;
	return printf("%d %d\\n", id, (int)geteuid()) < 0 || syscall(SYS_shmdt, memory);
}
"""


def can_serve():
    if not os.path.exists("/proc/self/ns/ipc"):
        fails(125, "no IPC namespaces", "run", "--system", "true")
        raise Skip("SKIP a kernel without IPC namespaces has but one")
    if "off" not in rshm("system", "status").out or rshm("run", "--system", "true").err.count("EOPNOTSUPP"):
        raise Skip("SKIP the module serves no system calls on this kernel")


@test
def run_system_serves_any_program():
    can_serve()
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        os.chmod(directory, 0o755)
        program = os.path.join(directory, "static")
        write(program + ".c", STATIC)
        must("cc", "-static", "-o", program, program + ".c")
        script = f"{PROGRAM} system status; {program}; {PROGRAM} ls -o key,size | tail -n 1; {PROGRAM} rm -y --all >/dev/null"
        same(ok("run", "--system", "--", "sh", "-c", script).split()[:4], ["on", "0", "0", "0x00000053"])
        # A set-user-ID program of nobody's, and one that another user starts.
        os.chown(program, NOBODY, NOBODY)
        os.chmod(program, 0o4755)
        script = f"setpriv --reuid 1 --regid 1 --clear-groups {program}; {PROGRAM} ls -o owner | tail -n 1"
        same(ok("run", "--system", "--", "sh", "-c", script).split(), ["0", str(NOBODY), "nobody"])
        os.chmod(program, 0o755)
        # What lists segments lists these, by the kernel's file and by the system calls.
        script = "ipcmk -M 6K >&2; cat /proc/sysvipc/shm; ipcs -m"
        result = rshm("run", "--system", "--", "sh", "-c", script)
        assert result.status == 0 and result.out.count(" 6144 ") == 2, result
    same(table(), {})
    same(rshm("run", "--system", "sh", "-c", "exit 42").status, 42)
    fails(127, "no such program", "run", "--system", "no-such-program")
    fails(125, "be root", "run", "--system", "true", **AS_NOBODY)
    fails(2, "--system", "run", "--here", "true")
    # An ordinary user may in a namespace of their own.
    result = call("unshare", "--user", "--map-current-user", "--keep-caps", PROGRAM, "run", "--system", "--", "sh", "-c", f"ipcmk -M 4K; {PROGRAM} system status", **AS_NOBODY)
    assert result.status == 0 and result.out.endswith("on\n"), result


@test
def system_is_switched():
    can_serve()
    same(ok("system", "status"), "off\n")
    inside = lambda script: call("unshare", "--ipc", "sh", "-ec", script.replace("rshm", PROGRAM))
    result = inside("rshm system on; rshm system status; ipcmk -M 4K >/dev/null; rshm system off || rshm rm -y --all >/dev/null; rshm system off; rshm system status")
    assert (result.status, result.out) == (0, "on\noff\n") and "EBUSY" in result.err and "rshm rm" in result.err, result
    result = inside("rshm run --system --here true; rshm system status")
    same((result.status, result.out, result.err), (0, "on\n", ""))
    if os.path.exists("/proc/sysvipc/msg"):
        result = inside("ipcmk -M 4K; rshm system on")
        assert result.status == 1 and "EBUSY" in result.err and "ipcrm" in result.err, result
    result = call("unshare", "--ipc", "setpriv", "--reuid", str(NOBODY), PROGRAM, "system", "on")
    assert result.status == 1 and "EPERM" in result.err and "sudo" in result.err, result
    # Not everywhere may a user in a namespace of their own.
    parameter = "/sys/module/rust_shm/parameters/unprivileged_serve"
    own = lambda: call("unshare", "--user", "--map-current-user", "--keep-caps", PROGRAM, "run", "--system", "--", "true", **AS_NOBODY)
    try:
        write(parameter, "0")
        result = own()
        assert result.status == 125 and "EPERM" in result.err and "unprivileged_serve" in result.err, result
        same(ok("run", "--system", "--", "true"), "")
    finally:
        write(parameter, "1")
    same(own().status, 0)


@test
def doctor_when_all_is_well_and_when_not():
    result = rshm("doctor", "--json")
    findings = {finding["about"]: finding["state"] for finding in json.loads(result.out)["findings"]}
    same((result.status, {about for about, state in findings.items() if state == "bad"}), (0, set()))
    same((findings["module"], findings["device"], findings["interface"], findings["preload library"]), ("ok",) * 4)
    assert re.search(r"huge pages: huge=\w+; of [0-9.]+[MG] of free memory, [0-9.]+[BKMG] is in blocks of 2 MiB", rshm("doctor").out), rshm("doctor")
    result = rshm("doctor", "--device", "/nowhere")
    assert result.status == 1 and "bad      device: /nowhere is not there" in result.out and "->" in result.out, result
    assert "Documentation/troubleshooting.md" in result.out, result
    result = rshm("doctor", "--device", "/dev/null")
    assert result.status == 1 and "bad      device" in result.out, result
    mode = os.stat("/dev/rust_shm").st_mode
    try:
        os.chmod("/dev/rust_shm", 0o600)
        result = rshm("doctor", **AS_NOBODY)
        assert result.status == 1 and "cannot be opened (EACCES)" in result.out, result
        fails(1, "EACCES", "ls", **AS_NOBODY)
    finally:
        os.chmod("/dev/rust_shm", mode)
    call("mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug")
    switch = "/sys/kernel/debug/kprobes/enabled"
    if not os.path.exists(switch):
        return
    try:
        write(switch, "0")
        result = rshm("doctor")
        assert result.status == 0 and "warning  kprobes: are off" in result.out and switch in result.out, result
        # It asks first, and tells what there is afterwards.
        result = rshm("doctor", "--fix")
        assert result.status == 2 and f"this would run echo 1 >{switch}, and there is no terminal to ask on" in result.err, result
        text = on_a_terminal("doctor", "--fix", "--color=never", answer=b"n\n")
        same((text.count(f"Run echo 1 >{switch}? [y/N]"), text.count("kprobes: are off"), text.count("kprobes: are on")), (1, 1, 0))
        text = on_a_terminal("doctor", "--fix", "--color=never", answer=b"y\n")
        same((text.count("kprobes: are off"), text.count("kprobes: are on")), (1, 1))
        with open(switch) as file:
            same(file.read(), "1\n")
    finally:
        write(switch, "1")
    result = rshm("doctor")
    assert result.status == 0 and "ok       kprobes: are on\n" in result.out, result
    # Without the module there is no device. It is loaded again.
    if module := os.environ.get("RUST_SHM_KO"):
        same(call("rmmod", "rust_shm").status, 0)
        try:
            result = rshm("doctor")
            assert result.status == 1 and "bad      module: is not loaded\n" in result.out, result
            # Where it is installed, it is loaded.
            place = f"/lib/modules/{os.uname().release}"
            setup = f'mount -t tmpfs tmpfs /lib/modules && mkdir -p {place}/updates && cp "$1" {place}/updates/rust_shm.ko && depmod -a 2>/dev/null'
            result = call("unshare", "--mount", "sh", "-c", setup + ' && exec "$2" doctor --fix --yes', "sh", module, PROGRAM)
            before, _, after = result.out.partition("\n\n")
            assert "bad      module: is not loaded; it is installed as " in before and "modprobe rust_shm" in before, result
            assert result.status == 0 and "ok       module: version 0." in after and "ok       device" in after, result
            must("rmmod", "rust_shm")
            fails(1, "load the module", "ls")
        finally:
            same(call("insmod", module).status, 0)


@test
def the_first_program_in_c():
    top = os.path.abspath(os.path.join(HERE, "../.."))
    with open(os.path.join(top, "Documentation/c-api.md"), encoding="utf-8") as file:
        source = file.read().split("```c\n")[1].split("```")[0]
    with tempfile.TemporaryDirectory() as directory:
        program = os.path.join(directory, "first")
        write(program + ".c", source)
        must("cc", "-Wall", "-Wextra", "-Werror", f"-I{top}/include/uapi", "-o", program, program + ".c")
        result = call("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /dev && exec "$0"', program)
        same((result.status, result.out, result.err), (1, "", "/dev/rust_shm: No such file or directory\n"))
        for text in ("", "hello from an earlier process"):
            result = call(program)
            assert (result.status, result.err) == (0, "") and result.out.endswith(f' holds "{text}"\n'), result
        same(table(), {})


@test
def examples_wait_for_each_other():
    examples = os.path.join(TOOLS, "examples")
    consumer = subprocess.Popen([f"{examples}/consumer"], stdout=subprocess.PIPE, text=True)
    produced = call(f"{examples}/producer", "2000")
    same((produced.status, consumer.communicate(timeout=PATIENCE)[0], consumer.returncode), (0, "took 2000 numbers, sum 2001000\n", 0))
    same(table(), {})


@test
def fd_is_standard_input():
    segment = ok("create", "8K").strip()
    same(ok("fd", segment, "--write", "--", "sh", "-c", "printf hello >&0"), "")
    same(ok("fd", segment, "--", "head", "-c", "5"), "hello")
    same(ok("fd", segment, "--", "sh", "-c", "wc -c; test -w /dev/stdin || echo for reading only"), "8192\nfor reading only\n")
    if os.path.exists("/proc/self/ns/ipc"):
        same(ok("fd", segment, "--", "unshare", "--ipc", "head", "-c", "5"), "hello")
    fails(125, "no such segment", "fd", "999", "--", "true")
    fails(127, "No such file", "fd", segment, "--", "/nowhere/program")
    ok("rm", segment)


@test
def example_of_a_sandbox():
    options = {"user": "--user", "ipc": "--ipc", "net": "--net", "mnt": "--mount", "pid": "--pid"}  # those that the kernel has
    has = [option for name, option in options.items() if os.path.exists(f"/proc/self/ns/{name}")]
    # Without a command, it takes the first three.
    for command in [[]] * (set(list(options.values())[:3]) <= set(has)) + [["unshare", "--fork", *has]]:
        result = call(os.path.join(TOOLS, "examples/sandbox"), *command)
        assert (result.status, result.err) == (0, ""), result
        assert "consumer: a text by shared memory\n" in result.out and "is gone\n" in result.out, result
        same(table(), {})


@test
def an_example_whose_other_end_is_killed_ends():
    examples = os.path.join(TOOLS, "examples")
    for victim in ("consumer", "producer"):
        start = lambda *command: subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        ends = {"consumer": start(f"{examples}/consumer"), "producer": start(f"{examples}/producer", str(10**15))}
        while [segment["nattch"] for segment in table().values()] != ["2"]:
            time.sleep(0.01)
        time.sleep(SLOW)  # each joins the ring as soon as it is attached
        other = ends.pop(victim)
        other.kill()
        other.communicate()
        name, process = ends.popitem()
        out, err = process.communicate(timeout=PATIENCE)
        same((process.returncode, out, err), (1, "", f"{name}: the process at the other end of the ring has died\n"))
        ok("rm", *table())
    same(table(), {})


@test
def locks_of_the_crate_outlive_processes():
    signal.alarm(5 * PATIENCE)
    environment = dict(os.environ, RSHM_TEST_DEVICE="1")
    # The others of `kills` go instruction by instruction, which takes an emulated machine long, and is the same on any memory.
    for name in (["death"], ["ring"], ["kills", "at_any_time"]):
        done = subprocess.run([os.path.join(TOOLS, "tests", name[0]), *name[1:]], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2500:] + done.stderr[-500:]
    same(table(), {})


def too_long(*_):
    raise AssertionError(f"took longer than {PATIENCE} s")


def saved():
    """A file for a test, in memory."""
    return os.path.join(tempfile.mkdtemp(dir="/tmp"), "segments")


def statuses():
    """All that there is to know of each segment, but how much is in memory."""
    rows = segments()
    columns = ["key", "size", "mode", "uid", "gid", "cuid", "cgid", "cpid", "lpid", "atime", "dtime", "ctime", "status"]
    return {id: [str(rows[id].get(column)) for column in columns] + list(table()[id].values())[:-2] for id in rows}


def contents(id):
    done = subprocess.run([PROGRAM, "cat", str(id)], stdout=subprocess.PIPE, timeout=PATIENCE)
    same(done.returncode, 0)
    return done.stdout


def fill(id, offset, data):
    subprocess.run([PROGRAM, "write", str(id), "-o", str(offset)], input=data, check=True, timeout=PATIENCE)


def resident(id):
    return int(segments()[id]["resident"])


def xxh3(data):
    """The checksum of the format, by another implementation, where there is one."""
    try:
        library = ctypes.CDLL("libxxhash.so.0")
    except OSError:
        raise Skip("SKIP there is no libxxhash.so.0") from None
    library.XXH3_64bits.restype = ctypes.c_uint64
    library.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    return library.XXH3_64bits(data, len(data))


@test
def save_and_restore_a_sparse_segment():
    """64 MiB of which three places were touched: holes stay holes, in the file and in memory."""
    file, pattern = saved(), bytes(range(256)) * 16
    places = (0, 20 * MIB + 8 * PAGE, 64 * MIB - PAGE)
    huge = "/sys/module/rust_shm/parameters/huge"
    # Of small pages, so that there are small holes; what it is restored to may have large ones.
    write(huge, "never")
    try:
        id = create("64M", "-k", "0x5a5e", "-m", "0641", **AS_NOBODY)
        for place in places:
            fill(id, place, pattern)
    finally:
        write(huge, "within_size")
    must(PROGRAM, "chown", "1000:1001", id)
    before, there = statuses(), resident(id)
    same(there, 3 * PAGE)
    ok("save", id, file)
    assert os.stat(file).st_size < 8192, os.stat(file)
    same(os.stat(file).st_mode & 0o777, 0o600)
    same(resident(id), there)
    must(PROGRAM, "rm", id)
    same(ok("restore", "--dry-run", file), f"{id}\n")
    same(table(), {})
    same(ok("restore", file), f"{id}\n")
    same(statuses(), before)
    same(resident(id), there)
    data = contents(id)
    for place in places:
        same(data[place:place + PAGE], pattern)
    same(len(data.replace(b"\0", b"")), 3 * (PAGE - 16))


@test
def save_and_restore_all_kinds():
    """All that the module knows of a segment comes back; ids with sequence numbers, too."""
    file = saved()
    next_id = "/proc/sys/kernel/shm_next_id"
    if os.path.exists(next_id):
        write(next_id, str(3 * 32768 + 100))
    plain = create("5000", "-k", "-3", "-m", "0604", **AS_NOBODY)
    kinds = {
        plain: 0,
        create("4K"): 0,
        create("3M", "--noreserve"): 0o10000,
        create("1M", "--populate"): 0,
    }
    if HUGE:
        kinds[create("3M", "--huge")] = 0o4000
        kinds[create("4M", "--huge", "--noreserve")] = 0o14000
    same(plain == 3 * 32768 + 100, os.path.exists(next_id))
    for id in kinds:
        fill(id, 100, os.urandom(3000))
    locked = create("2M")
    kinds[locked] = 0
    must(PROGRAM, "lock", locked)
    data = {id: contents(id) for id in kinds}
    before = statuses()
    memory = {id: resident(id) for id in kinds}
    same(ok("save", "--all", file), "")
    must(PROGRAM, "rm", "--all", "--yes")
    same(sorted(ok("restore", file).split(), key=int), sorted(map(str, kinds), key=int))
    same(statuses(), before)
    same({id: resident(id) for id in kinds}, memory)
    shown = {id: json.loads(ok("show", "-J", id))["segments"][0] for id in kinds}
    for id, flags in kinds.items():
        for flag, word in ((0o4000, "hugetlb"), (0o10000, "noreserve")):
            same(word in shown[id]["status"], bool(flags & flag))
        same(contents(id), data[id])
    assert "locked" in shown[locked]["status"], shown[locked]
    # What is made next has another id.
    assert create("4K") not in kinds


@test
def save_and_restore_removed_segments():
    """SHM_DEST: there until somebody was attached."""
    file = saved()
    id = create("64K")
    fill(id, 0, b"still here")
    with Holder(id):
        must(PROGRAM, "rm", id)
        result = rshm("save", id, file)
        same((result.status, result.out), (0, ""))
        assert f"segment {id} was attached" in result.err, result
    same(table(), {})
    same(ok("restore", file), f"{id}\n")
    same(segments()[id]["status"], ["removed"])
    fails(1, f"saving segment {id} would end it", "save", "--all", file)
    same(contents(id)[:10], b"still here")
    same(table(), {})


@test
def save_and_restore_numa_policies():
    """MPOL_PREFERRED to the first node in the second page, MPOL_INTERLEAVE in the last two of five."""
    file = saved()
    id = create(5 * PAGE)
    program = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
page = int(sys.argv[2])
address = libc.shmat(int(sys.argv[1]), None, 0)
MBIND, GET_MEMPOLICY = {"x86_64": (237, 239), "aarch64": (235, 236)}[sys.argv[3]]
nodes = ctypes.c_ulong(1)
if sys.argv[4] == "set":
    for start, count, mode in ((1, 1, 1), (3, 2, 3)):
        if libc.syscall(MBIND, ctypes.c_ulong(address + start * page), ctypes.c_ulong(count * page), mode, ctypes.byref(nodes), ctypes.c_ulong(64), 0):
            sys.exit(f"mbind: {ctypes.get_errno()}")
mode, most = ctypes.c_int(), (ctypes.c_ulong * 16)()
for number in range(5):
    if libc.syscall(GET_MEMPOLICY, ctypes.byref(mode), most, ctypes.c_ulong(1024), ctypes.c_ulong(address + number * page), 2):
        sys.exit(f"get_mempolicy: {ctypes.get_errno()}")
    print(mode.value, most[0], end=" ")
"""
    policies = lambda what: call(sys.executable, "-c", program, id, PAGE, os.uname().machine, what, env=dict(os.environ, LD_PRELOAD=LIBRARY))
    result = policies("set")
    if f": {errno.ENOSYS}" in result.err:
        raise Skip("SKIP a kernel without NUMA")
    same((result.out, result.err), ("0 0 1 1 0 0 3 1 3 1 ", ""))
    fill(id, 4 * PAGE, b"text")
    ok("save", id, file)
    must(PROGRAM, "rm", id)
    same(ok("restore", file), f"{id}\n")
    same(policies("get").out, "0 0 1 1 0 0 3 1 3 1 ")
    same(contents(id)[4 * PAGE:4 * PAGE + 4], b"text")


@test
def save_by_a_pipe_and_restore_beside():
    """Standard output and input; other ids where these are taken, but not other keys."""
    ids = [create("1M", "-k", "0x77"), create("1M")]
    fill(ids[0], 5, b"first")
    fill(ids[1], 6, b"second")
    piped = subprocess.run([PROGRAM, "save", *map(str, ids), "-"], stdout=subprocess.PIPE, timeout=PATIENCE).stdout
    for arguments in (["-"], ["--dry-run", "-"], ["--new-ids", "-"]):
        result = subprocess.run([PROGRAM, "restore", *arguments], input=piped, capture_output=True, timeout=PATIENCE)
        same((result.returncode, result.stdout), (1, b""))
        assert b"has the key 0x00000077" in result.stderr and b"nothing is restored" in result.stderr, result
        same("new-ids" in arguments[0] or f"there is a segment {ids[0]}".encode() in result.stderr, True)
        same(set(table()), set(ids))
    must(PROGRAM, "rm", ids[0])
    result = subprocess.run([PROGRAM, "restore", "--new-ids", "-"], input=piped, capture_output=True, timeout=PATIENCE)
    same((result.returncode, result.stderr), (0, b""))
    new = dict(map(int, line.split("\t")) for line in result.stdout.decode().splitlines())
    same(set(new), set(ids))
    assert ids[1] not in new.values(), new
    same((contents(new[ids[0]])[5:10], contents(new[ids[1]])[6:12]), (b"first", b"second"))
    same(table()[new[ids[0]]]["key"], str(0x77))
    # By a named pipe, and no segment at all.
    must(PROGRAM, "rm", "--all", "--yes")
    fifo = saved()
    os.mkfifo(fifo)
    reader = subprocess.Popen([PROGRAM, "restore", fifo], stdout=subprocess.PIPE)
    same(ok("save", "--all", fifo), "")
    same((reader.communicate(timeout=PATIENCE)[0], reader.returncode), (b"", 0))


@test
def restore_of_a_damaged_file_restores_nothing():
    """Each part of the file is damaged, and the file cut off: an error that says so. By a pipe, what was made is removed."""
    file, bad = saved(), saved()
    id = create("256K", "-k", "0x99")
    fill(id, 0, os.urandom(3 * PAGE) + b"a" * PAGE * 8)
    create("4K")
    ok("save", "--all", file)
    must(PROGRAM, "rm", "--all", "--yes")
    with open(file, "rb") as open_file:
        good = open_file.read()
    starts = [24]
    while starts[-1] < len(good):
        starts.append(starts[-1] + 24 + struct.unpack_from("<Q", good, starts[-1] + 8)[0])
    kinds = [struct.unpack_from("<I", good, start)[0] for start in starts[:-1]]
    same((set(kinds), kinds[:2], kinds[-1]), ({1, 2, 3}, [1, 1], 3))

    def refused(data, text, *more):
        with open(bad, "wb") as open_file:
            open_file.write(data)
        error = fails(1, text, "restore", *more, bad)
        assert "nothing is restored" in error, error
        with open(bad, "rb") as pipe:
            feeder = subprocess.Popen(["cat"], stdin=pipe, stdout=subprocess.PIPE)
            fails(1, text, "restore", "-", stdin=feeder.stdout)
            feeder.stdout.close()
            feeder.wait()
        same(table(), {})

    def flipped(at):
        return good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1:]

    refused(flipped(0), "this is no file of rshm save")
    refused(b"", "this is no file of rshm save")
    refused(b"#!/bin/sh\necho nothing\n" * 10, "this is no file of rshm save")
    for at in (8, 12, 16, 23):
        refused(flipped(at), "it is damaged, at byte 0")
    for start, end in zip(starts, starts[1:]):
        # Kind, number, length, payload, checksum.
        for at in (start, start + 4, start + 8, start + 16, (start + end) // 2, end - 1):
            refused(flipped(at), "it ends too early" if at == start + 8 and start == starts[-2] else "", *["--dry-run"][:at % 2])
    for length in (10, 24, starts[1], starts[2] + 5, starts[2] + 30, starts[-2], len(good) - 1):
        refused(good[:length], "it ends too early")
    refused(good + b"\0", "something follows its end")
    refused(good[:starts[2]] + good[starts[3]:], "it is damaged")
    # A version to come, with its checksum.
    head = good[:8] + struct.pack("<II", 2, 0)
    refused(head + struct.pack("<Q", xxh3(head)) + good[24:], "it has version 2 of the format")
    same(len(ok("restore", file).split()), 2)


@test
def save_and_restore_say_what_fails():
    """No permission, no room, no such segment; an old file stays as it is."""
    file = saved()
    os.chmod(os.path.dirname(file), 0o777)
    id = create("4M", "--populate", "-k", "0x88")
    fill(id, 0, os.urandom(4 * MIB))
    fails(1, "segment 12345", "save", "12345", file)
    fails(1, "segment 12345", "save", id, "12345", file)
    assert not os.path.exists(file)
    fails(2, "required", "save", file)
    fails(2, "cannot be used with", "save", "--all", id, file)
    fails(1, "cannot save to /nowhere/file: No such file", "save", id, "/nowhere/file")
    fails(1, "/nowhere/file: No such file", "restore", "/nowhere/file")
    fails(1, f"cannot ask about segment {id}: Permission denied", "save", id, file, **AS_NOBODY)
    fails(1, "No space left on device", "save", id, "/dev/full")
    # Who may read a segment may save it.
    own = create("4K", **AS_NOBODY)
    same(ok("save", own, os.path.join(os.path.dirname(file), "own"), **AS_NOBODY), "")
    os.remove(os.path.join(os.path.dirname(file), "own"))
    must(PROGRAM, "rm", own)
    full = tempfile.mkdtemp()
    must("mount", "-t", "tmpfs", "-o", "size=1M", "none", full)
    try:
        write(f"{full}/old", "old")
        fails(1, f"cannot save to {full}/old: No space left on device", "save", id, f"{full}/old")
        same(os.listdir(full), ["old"])
        with open(f"{full}/old") as old:
            same(old.read(), "old")
    finally:
        must("umount", full)
    os.symlink("target", file)
    write(os.path.join(os.path.dirname(file), "target"), "old")
    ok("save", id, file)
    assert os.path.islink(file)
    same(sorted(os.listdir(os.path.dirname(file))), ["segments", "target"])
    error = fails(1, f"there is a segment {id}", "restore", file)
    assert "has the key 0x00000088" in error and "--new-ids" in error, error
    must(PROGRAM, "rm", id)
    os.chmod(file, 0o644)
    fails(1, "CAP_CHECKPOINT_RESTORE", "restore", file, **AS_NOBODY)
    # Another segment at its place, with another sequence number.
    next_id = "/proc/sys/kernel/shm_next_id"
    if os.path.exists(next_id):
        with open("/proc/cmdline") as line:
            other = id + (1 << (24 if "ipcmni_extend" in line.read().split() else 15))
        write(next_id, str(other))
        same(create("4K"), other)
        fails(1, f"the place of segment {id} is taken by segment {other}", "restore", file)
        must(PROGRAM, "rm", other)
    must(PROGRAM, "limits", "--shmmax", "1M")
    try:
        fails(1, "larger than shmmax", "restore", file)
        same(table(), {})
    finally:
        must(PROGRAM, "limits", "--shmmax", "unlimited")
    same(ok("restore", file), f"{id}\n")


@test
def restore_that_is_interrupted_removes_what_it_made():
    id = create("8M", "--populate", "-k", "0x66")
    fill(id, 0, os.urandom(8 * MIB))
    piped = subprocess.run([PROGRAM, "save", str(id), "-"], stdout=subprocess.PIPE, timeout=PATIENCE).stdout
    must(PROGRAM, "rm", id)
    for number in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen([PROGRAM, "restore", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process.stdin.write(piped[:len(piped) // 2])
        process.stdin.flush()
        while not table():
            time.sleep(0.05)
        # What is not complete is nobody else's.
        same(table()[id]["perms"], "600")
        process.send_signal(number)
        same(process.wait(PATIENCE), 128 + number)
        process.stdin.close()
        process.stdout.close()
        same(table(), {})


@test
def an_update_of_the_module_loses_nothing():
    """save --all, rmmod, insmod, restore: a program that keeps its state in segments finds it."""
    if not (module := os.environ.get("RUST_SHM_KO")):
        raise Skip("SKIP RUST_SHM_KO does not name the module's file")
    file = saved()
    environment = dict(os.environ, LD_PRELOAD=LIBRARY)
    program = """
import ctypes, hashlib, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
for key, size in ((0x1001, 3 << 20), (0x1002, 100), (0x1003, 5 << 20)):
    id = libc.shmget(key, size, 0o1600 if sys.argv[1] == "write" else 0)
    address = libc.shmat(id, None, 0)
    if address in (None, ctypes.c_void_p(-1).value):
        sys.exit(f"key {key:x}: {ctypes.get_errno()}")
    text = (hashlib.sha512(str(key).encode()).digest() * (size // 64 + 1))[:size]
    if sys.argv[1] == "write":
        ctypes.memmove(address, text, size)
    elif ctypes.string_at(address, size) != text:
        sys.exit(f"key {key:x} has other contents")
    libc.shmdt(ctypes.c_void_p(address))
"""
    same(call(sys.executable, "-c", program, "write", env=environment).status, 0)
    before = statuses()
    same(len(before), 3)
    ok("save", "--all", file)
    must(PROGRAM, "rm", "--all", "--yes")
    must("rmmod", "rust_shm")
    must("insmod", module)
    same(table(), {})
    same(len(ok("restore", file).split()), 3)
    same(statuses(), before)
    result = call(sys.executable, "-c", program, "read", env=environment)
    same((result.status, result.err), (0, ""))


def main():
    global PROGRAM, LIBRARY, PRELOADED
    signal.signal(signal.SIGALRM, too_long)
    print("TAP version 13")
    print(f"1..{len(tests)}", flush=True)
    failed = 0
    # A copy is read faster than by the guest's file system, and by everybody, wherever the checkout is.
    directory = tempfile.mkdtemp()
    os.chmod(directory, 0o755)
    PROGRAM = shutil.copy(os.path.join(TOOLS, "rshm"), directory)
    libraries = shutil.copytree(os.path.join(TOOLS, "rust_shm"), os.path.join(directory, "rust_shm"))
    LIBRARY, PRELOADED = [os.path.join(libraries, platform, "librust_shm_preload.so") for platform in (os.uname().machine, "$PLATFORM")]
    for number, function in enumerate(tests, 1):
        start = time.monotonic()
        signal.alarm(PATIENCE)
        try:
            if table():
                raise AssertionError(f"there are segments already: {table()}")
            function()
            print(f"ok {number} {function.__name__}", end="")
        except Skip as reason:
            print(f"ok {number} {function.__name__} # {reason}", end="")
        except Exception as error:
            failed += 1
            kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
            place = error.__traceback__
            while place.tb_next:
                place = place.tb_next
            print(f"# {kind}{str(error)[:3000]}".replace("\n", "\n# "))
            print(f"# at line {place.tb_lineno}")
            print(f"not ok {number} {function.__name__}", end="")
        signal.alarm(0)
        print(f"\n# {time.monotonic() - start:.2f} s", flush=True)
        rshm("rm", "--all", "--yes")
    shutil.rmtree(directory)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
