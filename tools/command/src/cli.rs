// SPDX-License-Identifier: GPL-2.0-only

//! What may be typed.

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
  1    something failed, or was not found; doctor: something is bad (warnings alone are 0)
  2    wrong usage
  125  run: rshm itself failed, as when there is no device or no library
  126  run: the program cannot be run, or not with a library put in front
  127  run: there is no such program
  Otherwise `rshm run` ends as the program does.";

/// A subcommand, an example of it, and what it does: for the man pages.
pub const EXAMPLES: [(&str, &str, &str); 38] = [
    ("ls", "rshm ls", "The segments of this IPC namespace."),
    (
        "ls",
        "rshm ls -u www-data -s size -r",
        "Those of a user, the largest first.",
    ),
    (
        "ls",
        "rshm ls -o +atime,command --unattached",
        "Those that nobody has attached, with two more columns.",
    ),
    (
        "ls",
        "rshm ls --json -o id,size",
        "Ids and sizes for a program.",
    ),
    (
        "ls",
        "rshm ls -A --builtin",
        "All segments of this machine: of all containers, and the kernel's own too.",
    ),
    (
        "ls",
        "rshm ls --watch=5 --unattached",
        "Those that nobody has attached, every five seconds.",
    ),
    (
        "show",
        "rshm show 3",
        "All about segment 3, and who has it attached.",
    ),
    (
        "show",
        "rshm show --key 0x1234 --json",
        "The same of the segment with a key, for a program.",
    ),
    (
        "create",
        "rshm create 64M --key 0x1234 --mode 0640",
        "Makes a segment and prints its id.",
    ),
    (
        "create",
        "rshm create 1G --huge",
        "Of huge pages, all allocated now.",
    ),
    (
        "create",
        "rshm create 4K --path /srv/app --project 7",
        "With the key that ftok(3) makes of a file.",
    ),
    ("rm", "rshm rm 3 4", "Removes two segments."),
    (
        "rm",
        "rshm rm --unattached --owner www-data --dry-run",
        "Says what would be removed.",
    ),
    (
        "rm",
        "rshm rm --namespace 4026532510 --orphans",
        "The same in the IPC namespace of a container.",
    ),
    (
        "chmod",
        "rshm chmod g+r,o= 3",
        "Lets the group read, and others do nothing.",
    ),
    (
        "chown",
        "rshm chown www-data:users 3",
        "Gives it to a user and a group.",
    ),
    (
        "rm",
        "rshm rm --orphans --older 7d --yes",
        "Removes what nobody has used for a week, and whose maker has ended.",
    ),
    (
        "cat",
        "rshm cat 3 >backup",
        "Keeps a copy of what is in a segment.",
    ),
    (
        "dump",
        "rshm dump 3 --offset 4K --length 64",
        "Shows 64 bytes of its second page.",
    ),
    ("write", "rshm write 3 <backup", "Puts the copy back."),
    (
        "metrics",
        "rshm metrics >/var/lib/node_exporter/rust_shm.prom.new",
        "Numbers for the textfile collector, which reads rust_shm.prom: rename it then.",
    ),
    (
        "ls",
        "rshm ls --older 1d",
        "Those that nobody has used for a day.",
    ),
    ("lock", "rshm lock 3", "Keeps it from being swapped out."),
    ("unlock", "rshm unlock 3", "Lets it be swapped out again."),
    (
        "limits",
        "rshm limits",
        "The limits, and how much of them is in use.",
    ),
    (
        "limits",
        "rshm limits --shmmax unlimited --shmall 64G",
        "Sets two of them, or neither.",
    ),
    (
        "top",
        "rshm top --sort attached",
        "Watches segments, those with most attaches first.",
    ),
    (
        "top",
        "rshm top --batch -n 3 -d 10",
        "Three tables, ten seconds apart, for a script.",
    ),
    (
        "top",
        "rshm top --json -d 60 >>segments.jsonl",
        "A line of JSON each minute, to be drawn later.",
    ),
    (
        "run",
        "rshm run -- pg_ctl -D data start",
        "PostgreSQL with segments of the module.",
    ),
    (
        "run",
        "rshm run -- ipcs -m",
        "Other programs see them likewise.",
    ),
    (
        "run",
        "rshm run --fallback -- ./program",
        "With the kernel's own where there is no module.",
    ),
    (
        "run",
        "rshm run --print",
        "The setting of LD_PRELOAD, for a unit of systemd.",
    ),
    ("doctor", "rshm doctor", "What is wrong, and what to do."),
    ("doctor", "rshm doctor --fix", "And does it, if you say so."),
    ("doctor", "rshm doctor --json", "The same for a program."),
    (
        "completions",
        "rshm completions bash",
        "For bash to read: source <(rshm completions bash).",
    ),
    ("completions", "rshm completions fish", "For fish to read."),
];

pub const ENVIRONMENT: [(&str, &str); 6] = [
    (
        "CLICOLOR_FORCE",
        "If it is not empty, there are colours also where output is no terminal.",
    ),
    (
        "LD_PRELOAD",
        "rshm run puts its library in front of what is there.",
    ),
    (
        "NO_COLOR",
        "If it is not empty, there are no colours (--color says otherwise).",
    ),
    ("PATH", "rshm run looks for the program there."),
    (
        "RUST_SHM_FALLBACK",
        "If it is 1, rshm run is as with --fallback.",
    ),
    (
        "RUST_SHM_LIBRARY",
        "The library for rshm run, where --library is not given.",
    ),
];

pub const FILES: [(&str, &str); 4] = [
    ("/dev/rust_shm", "The device: rust_shm(4)."),
    (
        "/proc/sys/kernel/shmmax, shmall, shmmni",
        "The limits, where the kernel has them.",
    ),
    (
        "/sys/module/rust_shm/parameters/",
        "Parameters of the module; the limits, where the kernel has none.",
    ),
    (
        "/usr/local/lib/rust_shm/$PLATFORM/librust_shm_preload.so",
        "The library for rshm run, as it is usually installed.",
    ),
];

/// Looks after the shared memory segments of the rust_shm module.
///
/// Segments are those of the caller's IPC namespace, as with ipcs(1). Sizes may have a suffix: K, M,
/// G, T, of 1024 each, or KB, MB, GB, TB, of 1000. Where output is no terminal, it has no colours, columns are separated by
/// tabs, and sizes are in bytes.
#[derive(Debug, Parser)]
#[command(name = "rshm", version, after_help = EXIT_STATUS, after_long_help = EXIT_STATUS)]
pub struct Cli {
    /// The device, where udev was told to put it elsewhere
    #[arg(long, global = true, value_name = "FILE", default_value = rshm::abi::DEVICE, hide_default_value = true, value_hint = ValueHint::AnyPath)]
    pub device: PathBuf,
    /// Act in this IPC namespace, as root: its number, as lsns -t ipc and ls -A show it
    #[arg(long, global = true, value_name = "NUMBER")]
    pub namespace: Option<u64>,
    /// When to use colours: auto is on a terminal
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
    /// Show all that is known of segments, and who has them attached
    Show(Show),
    /// Make a segment, and print its id
    Create(Create),
    /// Remove segments
    Rm(Rm),
    /// Change the mode of segments
    Chmod(Chmod),
    /// Change owner and group of segments
    Chown(Chown),
    /// Keep the pages of segments in memory, as locked memory of this user
    Lock(Ids),
    /// Undo lock: pages may be swapped out again
    Unlock(Ids),
    /// Write what is in a segment to standard output
    Cat(Part),
    /// Show what is in a segment, as hexdump -C
    Dump(Part),
    /// Write standard input into a segment
    Write(WriteTo),
    /// Show the limits, or set them
    Limits(Limits),
    /// Print numbers for Prometheus, as for the textfile collector of its node_exporter
    Metrics,
    /// Watch segments
    Top(Top),
    /// Run a program whose System V shared memory is the module's
    Run(Run),
    /// Say whether all is well, and what to do if not
    Doctor(Doctor),
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write man pages and completions into a directory, for packagers
    #[command(hide = true)]
    Generate {
        /// The directory, which is made
        #[arg(value_hint = ValueHint::DirPath)]
        directory: PathBuf,
    },
}

/// Which segments, of all there are.
#[derive(Args, Clone, Debug, Default)]
pub struct Filter {
    /// Only those owned by this user (a name, or a number)
    #[arg(short = 'u', long, value_name = "USER", value_parser = crate::names::parse_user, add = complete::users())]
    pub owner: Option<u32>,
    /// Only those of this group (a name, or a number)
    #[arg(short = 'g', long, value_name = "GROUP", value_parser = crate::names::parse_group)]
    pub group: Option<u32>,
    /// Only those that nobody has attached
    #[arg(long)]
    pub unattached: bool,
    /// Only those that nobody has attached, and whose maker has ended
    #[arg(long)]
    pub orphans: bool,
    /// Only those without an attach, a detach or a change for so long: 90s, 30m, 12h, 7d
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
    /// Of all IPC namespaces, with their numbers, for root
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// Also the kernel's own segments, as ipcs -m shows them
    #[arg(long)]
    pub builtin: bool,
    /// Only those made by this user
    #[arg(long, value_name = "USER", value_parser = crate::names::parse_user, add = complete::users())]
    pub creator: Option<u32>,
    /// Only those that somebody has attached
    #[arg(long, conflicts_with = "unattached")]
    pub attached: bool,
    /// Only those that are removed, and wait for their last detach
    #[arg(long)]
    pub removed: bool,
    /// Only the one with this key
    #[arg(short, long, allow_hyphen_values = true, add = complete::keys())]
    pub key: Option<Key>,
    /// The columns, separated by commas; +COLUMN adds to the usual ones, and "all" is all of them
    #[arg(short, long, value_name = "COLUMNS", add = complete::columns())]
    pub output: Option<String>,
    /// Sort by this column
    #[arg(short, long, value_name = "COLUMN", value_enum)]
    pub sort: Option<Column>,
    /// The other way round
    #[arg(short, long)]
    pub reverse: bool,
    /// Sizes in bytes, and times in full
    #[arg(short, long)]
    pub bytes: bool,
    /// Again and again, every so many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2", value_parser = units::parse_seconds, conflicts_with = "json")]
    pub watch: Option<f64>,
    /// No line of column names
    #[arg(short, long)]
    pub noheadings: bool,
    /// As JSON: sizes in bytes, times in seconds since 1970
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
    /// Sizes in bytes
    #[arg(short, long)]
    pub bytes: bool,
    /// As JSON
    #[arg(short = 'J', long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Create {
    /// Its size, as 4096, 64K, 2M, 1G
    #[arg(value_parser = units::parse_size)]
    pub size: u64,
    /// Its key: decimal, 0x hexadecimal, or 0 octal. Without, it is private: only its id finds it
    #[arg(short, long, allow_hyphen_values = true, add = complete::keys())]
    pub key: Option<Key>,
    /// Its key is what ftok(3) makes of this file, and of --project
    #[arg(short, long, value_name = "FILE", conflicts_with = "key", value_hint = ValueHint::AnyPath)]
    pub path: Option<PathBuf>,
    /// The project for ftok(3): a number from 1 to 255, or a character
    #[arg(long, value_name = "PROJECT", requires = "path", default_value = "1", value_parser = units::parse_project)]
    pub project: u8,
    /// Its permission bits, octal
    #[arg(short, long, default_value = "0600", value_parser = units::parse_mode)]
    pub mode: u32,
    /// Of huge pages of 2 MiB, all allocated now
    #[arg(long)]
    pub huge: bool,
    /// Fail if there is one with the key
    #[arg(short = 'x', long)]
    pub exclusive: bool,
    /// Commit memory when it is touched, not now
    #[arg(long)]
    pub noreserve: bool,
    /// Bring all its pages into memory now
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
    /// All there are, in this IPC namespace
    #[arg(short, long, conflicts_with_all = ["owner", "group", "unattached", "orphans", "older"])]
    pub all: bool,
    /// Only say which
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Do not ask (it asks where no id and no key is given)
    #[arg(short, long)]
    pub yes: bool,
}

#[derive(Args, Debug)]
pub struct Chmod {
    /// Octal, as 0640, or symbolic, as g+r,o= (x is read, and means nothing for a segment)
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
    /// From this byte on
    #[arg(short, long, value_name = "BYTES", default_value = "0", hide_default_value = true, value_parser = units::parse_size)]
    pub offset: u64,
    /// At most so many bytes
    #[arg(short = 'n', long, value_name = "BYTES", value_parser = units::parse_size)]
    pub length: Option<u64>,
}

#[derive(Args, Debug)]
pub struct WriteTo {
    /// The segment
    #[arg(add = complete::ids())]
    pub id: i32,
    /// From this byte on
    #[arg(short, long, value_name = "BYTES", default_value = "0", hide_default_value = true, value_parser = units::parse_size)]
    pub offset: u64,
}

#[derive(Args, Debug)]
pub struct Limits {
    /// Set the largest size of a segment (with a suffix, or "unlimited")
    #[arg(long, value_name = "BYTES", value_parser = units::parse_limit)]
    pub shmmax: Option<u64>,
    /// Set how much all segments together may take, in pages (or with a suffix, in bytes; or "unlimited")
    #[arg(long, value_name = "PAGES", value_parser = units::parse_pages)]
    pub shmall: Option<u64>,
    /// Set how many segments there may be
    #[arg(long, value_name = "COUNT")]
    pub shmmni: Option<u64>,
    /// Sizes in bytes
    #[arg(short, long)]
    pub bytes: bool,
    /// As JSON
    #[arg(short = 'J', long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Top {
    /// Seconds between two looks
    #[arg(short, long, default_value = "2", value_parser = units::parse_seconds)]
    pub delay: f64,
    /// Print one table after the other, for scripts
    #[arg(long)]
    pub batch: bool,
    /// End after as many tables
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub iterations: Option<u64>,
    /// Sort by this column: sizes, counts, times and rates from the largest on, the rest from the first
    #[arg(
        short,
        long,
        value_name = "COLUMN",
        value_enum,
        default_value = "resident"
    )]
    pub sort: Field,
    /// The other way round
    #[arg(short, long)]
    pub reverse: bool,
    /// Sizes in bytes
    #[arg(short, long)]
    pub bytes: bool,
    /// As JSON: an object for each look, in a line of its own
    #[arg(short = 'J', long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Run {
    /// The library; otherwise that of RUST_SHM_LIBRARY, or the one installed with rshm
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub library: Option<PathBuf>,
    /// Where there is no device, run the program with the kernel's own shared memory
    #[arg(long)]
    pub fallback: bool,
    /// Run also a program that ignores LD_PRELOAD: set-uid, or linked statically
    #[arg(long)]
    pub anyway: bool,
    /// Only print the setting of LD_PRELOAD
    #[arg(long)]
    pub print: bool,
    /// The program and its arguments
    #[arg(required_unless_present = "print", trailing_var_arg = true, allow_hyphen_values = true, value_name = "PROGRAM [ARGUMENT]...", action = ArgAction::Append, add = complete::command())]
    pub program: Vec<OsString>,
}

#[derive(Args, Debug)]
pub struct Doctor {
    /// The preload library, as for run
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub library: Option<PathBuf>,
    /// Repair what can be repaired by a command: asks for each, and runs it (by sudo, if this is not root)
    #[arg(long, conflicts_with = "json")]
    pub fix: bool,
    /// Do not ask
    #[arg(short, long, requires = "fix")]
    pub yes: bool,
    /// As JSON
    #[arg(short = 'J', long)]
    pub json: bool,
}
