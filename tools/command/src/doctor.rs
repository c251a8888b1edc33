// SPDX-License-Identifier: GPL-2.0-only

//! `rshm doctor`: whether the module can be used here, and if not, what to do.

use crate::{
    cli::Doctor,
    elf::Class,
    output::{
        ask, complain, print_json, reason, stdout, styled, Failure, Result, BAD, DOUBTFUL, GOOD,
    },
    run, units,
};
use nix::unistd::Uid;
use rshm::{abi, Device};
use serde_json::json;
use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    process,
};

/// Where a module that is loaded is seen.
const MODULE: &str = "/sys/module/rust_shm";

/// Where more is written, for whoever has findings.
const PAGES: &str = "More: README.md and Documentation/troubleshooting.md of rust_shm";

/// The oldest kernel that the module is written for, but for one of long-term support.
const OLDEST: (u32, u32) = (7, 2);
const LTS: (u32, u32) = (6, 18);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Good,
    /// It works, but not all of it, or it cannot be told.
    Doubtful,
    Bad,
}

#[derive(Debug)]
struct Finding {
    about: &'static str,
    state: State,
    text: String,
    /// What to do.
    advice: Option<String>,
    /// A command for root's shell that does it.
    fix: Option<String>,
}

#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn good(&mut self, about: &'static str, text: impl Into<String>) {
        self.0.push(Finding {
            about,
            state: State::Good,
            text: text.into(),
            advice: None,
            fix: None,
        });
    }

    fn other(
        &mut self,
        about: &'static str,
        state: State,
        text: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.0.push(Finding {
            about,
            state,
            text: text.into(),
            advice: Some(advice.into()),
            fix: None,
        });
    }

    /// As [`other`](Self::other): the advice is this command.
    fn fixable(
        &mut self,
        about: &'static str,
        state: State,
        text: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let fix = fix.into();
        self.0.push(Finding {
            about,
            state,
            text: text.into(),
            advice: Some(format!("rshm doctor --fix, or as root: {fix}")),
            fix: Some(fix),
        });
    }

    fn bad(&self) -> usize {
        let bad = |finding: &&Finding| finding.state == State::Bad;
        self.0.iter().filter(bad).count()
    }
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
}

pub fn run(device: &Path, doctor: &Doctor) -> Result {
    let mut findings = examine(device, doctor);
    let mut failed = false;
    if doctor.json {
        let object = |finding: &Finding| {
            json!({
                "about": finding.about,
                "state": match finding.state {
                    State::Good => "ok",
                    State::Doubtful => "warning",
                    State::Bad => "bad",
                },
                "text": finding.text,
                "advice": finding.advice,
                "fix": finding.fix,
            })
        };
        print_json(json!({
            "findings": findings.0.iter().map(object).collect::<Vec<_>>(), "bad": findings.bad(),
        }))?;
    } else {
        print(&findings)?;
    }
    let mut done = false;
    for fix in findings.0.iter().filter_map(|finding| finding.fix.as_ref()) {
        if doctor.fix
            && (doctor.yes || ask(&format!("Run {fix}?"), &format!("run {fix}"), "--yes")?)
        {
            failed |= !execute(fix)?;
            done = true;
        }
    }
    if done {
        findings = examine(device, doctor);
        writeln!(stdout())?;
        print(&findings)?;
    }
    if failed || findings.bad() > 0 {
        return Err(Failure::new(1, ""));
    }
    Ok(())
}

/// Whether the command went well.
fn execute(fix: &str) -> Result<bool> {
    let words: &[&str] = match Uid::effective().is_root() {
        true => &["sh", "-c"],
        false => &["sudo", "sh", "-c"],
    };
    let status = process::Command::new(words[0])
        .args(&words[1..])
        .arg(fix)
        .status()
        .map_err(|error| {
            Failure::failed(format_args!("cannot run {}: {}", words[0], reason(&error)))
        })?;
    if !status.success() {
        complain(format_args!("{fix}: {status}"));
    }
    Ok(status.success())
}

fn examine(device: &Path, doctor: &Doctor) -> Findings {
    let mut findings = Findings::default();
    let release = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    let loaded = Path::new(MODULE).exists();

    kernel(&mut findings, &release);
    configuration(&mut findings, config(&release).as_deref());
    module(&mut findings, &release, loaded);
    opens(&mut findings, device, loaded);
    probes(&mut findings);
    if let (true, Some(buddies)) = (loaded, read("/proc/buddyinfo")) {
        let huge = read(format!("{MODULE}/parameters/huge"));
        blocks(&mut findings, huge.as_deref(), &buddies);
    }
    libraries(&mut findings, doctor.library.as_deref());
    findings
}

fn print(findings: &Findings) -> io::Result<()> {
    let mut out = stdout();
    for finding in &findings.0 {
        let word = match finding.state {
            State::Good => styled(GOOD, "ok     "),
            State::Doubtful => styled(DOUBTFUL, "warning"),
            State::Bad => styled(BAD, "bad    "),
        };
        writeln!(out, "{word}  {}: {}", finding.about, finding.text)?;
        if let Some(advice) = &finding.advice {
            writeln!(out, "         -> {advice}")?;
        }
    }
    if findings
        .0
        .iter()
        .any(|finding| finding.state != State::Good)
    {
        writeln!(out, "{PAGES}")?;
    }
    out.flush()
}

/// Major and minor number of a release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn kernel(findings: &mut Findings, release: &str) {
    const ABOUT: &str = "kernel";
    let (major, minor) = OLDEST;
    match version(release) {
        Some(version) if version == LTS || version >= OLDEST => findings.good(ABOUT, format!("Linux {release}")),
        Some(_) => findings.other(
            ABOUT,
            State::Bad,
            format!("Linux {release} is too old"),
            format!("boot Linux {major}.{minor} or later; on Debian 13 that is linux-image-amd64 of trixie-backports"),
        ),
        None => findings.other(ABOUT, State::Doubtful, format!("unknown release {release:?}"), format!("check that it is {major}.{minor} or later")),
    }
    let machine =
        nix::sys::utsname::uname().map(|name| name.machine().to_string_lossy().into_owned());
    if let Ok(machine) = machine {
        if !["x86_64", "i686", "aarch64", "armv8l"].contains(&machine.as_str()) {
            findings.other(
                "processor",
                State::Bad,
                machine,
                "the module is for x86-64 and arm64 only",
            );
        }
    }
}

/// The kernel's configuration, where there is one to be read.
fn config(release: &str) -> Option<String> {
    if let Ok(file) = fs::File::open("/proc/config.gz") {
        let mut text = String::new();
        if flate2::read::MultiGzDecoder::new(file)
            .read_to_string(&mut text)
            .is_ok()
        {
            return Some(text);
        }
    }
    let places = [
        format!("/boot/config-{release}"),
        format!("/lib/modules/{release}/config"),
        format!("/lib/modules/{release}/build/.config"),
    ];
    places.iter().find_map(read)
}

fn configuration(findings: &mut Findings, config: Option<&str>) {
    const ABOUT: &str = "kernel configuration";
    let Some(config) = config else {
        findings.other(
            ABOUT,
            State::Doubtful,
            "not found in /proc/config.gz, /boot and /lib/modules",
            "check that it has CONFIG_RUST=y and CONFIG_KPROBES_ON_FTRACE=y (on arm64 CONFIG_KPROBES=y)",
        );
        return;
    };
    let has = |name: &str| {
        config
            .lines()
            .any(|line| line.strip_prefix(name).is_some_and(|rest| rest == "=y"))
    };
    let mut bad = Vec::new();
    if !has("CONFIG_RUST") {
        bad.push("it lacks CONFIG_RUST=y");
    }
    let probes = if has("CONFIG_ARM64") {
        "CONFIG_KPROBES"
    } else {
        "CONFIG_KPROBES_ON_FTRACE"
    };
    if (has("CONFIG_SYSVIPC") || has("CONFIG_IPC_NS")) && !has(probes) {
        bad.push("it lacks CONFIG_KPROBES_ON_FTRACE=y (on arm64 CONFIG_KPROBES=y), which it needs with CONFIG_SYSVIPC or CONFIG_IPC_NS");
    }
    if !has("CONFIG_MODULES") {
        bad.push("it lacks CONFIG_MODULES=y");
    }
    if bad.is_empty() {
        findings.good(ABOUT, "has what the module needs");
    } else {
        findings.other(
            ABOUT,
            State::Bad,
            bad.join("; "),
            "boot another kernel, for example Debian's, or build one with these options",
        );
    }
}

fn find_module(directory: &Path, depth: u32) -> Option<PathBuf> {
    for entry in fs::read_dir(directory).ok()?.flatten() {
        let name = entry.file_name();
        let kind = entry.file_type().ok()?;
        if kind.is_file() && name.to_string_lossy().starts_with("rust_shm.ko") {
            return Some(entry.path());
        }
        if kind.is_dir() && depth > 0 {
            if let Some(found) = find_module(&entry.path(), depth - 1) {
                return Some(found);
            }
        }
    }
    None
}

fn module(findings: &mut Findings, release: &str, loaded: bool) {
    const ABOUT: &str = "module";
    if loaded {
        let ours = env!("CARGO_PKG_VERSION");
        match read(format!("{MODULE}/version")) {
            Some(its) if its != ours => findings.other(
                ABOUT,
                State::Doubtful,
                format!("version {its} is loaded; rshm has version {ours}"),
                "install both in the same version, and reload the module",
            ),
            its => findings.good(
                ABOUT,
                format!("version {} is loaded", its.as_deref().unwrap_or("?")),
            ),
        }
        return;
    }
    // Where DKMS and packages put it; not all of the kernel's own.
    let place = Path::new("/lib/modules").join(release);
    let found = ["updates", "extra"]
        .iter()
        .find_map(|directory| find_module(&place.join(directory), 3));
    match found {
        Some(file) => findings.fixable(
            ABOUT,
            State::Bad,
            format!("is not loaded; it is installed as {}", file.display()),
            "modprobe rust_shm",
        ),
        None => findings.other(
            ABOUT,
            State::Bad,
            "is not loaded",
            "build it for this kernel and load it: see \"On a machine of your own\" in README.md",
        ),
    }
    let locked = read("/sys/kernel/security/lockdown").is_some_and(|text| !text.contains("[none]"));
    if locked {
        findings.other(
            "lockdown",
            State::Doubtful,
            "this kernel loads only modules signed with a key that it knows",
            "sign the module with an enrolled key (see \"Secure Boot\" in Documentation/install.md), or turn Secure Boot off",
        );
    }
}

fn opens(findings: &mut Findings, path: &Path, loaded: bool) {
    const ABOUT: &str = "device";
    let shown = path.display();
    match fs::metadata(path) {
        Ok(metadata) if !metadata.file_type().is_char_device() => {
            findings.other(
                ABOUT,
                State::Bad,
                format!("{shown} is not a device"),
                "remove it, and reload the module",
            );
            return;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let advice = if loaded {
                "in a container, pass it in (docker run --device /dev/rust_shm); elsewhere, check that /dev is a devtmpfs"
            } else {
                "it appears when the module is loaded"
            };
            findings.other(ABOUT, State::Bad, format!("{shown} is not there"), advice);
            return;
        }
        _ => {}
    }
    let device = match Device::open_path(path) {
        Ok(device) => device,
        Err(error) => {
            let advice = error
                .hint()
                .unwrap_or("check that the module is loaded, and that the device belongs to it");
            findings.other(
                ABOUT,
                State::Bad,
                format!(
                    "{shown} cannot be opened ({})",
                    error.errno_name().unwrap_or("?")
                ),
                advice,
            );
            return;
        }
    };
    findings.good(ABOUT, format!("{shown} can be opened"));
    // It would not be open, if its revision were older than this program's.
    if let Ok(abilities) = device.abilities() {
        let (its, ours) = (abilities.revision, abi::ABI_VERSION);
        findings.good(
            "interface",
            format!("the module has revision {its}, rshm {ours}"),
        );
    }
    if let (Ok(limits), Ok(usage)) = (device.limits(), device.usage()) {
        let text = format!(
            "{} of {} segments, {} of {} pages",
            usage.segments,
            limits.shmmni,
            usage.pages,
            units::limit(limits.shmall, |value| value.to_string())
        );
        if u64::from(usage.segments) >= limits.shmmni || usage.pages >= limits.shmall {
            findings.other(
                "limits",
                State::Doubtful,
                format!("reached: {text}"),
                "remove segments (rshm rm), or raise the limits (rshm limits)",
            );
        } else {
            findings.good("limits", text);
        }
    }
}

/// What tells the module of processes and namespaces that end. (`kernel.ftrace_enabled` cannot be
/// turned off in a kernel of today.)
fn probes(findings: &mut Findings) {
    const ABOUT: &str = "kprobes";
    match read("/sys/kernel/debug/kprobes/enabled").as_deref() {
        Some("0") => findings.fixable(
            ABOUT,
            State::Doubtful,
            "are off: segments of IPC namespaces that end are not removed",
            "echo 1 >/sys/kernel/debug/kprobes/enabled",
        ),
        Some(_) => findings.good(ABOUT, "are on"),
        // The kernel has none, or they are root's to look at: root will be told.
        None => {}
    }
}

/// Whether free memory is in blocks of 2 MiB, which a first touch takes where it can; by `/proc/buddyinfo`.
fn blocks(findings: &mut Findings, huge: Option<&str>, buddies: &str) {
    const ABOUT: &str = "huge pages";
    const ORDER: usize = 9; // 2 MiB
    let (mut free, mut in_blocks) = (0, 0);
    for line in buddies.lines() {
        // Node 0, zone Normal, and how many blocks there are of each order.
        let counts = line.split_whitespace().skip(4);
        for (order, count) in counts.enumerate() {
            let pages = count.parse::<u64>().unwrap_or(0) << order;
            free += pages;
            in_blocks += if order < ORDER { 0 } else { pages };
        }
    }
    let page = procfs::page_size();
    let text = format!(
        "huge={}; of {} of free memory, {} is in blocks of 2 MiB",
        huge.unwrap_or("?"),
        units::human(free * page),
        units::human(in_blocks * page)
    );
    if in_blocks * 10 < free && huge != Some("never") {
        findings.fixable(
            ABOUT,
            State::Doubtful,
            format!("{text}: new segments get few huge pages"),
            "echo 1 >/proc/sys/vm/compact_memory",
        );
    } else {
        findings.good(ABOUT, text);
    }
}

fn libraries(findings: &mut Findings, asked: Option<&Path>) {
    const ABOUT: &str = "preload library";
    const ADVICE: &str = "build and install it (make tools), or name it with --library or RUST_SHM_LIBRARY; rshm looks in rust_shm/ beside \
        itself, in ../lib from there, in /usr/local/lib and in /usr/lib";
    match run::libraries(asked) {
        Err(failure) => findings.other(ABOUT, State::Bad, failure.message, ADVICE),
        Ok(libraries) => {
            let of = |class| libraries.iter().find(|library| library.class == class);
            match (of(Class::Bits64), of(Class::Bits32)) {
                (None, None) => findings.other(
                    ABOUT,
                    State::Doubtful,
                    "not found: rshm run needs it",
                    ADVICE,
                ),
                (wide, narrow) => {
                    let shown = |library: Option<&run::Library>, class| match library {
                        Some(library) => format!("{} for {class} programs", library.path.display()),
                        None => format!("none for {class} programs"),
                    };
                    findings.good(
                        ABOUT,
                        format!(
                            "{}, {}",
                            shown(wide, Class::Bits64),
                            shown(narrow, Class::Bits32)
                        ),
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(f: impl Fn(&mut Findings)) -> Vec<State> {
        let mut findings = Findings::default();
        f(&mut findings);
        assert!(findings
            .0
            .iter()
            .all(|finding| (finding.state == State::Good) == finding.advice.is_none()));
        findings.0.iter().map(|finding| finding.state).collect()
    }

    #[test]
    fn releases() {
        for (release, state) in [
            ("7.3.4+deb13-amd64", State::Good),
            ("7.10.0", State::Good),
            ("8.0-rc1", State::Good),
            ("7.2.9", State::Good),
            ("6.18.15+deb13-amd64", State::Good),
            ("7.1.13", State::Bad),
            ("6.17.13", State::Bad),
            ("6.12.41+deb13-amd64", State::Bad),
            ("", State::Doubtful),
        ] {
            assert_eq!(
                states(|findings| kernel(findings, release))[0],
                state,
                "{release}"
            );
        }
    }

    #[test]
    fn configurations() {
        let good =
            "CONFIG_RUST=y\nCONFIG_SYSVIPC=y\nCONFIG_KPROBES_ON_FTRACE=y\nCONFIG_MODULES=y\n";
        let small = good.replace("CONFIG_SYSVIPC=y\nCONFIG_KPROBES_ON_FTRACE=y\n", "");
        for (config, state) in [
            (Some(good.to_owned()), State::Good),
            (Some(small.clone()), State::Good),
            (Some(small + "CONFIG_IPC_NS=y\n"), State::Bad),
            (Some(good.to_owned() + "CONFIG_PREEMPT_RT=y\n"), State::Good),
            (
                Some(good.replace("_ON_FTRACE", "") + "CONFIG_ARM64=y\n"),
                State::Good,
            ),
            (Some(good.to_owned() + "CONFIG_ARM64=y\n"), State::Bad),
            (
                Some(good.replace("CONFIG_RUST=y", "# CONFIG_RUST is not set")),
                State::Bad,
            ),
            (
                Some(good.replace("CONFIG_RUST=y", "CONFIG_RUST_IS_AVAILABLE=y")),
                State::Bad,
            ),
            (None, State::Doubtful),
        ] {
            assert_eq!(
                states(|findings| configuration(findings, config.as_deref())),
                [state],
                "{config:?}"
            );
        }
    }

    #[test]
    fn fragmented_memory() {
        let whole = "Node 0, zone      DMA      1      1      1      1      1      1      1      0      1      1      3\n\
                     Node 0, zone   Normal  10 20 30 0 0 0 0 0 0 4 100\n";
        let fragmented = "Node 0, zone   Normal  9000 0 0 0 0 0 0 0 0 1 0\n";
        for (huge, text, state) in [
            ("always", whole, State::Good),
            ("always", fragmented, State::Doubtful),
            ("never", fragmented, State::Good),
            ("always", "", State::Good),
        ] {
            let found = states(|findings| blocks(findings, Some(huge), text));
            assert_eq!(found, [state], "{huge} {text}");
        }
        let mut findings = Findings::default();
        blocks(&mut findings, Some("always"), fragmented);
        assert!(
            findings.0[0]
                .text
                .starts_with("huge=always; of 37.2M of free memory, 2M is"),
            "{findings:?}"
        );
    }

    #[test]
    fn devices() {
        for path in ["/nowhere/rust_shm", "/dev/null", "/etc/passwd"] {
            assert_eq!(
                states(|findings| opens(findings, Path::new(path), true)),
                [State::Bad],
                "{path}"
            );
        }
    }
}
