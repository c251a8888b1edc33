// SPDX-License-Identifier: GPL-2.0

//! The address space of all threads.

pub(crate) mod folio {
    /// So that few of them are worth another task.
    pub(crate) const PMD_ORDER: u32 = 14;

    pub(crate) const LARGE_FOLIOS: bool = true;

    pub(crate) struct LockedFolio;

    pub(crate) fn all_pages() -> usize {
        usize::MAX
    }

    pub(crate) fn available_pages() -> usize {
        usize::MAX
    }

    pub(crate) fn drain_cpus() {}
}

pub(crate) mod lent {
    use kernel::sync::atomic::{Atomic, Relaxed};

    /// How many tasks have the address space.
    pub(crate) static LENT: Atomic<i32> = Atomic::new(0);

    pub(crate) struct LentMm(());

    impl LentMm {
        pub(crate) fn of_current() -> Option<Self> {
            LENT.fetch_add(1, Relaxed);
            Some(Self(()))
        }

        pub(crate) fn with(&self, _from_any_node: bool, f: impl FnOnce()) {
            f();
        }
    }

    impl Clone for LentMm {
        fn clone(&self) -> Self {
            LENT.fetch_add(1, Relaxed);
            Self(())
        }
    }

    impl Drop for LentMm {
        fn drop(&mut self) {
            LENT.fetch_add(-1, Relaxed);
        }
    }
}

pub(crate) mod vma {
    /// The address space of all threads.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) struct MmId;

    impl MmId {
        pub(crate) fn current() -> Self {
            Self
        }

        pub(crate) fn is_exclusive() -> bool {
            false
        }

        pub(crate) fn choose(self, _count: usize) -> usize {
            0
        }
    }
}
