// SPDX-License-Identifier: GPL-2.0

//! `shm/permission.rs` against `ipcperms()` and `ipcctl_obtain_check()` in `ipc/util.c`, `shmctl_do_lock()` in `ipc/shm.c`, and
//! `can_do_hugetlb_shm()` in `fs/hugetlbfs/inode.c`.

use std::cell::RefCell;

use proptest::prelude::*;

use crate::config;
use crate::permission::{allows_huge_pages, Caller, Gid, Ownership, Request, Uid, PERMISSION_BITS};

const S_IRUGO: u32 = 0o444;
const S_IWUGO: u32 = 0o222;
const S_IXUGO: u32 = 0o111;
const S_IRWXUGO: u32 = 0o777;

const SHM_LOCK: i32 = 11;
const SHM_UNLOCK: i32 = 12;

/// What a task is asked for. A capability that it has and is asked for leaves a mark on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    IpcOwner,
    SysAdmin,
    IpcLock,
    Memlock,
    HugePages,
    HugeGroup,
}

use Asked::{HugeGroup, HugePages, IpcLock, IpcOwner, Memlock, SysAdmin};

/// A task that remembers what it is asked for.
#[derive(Debug)]
struct Task {
    euid: u32,
    groups: Vec<u32>,
    has: Vec<Asked>,
    asked: RefCell<Vec<Asked>>,
}

impl Task {
    fn new(euid: u32, groups: &[u32]) -> Self {
        Self {
            euid,
            groups: groups.to_vec(),
            has: Vec::new(),
            asked: RefCell::new(Vec::new()),
        }
    }

    /// Gives it what it is asked for.
    fn with(mut self, what: Asked, able: bool) -> Self {
        self.has.extend(able.then_some(what));
        self
    }

    /// What was asked since the last look, in this order.
    fn asked(&self) -> Vec<Asked> {
        self.asked.take()
    }

    fn in_group_p(&self, gid: u32) -> bool {
        self.groups.contains(&gid)
    }

    /// `ns_capable(ns->user_ns, CAP_...)`, `rlimit(RLIMIT_MEMLOCK) != 0`
    fn ask(&self, what: Asked) -> bool {
        self.asked.borrow_mut().push(what);
        self.has.contains(&what)
    }
}

impl Caller for Task {
    fn euid(&self) -> Uid {
        Uid(self.euid)
    }

    fn in_group(&self, gid: Gid) -> bool {
        self.in_group_p(gid.0)
    }

    fn has_ipc_owner(&self) -> bool {
        self.ask(IpcOwner)
    }

    fn has_sys_admin(&self) -> bool {
        self.ask(SysAdmin)
    }

    fn has_ipc_lock(&self) -> bool {
        self.ask(IpcLock)
    }

    fn may_lock_memory(&self) -> bool {
        self.ask(Memlock)
    }

    fn may_have_huge_pages(&self) -> bool {
        self.ask(HugePages)
    }
}

/// `ipcperms()`: 0, or -1.
fn ipcperms(task: &Task, ipcp: &Ownership, flag: i16) -> i32 {
    let euid = task.euid;
    let flag = i32::from(flag);
    let requested_mode = (flag >> 6) | (flag >> 3) | flag;
    let mut granted_mode = ipcp.mode as i32;
    if euid == ipcp.cuid.0 || euid == ipcp.uid.0 {
        granted_mode >>= 6;
    } else if task.in_group_p(ipcp.cgid.0) || task.in_group_p(ipcp.gid.0) {
        granted_mode >>= 3;
    }
    if (requested_mode & !granted_mode & 0o007) != 0 && !task.ask(IpcOwner) {
        return -1;
    }
    0
}

/// `ipcctl_obtain_check()`, once the segment is found: 0, or -EPERM.
fn ipcctl_check(task: &Task, ipcp: &Ownership) -> i32 {
    let euid = task.euid;
    if euid == ipcp.cuid.0 || euid == ipcp.uid.0 || task.ask(SysAdmin) {
        return 0;
    }
    -1
}

/// `shmctl_do_lock()`, once the segment is found and valid, up to where it looks at the file: 0, or -EPERM.
fn shmctl_do_lock_check(task: &Task, ipcp: &Ownership, cmd: i32) -> i32 {
    if !task.ask(IpcLock) {
        let euid = task.euid;
        if euid != ipcp.uid.0 && euid != ipcp.cuid.0 {
            return -1;
        }
        if cmd == SHM_LOCK && !task.ask(Memlock) {
            return -1;
        }
    }
    0
}

/// `can_do_hugetlb_shm()`; `None` where `make_kgid()` finds the group invalid, and nobody is in it.
fn can_do_hugetlb_shm(task: &Task, sysctl_hugetlb_shm_group: Option<u32>) -> bool {
    let shm_group = || {
        task.ask(HugeGroup);
        sysctl_hugetlb_shm_group
    };
    task.ask(HugePages) || shm_group().is_some_and(|gid| task.in_group_p(gid))
}

/// Owner 10, creator 11; group 20, the creator's 21.
fn segment(mode: u32) -> Ownership {
    Ownership {
        uid: Uid(10),
        gid: Gid(20),
        cuid: Uid(11),
        cgid: Gid(21),
        mode,
    }
}

/// One task for each way of being the owner, the creator, in their groups or not, and of capabilities. Ids of users and of groups are
/// never mixed up by chance: user 20 is nobody, and so is group 10.
fn tasks() -> Vec<Task> {
    let mut tasks = Vec::new();
    for euid in [10, 11, 20, 21, 0] {
        for groups in [
            &[][..],
            &[20],
            &[21],
            &[20, 21],
            &[10],
            &[11],
            &[0, 20],
            &[0],
        ] {
            for ipc_owner in [false, true] {
                for sys_admin in [false, true] {
                    tasks.push(
                        Task::new(euid, groups)
                            .with(IpcOwner, ipc_owner)
                            .with(SysAdmin, sys_admin),
                    );
                }
            }
        }
    }
    tasks
}

fn agree(task: &Task, ownership: &Ownership, flag: u32) {
    let expected = ipcperms(task, ownership, flag as i16) == 0;
    let expected_asked = task.asked();
    assert_eq!(
        ownership.allows(task, Request::from_mode(flag)),
        expected,
        "{task:?} asks for {flag:o} of {ownership:?}"
    );
    assert_eq!(
        task.asked(),
        expected_asked,
        "capabilities asked: {task:?} asks for {flag:o} of {ownership:?}"
    );
}

#[test]
fn allows_is_ipcperms_for_all_modes_requests_and_callers() {
    for task in tasks() {
        for mode in 0..=S_IRWXUGO {
            for flag in 0..=0o7 {
                agree(&task, &segment(mode), flag);
            }
        }
    }
}

#[test]
fn a_request_is_the_union_of_the_classes_for_all_modes() {
    for flag in 0..=S_IRWXUGO {
        assert_eq!(
            Request::from_mode(flag),
            Request::from_mode((flag >> 6 | flag >> 3 | flag) & 0o7)
        );
        for mode in 0..=0o7 {
            // All classes alike: only the request matters.
            agree(&Task::new(0, &[]), &segment(mode * 0o111), flag);
        }
    }
}

#[test]
fn what_shmat_and_shmctl_request() {
    assert_eq!(Request::READ, Request::from_mode(S_IRUGO));
    assert_eq!(Request::READ_WRITE, Request::from_mode(S_IRUGO | S_IWUGO));
    assert_eq!(
        Request::READ.with_execute(),
        Request::from_mode(S_IRUGO | S_IXUGO)
    );
    assert_eq!(
        Request::READ_WRITE.with_execute(),
        Request::from_mode(S_IRWXUGO)
    );
    assert_ne!(Request::READ, Request::READ_WRITE);
    assert_eq!(PERMISSION_BITS, S_IRWXUGO);
}

#[test]
fn the_owners_bits_decide_even_when_others_are_wider() {
    for euid in [10, 11] {
        for groups in [&[][..], &[20, 21]] {
            let task = Task::new(euid, groups);
            assert!(!segment(0o077).allows(&task, Request::READ), "{task:?}");
            assert!(
                !segment(0o477).allows(&task, Request::READ_WRITE),
                "{task:?}"
            );
            assert!(segment(0o400).allows(&task, Request::READ), "{task:?}");
            assert!(
                segment(0o600).allows(&task, Request::READ_WRITE),
                "{task:?}"
            );
        }
    }
}

#[test]
fn the_groups_bits_decide_even_when_others_are_wider() {
    for group in [20, 21] {
        let task = Task::new(0, &[group]);
        assert!(!segment(0o707).allows(&task, Request::READ), "{task:?}");
        assert!(
            !segment(0o747).allows(&task, Request::READ_WRITE),
            "{task:?}"
        );
        assert!(segment(0o040).allows(&task, Request::READ), "{task:?}");
        assert!(
            segment(0o060).allows(&task, Request::READ_WRITE),
            "{task:?}"
        );
    }
}

#[test]
fn the_others_have_their_own_bits_only() {
    let task = Task::new(0, &[0]);
    assert!(!segment(0o770).allows(&task, Request::READ));
    assert!(segment(0o004).allows(&task, Request::READ));
    assert!(!segment(0o004).allows(&task, Request::READ_WRITE));
    assert!(segment(0o006).allows(&task, Request::READ_WRITE));
    assert!(!segment(0o006).allows(&task, Request::READ_WRITE.with_execute()));
    assert!(segment(0o007).allows(&task, Request::READ_WRITE.with_execute()));
}

#[test]
fn ipc_owner_is_asked_last_and_once() {
    for able in [false, true] {
        let task = Task::new(0, &[]).with(IpcOwner, able).with(SysAdmin, true);
        assert!(segment(0o004).allows(&task, Request::READ));
        assert_eq!(task.asked(), [], "the bits are enough");
        assert!(segment(0).allows(&task, Request::from_mode(0)));
        assert_eq!(task.asked(), [], "nothing is wanted");
        assert_eq!(segment(0o773).allows(&task, Request::READ), able);
        assert_eq!(task.asked(), [IpcOwner], "the bits are not enough");
        let owner = Task::new(10, &[]).with(IpcOwner, able).with(SysAdmin, true);
        assert_eq!(segment(0o077).allows(&owner, Request::READ), able);
        assert_eq!(owner.asked(), [IpcOwner], "the owner's bits are not enough");
    }
}

#[test]
fn allows_control_is_ipcctl_obtain_checks_for_all_modes_and_callers() {
    for task in tasks() {
        for mode in 0..=S_IRWXUGO {
            let expected = ipcctl_check(&task, &segment(mode)) == 0;
            let expected_asked = task.asked();
            assert_eq!(
                segment(mode).allows_control(&task),
                expected,
                "{task:?} on mode {mode:o}"
            );
            assert_eq!(
                task.asked(),
                expected_asked,
                "capabilities asked: {task:?} on mode {mode:o}"
            );
        }
    }
}

#[test]
fn owner_creator_and_sys_admin_control_and_nobody_else() {
    assert!(segment(0).allows_control(&Task::new(10, &[])));
    assert!(segment(0).allows_control(&Task::new(11, &[])));
    assert!(segment(0).allows_control(&Task::new(0, &[]).with(SysAdmin, true)));
    assert!(!segment(0o777).allows_control(&Task::new(0, &[20, 21]).with(IpcOwner, true)));
}

#[test]
fn sys_admin_is_not_asked_of_an_owner() {
    for euid in [10, 11] {
        let task = Task::new(euid, &[])
            .with(IpcOwner, true)
            .with(SysAdmin, true);
        assert!(segment(0).allows_control(&task));
        assert_eq!(task.asked(), []);
    }
    let task = Task::new(0, &[]).with(IpcOwner, true);
    assert!(!segment(0o777).allows_control(&task));
    assert_eq!(task.asked(), [SysAdmin]);
}

fn locks_agree(task: &Task, ownership: &Ownership) {
    for cmd in [SHM_LOCK, SHM_UNLOCK] {
        let expected = shmctl_do_lock_check(task, ownership, cmd) == 0;
        let expected_asked = task.asked();
        let allowed = if cmd == SHM_LOCK {
            ownership.allows_lock(task)
        } else {
            ownership.allows_unlock(task)
        };
        assert_eq!(allowed, expected, "{cmd}: {task:?} on {ownership:?}");
        assert_eq!(
            task.asked(),
            expected_asked,
            "asked for {cmd}: {task:?} on {ownership:?}"
        );
    }
}

#[test]
fn allows_lock_and_unlock_are_shmctl_do_locks_for_all_modes_and_callers() {
    for task in tasks() {
        for (ipc_lock, memlock) in [(false, false), (false, true), (true, false), (true, true)] {
            let task = Task {
                has: task.has.clone(),
                ..Task::new(task.euid, &task.groups)
            };
            let task = task.with(IpcLock, ipc_lock).with(Memlock, memlock);
            for mode in 0..=S_IRWXUGO {
                locks_agree(&task, &segment(mode));
            }
        }
    }
}

#[test]
fn the_capability_to_lock_is_asked_first_even_of_an_owner() {
    for euid in [10, 11] {
        let task = Task::new(euid, &[]).with(Memlock, true);
        assert!(segment(0).allows_lock(&task));
        assert_eq!(task.asked(), [IpcLock, Memlock]);
        assert!(segment(0).allows_unlock(&task));
        assert_eq!(task.asked(), [IpcLock]);
    }
}

#[test]
fn who_has_the_capability_locks_any_segment_whatever_the_limit() {
    let task = Task::new(0, &[]).with(IpcLock, true);
    assert!(segment(0).allows_lock(&task));
    assert_eq!(task.asked(), [IpcLock]);
    assert!(segment(0).allows_unlock(&task));
    assert_eq!(task.asked(), [IpcLock]);
}

#[test]
fn without_a_limit_above_zero_an_owner_unlocks_but_does_not_lock() {
    for euid in [10, 11] {
        let task = Task::new(euid, &[])
            .with(IpcOwner, true)
            .with(SysAdmin, true);
        assert!(!segment(0o777).allows_lock(&task));
        assert!(segment(0).allows_unlock(&task));
    }
}

#[test]
fn others_neither_lock_nor_unlock_whatever_the_mode_and_the_limit() {
    let task = Task::new(0, &[20, 21])
        .with(IpcOwner, true)
        .with(SysAdmin, true)
        .with(Memlock, true);
    assert!(!segment(0o777).allows_lock(&task));
    assert_eq!(task.asked(), [IpcLock], "the limit is not asked about");
    assert!(!segment(0o777).allows_unlock(&task));
    assert_eq!(task.asked(), [IpcLock]);
}

fn huge_pages_agree(task: &Task, group: Option<u32>) {
    let expected = can_do_hugetlb_shm(task, group);
    let expected_asked = task.asked();
    let allowed = allows_huge_pages(task, || {
        task.ask(HugeGroup);
        Ok::<_, ()>(group.map(Gid))
    });
    assert_eq!(allowed, Ok(expected), "{task:?}, group {group:?}");
    assert_eq!(task.asked(), expected_asked, "{task:?}, group {group:?}");
}

#[test]
fn huge_pages_are_for_who_has_the_capability_and_for_a_group() {
    for group in [None, Some(0), Some(20), Some(10)] {
        for task in tasks() {
            huge_pages_agree(&task, group);
            huge_pages_agree(&task.with(HugePages, true), group);
        }
    }
    let may = |task: &Task| allows_huge_pages(task, || Ok::<_, ()>(Some(Gid(20)))).unwrap();
    assert!(may(&Task::new(0, &[]).with(HugePages, true)));
    assert!(may(&Task::new(0, &[20])));
    assert!(!may(&Task::new(20, &[21])));
    assert!(!may(&Task::new(0, &[])
        .with(IpcLock, true)
        .with(Memlock, true)));
    let unknown = |task: &Task| allows_huge_pages(task, || Ok::<_, ()>(None));
    assert_eq!(unknown(&Task::new(0, &[0])), Ok(false));
    let unreadable = |task: &Task| allows_huge_pages(task, || Err("no memory"));
    assert_eq!(unreadable(&Task::new(0, &[0])), Err("no memory"));
    assert_eq!(
        unreadable(&Task::new(0, &[]).with(HugePages, true)),
        Ok(true)
    );
}

/// A user or a group: of a few, so that they meet.
fn anyone() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..4, Just(u32::MAX), any::<u32>()]
}

prop_compose! {
    fn any_task()(euid in anyone(), groups in prop::collection::vec(anyone(), 0..4), has in prop::sample::subsequence(vec![IpcOwner, SysAdmin, IpcLock, Memlock, HugePages], 0..=5)) -> Task {
        Task { has, ..Task::new(euid, &groups) }
    }
}

prop_compose! {
    fn any_ownership()(uid in anyone(), gid in anyone(), cuid in anyone(), cgid in anyone(), mode in 0u32..=0o7777) -> Ownership {
        Ownership { uid: Uid(uid), gid: Gid(gid), cuid: Uid(cuid), cgid: Gid(cgid), mode }
    }
}

proptest! {
    #![proptest_config(config())]

    /// Modes with SHM_DEST and SHM_LOCKED, flags with IPC_CREAT and all else, any users.
    #[test]
    fn allows_is_ipcperms(task in any_task(), ownership in any_ownership(), flag: u32) {
        agree(&task, &ownership, flag);
    }

    #[test]
    fn allows_control_is_ipcctl_obtain_checks(task in any_task(), ownership in any_ownership()) {
        let expected = ipcctl_check(&task, &ownership) == 0;
        let expected_asked = task.asked();
        prop_assert_eq!(ownership.allows_control(&task), expected);
        prop_assert_eq!(task.asked(), expected_asked);
    }

    #[test]
    fn allows_lock_and_unlock_are_shmctl_do_locks(task in any_task(), ownership in any_ownership()) {
        locks_agree(&task, &ownership);
    }

    #[test]
    fn allows_huge_pages_is_can_do_hugetlb_shm(task in any_task(), group in prop::option::of(anyone())) {
        huge_pages_agree(&task, group);
    }
}
