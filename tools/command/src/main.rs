// SPDX-License-Identifier: GPL-2.0-only

//! `rshm`: looks after the shared memory segments of the rust_shm module.
//!
//! [`cli`] is what may be typed. Each command has a file; what several need is in [`output`],
//! [`units`], [`names`], [`namespaces`], [`processes`], [`archive`] and [`elf`].

#![forbid(unsafe_code)]

mod archive;
mod change;
mod cli;
mod complete;
mod contents;
mod create;
mod descriptor;
mod doctor;
mod elf;
mod generate;
mod limits;
mod list;
mod metrics;
mod names;
mod namespaces;
mod output;
mod processes;
mod remove;
mod restore;
mod run;
mod save;
mod show;
mod system;
mod top;
mod units;

use clap::{CommandFactory, Parser};
use clap_complete::env::CompleteEnv;
use cli::{Cli, Command};
use output::{complain, Result};
use rshm::Device;
use std::process::ExitCode;

fn main() -> ExitCode {
    CompleteEnv::with_factory(Cli::command)
        .var(complete::VARIABLE)
        .complete();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => match error.render().to_string().strip_prefix("error: ") {
            Some(text) => {
                complain(text.trim_end());
                return ExitCode::from(2);
            }
            // Help, and the version.
            None => error.exit(),
        },
    };
    let color = match cli.color {
        clap::ColorChoice::Auto => anstream::ColorChoice::Auto,
        clap::ColorChoice::Always => anstream::ColorChoice::Always,
        clap::ColorChoice::Never => anstream::ColorChoice::Never,
    };
    color.write_global();
    match execute(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                complain(&failure.message);
            }
            ExitCode::from(failure.status)
        }
    }
}

fn execute(cli: &Cli) -> Result {
    if let Some(number) = cli.namespace {
        namespaces::enter(number)?;
    }
    let device = || Device::open_path(&cli.device);
    match &cli.command {
        Command::Ls(ls) => list::run(device, ls),
        Command::Create(create) => create::run(&device()?, create),
        Command::Rm(rm) => remove::run(device, rm),
        Command::Chmod(chmod) => change::chmod(&device()?, chmod),
        Command::Chown(chown) => change::chown(&device()?, chown),
        Command::Lock(lock) => change::each(&device()?, &lock.ids, |segment| segment.lock()),
        Command::Unlock(unlock) => {
            change::each(&device()?, &unlock.ids, |segment| segment.unlock())
        }
        Command::Run(run) => run::run(&cli.device, run),
        Command::Fd(fd) => descriptor::run(&device()?, fd),
        Command::System(system) => system::run(&device()?, system.switch),
        Command::Cat(part) => contents::cat(&device()?, part),
        Command::Dump(part) => contents::dump(&device()?, part),
        Command::Write(to) => contents::write(&device()?, to),
        Command::Save(save) => save::run(&device()?, save),
        Command::Restore(restore) => restore::run(&device()?, restore),
        Command::Metrics => metrics::run(&device()?),
        Command::Show(show) => show::run(&device()?, show),
        Command::Limits(limits) => limits::run(&device()?, limits),
        Command::Top(top) => top::run(&device()?, top),
        Command::Doctor(doctor) => doctor::run(&cli.device, doctor),
        Command::Completions { shell } => generate::completions(*shell),
        Command::Generate { directory } => generate::write(directory),
    }
}
