// SPDX-License-Identifier: GPL-2.0-only

//! `rshm run`: a program whose System V shared memory is the module's, by a library that the loader
//! puts before the C library.

use crate::{
    cli::Run,
    elf::{self, Class, Program},
    output::{complain, reason, stdout, Failure, Result},
    system,
};
use nix::unistd::{Gid, Uid};
use rshm::{abi::DEVICE, Device};
use std::{
    env,
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

const LIBRARY: &str = "librust_shm_preload.so";
const PRELOAD: &str = "LD_PRELOAD";
/// The library's: see librust_shm.h.
const FALLBACK: &str = "RUST_SHM_FALLBACK";

/// Something is wrong with rshm, the library or the options; as of env(1).
pub const OURS: u8 = 125;
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// A library that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    pub path: PathBuf,
    pub class: Class,
}

/// Where libraries are looked for: those that were asked for, by --library or the environment, or
/// all that could be there.
fn places(asked: Option<&Path>) -> (Vec<PathBuf>, bool) {
    let asked = asked.map(Path::to_owned).or_else(|| {
        env::var_os("RUST_SHM_LIBRARY")
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    });
    if let Some(path) = asked {
        return (vec![path], true);
    }
    let own = env::current_exe().unwrap_or_default();
    let own = own.parent().unwrap_or(Path::new("/"));
    let above = [
        own,
        &own.join("../lib"),
        Path::new("/usr/local/lib"),
        Path::new("/usr/lib"),
    ];
    let file = |class: Class| {
        above.map(|above| above.join("rust_shm").join(class.platform()).join(LIBRARY))
    };
    let classes = [Class::OURS, Class::OURS.other()];
    (classes.into_iter().flat_map(file).collect(), false)
}

/// All libraries that there are, the best first.
pub fn libraries(asked: Option<&Path>) -> Result<Vec<Library>> {
    let (places, was_asked) = places(asked);
    let mut found: Vec<Library> = Vec::new();
    for place in places {
        let path = match fs::canonicalize(&place) {
            Ok(path) => path,
            Err(_) if !was_asked => continue,
            Err(error) => {
                return Err(Failure::new(
                    OURS,
                    format_args!("the library {}: {}", place.display(), reason(&error)),
                ))
            }
        };
        match elf::inspect(&path) {
            Ok(Program::Elf { class, .. }) => {
                if !found.iter().any(|library| library.path == path) {
                    found.push(Library { path, class });
                }
            }
            _ if !was_asked => {}
            Ok(_) => {
                return Err(Failure::new(
                    OURS,
                    format_args!(
                        "{} is not a shared library: name another with --library",
                        path.display()
                    ),
                ))
            }
            Err(error) => {
                return Err(Failure::new(
                    OURS,
                    format_args!("the library {}: {}", path.display(), reason(&error)),
                ))
            }
        }
    }
    Ok(found)
}

/// What to put in front, for a program of the class. With libraries for both classes in places that
/// the loader calls by one name, that name: so that programs of both classes that the program runs
/// find theirs, and the loader does not complain of the other.
fn preload_for(class: Class, libraries: &[Library]) -> Result<PathBuf> {
    let Some(library) = libraries.iter().find(|library| library.class == class) else {
        return Err(Failure::new(
            OURS,
            match libraries.first() {
                Some(other) => format!(
                    "this is a {class} program, and {} is {}: build the library for {class} programs too, and name it with --library",
                    other.path.display(),
                    other.class
                ),
                None => format!("{LIBRARY} is not found: install it, or name it with --library or RUST_SHM_LIBRARY (rshm doctor lists where rshm looks)"),
            },
        ));
    };
    let token = elf::with_platform_token(&library.path, class);
    let path = match token {
        Some((token, counterpart))
            if libraries
                .iter()
                .any(|library| library.class != class && library.path == counterpart) =>
        {
            token
        }
        _ => library.path.clone(),
    };
    if path
        .as_os_str()
        .as_bytes()
        .iter()
        .any(|&byte| byte == b':' || byte.is_ascii_whitespace())
    {
        return Err(Failure::new(
            OURS,
            format_args!(
                "{}: the loader accepts no path with a blank or colon: move the library",
                path.display()
            ),
        ));
    }
    Ok(path)
}

/// In front of what there is, unless it is there already.
fn put_in_front(library: &Path, existing: &OsStr) -> OsString {
    let separator = |byte: &u8| *byte == b':' || *byte == b' ';
    let mut all = library.as_os_str().as_bytes().to_vec();
    for other in existing.as_bytes().split(separator) {
        if !other.is_empty() && other != library.as_os_str().as_bytes() {
            all.push(b':');
            all.extend(other);
        }
    }
    OsString::from_vec(all)
}

/// The file that is run, as execvp(3) has it.
fn find_program(name: &OsStr) -> Result<PathBuf> {
    let not_found = || {
        Failure::new(
            NOT_FOUND,
            format_args!("{}: there is no such program", Path::new(name).display()),
        )
    };
    if name.is_empty() {
        return Err(not_found());
    }
    if name.as_bytes().contains(&b'/') {
        return Ok(PathBuf::from(name));
    }
    let path = env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let mut denied = false;
    for directory in env::split_paths(&path) {
        let file = directory.join(name);
        match fs::metadata(&file) {
            Ok(metadata) if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 => {
                return Ok(file)
            }
            Ok(metadata) => denied |= metadata.is_file(),
            Err(_) => {}
        }
    }
    if denied {
        return Err(Failure::new(
            CANNOT_RUN,
            format_args!("{}: it is not executable", Path::new(name).display()),
        ));
    }
    Err(not_found())
}

/// Why the loader would ignore LD_PRELOAD, if it would.
fn ignores_preload(path: &Path, program: &Program) -> Option<&'static str> {
    if matches!(program, Program::Elf { dynamic: false, .. }) {
        return Some("it is linked statically");
    }
    let metadata = fs::metadata(path).ok()?;
    let mode = metadata.permissions().mode();
    if mode & 0o4000 != 0 && metadata.uid() != Uid::current().as_raw() {
        return Some("it is set-uid: run rshm as its owner");
    }
    if mode & 0o2010 == 0o2010 && metadata.gid() != Gid::current().as_raw() {
        return Some("it is set-gid: run rshm as a member of its group");
    }
    if !Uid::current().is_root() && elf::has_capabilities(path) {
        return Some("it has file capabilities: run rshm as root");
    }
    None
}

/// Whether the program gets the module's segments: the device is there, and the library will be able to use
/// it. If not, that is an error, or the kernel's own will do.
fn probe(device: &Path, run: &Run) -> Result<bool> {
    if device != Path::new(DEVICE) {
        return Err(Failure::usage(format_args!(
            "run: the library uses {DEVICE} only: omit --device"
        )));
    }
    let fallback = env::var_os(FALLBACK).unwrap_or_default();
    if fallback == "2" {
        return Ok(false);
    }
    match Device::open_path(device) {
        Ok(_) => Ok(true),
        Err(error) if error.is_missing() && (run.fallback || fallback == "1") => Ok(false),
        Err(error) => Err(Failure::new(OURS, error.with_hint())),
    }
}

pub fn run(device: &Path, run: &Run) -> Result {
    if run.system {
        system::prepare(device, run.here).map_err(|failure| Failure::new(OURS, failure.message))?;
        let Some((name, arguments)) = run.program.split_first() else {
            unreachable!("there is a program, or --print");
        };
        let mut command = Command::new(find_program(name)?);
        // Should the preload library be in front, it has no part in it.
        return execute(command.arg0(name).args(arguments).env(FALLBACK, "2"));
    }
    if !run.print && !probe(device, run)? {
        let Some((name, arguments)) = run.program.split_first() else {
            unreachable!("there is a program, or --print");
        };
        let mut command = Command::new(find_program(name)?);
        // Should the library be in LD_PRELOAD already, it makes the kernel's own calls.
        return execute(command.arg0(name).args(arguments).env(FALLBACK, "2"));
    }
    let libraries = libraries(run.library.as_deref())?;
    let existing = env::var_os(PRELOAD).unwrap_or_default();
    let Some((name, arguments)) = run.program.split_first() else {
        let preload = preload_for(Class::OURS, &libraries)?;
        println(&put_in_front(&preload, &existing))?;
        return Ok(());
    };

    let path = find_program(name)?;
    let shown = path.display();
    // What the loader will be called for: for a script its interpreter.
    let (file, program) = elf::follow_scripts(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Failure::new(NOT_FOUND, format_args!("{shown}: there is no such program"))
        }
        _ => Failure::new(CANNOT_RUN, format_args!("{shown}: {}", reason(&error))),
    })?;
    if let Some(why) = ignores_preload(&file, &program) {
        let text = format!("{}: the loader ignores {PRELOAD}: {why}", file.display());
        if !run.anyway {
            return Err(Failure::new(
                CANNOT_RUN,
                format_args!("{text} (--anyway runs it without the module)"),
            ));
        }
        complain(text);
    }
    let class = match program {
        Program::Elf { class, .. } => class,
        Program::Unknown => Class::OURS,
        Program::Script(_) => unreachable!("scripts are followed"),
    };
    // A static program needs none.
    let preload = match preload_for(class, &libraries) {
        Err(error) if !(run.anyway && matches!(program, Program::Elf { dynamic: false, .. })) => {
            return Err(error)
        }
        Err(_) => existing.clone(),
        Ok(preload) => put_in_front(&preload, &existing),
    };
    if run.print {
        println(&preload)?;
        return Ok(());
    }
    execute(
        Command::new(&path)
            .arg0(name)
            .args(arguments)
            .env(PRELOAD, preload),
    )
}

/// Becomes the program, or says why not.
pub fn execute(command: &mut Command) -> Result {
    let error = command.exec();
    let shown = Path::new(command.get_program()).display();
    let status = if error.kind() == io::ErrorKind::NotFound {
        NOT_FOUND
    } else {
        CANNOT_RUN
    };
    Err(Failure::new(
        status,
        format_args!("{shown}: {}", reason(&error)),
    ))
}

fn println(preload: &OsStr) -> Result {
    use io::Write;
    let mut out = stdout();
    out.write_all(b"LD_PRELOAD=")?;
    out.write_all(preload.as_bytes())?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_front_and_once() {
        let library = Path::new("/lib/l.so");
        for (existing, all) in [
            ("", "/lib/l.so"),
            ("/lib/l.so", "/lib/l.so"),
            ("/a.so", "/lib/l.so:/a.so"),
            ("/a.so /lib/l.so:b.so", "/lib/l.so:/a.so:b.so"),
            ("::/a.so:", "/lib/l.so:/a.so"),
        ] {
            assert_eq!(put_in_front(library, OsStr::new(existing)), all);
        }
    }

    #[test]
    fn the_library_of_the_right_class() {
        let library = |path: &str, class| Library {
            path: path.into(),
            class,
        };
        let both = [
            library(
                "/usr/lib/rust_shm/x86_64/librust_shm_preload.so",
                Class::Bits64,
            ),
            library(
                "/usr/lib/rust_shm/i686/librust_shm_preload.so",
                Class::Bits32,
            ),
        ];
        for class in [Class::Bits32, Class::Bits64] {
            assert_eq!(
                preload_for(class, &both).unwrap(),
                Path::new("/usr/lib/rust_shm/$PLATFORM/librust_shm_preload.so")
            );
        }
        let apart = [
            library("/b/librust_shm_preload.so", Class::Bits64),
            library("/b/32/librust_shm_preload.so", Class::Bits32),
        ];
        assert_eq!(preload_for(Class::Bits32, &apart).unwrap(), apart[1].path);
        assert_eq!(preload_for(Class::Bits64, &apart).unwrap(), apart[0].path);
        let error = preload_for(Class::Bits32, &apart[..1]).unwrap_err();
        assert_eq!(error.status, OURS);
        assert!(error.message.contains("32-bit"), "{}", error.message);
        assert_eq!(preload_for(Class::Bits64, &[]).unwrap_err().status, OURS);
        let blank = [library("/a b/librust_shm_preload.so", Class::Bits64)];
        assert_eq!(preload_for(Class::Bits64, &blank).unwrap_err().status, OURS);
    }

    #[test]
    fn programs_are_found() {
        assert!(find_program(OsStr::new("sh")).unwrap().ends_with("sh"));
        assert_eq!(
            find_program(OsStr::new("./none")).unwrap(),
            Path::new("./none")
        );
        assert_eq!(
            find_program(OsStr::new("no-such-program"))
                .unwrap_err()
                .status,
            NOT_FOUND
        );
        assert_eq!(find_program(OsStr::new("")).unwrap_err().status, NOT_FOUND);
    }
}
