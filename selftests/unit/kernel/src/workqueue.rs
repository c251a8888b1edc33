// SPDX-License-Identifier: GPL-2.0

//! Work items. A queue is the model's own business.

pub trait WorkItem<const ID: u64 = 0> {
    type Pointer;

    fn run(this: Self::Pointer);
}
