// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which width atomics have, and where.

use crate::{Error, Result};
use std::{collections::BTreeMap, ops::Range};

/// Where in a mapping there are atomics, and of how many bytes each.
///
/// Rust has no meaning for atomics of different widths that overlap, and are used at the same time:
/// so a place gets one width, for good.
///
/// # Invariants
///
/// The starts of ranges, with their ends and widths. No range is empty, none overlap, and none of
/// one width touch: they are one.
#[derive(Debug, Default)]
pub(crate) struct Widths(BTreeMap<usize, (usize, usize)>);

impl Widths {
    /// Whether there may be `count` atomics of `width` bytes at an offset, which is a multiple of
    /// that: an error if there are others.
    ///
    /// As all offsets are such, overlapping atomics of one width are the same ones.
    pub(crate) fn check(&self, offset: usize, width: usize, count: usize) -> Result<()> {
        let whole = offset..offset + width * count;
        // An empty range overlaps none, and yet has others on both of its sides.
        let other = self.near(&whole).find(|(range, other_width)| {
            !whole.is_empty()
                && *other_width != width
                && range.start < whole.end
                && whole.start < range.end
        });
        let Some((range, other_width)) = other else {
            return Ok(());
        };
        let first = whole.start.max(range.start);
        Err(Error::MixedWidths {
            offset,
            width,
            other_offset: first - first % other_width,
            other_width,
        })
    }

    /// Notes that there are such atomics. [`check`](Self::check) has found no others.
    pub(crate) fn add(&mut self, offset: usize, width: usize, count: usize) {
        let mut whole = offset..offset + width * count;
        if whole.is_empty() {
            return;
        }
        // INVARIANT: The new range takes the place of those of its width that it touches, and
        // overlaps no others.
        let same: Vec<_> = self
            .near(&whole)
            .filter(|(_, other)| *other == width)
            .collect();
        for (range, _) in same {
            self.0.remove(&range.start);
            whole = whole.start.min(range.start)..whole.end.max(range.end);
        }
        self.0.insert(whole.start, (whole.end, width));
    }

    /// Those that overlap or touch a range, the last one first, and their widths.
    fn near(&self, whole: &Range<usize>) -> impl Iterator<Item = (Range<usize>, usize)> + '_ {
        let start = whole.start;
        // The ends are in the order of the starts.
        self.0
            .range(..=whole.end)
            .rev()
            .map(|(&start, &(end, width))| (start..end, width))
            .take_while(move |(range, _)| range.end >= start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Widths {
        fn claim(&mut self, offset: usize, width: usize, count: usize) -> Result<()> {
            self.check(offset, width, count)?;
            self.add(offset, width, count);
            Ok(())
        }
    }

    fn ranges(widths: &Widths) -> Vec<(usize, usize, usize)> {
        let ranges = widths.0.iter();
        ranges
            .map(|(&start, &(end, width))| (start, end, width))
            .collect()
    }

    #[test]
    fn one_width_for_a_place() {
        let mut widths = Widths::default();
        widths.claim(8, 8, 2).unwrap();
        widths.claim(16, 8, 1).unwrap();
        assert_eq!(ranges(&widths), [(8, 24, 8)]);
        let error = widths.claim(20, 4, 3).unwrap_err();
        assert_eq!(
            error.to_string(),
            "atomics of 4 bytes at offset 20 would overlap those of 8 bytes at offset 16"
        );
        assert!(widths.claim(0, 4, 3).is_err());
        assert!(widths.claim(0, 1, 100).is_err());
        assert_eq!(ranges(&widths), [(8, 24, 8)]);
        // Others beside it, and none at all in it.
        widths.claim(24, 4, 1).unwrap();
        widths.claim(0, 2, 4).unwrap();
        widths.claim(9, 1, 0).unwrap();
        assert_eq!(ranges(&widths), [(0, 8, 2), (8, 24, 8), (24, 28, 4)]);
    }

    #[test]
    fn neighbours_become_one() {
        let mut widths = Widths::default();
        for offset in [0, 8, 24, 12, 4, 40] {
            widths.claim(offset, 4, 1).unwrap();
        }
        assert_eq!(ranges(&widths), [(0, 16, 4), (24, 28, 4), (40, 44, 4)]);
        widths.claim(8, 4, 6).unwrap();
        assert_eq!(ranges(&widths), [(0, 32, 4), (40, 44, 4)]);
    }

    proptest! {
        /// As if the width of each byte were noted.
        #[test]
        fn as_bytes(claims in prop::collection::vec((0..24_usize, 0..4, 0..6_usize), 0..40)) {
            let (mut widths, mut bytes) = (Widths::default(), [0; 256]);
            for (index, log, count) in claims {
                let width = 1_usize << log;
                let place = &mut bytes[index * width..][..count * width];
                let free = place.iter().all(|&other| other == 0 || other == width);
                prop_assert_eq!(widths.claim(index * width, width, count).is_ok(), free);
                if free {
                    place.fill(width);
                }
            }
            let mut end = 0;
            let mut expected = Vec::new();
            for part in bytes.chunk_by(|a, b| a == b) {
                end += part.len();
                if part[0] != 0 {
                    expected.push((end - part.len(), end, part[0]));
                }
            }
            prop_assert_eq!(ranges(&widths), expected);
        }
    }
}
