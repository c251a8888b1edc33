// SPDX-License-Identifier: MIT

//! Puts the numbers from 1 to COUNT (default 1000) into a ring that `consumer` takes them from.
//!
//! ```text
//! cargo run --example consumer & cargo run --example producer
//! ```

mod ring;

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let count = match env::args().nth(1).map_or(Ok(1000), |text| text.parse()) {
        Ok(count) => count,
        Err(error) => {
            eprintln!("producer: how many? {error}");
            return ExitCode::from(2);
        }
    };
    match produce(count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("producer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn produce(count: u64) -> rshm::Result<()> {
    let ring = ring::Ring::open()?;
    for number in 1..=count {
        ring.put(Some(number))?;
    }
    ring.put(None)?;
    println!("put {count} numbers into segment {}", ring.segment().id());
    Ok(())
}
