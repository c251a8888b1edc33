// SPDX-License-Identifier: GPL-2.0

//! A file of shmem, faults in it, and what else `memory.rs` uses.

pub(crate) mod fault {
    use super::shmem::Shmem;
    use std::ops::Range;

    /// One in the middle of a large mapping.
    pub(crate) struct Fault<'a>(pub(crate) Shmem<'a>, pub(crate) usize);

    impl<'a> Fault<'a> {
        pub(crate) fn index(&self) -> usize {
            self.1
        }

        pub(crate) fn pages(&self) -> Shmem<'a> {
            self.0
        }

        pub(crate) fn mapped(&self) -> Range<usize> {
            0..usize::MAX
        }

        pub(crate) fn is_remote(&self) -> bool {
            false
        }

        pub(crate) fn wants_small(&self) -> bool {
            false
        }
    }
}

pub(crate) mod mount {
    use kernel::prelude::*;

    pub(crate) struct TmpfsMount;

    impl TmpfsMount {
        pub(crate) fn new(_huge: &CStr) -> Result<Self> {
            Ok(Self)
        }

        pub(crate) fn filesystem(&self) -> usize {
            1
        }
    }
}

pub(crate) mod parameter {
    use kernel::prelude::*;

    pub(crate) trait Setting: Sized {
        fn parse(text: &str) -> Result<Self>;
        fn into_word(self) -> u64;
        fn from_word(word: u64) -> Self;
    }

    /// One that nobody sets.
    pub(crate) struct Parameter<V>(pub(crate) V);

    impl<V: Copy> Parameter<V> {
        pub(crate) fn value(&self) -> V {
            self.0
        }
    }

    macro_rules! parameter {
        ($(#[$doc:meta])* static $name:ident: $type:ty = $value:expr, $($rest:literal),*;) => {
            $(#[$doc])*
            static $name: crate::shm::sys::fs::parameter::Parameter<$type> =
                crate::shm::sys::fs::parameter::Parameter($value);
        };
    }
    pub(crate) use parameter;
}

pub(crate) mod shmem {
    use crate::shm::sys::mm::folio::{LockedFolio, PMD_ORDER};
    use kernel::{
        page::PAGE_SHIFT,
        prelude::*,
        sync::{
            atomic::{Atomic, Relaxed},
            Arc,
        },
    };
    use loom::cell::UnsafeCell;
    use std::ops::Range;

    /// A file of a few blocks.
    #[derive(Clone)]
    pub(crate) struct ShmemFile(pub(crate) Arc<Blocks>);

    pub(crate) type ShmemRef = ShmemFile;

    pub(crate) struct Blocks {
        /// Whether a block is there, as looked up under RCU.
        pub(crate) present: [Atomic<bool>; 2],
        /// Whether there is no memory for a block.
        pub(crate) fails: [bool; 2],
        /// What it takes to allocate and clear them, one at a time.
        pub(crate) placing: UnsafeCell<usize>,
    }

    #[derive(Clone, Copy)]
    pub(crate) struct Shmem<'a>(&'a Blocks);

    impl ShmemFile {
        pub(crate) fn new(fails: [bool; 2]) -> Self {
            let blocks = Blocks {
                present: [const { Atomic::new(false) }; 2],
                fails,
                placing: UnsafeCell::new(0),
            };
            Self(Arc::new(blocks, GFP_KERNEL).unwrap())
        }

        pub(crate) fn view(&self) -> Shmem<'_> {
            Shmem(&self.0)
        }

        pub(crate) fn get(&self) -> ShmemRef {
            self.clone()
        }
    }

    impl Shmem<'_> {
        pub(crate) fn has(self, index: usize) -> bool {
            self.0.present[index >> PMD_ORDER].load(Relaxed)
        }

        /// Other tasks must not do so at the same time, and find it the next time.
        pub(crate) fn place(self, index: usize) -> Result<LockedFolio> {
            self.0.placing.with_mut(|_| {
                if !self.has(index) {
                    self.0.present[index >> PMD_ORDER].store(true, Relaxed);
                }
            });
            Ok(LockedFolio)
        }

        pub(crate) fn place_huge(self, index: usize) -> Result {
            if self.0.fails[index >> PMD_ORDER] {
                return Err(ENOMEM);
            }
            self.0.present[index >> PMD_ORDER].store(true, Relaxed);
            Ok(())
        }

        pub(crate) fn size(self) -> usize {
            self.0.fails.len() << PMD_ORDER << PAGE_SHIFT
        }

        pub(crate) fn address(self) -> usize {
            1 << 40
        }

        pub(crate) fn filesystem(self) -> usize {
            2
        }

        pub(crate) fn is_changing(self) -> bool {
            false
        }

        pub(crate) fn has_policy(self) -> bool {
            false
        }

        pub(crate) fn each_folio(self, _f: impl FnMut(u32)) {}

        pub(crate) fn isolate_poisoned(self, _pages: Range<usize>) {}

        pub(crate) fn clear(self, _bytes: Range<usize>) {}

        pub(crate) fn forbid_oom(self, _forbid: bool) {}
    }
}

pub(crate) mod shmem_file {
    pub(crate) use super::shmem::{ShmemFile, ShmemRef};
}
