// SPDX-License-Identifier: MIT

//! Takes numbers from the ring that `producer` puts them into, adds them up, and removes the
//! segment in the end.

mod ring;

use rshm::ring::{Consumer, RingError};
use std::process::ExitCode;

fn main() -> ExitCode {
    match consume() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("consumer: {}", error.with_hint());
            ExitCode::FAILURE
        }
    }
}

fn consume() -> rshm::Result<()> {
    let memory = ring::attach()?;
    let mut consumer = Consumer::<u64>::join(&memory, 0, ring::CAPACITY)?;
    let (mut count, mut sum) = (0_u64, 0_u64);
    loop {
        match consumer.pop() {
            Ok(number) => {
                count += 1;
                sum = sum.wrapping_add(number);
            }
            // The producer has left, and all that it has put in is taken out.
            Err(RingError::Closed) => break,
            Err(error) => return Err(error.into()),
        }
    }
    // It goes when the producer has detached it too.
    memory.segment().remove()?;
    println!("took {count} numbers, sum {sum}");
    Ok(())
}
