// SPDX-License-Identifier: GPL-2.0

//! `shm/permission.rs` against `ipcperms()` and `ipcctl_obtain_check()` in `ipc/util.c`.

use std::cell::Cell;

use proptest::prelude::*;

use crate::config;
use crate::permission::{Caller, Gid, Ownership, Request, Uid, PERMISSION_BITS};

const S_IRUGO: u32 = 0o444;
const S_IWUGO: u32 = 0o222;
const S_IXUGO: u32 = 0o111;
const S_IRWXUGO: u32 = 0o777;

/// A task that counts how often it is asked for a capability.
#[derive(Debug)]
struct Task {
    euid: u32,
    groups: Vec<u32>,
    ipc_owner: bool,
    sys_admin: bool,
    asked_ipc_owner: Cell<u32>,
    asked_sys_admin: Cell<u32>,
}

impl Task {
    fn new(euid: u32, groups: &[u32]) -> Self {
        Self {
            euid,
            groups: groups.to_vec(),
            ipc_owner: false,
            sys_admin: false,
            asked_ipc_owner: Cell::new(0),
            asked_sys_admin: Cell::new(0),
        }
    }

    fn with(self, ipc_owner: bool, sys_admin: bool) -> Self {
        Self {
            ipc_owner,
            sys_admin,
            ..self
        }
    }

    /// What was asked since the last look: CAP_IPC_OWNER, CAP_SYS_ADMIN.
    fn asked(&self) -> (u32, u32) {
        (self.asked_ipc_owner.take(), self.asked_sys_admin.take())
    }

    fn in_group_p(&self, gid: u32) -> bool {
        self.groups.contains(&gid)
    }

    /// `ns_capable(ns->user_ns, CAP_IPC_OWNER)`
    fn capable_ipc_owner(&self) -> bool {
        self.asked_ipc_owner.set(self.asked_ipc_owner.get() + 1);
        self.ipc_owner
    }

    /// `ns_capable(ns->user_ns, CAP_SYS_ADMIN)`
    fn capable_sys_admin(&self) -> bool {
        self.asked_sys_admin.set(self.asked_sys_admin.get() + 1);
        self.sys_admin
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
        self.capable_ipc_owner()
    }

    fn has_sys_admin(&self) -> bool {
        self.capable_sys_admin()
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
    if (requested_mode & !granted_mode & 0o007) != 0 && !task.capable_ipc_owner() {
        return -1;
    }
    0
}

/// `ipcctl_obtain_check()`, once the segment is found: 0, or -EPERM.
fn ipcctl_check(task: &Task, ipcp: &Ownership) -> i32 {
    let euid = task.euid;
    if euid == ipcp.cuid.0 || euid == ipcp.uid.0 || task.capable_sys_admin() {
        return 0;
    }
    -1
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
                    tasks.push(Task::new(euid, groups).with(ipc_owner, sys_admin));
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
        let task = Task::new(0, &[]).with(able, true);
        assert!(segment(0o004).allows(&task, Request::READ));
        assert_eq!(task.asked(), (0, 0), "the bits are enough");
        assert!(segment(0).allows(&task, Request::from_mode(0)));
        assert_eq!(task.asked(), (0, 0), "nothing is wanted");
        assert_eq!(segment(0o773).allows(&task, Request::READ), able);
        assert_eq!(task.asked(), (1, 0), "the bits are not enough");
        let owner = Task::new(10, &[]).with(able, true);
        assert_eq!(segment(0o077).allows(&owner, Request::READ), able);
        assert_eq!(owner.asked(), (1, 0), "the owner's bits are not enough");
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
    assert!(segment(0).allows_control(&Task::new(0, &[]).with(false, true)));
    assert!(!segment(0o777).allows_control(&Task::new(0, &[20, 21]).with(true, false)));
}

#[test]
fn sys_admin_is_not_asked_of_an_owner() {
    for euid in [10, 11] {
        let task = Task::new(euid, &[]).with(true, true);
        assert!(segment(0).allows_control(&task));
        assert_eq!(task.asked(), (0, 0));
    }
    let task = Task::new(0, &[]).with(true, false);
    assert!(!segment(0o777).allows_control(&task));
    assert_eq!(task.asked(), (0, 1));
}

/// A user or a group: of a few, so that they meet.
fn anyone() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..4, Just(u32::MAX), any::<u32>()]
}

prop_compose! {
    fn any_task()(euid in anyone(), groups in prop::collection::vec(anyone(), 0..4), ipc_owner: bool, sys_admin: bool) -> Task {
        Task::new(euid, &groups).with(ipc_owner, sys_admin)
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
}
