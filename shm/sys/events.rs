// SPDX-License-Identifier: GPL-2.0

//! The tracepoints of `events.h`. One that nobody listens to costs a `nop`.

#[cfg(CONFIG_TRACEPOINTS)]
use crate::shm::sys::bindings;
use kernel::macros::paste;

/// A function for each tracepoint, called with what says its values to those who listen:
/// [`kernel::declare_trace!`] is for those in the kernel's bindings.
macro_rules! tracepoints {
    ($($(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),*);)*) => { $( paste! {
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name(values: impl FnOnce() -> ($($type),*)) {
            #[cfg(CONFIG_TRACEPOINTS)]
            // SAFETY: The key is the tracepoint's, which takes numbers.
            unsafe {
                if ::kernel::jump_label::static_branch_unlikely!(
                    bindings::[<__tracepoint_rust_shm_ $name>],
                    bindings::tracepoint,
                    key
                ) {
                    let ($($argument),*) = values();
                    bindings::[<rust_do_trace_rust_shm_ $name>]($($argument),*);
                }
            }
            #[cfg(not(CONFIG_TRACEPOINTS))]
            let _ = values;
        }
    } )* };
}

tracepoints! {
    /// A segment was made.
    fn create(namespace: u32, id: u32, key: u32, size: u64, mode: u32);
    /// A segment is out of the table, and its memory is freed.
    fn remove(namespace: u32, id: u32, size: u64);
    /// A segment has one attach more: so many.
    fn attach(namespace: u32, id: u32, attaches: u64);
    /// A segment has one attach less: so many.
    fn detach(namespace: u32, id: u32, attaches: u64);
    /// A page is wanted; a folio of that order was put there, or none (-1).
    fn fault(namespace: u32, id: u32, page: u64, order: i32);
}
