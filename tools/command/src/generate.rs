// SPDX-License-Identifier: GPL-2.0-only

//! `rshm completions`, and for packagers `rshm generate`: both of what [`Cli`] is.

use crate::{
    cli::{Cli, ENVIRONMENT, EXAMPLES, EXIT_STATUS, FILES},
    complete::VARIABLE,
    output::{stdout, Failure, Result},
};
use clap::CommandFactory;
use clap_complete::{env::Shells, Shell};
use std::{
    fs,
    io::{self, Write},
    path::Path,
};

pub fn completions(shell: Shell) -> Result {
    let mut out = stdout();
    out.write_all(&script(shell)?)?;
    Ok(out.flush()?)
}

/// What makes the shell ask rshm.
fn script(shell: Shell) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if let Some(completer) = Shells::builtins().completer(&shell.to_string()) {
        completer.write_registration(VARIABLE, "rshm", "rshm", "rshm", &mut text)?;
    }
    if shell == Shell::Zsh {
        // The file is the function: the first time, it has to complete too.
        text.extend(b"[ \"$funcstack[1]\" != _rshm ] || _clap_dynamic_completer_rshm \"$@\"\n");
    }
    Ok(text)
}

/// Writes `man1/*.1`, and for each shell the file that it looks for.
pub fn write(directory: &Path) -> Result {
    let wrong = |error: io::Error| {
        Failure::failed(format_args!(
            "cannot write to {}: {error}",
            directory.display()
        ))
    };
    let man = directory.join("man1");
    fs::create_dir_all(&man).map_err(wrong)?;
    let command = Cli::command()
        .after_help(None::<&str>)
        .after_long_help(None::<&str>);
    clap_mangen::generate_to(command, &man).map_err(wrong)?;
    for entry in fs::read_dir(&man).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let mut page = fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(wrong)?;
        page.write_all(sections(&name).as_bytes()).map_err(wrong)?;
    }

    for (shell, place) in [
        (Shell::Bash, "bash-completion/completions/rshm"),
        (Shell::Zsh, "zsh/site-functions/_rshm"),
        (Shell::Fish, "fish/vendor_completions.d/rshm.fish"),
    ] {
        let text = script(shell).map_err(wrong)?;
        let file = directory.join(place);
        fs::create_dir_all(file.parent().unwrap_or(directory)).map_err(wrong)?;
        fs::write(file, text).map_err(wrong)?;
    }
    Ok(())
}

/// A section of a man page.
fn section(heading: &str, items: impl IntoIterator<Item = (&'static str, &'static str)>) -> String {
    items
        .into_iter()
        .fold(format!(".SH {heading}\n"), |text, (name, meaning)| {
            text + &format!(".TP\n.B {}\n{meaning}\n", name.replace('-', "\\-"))
        })
}

/// What the page `rshm` or `rshm-COMMAND` has besides what clap makes of the command.
fn sections(page: &str) -> String {
    let of = |command: &str| page == "rshm" || page.strip_prefix("rshm-") == Some(command);
    let examples = EXAMPLES
        .iter()
        .filter(|(command, ..)| of(command))
        .map(|&(_, example, meaning)| (example, meaning));
    if page == "rshm" {
        exit_status()
            + &section("ENVIRONMENT", ENVIRONMENT)
            + &section("FILES", FILES)
            + &section("EXAMPLES", examples)
            + ".SH \"SEE ALSO\"\n.BR sysvipc (7),\n.BR shmget (2),\n.BR ipcs (1),\n.BR ld.so (8),\n.BR rust_shm (4)\n"
    } else {
        section("EXAMPLES", examples) + ".SH \"SEE ALSO\"\n.BR rshm (1)\n"
    }
}

fn exit_status() -> String {
    let mut text = String::from(".SH \"EXIT STATUS\"\n");
    for line in EXIT_STATUS.lines().skip(1) {
        match line
            .trim()
            .split_once("  ")
            .filter(|_| line.starts_with("  "))
        {
            Some((status, meaning)) => text += &format!(".TP\n{status}\n{}\n", meaning.trim()),
            None => text += &format!(".PP\n{}\n", line.trim()),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_written() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path()).unwrap();
        let read = |file: &str| fs::read_to_string(directory.path().join(file)).unwrap();
        let page = read("man1/rshm.1");
        for text in [
            ".SH NAME",
            ".SH ENVIRONMENT",
            ".SH FILES",
            "EXIT STATUS",
            "SEE ALSO",
            "rshm\\-run(1)",
        ] {
            assert!(page.contains(text), "{text}");
        }
        // Each page of a command has an example, and each example is right.
        for command in Cli::command().get_subcommands() {
            if command.is_hide_set() {
                continue;
            }
            let page = read(&format!("man1/rshm-{}.1", command.get_name()));
            assert!(page.contains(".SH EXAMPLES\n.TP\n.B rshm "), "{page}");
        }
        for (command, example, _) in EXAMPLES {
            // But for what is the shell's.
            let words = example
                .split(' ')
                .take_while(|word| !word.starts_with(['<', '>', '|']));
            let matches = Cli::command().try_get_matches_from(words).unwrap();
            assert_eq!(matches.subcommand_name(), Some(command));
        }
        assert!(read("man1/rshm-ls.1").contains("\\-\\-output"));
        assert!(
            !directory.path().join("man1/rshm-generate.1").exists(),
            "it is hidden"
        );
        assert!(read("bash-completion/completions/rshm").contains("RSHM_COMPLETE=\"bash\""));
        assert!(read("zsh/site-functions/_rshm").starts_with("#compdef rshm"));
        assert!(read("fish/vendor_completions.d/rshm.fish").contains("--command rshm"));
    }

    #[test]
    fn options_make_sense() {
        Cli::command().debug_assert();
        // -b is one thing.
        for command in Cli::command().get_subcommands() {
            for option in command.get_arguments() {
                if option.get_short() == Some('b') {
                    assert_eq!(option.get_long(), Some("bytes"), "{}", command.get_name());
                }
            }
        }
    }
}
