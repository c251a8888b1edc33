// SPDX-License-Identifier: MIT

//! Takes numbers from the ring that `producer` puts them into, adds them up, and removes the
//! segment in the end.

mod ring;

use std::process::ExitCode;

fn main() -> ExitCode {
    match consume() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("consumer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn consume() -> rshm::Result<()> {
    let ring = ring::Ring::open()?;
    let (mut count, mut sum) = (0_u64, 0_u64);
    while let Some(number) = ring.take()? {
        count += 1;
        sum = sum.wrapping_add(number);
    }
    // It goes when the producer has detached it too.
    ring.segment().remove()?;
    println!("took {count} numbers, sum {sum}");
    Ok(())
}
