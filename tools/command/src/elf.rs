// SPDX-License-Identifier: GPL-2.0-only

//! Programs and libraries: for which class of processor, and whether the loader has a say.

use object::{
    elf::{FileHeader32, FileHeader64, PT_INTERP},
    read::elf::{FileHeader, ProgramHeader},
    FileKind, LittleEndian, ReadCache, ReadRef,
};
use std::{
    ffi::OsStr,
    fmt,
    fs::File,
    io::{self, Read, Seek},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// The processor, as 32-bit and as 64-bit programs name it: `e_machine`, and what the loader has for
/// `$PLATFORM`.
#[cfg(target_arch = "aarch64")]
const MACHINE: [(u16, &str); 2] = [
    (object::elf::EM_ARM, "v8l"),
    (object::elf::EM_AARCH64, "aarch64"),
];
#[cfg(not(target_arch = "aarch64"))]
const MACHINE: [(u16, &str); 2] = [
    (object::elf::EM_386, "i686"),
    (object::elf::EM_X86_64, "x86_64"),
];

/// Word size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Bits32,
    Bits64,
}

impl Class {
    /// That of this program.
    pub const OURS: Self = if cfg!(target_pointer_width = "64") {
        Self::Bits64
    } else {
        Self::Bits32
    };

    /// What the loader has for `$PLATFORM`, or what is linked to this where it says it more exactly.
    pub const fn platform(self) -> &'static str {
        MACHINE[self as usize].1
    }

    pub const fn other(self) -> Self {
        match self {
            Self::Bits32 => Self::Bits64,
            Self::Bits64 => Self::Bits32,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bits32 => "32-bit",
            Self::Bits64 => "64-bit",
        })
    }
}

/// What a file is.
#[derive(Debug, PartialEq, Eq)]
pub enum Program {
    /// For the processor; `dynamic`: it names a loader, as a library does not.
    Elf { class: Class, dynamic: bool },
    /// For an interpreter.
    Script(PathBuf),
    /// It may not be read, or is something that the kernel or a shell has to know.
    Unknown,
}

/// Looks at the beginning of a file.
pub fn inspect(path: &Path) -> io::Result<Program> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(Program::Unknown)
        }
        file => file?,
    };
    if file.metadata()?.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    let mut head = Vec::new();
    (&mut file).take(256).read_to_end(&mut head)?;
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let mut words = line
            .split(|byte| byte.is_ascii_whitespace())
            .filter(|word| !word.is_empty());
        return Ok(words.next().map_or(Program::Unknown, |word| {
            Program::Script(Path::new(OsStr::from_bytes(word)).into())
        }));
    }
    Ok(elf(file).unwrap_or(Program::Unknown))
}

/// A file for our processor, of either class.
fn elf(file: impl Read + Seek) -> Option<Program> {
    let file = ReadCache::new(file);
    let (class, (machine, dynamic)) = match FileKind::parse(&file).ok()? {
        FileKind::Elf32 => (
            Class::Bits32,
            look::<FileHeader32<LittleEndian>>(&file).ok()?,
        ),
        FileKind::Elf64 => (
            Class::Bits64,
            look::<FileHeader64<LittleEndian>>(&file).ok()?,
        ),
        _ => return None,
    };
    (machine == MACHINE[class as usize].0).then_some(Program::Elf { class, dynamic })
}

/// The machine, and whether there is a program header that names the loader.
fn look<'data, H: FileHeader>(file: impl ReadRef<'data>) -> object::Result<(u16, bool)> {
    let header = H::parse(file)?;
    let endian = header.endian()?;
    let headers = header.program_headers(endian, file)?;
    let has_loader = headers
        .iter()
        .any(|header| header.p_type(endian) == PT_INTERP);
    Ok((header.e_machine(endian), has_loader))
}

/// What is run in the end, as the kernel goes from script to interpreter.
pub fn follow_scripts(path: &Path) -> io::Result<(PathBuf, Program)> {
    let mut path = path.to_owned();
    for _ in 0..5 {
        match inspect(&path)? {
            Program::Script(interpreter) => path = interpreter,
            program => return Ok((path, program)),
        }
    }
    Err(io::Error::from_raw_os_error(
        nix::errno::Errno::ELOOP as i32,
    ))
}

/// A path with the loader's name `$PLATFORM` for the directory that is named after the program's, and what it
/// is for the other class.
pub fn with_platform_token(path: &Path, class: Class) -> Option<(PathBuf, PathBuf)> {
    let (directory, name) = (path.parent()?, path.file_name()?);
    let above = directory.parent()?;
    (directory.file_name()? == class.platform()).then(|| {
        (
            above.join("$PLATFORM").join(name),
            above.join(class.other().platform()).join(name),
        )
    })
}

/// Whether a file gives capabilities to who runs it.
pub fn has_capabilities(path: &Path) -> bool {
    xattr::get_deref(path, "security.capability").is_ok_and(|value| value.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{fs, io::Cursor};

    #[test]
    fn this_program() {
        let own = std::env::current_exe().unwrap();
        assert_eq!(
            inspect(&own).unwrap(),
            Program::Elf {
                class: Class::OURS,
                dynamic: true
            }
        );
        assert_eq!(
            inspect(Path::new("/nowhere")).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        assert!(inspect(Path::new("/")).is_err());
    }

    #[test]
    fn for_another_machine() {
        let mut program = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(elf(Cursor::new(&program)).is_some());
        // AArch64's number.
        program[18..20].copy_from_slice(&183u16.to_le_bytes());
        assert_eq!(elf(Cursor::new(&program)), None);
    }

    #[test]
    fn scripts_are_followed() {
        let directory = tempfile::tempdir().unwrap();
        let script = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let first = script("first", "#!/bin/sh -e\n");
        assert_eq!(inspect(&first).unwrap(), Program::Script("/bin/sh".into()));
        let second = script("second", &format!("#! {}\n", first.display()));
        let (path, program) = follow_scripts(&second).unwrap();
        assert_eq!(path, Path::new("/bin/sh"));
        assert!(matches!(program, Program::Elf { .. }));
        let own = directory.path().join("loop");
        let own = script("loop", &format!("#!{}\n", own.display()));
        assert!(follow_scripts(&own).is_err());
        assert_eq!(
            inspect(&script("text", "echo hello\n")).unwrap(),
            Program::Unknown
        );
        assert_eq!(inspect(&script("none", "#!\n")).unwrap(), Program::Unknown);
    }

    #[test]
    fn the_loaders_name_for_both() {
        let token = |path: &str, class| with_platform_token(Path::new(path), class);
        assert_eq!(
            token("/usr/lib/rust_shm/i686/a.so", Class::Bits32),
            Some((
                "/usr/lib/rust_shm/$PLATFORM/a.so".into(),
                "/usr/lib/rust_shm/x86_64/a.so".into()
            ))
        );
        assert_eq!(token("/usr/lib/rust_shm/i686/a.so", Class::Bits64), None);
        assert_eq!(token("/a.so", Class::Bits64), None);
    }

    proptest! {
        #[test]
        fn no_file_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..300), elf_like: bool) {
            if elf_like && bytes.len() > 6 {
                bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
            }
            let _ = elf(Cursor::new(bytes));
        }
    }
}
