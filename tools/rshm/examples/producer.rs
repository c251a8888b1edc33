// SPDX-License-Identifier: MIT

//! Puts the numbers from 1 to COUNT (default 1000) into a ring that `consumer` takes them from.
//!
//! ```text
//! cargo run --example consumer & cargo run --example producer
//! ```

mod ring;

use rshm::ring::Producer;
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
            eprintln!("producer: {}", error.with_hint());
            ExitCode::FAILURE
        }
    }
}

fn produce(count: u64) -> rshm::Result<()> {
    let memory = ring::attach()?;
    let mut producer = Producer::join(&memory, 0, ring::CAPACITY)?;
    for number in 1..=count {
        producer.push(number)?;
    }
    println!("put {count} numbers into segment {}", memory.segment().id());
    Ok(())
}
