// SPDX-License-Identifier: MIT

//! A producer hands a segment to a consumer that is shut in: of another user namespace and IPC
//! namespace, without a file system, and with nothing but what it was given. It starts itself again as
//! the consumer, by `unshare(1)` or what it is told:
//!
//! ```text
//! cargo run --example sandbox [-- COMMAND [ARGUMENT...]]
//! cargo run --example sandbox -- bwrap --unshare-all --ro-bind / /
//! ```
//!
//! The segment's descriptor is the consumer's standard input, for reading only.

use rshm::{Device, Segment};
use std::{
    env,
    error::Error,
    io,
    os::fd::AsFd,
    process::{Command, ExitCode},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// At which offset the text is; at 0 is its length, or 0 as long as there is none.
const TEXT: usize = 8;

fn main() -> ExitCode {
    let result = match env::var_os("RSHM_SANDBOX") {
        Some(_) => consume(),
        None => produce(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandbox: {error}");
            ExitCode::FAILURE
        }
    }
}

fn produce() -> Result<(), Box<dyn Error>> {
    let segment = Device::open()?.segment(4096).mode(0o600).create()?;
    // Nobody finds it any more. It goes when the last attach and descriptor of it does.
    let memory = segment.attach()?;
    segment.remove()?;
    let descriptor = segment.into_fd_read_only()?;
    let mut arguments: Vec<_> = env::args_os().skip(1).collect();
    if arguments.is_empty() {
        arguments = ["unshare", "--user", "--ipc", "--net"]
            .map(Into::into)
            .to_vec();
    }
    let mut consumer = Command::new(&arguments[0])
        .args(&arguments[1..])
        .arg(env::current_exe()?)
        .env("RSHM_SANDBOX", "1")
        .stdin(descriptor.as_fd().try_clone_to_owned()?)
        .spawn()?;
    let text = b"a text by shared memory";
    memory.write_slice_at(TEXT, text)?;
    let length = memory.atomic::<AtomicU32>(0)?;
    length.store(text.len() as u32, Ordering::Release);
    drop(memory);
    if !consumer.wait()?.success() {
        return Err("the consumer has failed".into());
    }
    // Its attach has gone with it.
    if !descriptor.wait_until(false, Some(Duration::from_secs(5)))? {
        return Err("somebody still has the segment attached".into());
    }
    println!(
        "producer: the consumer has read segment {} and is gone",
        descriptor.id()?
    );
    Ok(())
}

fn consume() -> Result<(), Box<dyn Error>> {
    let memory = Segment::from_fd_read_only(io::stdin().as_fd().try_clone_to_owned()?)?.map()?;
    let length = loop {
        match memory.read_at::<u32>(0)? as usize {
            0 => std::thread::yield_now(),
            length => break length,
        }
    };
    let text = memory.read_vec_at::<u8>(TEXT, length)?;
    println!("consumer: {}", String::from_utf8_lossy(&text));
    Ok(())
}
