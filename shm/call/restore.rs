// SPDX-License-Identifier: GPL-2.0

//! Restore: decodes what a segment was, and checks it.

use super::calls;
use crate::shm::{
    registry::{
        create,
        namespace::Namespaces,
        restore::Restored,
        Registry, //
    },
    rules::{
        id::{
            Id,
            Key, //
        },
        permission,
        restore::{
            Asked,
            Step, //
        },
        uapi, //
    },
    segment::restore::Record,
    sys::task::{
        cred,
        ipc_ns::CurrentIpcNamespace,
        pid::Recorded, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Makes a segment as it was, or sets the rest of one that is open. The errors are those of `struct
/// rust_shm_restore` in the header.
pub(super) fn restore(
    namespaces: &Namespaces,
    namespace: &CurrentIpcNamespace<'_>,
    registry: &Arc<Registry>,
    arg: &uapi::Restore,
) -> Result<Id> {
    if !namespace.may_restore() {
        return Err(EPERM);
    }
    let huge = calls::huge_pages(arg.flags, uapi::RESTORE_OPEN | uapi::RESTORE_CLOSE)?;
    let is = |flag| arg.flags & flag != 0;
    let asked = Asked {
        step: Step::new(is(uapi::RESTORE_OPEN), is(uapi::RESTORE_CLOSE)).ok_or(EINVAL)?,
        id: arg.id,
        key: Key(arg.key),
        is_huge: huge.is_some(),
        is_destroyed: arg.mode & uapi::SHM_DEST != 0,
        is_locked: arg.mode & uapi::SHM_LOCKED != 0,
        pids: [arg.cpid, arg.lpid],
        times: [arg.atime, arg.dtime, arg.ctime],
    };
    let known = permission::PERMISSION_BITS | uapi::SHM_DEST | uapi::SHM_LOCKED;
    if arg.mode & !known != 0 || !asked.is_valid() {
        return Err(EINVAL);
    }
    let record = Record {
        ownership: permission::Ownership {
            uid: cred::uid_from_user(arg.uid)?,
            gid: cred::gid_from_user(arg.gid)?,
            cuid: cred::uid_from_user(arg.cuid)?,
            cgid: cred::gid_from_user(arg.cgid)?,
            mode: arg.mode & permission::PERMISSION_BITS,
        },
        is_destroyed: asked.is_destroyed,
        is_locked: asked.is_locked,
        locked: None,
        last_user: Recorded::from_user(arg.lpid),
        attached: arg.atime,
        detached: arg.dtime,
        changed: arg.ctime,
    };
    if asked.step == Step::Close {
        return registry.close(namespace, arg.id, record);
    }
    let is_open = asked.step == Step::Open;
    let wanted = create::Wanted {
        key: asked.key,
        size: usize::try_from(arg.size).map_err(|_| EINVAL)?,
        mode: if is_open {
            0o600
        } else {
            record.ownership.mode
        },
        create: true,
        exclusive: true,
        huge,
        no_reserve: is(uapi::SHM_NORESERVE),
        if_served: false,
    };
    let restored = Restored {
        id: asked.id(),
        made_by: Recorded::from_user(arg.cpid),
        record: (!is_open).then_some(record),
    };
    let limits = calls::limits_of(namespace);
    Registry::restore(
        registry,
        namespace,
        &limits,
        &calls::context(namespaces),
        &wanted,
        restored,
    )
}
