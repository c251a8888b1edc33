// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory that other processes write to at any time.

use super::{robust, shared::Shared};
use crate::{widths::Widths, Call, Error, Result, Target};
use bytemuck::{AnyBitPattern, NoUninit};
use rustix::param::page_size;
use std::{
    arch::asm,
    fmt, io,
    marker::PhantomData,
    mem::{align_of, size_of, MaybeUninit},
    ops::Deref,
    ptr::{self, NonNull},
    sync::{atomic, Mutex, PoisonError},
};

// Copies are made by its instructions; and in a 32-bit program a mapping may be larger than any
// object of Rust's.
#[cfg(not(all(
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_pointer_width = "64",
    target_endian = "little"
)))]
compile_error!("this crate is for 64-bit programs on x86-64 and arm64");

mod sealed {
    pub trait Sealed {}
}

/// What may be done with memory: [`ReadOnly`] or [`ReadWrite`].
pub trait Access: sealed::Sealed {
    #[doc(hidden)]
    const WRITES: bool;
}

/// Memory that is mapped for reading only.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_enums)] // It has no values.
pub enum ReadOnly {}

/// Memory that is mapped for reading and writing.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_enums)] // As above.
pub enum ReadWrite {}

impl sealed::Sealed for ReadOnly {}
impl sealed::Sealed for ReadWrite {}
impl Access for ReadOnly {
    const WRITES: bool = false;
}
impl Access for ReadWrite {
    const WRITES: bool = true;
}

/// The integers of [`std::sync::atomic`].
///
/// Not `AtomicBool` and `AtomicPtr`: what another process has written may be no `bool`, and is no
/// pointer.
///
/// # Safety
///
/// Any bytes are a value of the type, and it is sound that they are changed at any time.
pub unsafe trait Atomic: sealed::Sealed + Shared {}

macro_rules! atomics {
    ($($name:ident)*) => {$(
        impl sealed::Sealed for atomic::$name {}
        // SAFETY: It is an integer that may be changed at any time.
        unsafe impl Atomic for atomic::$name {}
        // SAFETY: It is one such atomic.
        unsafe impl Shared for atomic::$name {
            fn places(at: usize, count: usize, place: &mut dyn FnMut(usize, usize, usize)) {
                place(at, size_of::<Self>(), count);
            }
        }
    )*};
}

atomics!(AtomicU8 AtomicU16 AtomicU32 AtomicU64 AtomicUsize AtomicI8 AtomicI16 AtomicI32 AtomicI64 AtomicIsize);

/// Memory that other processes write to at any time: an attached segment, or [`Anonymous`].
///
/// Offsets are in bytes from the start. What goes beyond the end is
/// [`Error::OutOfRange`]; see the [crate's documentation](crate) for why there are copies and
/// atomics, but no slices.
///
/// The length is a whole number of pages, so it may be more than the segment's size.
///
/// # Invariants
///
/// `length` bytes at `start` are mapped, at least for reading, and for writing if `A` is
/// [`ReadWrite`], for as long as this lives. No Rust object is there, but those that the functions
/// here give references to. If there are any bytes, `start` is the start of a page.
///
/// Wherever a reference to something [`Shared`] was given to, `widths` has its atomics.
pub struct Memory<A: Access> {
    start: NonNull<u8>,
    length: usize,
    widths: Mutex<Widths>,
    access: PhantomData<A>,
}

// SAFETY: The memory belongs to the process, not to a thread, and is used only in ways that allow
// for others who use it at the same time.
unsafe impl<A: Access> Send for Memory<A> {}
// SAFETY: As above.
unsafe impl<A: Access> Sync for Memory<A> {}

impl<A: Access> Memory<A> {
    /// # Safety
    ///
    /// As the invariants of the type have it.
    pub(super) unsafe fn new(start: NonNull<u8>, length: usize) -> Self {
        // INVARIANT: By this function's requirement.
        Self {
            start,
            length,
            widths: Mutex::default(),
            access: PhantomData,
        }
    }

    /// Memory of no bytes.
    pub(super) fn empty() -> Self {
        // INVARIANT: There are no bytes.
        Self {
            start: NonNull::dangling(),
            length: 0,
            widths: Mutex::default(),
            access: PhantomData,
        }
    }

    /// Whether a [`Mutex`](crate::sync::Mutex) in here is locked by this process. Who detaches has
    /// the memory for himself, so that is one whose guard was forgotten.
    pub(super) fn is_locked(&self) -> bool {
        let start = self.start.as_ptr() as usize;
        robust::has_any(start..start + self.length)
    }

    /// How much is mapped, in bytes: a whole number of pages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing is mapped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Where it is mapped.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    /// Where `count` values of type `T` are, if they are within the memory.
    pub(super) fn place<T>(&self, offset: usize, count: usize) -> Result<*mut T> {
        let size = size_of::<T>().saturating_mul(count);
        if offset > self.length || size > self.length - offset {
            return Err(Error::OutOfRange {
                offset,
                size,
                length: self.length,
            });
        }
        // SAFETY: By the type invariant, and as just checked, this is within what is mapped.
        Ok(unsafe { self.start.as_ptr().add(offset) }.cast())
    }

    /// As [`place`](Self::place), for references.
    fn aligned_place<T>(&self, offset: usize, count: usize) -> Result<*mut T> {
        let place: *mut T = self.place(offset, count)?;
        if !place.is_aligned() {
            return Err(Error::Misaligned {
                offset,
                align: align_of::<T>(),
            });
        }
        Ok(place)
    }

    /// Copies a value out.
    ///
    /// If it has 1, 2, 4 or 8 bytes, and the offset is a multiple of that, it is read in one piece,
    /// and what is read later is not older than it. Otherwise it is put together of bytes that may
    /// have been written at different moments.
    ///
    /// ```
    /// # let memory = rshm::Anonymous::new(4096)?;
    /// memory.write_at(8, 0x1234_u16)?;
    /// assert_eq!(memory.read_at::<[u8; 2]>(8)?, [0x34, 0x12]);
    /// assert!(memory.read_at::<u64>(4089).is_err());
    /// # Ok::<(), rshm::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`].
    pub fn read_at<T: AnyBitPattern>(&self, offset: usize) -> Result<T> {
        let from = self.place::<T>(offset, 1)?;
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: `place()` has checked the source; the target is a local variable of that size.
        unsafe {
            copy(
                from.cast(),
                value.as_mut_ptr().cast(),
                size_of::<T>(),
                from.cast(),
            )
        };
        // SAFETY: All its bytes were written, and any bytes are a `T`.
        Ok(unsafe { value.assume_init() })
    }

    /// Copies values out, into `to`. No more than each byte is read in one piece.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`].
    pub fn read_slice_at<T: AnyBitPattern + NoUninit>(
        &self,
        offset: usize,
        to: &mut [T],
    ) -> Result<()> {
        let from = self.place::<T>(offset, to.len())?;
        // SAFETY: `place()` has checked the source; the target is as large, any bytes are values of
        // `T`, and `to` is borrowed, so it is no part of this memory.
        unsafe { copy_bytes(from.cast(), to.as_mut_ptr().cast(), size_of_val(to)) };
        Ok(())
    }

    /// Copies values out. No more than each byte is read in one piece.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`].
    pub fn read_vec_at<T: AnyBitPattern>(&self, offset: usize, count: usize) -> Result<Vec<T>> {
        let from = self.place::<T>(offset, count)?;
        let mut values = Vec::<T>::with_capacity(count);
        // SAFETY: `place()` has checked the source; the vector has room for as much, and any bytes
        // are values of `T`.
        unsafe {
            copy_bytes(
                from.cast(),
                values.as_mut_ptr().cast(),
                size_of::<T>() * count,
            );
            values.set_len(count);
        }
        Ok(values)
    }

    /// The values themselves, for those who know that they are left alone.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`], [`Error::Misaligned`].
    ///
    /// # Safety
    ///
    /// While the slice is used nobody writes to it: no other process that has the segment
    /// attached, nor this one by any way.
    pub unsafe fn as_slice<T: AnyBitPattern>(&self, offset: usize, count: usize) -> Result<&[T]> {
        let place = self.aligned_place::<T>(offset, count)?;
        // SAFETY: They are mapped, and aligned, and any bytes are values of `T`; by this
        // function's requirement nobody changes them. The slice does not outlive the mapping.
        Ok(unsafe { std::slice::from_raw_parts(place, count) })
    }
}

impl Memory<ReadWrite> {
    /// Where it is mapped. Whoever writes there has to think of all others who do.
    #[must_use]
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Copies a value in.
    ///
    /// If it has 1, 2, 4 or 8 bytes, and the offset is a multiple of that, it is written in one
    /// piece, and whoever reads it finds what was written before too. Otherwise others may see some
    /// of its bytes earlier than others.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`].
    pub fn write_at<T: NoUninit>(&self, offset: usize, value: T) -> Result<()> {
        let to = self.place::<T>(offset, 1)?;
        // SAFETY: `place()` has checked the target, which by the type invariant may be written to;
        // the source is a local variable of that size, which has no padding.
        unsafe {
            copy(
                (&raw const value).cast(),
                to.cast(),
                size_of::<T>(),
                to.cast(),
            )
        };
        Ok(())
    }

    /// Copies values in. No more than each byte is written in one piece.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`].
    pub fn write_slice_at<T: NoUninit>(&self, offset: usize, values: &[T]) -> Result<()> {
        let to = self.place::<T>(offset, values.len())?;
        // SAFETY: As in `write_at()`. `values` is borrowed, so it is no part of this memory; if it
        // is, by `as_slice()`, its caller has promised that this is not called.
        unsafe { copy_bytes(values.as_ptr().cast(), to.cast(), size_of_val(values)) };
        Ok(())
    }

    /// Sets bytes to a value.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`].
    pub fn fill(&self, offset: usize, size: usize, byte: u8) -> Result<()> {
        let to = self.place::<u8>(offset, size)?;
        // SAFETY: `place()` has checked the target, which by the type invariant may be written to.
        unsafe { fill_bytes(to, size, byte) };
        Ok(())
    }

    /// Integers that this process and others may change at the same time.
    ///
    /// Once a place has been given out here it keeps its width as long as the mapping lives:
    /// integers of another width that overlap it are [`Error::MixedWidths`]. The same ones again, or
    /// others of that width, signed or not, are fine. Only this mapping is looked at.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, AtomicU8, Ordering};
    ///
    /// # let memory = rshm::Anonymous::new(4096)?;
    /// let [first, second] = memory.atomics::<AtomicU64>(0, 2)? else { unreachable!() };
    /// first.store(7, Ordering::Relaxed);
    /// second.store(1, Ordering::Release);
    /// assert!(memory.atomics::<AtomicU64>(4, 1).is_err(), "not aligned");
    /// assert!(memory.atomics::<AtomicU8>(15, 1).is_err(), "a part of the second");
    /// # Ok::<(), rshm::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`], [`Error::Misaligned`], [`Error::MixedWidths`].
    pub fn atomics<T: Atomic>(&self, offset: usize, count: usize) -> Result<&[T]> {
        self.views(offset, count)
    }

    /// One such integer, by the same rules.
    ///
    /// # Errors
    ///
    /// As [`atomics`](Memory::atomics).
    pub fn atomic<T: Atomic>(&self, offset: usize) -> Result<&T> {
        self.view(offset)
    }

    /// A structure of atomics that this process and others may change at the same time, or a mutex
    /// and its like: see [`Shared`].
    ///
    /// The rule about widths is that of [`atomics`](Memory::atomics).
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`], [`Error::Misaligned`], [`Error::MixedWidths`].
    pub fn view<T: Shared>(&self, offset: usize) -> Result<&T> {
        Ok(&self.views(offset, 1)?[0])
    }

    /// As [`view`](Memory::view), of `count` values one after the other.
    ///
    /// # Errors
    ///
    /// As [`view`](Memory::view).
    pub fn views<T: Shared>(&self, offset: usize, count: usize) -> Result<&[T]> {
        let place = self.aligned_place::<T>(offset, count)?;
        self.claim::<T>(offset, count)?;
        // SAFETY: They are mapped for writing, and aligned, and any bytes are values of `T`, which
        // may change at any time. The slice does not outlive the mapping. As just noted, no atomics
        // of another width overlap theirs. What else the functions here do with the memory is
        // explained at `copy_bytes()`.
        Ok(unsafe { std::slice::from_raw_parts(place, count) })
    }

    /// Notes the widths of all atomics of such values, or of none.
    fn claim<T: Shared>(&self, offset: usize, count: usize) -> Result<()> {
        let mut widths = self.widths.lock().unwrap_or_else(PoisonError::into_inner);
        let mut result = Ok(());
        T::places(offset, count, &mut |at, width, count| {
            if result.is_ok() {
                result = widths.check(at, width, count);
            }
        });
        result?;
        T::places(offset, count, &mut |at, width, count| {
            widths.add(at, width, count)
        });
        Ok(())
    }

    /// The values themselves, for those who know that nobody else uses them.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`], [`Error::Misaligned`].
    ///
    /// # Safety
    ///
    /// While the slice is used nobody reads or writes it: no other process that has the segment
    /// attached, nor this one by any other way.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn as_mut_slice<T: AnyBitPattern + NoUninit>(
        &self,
        offset: usize,
        count: usize,
    ) -> Result<&mut [T]> {
        let place = self.aligned_place::<T>(offset, count)?;
        // SAFETY: They are mapped for writing, and aligned, and any bytes are values of `T`; by
        // this function's requirement nobody else uses them. The slice does not outlive the
        // mapping.
        Ok(unsafe { std::slice::from_raw_parts_mut(place, count) })
    }

    /// Brings the pages of a range into memory, so that no later touch can fail for want of it.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`]; `ENOMEM` or `EFAULT` if there is not as much memory.
    pub fn populate(&self, offset: usize, size: usize) -> Result<()> {
        let place = self.place::<u8>(offset, size)?;
        let before = offset % page_size();
        // SAFETY: This is within the mapping too, which by the type invariant begins with a page.
        let start = unsafe { place.sub(before) };
        // SAFETY: This only makes pages present, and changes no byte.
        let result =
            unsafe { libc::madvise(start.cast(), size + before, libc::MADV_POPULATE_WRITE) };
        if result < 0 {
            return Err(Error::new(
                Call::Populate,
                Target::Memory,
                &io::Error::last_os_error(),
            ));
        }
        Ok(())
    }
}

impl<A: Access> Memory<A> {
    /// From now on, a touch by this mapping brings in one page, where it would bring in a large folio of
    /// several: what is beside it stays a hole.
    ///
    /// # Errors
    ///
    /// Those of `madvise(2)`: `EINVAL` on a kernel without large folios.
    pub fn prefer_small_pages(&self) -> Result<()> {
        // SAFETY: This changes no byte. By the type invariant as much is mapped.
        let result = unsafe {
            libc::madvise(
                self.start.as_ptr().cast(),
                self.length,
                libc::MADV_NOHUGEPAGE,
            )
        };
        match io::Error::last_os_error() {
            // A kernel without large folios.
            error if result < 0 && error.raw_os_error() != Some(libc::EINVAL) => {
                Err(Error::new(Call::Advise, Target::Memory, &error))
            }
            _ => Ok(()),
        }
    }
}

impl<A: Access> fmt::Debug for Memory<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at {:p}", self.length, self.start)
    }
}

/// Shared memory that no device is needed for, and that only this process and the children it
/// forks have: for tests.
pub struct Anonymous(Memory<ReadWrite>);

impl Anonymous {
    /// Maps as many bytes, rounded up to whole pages. They are zero.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is not as much memory, or address space.
    pub fn new(size: usize) -> Result<Self> {
        let failed = |errno| Error::refused(Call::Map, Target::Memory, errno);
        let size = size
            .checked_next_multiple_of(page_size())
            .ok_or(failed(libc::ENOMEM))?;
        // SAFETY: This maps new memory, where nothing is mapped.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(Error::new(
                Call::Map,
                Target::Memory,
                &io::Error::last_os_error(),
            ));
        }
        let start = NonNull::new(start.cast()).ok_or(failed(libc::ENOMEM))?;
        // SAFETY: It was just mapped, in whole pages, and is ours until we are dropped.
        Ok(Self(unsafe { Memory::new(start, size) }))
    }
}

impl Deref for Anonymous {
    type Target = Memory<ReadWrite>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for Anonymous {
    fn drop(&mut self) {
        if self.is_locked() {
            return;
        }
        // SAFETY: We have mapped this, and nothing refers to it any more.
        unsafe { libc::munmap(self.as_mut_ptr().cast(), self.len()) };
    }
}

impl fmt::Debug for Anonymous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Anonymous({:?})", self.0)
    }
}

/// Copies a value: in one piece if it is of such a size, and `shared` is aligned, which is the one of
/// both places that others write to. Whether the other one is does not matter to the instructions,
/// nor does anybody see how it is accessed.
///
/// # Safety
///
/// As [`copy_bytes`].
unsafe fn copy(from: *const u8, to: *mut u8, size: usize, shared: *const u8) {
    macro_rules! one_piece {
        ($class:ident, $of:literal, $load:literal, $store:literal, $type:ty) => {{
            let value: $type;
            // SAFETY: By this function's requirement. As explained at `copy_bytes()`.
            unsafe {
                #[cfg(target_arch = "x86_64")]
                asm!(concat!("mov {value", $of, "}, [{from}]"), from = in(reg) from, value = lateout($class) value,
                    options(nostack, preserves_flags));
                #[cfg(target_arch = "x86_64")]
                asm!(concat!("mov [{to}], {value", $of, "}"), to = in(reg) to, value = in($class) value,
                    options(nostack, preserves_flags));
                #[cfg(target_arch = "aarch64")]
                asm!(concat!($load, ", [{from}]"), from = in(reg) from, value = lateout(reg) value,
                    options(nostack, preserves_flags));
                #[cfg(target_arch = "aarch64")]
                asm!(concat!($store, ", [{to}]"), to = in(reg) to, value = in(reg) value,
                    options(nostack, preserves_flags));
            }
        }};
    }

    let aligned = shared as usize % size.max(1) == 0;
    match size {
        1 => one_piece!(reg_byte, "", "ldrb {value:w}", "strb {value:w}", u8),
        2 if aligned => one_piece!(reg, ":x", "ldrh {value:w}", "strh {value:w}", u16),
        4 if aligned => one_piece!(reg, ":e", "ldr {value:w}", "str {value:w}", u32),
        8 if aligned => one_piece!(reg, ":r", "ldr {value}", "str {value}", u64),
        // SAFETY: By this function's requirement.
        _ => unsafe { copy_bytes(from, to, size) },
    }
}

/// Copies bytes, one of which is memory that others write to meanwhile.
///
/// For the compiler the instructions are something that it knows nothing of: it may not assume that
/// the bytes are the same a moment later. They only have to do nothing that Rust code could not do.
/// Here is that code, for the side that is shared: each integer which has some of the bytes is read
/// by a relaxed load; or is changed by a relaxed compare-and-swap of all of it, which leaves its
/// other bytes as they are. Its width is that of the [`Atomic`]s which `widths` has for the place, or
/// ever will have; where it never has any, a byte. So all accesses to a place by this mapping are
/// atomic, and of one width: that is no data race.
///
/// The instructions do what that code might do, by three rules of x86 and arm64. A store changes no byte
/// but its own, and they are seen by whoever loads them, however wide either is. No load finds bytes that
/// were not written. And an atomic instruction, or a pair of exclusive ones, writes nothing back over a
/// byte that was stored meanwhile: the store is before it or after it. That an aligned value is one piece
/// is a promise of the processors too, and not of the language.
///
/// Through another mapping, of another process or another attach of the segment in this one, the
/// bytes are at other addresses. Rust's memory model, which goes by address, has nothing to say
/// of these: to it they change as a device's do, and what comes of it is by the processor's rules alone.
///
/// # Safety
///
/// `size` bytes at `from` are mapped for reading, and at `to` for writing, and they do not overlap.
/// Whichever is not memory of a [`Memory`] is used by nobody else meanwhile.
unsafe fn copy_bytes(from: *const u8, to: *mut u8, size: usize) {
    // SAFETY: By this function's requirement. The direction flag of x86 is clear, as the ABI has it.
    unsafe {
        #[cfg(target_arch = "aarch64")]
        asm!(
            "2: subs {size}, {size}, #8",
            "b.lo 3f",
            "ldr {word}, [{from}], #8",
            "str {word}, [{to}], #8",
            "b 2b",
            "3: add {size}, {size}, #8",
            "4: cbz {size}, 5f",
            "ldrb {word:w}, [{from}], #1",
            "strb {word:w}, [{to}], #1",
            "sub {size}, {size}, #1",
            "b 4b",
            "5:",
            size = inout(reg) size => _, from = inout(reg) from => _, to = inout(reg) to => _, word = out(reg) _,
            options(nostack)
        );
        #[cfg(target_arch = "x86_64")]
        asm!("rep movsb", inout("rcx") size => _, inout("rsi") from => _, inout("rdi") to => _,
            options(nostack, preserves_flags));
    }
}

/// Sets bytes, as [`copy_bytes`].
///
/// # Safety
///
/// `size` bytes at `to` are mapped for writing.
unsafe fn fill_bytes(to: *mut u8, size: usize, byte: u8) {
    // SAFETY: By this function's requirement. The direction flag of x86 is clear, as the ABI has it.
    unsafe {
        #[cfg(target_arch = "aarch64")]
        asm!(
            "2: subs {size}, {size}, #8",
            "b.lo 3f",
            "str {word}, [{to}], #8",
            "b 2b",
            "3: add {size}, {size}, #8",
            "4: cbz {size}, 5f",
            "strb {word:w}, [{to}], #1",
            "sub {size}, {size}, #1",
            "b 4b",
            "5:",
            size = inout(reg) size => _, to = inout(reg) to => _, word = in(reg) u64::from_ne_bytes([byte; 8]),
            options(nostack)
        );
        #[cfg(target_arch = "x86_64")]
        asm!("rep stosb", inout("rcx") size => _, inout("rdi") to => _, in("al") byte, options(nostack, preserves_flags));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicI16, AtomicU16, AtomicU32, AtomicU64, AtomicU8, Ordering};

    const PAGE: usize = 4096;

    #[test]
    fn new_memory_is_zero_and_whole_pages() {
        let memory = Anonymous::new(1).unwrap();
        assert_eq!(memory.len(), PAGE);
        assert_eq!(memory.read_vec_at::<u8>(0, PAGE).unwrap(), vec![0; PAGE]);
        assert!(Anonymous::new(usize::MAX).is_err());
    }

    #[test]
    fn nothing_goes_beyond_the_end() {
        let memory = Anonymous::new(PAGE).unwrap();
        for (offset, ok) in [
            (PAGE - 4, true),
            (PAGE - 3, false),
            (PAGE, false),
            (usize::MAX, false),
        ] {
            assert_eq!(memory.read_at::<u32>(offset).is_ok(), ok);
            assert_eq!(memory.write_at(offset, 1_u32).is_ok(), ok);
            assert_eq!(memory.fill(offset, 4, 0).is_ok(), ok);
            assert_eq!(memory.atomic::<AtomicU32>(offset).is_ok(), ok);
        }
        assert!(memory.read_vec_at::<u64>(8, usize::MAX / 4).is_err());
        assert!(memory.read_vec_at::<u64>(PAGE, 0).is_ok());
        assert!(memory.write_slice_at(PAGE, &[] as &[u8]).is_ok());
        assert!(memory.populate(0, PAGE + 1).is_err());
    }

    #[test]
    fn references_are_aligned() {
        let memory = Anonymous::new(PAGE).unwrap();
        let error = memory.atomics::<AtomicU64>(12, 1).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Misaligned {
                    offset: 12,
                    align: 8
                }
            ),
            "{error}"
        );
        memory.write_at(13, 0x0102_0304_0506_0708_u64).unwrap();
        assert_eq!(memory.read_at::<u64>(13).unwrap(), 0x0102_0304_0506_0708);
        // SAFETY: Nobody else has this memory.
        assert!(unsafe { memory.as_slice::<u16>(1, 1) }.is_err());
        // SAFETY: As above, and the one is gone before the other comes.
        unsafe { memory.as_mut_slice::<u16>(0, 2).unwrap()[1] = 7 };
        // SAFETY: As above.
        assert_eq!(unsafe { memory.as_slice::<u16>(0, 2) }.unwrap(), [0, 7]);
    }

    #[test]
    fn pages_come_in() {
        let memory = Anonymous::new(64 * PAGE).unwrap();
        memory.populate(PAGE + 5, 3 * PAGE).unwrap();
        assert_eq!(memory.read_at::<u8>(PAGE).unwrap(), 0);
    }

    #[test]
    fn atomics_of_one_width() {
        let memory = Anonymous::new(PAGE).unwrap();
        let half = memory.atomic::<AtomicU16>(6).unwrap();
        assert!(matches!(
            memory.atomic::<AtomicU8>(7).unwrap_err(),
            Error::MixedWidths {
                offset: 7,
                width: 1,
                other_offset: 6,
                other_width: 2
            }
        ));
        assert!(memory.atomics::<AtomicU64>(0, 512).is_err());
        half.store(0x1234, Ordering::Relaxed);
        let again = memory.atomics::<AtomicI16>(0, PAGE / 2).unwrap();
        assert_eq!(again[3].load(Ordering::Relaxed), 0x1234);
        // What is not there is not noted.
        assert!(memory.atomics::<AtomicU16>(PAGE, 1).is_err());
        // Copies are of any width.
        assert_eq!(memory.read_at::<u64>(0).unwrap(), 0x1234 << 48);
        // Another mapping knows nothing of it.
        assert!(Anonymous::new(PAGE).unwrap().atomic::<AtomicU8>(7).is_ok());
    }

    /// A value of the size of a word is never seen half written, wherever the copy of it is.
    #[test]
    fn one_piece() {
        let memory = Anonymous::new(PAGE).unwrap();
        let shared = memory.place::<u8>(8, 8).unwrap() as usize;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let values = [[0; 9], [0xff; 9]];
                for i in 0..100_000 {
                    let from = values[i % 2][1..].as_ptr();
                    let to = shared as *mut u8;
                    // SAFETY: There are 8 bytes in both places.
                    unsafe { copy(from, to, 8, to) };
                }
                memory.write_at(16, 1_u8).unwrap();
            });
            while memory.read_at::<u8>(16).unwrap() == 0 {
                let mut seen = [0; 9];
                let (from, to) = (shared as *const u8, seen[1..].as_mut_ptr());
                // SAFETY: As above.
                unsafe { copy(from, to, 8, from) };
                assert!(seen[1..] == [0; 8] || seen[1..] == [0xff; 8], "{seen:x?}");
            }
        });
    }

    /// Copies and atomics of the same bytes see each other's.
    #[test]
    fn atomics_and_copies() {
        let memory = Anonymous::new(PAGE).unwrap();
        let counter = memory.atomic::<AtomicU32>(40).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        counter.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(memory.read_at::<u32>(40).unwrap(), 4000);
        assert_eq!(memory.read_at::<[u8; 3]>(40).unwrap(), [0xa0, 0x0f, 0]);
    }

    proptest! {
        /// Writes and reads of any place and length are those of an array.
        #[test]
        fn as_an_array(steps in prop::collection::vec((0..2 * PAGE + 9, prop::collection::vec(any::<u8>(), 0..40), 0..4), 1..40)) {
            let memory = Anonymous::new(2 * PAGE).unwrap();
            let mut array = vec![0_u8; 2 * PAGE];
            for (offset, bytes, kind) in steps {
                let range = array.get_mut(offset..offset + bytes.len());
                match kind {
                    0 => {
                        prop_assert_eq!(memory.write_slice_at(offset, &bytes).is_ok(), range.is_some());
                        if let Some(range) = range { range.copy_from_slice(&bytes) }
                    }
                    1 => {
                        let byte = bytes.first().copied().unwrap_or(9);
                        prop_assert_eq!(memory.fill(offset, bytes.len(), byte).is_ok(), range.is_some());
                        if let Some(range) = range { range.fill(byte) }
                    }
                    2 => match range {
                        Some(range) => {
                            let mut read = vec![0; range.len()];
                            memory.read_slice_at(offset, &mut read).unwrap();
                            prop_assert_eq!(&read[..], &range[..]);
                            prop_assert_eq!(memory.read_vec_at::<u8>(offset, range.len()).unwrap(), read);
                        }
                        None => prop_assert!(memory.read_vec_at::<u8>(offset, bytes.len()).is_err()),
                    },
                    _ => {
                        let value: u32 = 0x8badf00d;
                        let range = array.get_mut(offset..offset + 4);
                        prop_assert_eq!(memory.write_at(offset, value).is_ok(), range.is_some());
                        if let Some(range) = range {
                            range.copy_from_slice(&value.to_ne_bytes());
                            prop_assert_eq!(memory.read_at::<u32>(offset).unwrap(), value);
                        }
                    }
                }
            }
            prop_assert_eq!(memory.read_vec_at::<u8>(0, 2 * PAGE).unwrap(), array);
        }
    }
}
