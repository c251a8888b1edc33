// SPDX-License-Identifier: MIT

//! What the producer and the consumer agree on: the key, and a ring of numbers in the segment.
//!
//! New memory is zero, and zero is an empty ring with a free mutex: nobody has to set it up.

use bytemuck::{Pod, Zeroable};
use rshm::{
    sync::{Condvar, Guard, Mutex},
    Attachment, Device, Key, Result, Segment,
};

/// Any number but 0. [`Key::from_path`] makes one from a file.
const KEY: Key = Key::new(0x52696e67);
const SIZE: u64 = 4096;

/// Where things are, in bytes.
const MUTEX: usize = 0;
const CHANGED: usize = 4;
const STATE: usize = 8;
const SLOTS: usize = 64;

/// How many numbers the ring has room for.
const ROOM: u64 = 16;

/// How far both are. The mutex guards it.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct State {
    /// How many numbers were put in, ever.
    put: u64,
    /// How many were taken out.
    taken: u64,
    /// Not 0: no more will come.
    closed: u64,
}

/// The ring, as this process has it attached.
pub struct Ring(Attachment);

impl Ring {
    /// Makes it, or finds it: it does not matter who comes first.
    pub fn open() -> Result<Self> {
        let segment = Device::open()?
            .segment(SIZE)
            .key(KEY)
            .mode(0o600)
            .create()?;
        Ok(Self(segment.attach()?))
    }

    /// The segment that it is in.
    pub fn segment(&self) -> &Segment {
        self.0.segment()
    }

    /// Puts a number in, or closes the ring.
    #[allow(dead_code)]
    pub fn put(&self, number: Option<u64>) -> Result<()> {
        let (mut guard, changed) = self.lock()?;
        let mut state = self.state()?;
        while number.is_some() && state.put.wrapping_sub(state.taken) >= ROOM {
            guard = changed.wait(guard);
            state = self.state()?;
        }
        match number {
            Some(number) => {
                self.0.write_at(slot(state.put), number)?;
                state.put = state.put.wrapping_add(1);
            }
            None => state.closed = 1,
        }
        self.0.write_at(STATE, state)?;
        drop(guard);
        changed.notify_all();
        Ok(())
    }

    /// Takes a number out; `None` once it is closed and empty.
    #[allow(dead_code)]
    pub fn take(&self) -> Result<Option<u64>> {
        let (mut guard, changed) = self.lock()?;
        let mut state = self.state()?;
        while state.put == state.taken && state.closed == 0 {
            guard = changed.wait(guard);
            state = self.state()?;
        }
        if state.put == state.taken {
            return Ok(None);
        }
        let number = self.0.read_at(slot(state.taken))?;
        state.taken = state.taken.wrapping_add(1);
        self.0.write_at(STATE, state)?;
        drop(guard);
        changed.notify_all();
        Ok(Some(number))
    }

    fn lock(&self) -> Result<(Guard<'_>, Condvar<'_>)> {
        Ok((
            Mutex::at(&self.0, MUTEX)?.lock(),
            Condvar::at(&self.0, CHANGED)?,
        ))
    }

    fn state(&self) -> Result<State> {
        self.0.read_at(STATE)
    }
}

fn slot(count: u64) -> usize {
    SLOTS + (count % ROOM) as usize * size_of::<u64>()
}
