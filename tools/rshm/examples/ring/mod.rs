// SPDX-License-Identifier: MIT

//! What the producer and the consumer agree on: the key, and the ring in the segment.

use rshm::{ring, Attachment, Device, Key, Result};

/// Any number but 0. [`Key::from_path`] makes one from a file.
const KEY: Key = Key::new(0x52696e67);

/// How many numbers the ring has room for.
pub const CAPACITY: u32 = 16;

/// Makes the segment, or finds it: it does not matter who comes first. New memory is an empty ring.
pub fn attach() -> Result<Attachment> {
    let segment = Device::open()?
        .segment(ring::size::<u64>(CAPACITY) as u64)
        .key(KEY)
        .mode(0o600)
        .create()?;
    segment.attach()
}
