// SPDX-License-Identifier: GPL-2.0-only

//! Commands, options and their help.

use crate::{
    change::{ModeChange, Owner},
    complete,
    list::Column,
    top::Field,
    units,
};
use clap::{ArgAction, Args, ColorChoice, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use rshm::Key;
use std::{ffi::OsString, path::PathBuf};

pub const EXIT_STATUS: &str = "Exit status:
  0    all went well
  1    something failed or was not found; doctor: something is bad (warnings alone are 0)
  2    wrong usage
  125  run, fd: rshm itself failed, for example without device or library
  126  run, fd: the program cannot be executed; run: it ignores LD_PRELOAD
  127  run, fd: the program is not found
  Otherwise `rshm run` and `rshm fd` return the status of the program.";

/// A subcommand, an example of it, and what it does: for the man pages.
pub const EXAMPLES: [(&str, &str, &str); 47] = [
    ("ls", "rshm ls", "Lists the segments of this IPC namespace."),
    (
        "ls",
        "rshm ls -u www-data -s size -r",
        "Lists those of a user, the largest first.",
    ),
    (
        "ls",
        "rshm ls -o +atime,command --unattached",
        "Lists those that are not attached, with two more columns.",
    ),
    (
        "ls",
        "rshm ls --json -o id,size",
        "Prints ids and sizes for a program.",
    ),
    (
        "ls",
        "rshm ls -A --builtin",
        "Lists all segments of this machine: of all containers, and those of the kernel too.",
    ),
    (
        "ls",
        "rshm ls --watch=5 --unattached",
        "Lists those that are not attached, every five seconds.",
    ),
    (
        "show",
        "rshm show 3",
        "Shows segment 3, and the processes that have it attached.",
    ),
    (
        "show",
        "rshm show --key 0x1234 --json",
        "Prints the same for the segment with this key, as JSON.",
    ),
    (
        "create",
        "rshm create 64M --key 0x1234 --mode 0640",
        "Creates a segment and prints its id.",
    ),
    (
        "create",
        "rshm create 1G --huge",
        "Creates one of huge pages, all allocated at once.",
    ),
    (
        "create",
        "rshm create 4K --path /srv/app --project 7",
        "Creates one with the key that ftok(3) returns for this file.",
    ),
    ("rm", "rshm rm 3 4", "Removes two segments."),
    (
        "rm",
        "rshm rm --unattached --owner www-data --dry-run",
        "Prints what would be removed, and removes nothing.",
    ),
    (
        "rm",
        "rshm rm --namespace 4026532510 --orphans",
        "Removes orphans in the IPC namespace of a container.",
    ),
    (
        "chmod",
        "rshm chmod g+r,o= 3",
        "Gives the group read permission, and others none.",
    ),
    (
        "chown",
        "rshm chown www-data:users 3",
        "Sets owner and group.",
    ),
    (
        "rm",
        "rshm rm --orphans --older 7d --yes",
        "Removes what was unused for a week and whose creator has exited.",
    ),
    (
        "cat",
        "rshm cat 3 >backup",
        "Saves the contents of a segment.",
    ),
    (
        "dump",
        "rshm dump 3 --offset 4K --length 64",
        "Shows 64 bytes of its second page.",
    ),
    ("write", "rshm write 3 <backup", "Restores them."),
    (
        "save",
        "rshm save --all /var/backups/segments",
        "Saves all segments: for an update of the module, for example.",
    ),
    (
        "save",
        "rshm save 3 4 - | ssh other rshm restore -",
        "Copies two segments to another machine.",
    ),
    (
        "restore",
        "rshm restore /var/backups/segments",
        "Makes the segments of a file as they were.",
    ),
    (
        "restore",
        "rshm restore --dry-run segments",
        "Checks a file and what would be in the way, and restores nothing.",
    ),
    (
        "restore",
        "rshm restore --new-ids segments",
        "Restores them beside others; prints the old and the new id of each.",
    ),
    (
        "metrics",
        "rshm metrics >/var/lib/node_exporter/rust_shm.prom.new",
        "Writes metrics for the textfile collector: then rename the file to rust_shm.prom.",
    ),
    (
        "ls",
        "rshm ls --older 1d",
        "Lists those that were unused for a day.",
    ),
    (
        "fd",
        "rshm fd 3 -- head -c 16",
        "Prints its first 16 bytes, by a program that knows nothing of shared memory.",
    ),
    (
        "fd",
        "rshm fd 3 -- unshare --user --ipc consumer",
        "Hands it to a program that has another IPC namespace.",
    ),
    ("lock", "rshm lock 3", "Locks a segment in memory."),
    (
        "unlock",
        "rshm unlock 3",
        "Unlocks it: its pages may be swapped out.",
    ),
    (
        "limits",
        "rshm limits",
        "Shows the limits, and how much of each is in use.",
    ),
    (
        "limits",
        "rshm limits --shmmax unlimited --shmall 64G",
        "Sets two limits; if one is refused, sets neither.",
    ),
    (
        "top",
        "rshm top --sort attached",
        "Watches segments, those with the most attaches first.",
    ),
    (
        "top",
        "rshm top --batch -n 3 -d 10",
        "Prints three tables, ten seconds apart.",
    ),
    (
        "top",
        "rshm top --json -d 60 >>segments.jsonl",
        "Appends a line of JSON each minute.",
    ),
    (
        "run",
        "rshm run -- pg_ctl -D data start",
        "Starts PostgreSQL with its segments on the module.",
    ),
    (
        "run",
        "rshm run -- ipcs -m",
        "Lists the segments of the module with ipcs(1).",
    ),
    (
        "run",
        "rshm run --fallback -- ./program",
        "Uses the kernel's shared memory if the module is not loaded.",
    ),
    (
        "run",
        "rshm run --print",
        "Prints the setting of LD_PRELOAD, for a systemd unit.",
    ),
    (
        "run",
        "rshm run --system -- ./static-program",
        "Runs a program that no library reaches, as root: in an IPC namespace whose system calls are the module's.",
    ),
    (
        "system",
        "rshm system on",
        "From now on, shmget(2) and the like are the module's for every process in this IPC namespace.",
    ),
    (
        "doctor",
        "rshm doctor",
        "Checks this machine, and says what to do.",
    ),
    (
        "doctor",
        "rshm doctor --fix",
        "Repairs what a command can repair; asks first.",
    ),
    (
        "doctor",
        "rshm doctor --json",
        "Prints the findings for a program.",
    ),
    (
        "completions",
        "rshm completions bash",
        "Prints the completions for bash: source <(rshm completions bash).",
    ),
    (
        "completions",
        "rshm completions fish",
        "Prints the completions for fish.",
    ),
];

pub const ENVIRONMENT: [(&str, &str); 6] = [
    (
        "CLICOLOR_FORCE",
        "If not empty, output has colours even if it is not a terminal.",
    ),
    ("LD_PRELOAD", "rshm run prepends its library."),
    (
        "NO_COLOR",
        "If not empty, output has no colours. --color overrides it.",
    ),
    ("PATH", "rshm run searches it for the program."),
    (
        "RUST_SHM_FALLBACK",
        "If 1, rshm run acts as with --fallback.",
    ),
    (
        "RUST_SHM_LIBRARY",
        "The library for rshm run, unless --library is given.",
    ),
];

pub const FILES: [(&str, &str); 4] = [
    ("/dev/rust_shm", "The device: rust_shm(4)."),
    (
        "/proc/sys/kernel/shmmax, shmall, shmmni",
        "The limits, if the kernel has System V shared memory.",
    ),
    (
        "/sys/module/rust_shm/parameters/",
        "Parameters of the module; the limits, if the kernel has none.",
    ),
    (
        "/usr/local/lib/rust_shm/$PLATFORM/librust_shm_preload.so",
        "The usual place of the library for rshm run.",
    ),
];

/// Manages the System V shared memory segments of the rust_shm module.
///
/// Acts on the segments of the caller's IPC namespace, as ipcs(1). Sizes take a suffix: K, M, G, T for powers of 1024,
/// KB, MB, GB, TB for powers of 1000. If output is not a terminal, it has no colours, tabs separate the columns, and sizes
/// are in bytes.
#[derive(Debug, Parser)]
#[command(name = "rshm", version, after_help = EXIT_STATUS, after_long_help = EXIT_STATUS)]
pub struct Cli {
    /// Path of the device, if not /dev/rust_shm
    #[arg(long, global = true, value_name = "FILE", default_value = rshm::abi::DEVICE, hide_default_value = true, value_hint = ValueHint::AnyPath)]
    pub device: PathBuf,
    /// Act in this IPC namespace, as root: its number from lsns -t ipc or ls -A
    #[arg(long, global = true, value_name = "NUMBER")]
    pub namespace: Option<u64>,
    /// When to use colours; auto: if output is a terminal
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        default_value = "auto"
    )]
    pub color: ColorChoice,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List segments
    #[command(alias = "list")]
    Ls(Ls),
    /// Show segments in full, with the processes that have them attached
    Show(Show),
    /// Create a segment and print its id
    Create(Create),
    /// Remove segments
    Rm(Rm),
    /// Change the mode of segments
    Chmod(Chmod),
    /// Change owner and group of segments
    Chown(Chown),
    /// Lock segments in memory, on the account of this user
    Lock(Ids),
    /// Unlock segments: pages may be swapped out again
    Unlock(Ids),
    /// Copy the contents of a segment to standard output
    Cat(Part),
    /// Print the contents of a segment, as hexdump -C
    Dump(Part),
    /// Copy standard input into a segment
    Write(WriteTo),
    /// Save segments into a file, with all that is known of them
    Save(Save),
    /// Make segments as they were when they were saved
    Restore(Restore),
    /// Show or set the limits
    Limits(Limits),
    /// Print metrics for Prometheus (textfile collector of node_exporter)
    Metrics,
    /// Watch segments
    Top(Top),
    /// Run a program whose System V shared memory is the module's
    Run(Run),
    /// Run a program whose standard input is a descriptor of a segment
    Fd(Fd),
    /// Show or switch whose the system calls of this IPC namespace are
    System(System),
    /// Check this machine, and say what to do
    Doctor(Doctor),
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write man pages and completions into a directory, for packagers
    #[command(hide = true)]
    Generate {
        /// The directory; created if it does not exist
        #[arg(value_hint = ValueHint::DirPath)]
        directory: PathBuf,
    },
}

/// Which segments, of all there are.
#[derive(Args, Clone, Debug, Default)]
pub struct Filter {
    /// Only those of this owner (name or number)
    #[arg(short = 'u', long, value_name = "USER", value_parser = crate::names::parse_user, add = complete::users())]
    pub owner: Option<u32>,
    /// Only those of this group (name or number)
    #[arg(short = 'g', long, value_name = "GROUP", value_parser = crate::names::parse_group)]
    pub group: Option<u32>,
    /// Only those that are not attached
    #[arg(long)]
    pub unattached: bool,
    /// Only those that are not attached and whose creator has exited
    #[arg(long)]
    pub orphans: bool,
    /// Only those without attach, detach or change for this time: 90s, 30m, 12h, 7d
    #[arg(long, value_name = "TIME", value_parser = units::parse_age)]
    pub older: Option<u64>,
}

#[derive(Args, Debug)]
pub struct Ls {
    /// Only these ids
    #[arg(add = complete::ids())]
    pub ids: Vec<i32>,
    #[command(flatten)]
    pub filter: Filter,
    /// List all IPC namespaces, with their numbers; needs root
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// List the kernel's segments too, those of ipcs -m
    #[arg(long)]
    pub builtin: bool,
    /// Only those created by this user
    #[arg(long, value_name = "USER", value_parser = crate::names::parse_user, add = complete::users())]
    pub creator: Option<u32>,
    /// Only those that are attached
    #[arg(long, conflicts_with = "unattached")]
    pub attached: bool,
    /// Only those that are removed and still attached
    #[arg(long)]
    pub removed: bool,
    /// Only the one with this key
    #[arg(short, long, allow_hyphen_values = true, add = complete::keys())]
    pub key: Option<Key>,
    /// Columns, separated by commas; +COLUMN adds to the default, "all" is all
    #[arg(short, long, value_name = "COLUMNS", add = complete::columns())]
    pub output: Option<String>,
    /// Sort by this column
    #[arg(short, long, value_name = "COLUMN", value_enum)]
    pub sort: Option<Column>,
    /// Reverse the order
    #[arg(short, long)]
    pub reverse: bool,
    /// Print sizes in bytes and times in full
    #[arg(short, long)]
    pub bytes: bool,
    /// Repeat every SECONDS (default: 2)
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2", value_parser = units::parse_seconds, conflicts_with = "json")]
    pub watch: Option<f64>,
    /// Print no headings
    #[arg(short, long)]
    pub noheadings: bool,
    /// Print JSON: sizes in bytes, times in seconds since 1970
    #[arg(short = 'J', long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Show {
    /// The segments
    #[arg(required_unless_present = "key", add = complete::ids())]
    pub ids: Vec<i32>,
    /// The one with this key
    #[arg(short, long, allow_hyphen_values = true, add = complete::keys())]
    pub key: Option<Key>,
    /// Print sizes in bytes
    #[arg(short, long)]
    pub bytes: bool,
    /// Print JSON
    #[arg(short = 'J', long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Create {
    /// Size: 4096, 64K, 2M, 1G
    #[arg(value_parser = units::parse_size)]
    pub size: u64,
    /// Key: decimal, 0x hexadecimal or 0 octal; without one, the segment is private
    #[arg(short, long, allow_hyphen_values = true, add = complete::keys())]
    pub key: Option<Key>,
    /// Take the key that ftok(3) returns for this file and --project
    #[arg(short, long, value_name = "FILE", conflicts_with = "key", value_hint = ValueHint::AnyPath)]
    pub path: Option<PathBuf>,
    /// Project for ftok(3): a number from 1 to 255, or a character
    #[arg(long, value_name = "PROJECT", requires = "path", default_value = "1", value_parser = units::parse_project)]
    pub project: u8,
    /// Permission bits, octal
    #[arg(short, long, default_value = "0600", value_parser = units::parse_mode)]
    pub mode: u32,
    /// Use huge pages of 2 MiB, all allocated at once
    #[arg(long)]
    pub huge: bool,
    /// Fail if a segment with the key exists
    #[arg(short = 'x', long)]
    pub exclusive: bool,
    /// Commit memory when it is touched, not at once
    #[arg(long)]
    pub noreserve: bool,
    /// Allocate all pages at once
    #[arg(long)]
    pub populate: bool,
}

#[derive(Args, Debug)]
pub struct Rm {
    /// The segments
    #[arg(add = complete::ids())]
    pub ids: Vec<i32>,
    /// The one with this key
    #[arg(short, long, value_name = "KEY", allow_hyphen_values = true, add = complete::keys())]
    pub key: Vec<Key>,
    #[command(flatten)]
    pub filter: Filter,
    /// All segments of this IPC namespace
    #[arg(short, long, conflicts_with_all = ["owner", "group", "unattached", "orphans", "older"])]
    pub all: bool,
    /// Print what would be removed, and remove nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Do not ask; without it, rm asks unless ids or keys are given
    #[arg(short, long)]
    pub yes: bool,
}

#[derive(Args, Debug)]
pub struct Chmod {
    /// Octal (0640) or symbolic (g+r,o=); x has no effect on a segment
    #[arg(allow_hyphen_values = true)]
    pub mode: ModeChange,
    /// The segments
    #[arg(required = true, add = complete::ids())]
    pub ids: Vec<i32>,
}

#[derive(Args, Debug)]
pub struct Chown {
    /// USER, USER:GROUP or :GROUP, by name or number
    #[arg(add = complete::users())]
    pub owner: Owner,
    /// The segments
    #[arg(required = true, add = complete::ids())]
    pub ids: Vec<i32>,
}

#[derive(Args, Debug)]
pub struct Ids {
    /// The segments
    #[arg(required = true, add = complete::ids())]
    pub ids: Vec<i32>,
}

#[derive(Args, Debug)]
pub struct Part {
    /// The segment
    #[arg(add = complete::ids())]
    pub id: i32,
    /// Start at this byte
    #[arg(short, long, value_name = "BYTES", default_value = "0", hide_default_value = true, value_parser = units::parse_size)]
    pub offset: u64,
    /// Copy at most this many bytes
    #[arg(short = 'n', long, value_name = "BYTES", value_parser = units::parse_size)]
    pub length: Option<u64>,
}

#[derive(Args, Debug)]
pub struct WriteTo {
    /// The segment
    #[arg(add = complete::ids())]
    pub id: i32,
    /// Start at this byte
    #[arg(short, long, value_name = "BYTES", default_value = "0", hide_default_value = true, value_parser = units::parse_size)]
    pub offset: u64,
}

#[derive(Args, Debug)]
#[command(allow_missing_positional = true)]
pub struct Save {
    /// The segments
    #[arg(required_unless_present = "all", conflicts_with = "all", add = complete::ids())]
    pub ids: Vec<i32>,
    /// All segments of this IPC namespace
    #[arg(short, long)]
    pub all: bool,
    /// The file, mode 0600; an existing one is replaced when the new one is complete; -: standard output
    #[arg(required = true, value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
}

#[derive(Args, Debug)]
pub struct Restore {
    /// Check the file and what would be in the way, and restore nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Let the module choose the ids, and print the old and the new one of each
    #[arg(long)]
    pub new_ids: bool,
    /// The file; -: standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
}

#[derive(Args, Debug)]
pub struct Limits {
    /// Maximum size of a segment, in bytes (suffixes, or "unlimited")
    #[arg(long, value_name = "BYTES", value_parser = units::parse_limit)]
    pub shmmax: Option<u64>,
    /// Maximum of all segments together, in pages (with a suffix: bytes; or "unlimited")
    #[arg(long, value_name = "PAGES", value_parser = units::parse_pages)]
    pub shmall: Option<u64>,
    /// Maximum number of segments
    #[arg(long, value_name = "COUNT")]
    pub shmmni: Option<u64>,
    /// Print sizes in bytes
    #[arg(short, long)]
    pub bytes: bool,
    /// Print JSON
    #[arg(short = 'J', long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Top {
    /// Seconds between updates
    #[arg(short, long, default_value = "2", value_parser = units::parse_seconds)]
    pub delay: f64,
    /// Print tables one after the other, for scripts
    #[arg(long)]
    pub batch: bool,
    /// Exit after this many updates
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub iterations: Option<u64>,
    /// Sort by this column: sizes, counts, times and rates descending, the others ascending
    #[arg(
        short,
        long,
        value_name = "COLUMN",
        value_enum,
        default_value = "resident"
    )]
    pub sort: Field,
    /// Reverse the order
    #[arg(short, long)]
    pub reverse: bool,
    /// Print sizes in bytes
    #[arg(short, long)]
    pub bytes: bool,
    /// Print JSON: one object in one line for each interval
    #[arg(short = 'J', long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Run {
    /// By the system calls themselves, in a new IPC namespace: for any program; needs root
    #[arg(long, conflicts_with_all = ["library", "fallback", "anyway", "print"])]
    pub system: bool,
    /// With --system: not in a new IPC namespace, but in this one, which stays so
    #[arg(long, requires = "system")]
    pub here: bool,
    /// The library; default: $RUST_SHM_LIBRARY, or the one installed with rshm
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub library: Option<PathBuf>,
    /// If there is no device, run the program with the kernel's shared memory
    #[arg(long)]
    pub fallback: bool,
    /// Also run a program that ignores LD_PRELOAD: set-uid, or linked statically
    #[arg(long)]
    pub anyway: bool,
    /// Print the setting of LD_PRELOAD, and run nothing
    #[arg(long)]
    pub print: bool,
    /// The program and its arguments
    #[arg(required_unless_present = "print", trailing_var_arg = true, allow_hyphen_values = true, value_name = "PROGRAM [ARGUMENT]...", action = ArgAction::Append, add = complete::command())]
    pub program: Vec<OsString>,
}

#[derive(Args, Debug)]
pub struct Fd {
    /// The segment
    #[arg(add = complete::ids())]
    pub id: i32,
    /// For reading and writing, not reading alone
    #[arg(short, long)]
    pub write: bool,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "PROGRAM [ARGUMENT]...", action = ArgAction::Append, add = complete::command())]
    pub program: Vec<OsString>,
}

#[derive(Args, Debug)]
pub struct System {
    #[command(subcommand)]
    pub switch: Switch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Switch {
    /// Print on or off
    Status,
    /// From now on they are the module's, for every process in the namespace; needs root
    On,
    /// They are the kernel's again; needs root
    Off,
}

#[derive(Args, Debug)]
pub struct Doctor {
    /// The preload library, as for run
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub library: Option<PathBuf>,
    /// Run the commands that repair a finding; asks before each, uses sudo unless root
    #[arg(long, conflicts_with = "json")]
    pub fix: bool,
    /// Do not ask
    #[arg(short, long, requires = "fix")]
    pub yes: bool,
    /// Print JSON
    #[arg(short = 'J', long)]
    pub json: bool,
}
