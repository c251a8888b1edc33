// SPDX-License-Identifier: GPL-2.0

//! Memory: address spaces, pages, and what is counted of them.

pub(crate) mod commit;
pub(crate) mod folio;
pub(crate) mod lent;
pub(crate) mod memlock;
pub(crate) mod turns;
pub(crate) mod user;
pub(crate) mod vma;
