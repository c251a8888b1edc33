// SPDX-License-Identifier: MIT OR Apache-2.0

//! What memory may hold that others write to.

#[cfg(doc)]
use crate::Atomic;

/// A type that references to shared memory may have: atomics, and structures and arrays of them.
///
/// [`Memory::view`](crate::Memory::view) gives a reference to one. The types of [`sync`](crate::sync)
/// are `Shared` too, so a structure can have its lock beside its data:
///
/// ```
/// use rshm::{sync::Mutex, Anonymous, Shared};
/// use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
///
/// #[derive(Shared)]
/// #[repr(C)]
/// struct Table {
///     lock: Mutex,
///     hits: AtomicU64,
///     // Without this there would be padding, where the structure ends.
///     misses: [AtomicU32; 2],
/// }
///
/// # fn main() -> rshm::Result<()> {
/// let memory = Anonymous::new(4096)?;
/// let table: &Table = memory.view(64)?;
/// let _guard = table.lock.lock()?;
/// table.hits.fetch_add(1, Ordering::Relaxed);
/// assert_eq!(memory.read_at::<u64>(64 + Mutex::SIZE)?, 1);
/// # Ok(())
/// # }
/// ```
///
/// # Deriving it
///
/// `#[derive(Shared)]` is for structures with `#[repr(C)]`, without parameters, whose fields are all
/// `Shared`. What would not be sound does not compile:
///
/// ```compile_fail
/// # use rshm::Shared;
/// #[derive(Shared)]
/// struct NoLayout(std::sync::atomic::AtomicU32); // without #[repr(C)]
/// ```
///
/// ```compile_fail
/// # use rshm::Shared;
/// #[derive(Shared)]
/// #[repr(C)]
/// struct NoAtomic(u32); // the compiler would believe that nobody changes it
/// ```
///
/// ```compile_fail
/// # use rshm::Shared;
/// #[derive(Shared)]
/// #[repr(C)]
/// struct NoInteger(std::sync::atomic::AtomicBool); // others may write a 2
/// ```
///
/// ```compile_fail
/// # use rshm::Shared;
/// # use std::sync::atomic::{AtomicU32, AtomicU64};
/// #[derive(Shared)]
/// #[repr(C)]
/// struct Padding(AtomicU32, AtomicU64); // four bytes between them that are no field's
/// ```
///
/// # Why another trait
///
/// `bytemuck` has none for atomics. `zerocopy`'s `FromBytes` has atomics, but plain integers too,
/// which must not change under a reference. And this one tells where the atomics are: each place of
/// a mapping has one width.
///
/// # Safety
///
/// All its bytes are atomics of one of the ten types of [`Atomic`], none is padding, and
/// [`places`](Shared::places) calls back for each of these atomics.
pub unsafe trait Shared: Sync + Sized {
    /// For `count` values one after the other, the first at offset `at`, tells where there are
    /// atomics: offset and width in bytes, and how many.
    #[doc(hidden)]
    fn places(at: usize, count: usize, place: &mut dyn FnMut(usize, usize, usize));
}

// SAFETY: Elements of an array are one after the other, without padding.
unsafe impl<T: Shared, const N: usize> Shared for [T; N] {
    fn places(at: usize, count: usize, place: &mut dyn FnMut(usize, usize, usize)) {
        T::places(at, N * count, place);
    }
}
