// SPDX-License-Identifier: GPL-2.0

//! `shm/restore.rs` against what `include/uapi/rust_shm.h` says of struct rust_shm_restore.

use proptest::prelude::*;

use crate::config;
use crate::id::{Id, Key};
use crate::restore::{Asked, Step};

const STEPS: [Step; 3] = [Step::Whole, Step::Open, Step::Close];

/// One that any step takes.
const GOOD: Asked = Asked {
    step: Step::Whole,
    id: 5,
    key: Key(7),
    is_huge: false,
    is_destroyed: false,
    is_locked: false,
    pids: [1, 0],
    times: [0, 1, i64::MAX],
};

#[test]
fn a_step_has_one_flag_or_none() {
    assert_eq!(Step::new(false, false), Some(Step::Whole));
    assert_eq!(Step::new(true, false), Some(Step::Open));
    assert_eq!(Step::new(false, true), Some(Step::Close));
    assert_eq!(Step::new(true, true), None);
}

#[test]
fn an_id_is_free_to_choose_when_the_segment_is_made_only() {
    for step in STEPS {
        let with = |id| Asked { step, id, ..GOOD };
        assert_eq!(with(-1).is_valid(), step != Step::Close, "{step:?}");
        for id in [-2, i32::MIN] {
            assert!(!with(id).is_valid(), "{step:?} {id}");
        }
        for id in [0, 1, 0x7fff, 0x8000, i32::MAX] {
            assert!(with(id).is_valid(), "{step:?} {id}");
            assert_eq!(with(id).id(), Id::from_user(id));
        }
        assert_eq!(with(-1).id(), None);
    }
}

#[test]
fn a_removed_segment_has_no_key() {
    let removed = |key| Asked {
        is_destroyed: true,
        key: Key(key),
        ..GOOD
    };
    assert!(removed(0).is_valid());
    for key in [1, -1, i32::MIN, i32::MAX] {
        assert!(!removed(key).is_valid());
    }
}

#[test]
fn huge_pages_are_not_locked() {
    for (is_huge, is_locked) in [(false, false), (false, true), (true, false), (true, true)] {
        let asked = Asked {
            is_huge,
            is_locked,
            ..GOOD
        };
        assert_eq!(asked.is_valid(), !(is_huge && is_locked));
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_negative_number_is_refused_wherever_it_is(pids: [i32; 2], times: [i64; 3], step in 0..3usize) {
        let asked = Asked { step: STEPS[step], pids, times, ..GOOD };
        let negative = pids.iter().any(|pid| *pid < 0) || times.iter().any(|time| *time < 0);
        prop_assert_eq!(asked.is_valid(), !negative);
    }

    #[test]
    fn what_is_not_negative_is_taken(pids in [0..=i32::MAX, 0..=i32::MAX], times in [0..=i64::MAX, 0..=i64::MAX, 0..=i64::MAX]) {
        for step in STEPS {
            let asked = Asked { step, pids, times, ..GOOD };
            prop_assert!(asked.is_valid());
        }
    }
}
