// SPDX-License-Identifier: GPL-2.0

//! `shm/pool.rs`: chunks are neither lost nor doubled, what is taken is there, and little is kept that nobody uses.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use proptest::prelude::*;

use crate::config;
use crate::pool::{Chunk, Pool, CHUNK_PAGES};

/// The numbers of all chunks that there are.
#[derive(Clone, Default)]
struct Made(Rc<RefCell<BTreeSet<usize>>>);

impl Made {
    fn make(&self, number: usize) -> Box<Counted> {
        assert!(self.0.borrow_mut().insert(number));
        Box::new(Counted {
            number,
            made: self.clone(),
            next: None,
        })
    }

    fn pages(&self) -> usize {
        self.0.borrow().len() * CHUNK_PAGES
    }
}

struct Counted {
    number: usize,
    made: Made,
    next: Option<Box<Counted>>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        assert!(self.made.0.borrow_mut().remove(&self.number));
    }
}

impl Chunk for Box<Counted> {
    fn next(&mut self) -> &mut Option<Self> {
        &mut self.next
    }
}

/// A pool, and what there should be in it.
struct Model {
    pool: Pool<Box<Counted>>,
    made: Made,
    number: usize,
    users: Vec<usize>,
    used: usize,
}

impl Model {
    fn new() -> Self {
        Self {
            pool: Pool::new(),
            made: Made::default(),
            number: 0,
            users: Vec::new(),
            used: 0,
        }
    }

    fn chunks(&self) -> usize {
        self.made.0.borrow().len()
    }

    fn take(&mut self, pages: usize) -> bool {
        let fits = self.used + pages <= self.made.pages();
        assert_eq!(self.pool.take(pages), fits, "{pages} of {}", self.used);
        if fits {
            self.users.push(pages);
            self.used += pages;
        }
        fits
    }

    fn add(&mut self) {
        self.number += 1;
        self.pool.add(self.made.make(self.number));
    }

    /// Somebody who found too few pages, made a chunk, and was overtaken by others or not.
    fn add_and_take(&mut self, pages: usize) {
        self.add();
        assert!(self.take(pages));
    }

    fn give_back(&mut self, which: usize) {
        let pages = self.users.swap_remove(which);
        self.used -= pages;
        let before = self.chunks();
        let surplus = self.pool.give_back(pages);
        let is_surplus = self.used + 2 * CHUNK_PAGES <= before * CHUNK_PAGES;
        if let Some(chunk) = &surplus {
            assert!(chunk.next.is_none(), "one that takes others with it");
        }
        assert_eq!(surplus.is_some(), is_surplus);
        drop(surplus);
        assert_eq!(self.chunks(), before - usize::from(is_surplus));
    }

    fn check(&self) {
        assert!(self.used <= self.made.pages(), "less than is promised");
        assert!(
            self.chunks() <= self.users.len() + 1,
            "{} chunks for {} users",
            self.chunks(),
            self.users.len()
        );
    }
}

#[test]
fn a_chunk_is_a_mebibyte() {
    assert_eq!(CHUNK_PAGES, 256);
}

#[test]
fn an_empty_pool_has_nothing() {
    let mut model = Model::new();
    assert!(!model.take(1));
    assert!(model.take(0));
    assert!(model.pool.give_back(0).is_none());
}

#[test]
fn a_chunk_is_used_to_the_last_page_and_no_further() {
    let mut model = Model::new();
    model.add();
    assert!(model.take(CHUNK_PAGES - 1));
    assert!(!model.take(2));
    assert!(model.take(1));
    assert!(!model.take(1));
    model.add();
    assert!(model.take(CHUNK_PAGES - 1));
    assert!(model.take(1));
    assert!(!model.take(1));
}

#[test]
fn a_user_may_come_and_go_without_a_chunk_being_made_or_dropped() {
    let mut model = Model::new();
    model.add_and_take(1);
    // At the edge of a chunk, too: there the spare one stays.
    for _ in 1..CHUNK_PAGES {
        assert!(model.take(1));
    }
    model.add_and_take(1);
    for _ in 0..10 {
        model.give_back(model.users.len() - 1);
        assert_eq!(model.chunks(), 2);
        assert!(model.take(1));
    }
}

#[test]
fn the_second_spare_chunk_goes_as_soon_as_it_is_whole() {
    let mut model = Model::new();
    for _ in 0..3 {
        model.add();
    }
    for _ in 0..3 * CHUNK_PAGES {
        assert!(model.take(1));
    }
    for left in (CHUNK_PAGES + 1..3 * CHUNK_PAGES).rev() {
        model.give_back(left);
        assert_eq!(model.chunks(), 3, "{left} left");
    }
    model.give_back(CHUNK_PAGES);
    assert_eq!(model.chunks(), 2);
    for left in (1..CHUNK_PAGES).rev() {
        model.give_back(left);
        assert_eq!(model.chunks(), 2, "{left} left");
    }
    model.give_back(0);
    assert_eq!(model.chunks(), 1);
}

#[test]
fn what_many_added_at_once_goes_with_them() {
    let mut model = Model::new();
    for _ in 0..100 {
        model.add_and_take(1);
        model.check();
    }
    assert_eq!(model.chunks(), 100);
    while !model.users.is_empty() {
        model.give_back(0);
        model.check();
    }
    assert_eq!(model.chunks(), 1);
}

#[test]
fn the_spare_chunk_can_be_taken_when_nobody_uses_any() {
    let mut model = Model::new();
    model.add();
    assert!(model.pool.take(1));
    assert!(model.pool.take_spare().is_none(), "it is used");
    assert!(model.pool.give_back(1).is_none(), "it is kept");
    assert!(model.pool.take_spare().is_some());
    assert!(model.pool.take_spare().is_none(), "it is gone");
    assert!(!model.pool.take(1));
    assert_eq!(model.made.pages(), 0);
}

#[test]
fn a_pool_drops_its_chunks() {
    let mut model = Model::new();
    for _ in 0..5 {
        model.add();
    }
    let made = model.made.clone();
    drop(model);
    assert_eq!(made.pages(), 0);
}

#[derive(Clone, Debug)]
enum Step {
    /// Takes, from a new chunk if there is too little.
    Take(usize),
    /// Takes after a chunk was made, which by now may not be needed.
    Late(usize),
    GiveBack(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let pages = prop_oneof![
        Just(1),
        Just(CHUNK_PAGES / 2),
        Just(CHUNK_PAGES - 1),
        1..CHUNK_PAGES
    ];
    prop_oneof![
        3 => pages.clone().prop_map(Step::Take),
        1 => pages.prop_map(Step::Late),
        4 => any::<prop::sample::Index>().prop_map(Step::GiveBack),
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_pool_has_what_is_promised_and_at_last_one_chunk(script in prop::collection::vec(step(), 0..200)) {
        let mut model = Model::new();
        for step in script {
            match step {
                Step::Take(pages) => {
                    if !model.take(pages) {
                        model.add_and_take(pages);
                    }
                }
                Step::Late(pages) => model.add_and_take(pages),
                Step::GiveBack(which) if !model.users.is_empty() => model.give_back(which.index(model.users.len())),
                Step::GiveBack(_) => {}
            }
            model.check();
        }
        while !model.users.is_empty() {
            model.give_back(0);
            model.check();
        }
        prop_assert!(model.chunks() <= 1);
    }
}
