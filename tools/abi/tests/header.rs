// SPDX-License-Identifier: MIT OR Apache-2.0

//! Every number and layout against the header itself. Takes a C compiler, `cc` or `$CC`.

use std::io::Write;
use std::mem::{offset_of, size_of};
use std::process::{Command, Stdio};

use rust_shm_abi::*;

/// The number of `RUST_SHM_<name>` here, as an assertion in C.
macro_rules! numbers {
    ($($name:ident)*) => {
        vec![$(format!("_Static_assert(RUST_SHM_{0} == {1}, \"{0}\");", stringify!($name), $name),)*]
    };
}

/// The layout of a structure here, as assertions in C.
macro_rules! layout {
    ($name:ident as $c:literal: $($field:ident)*) => {
        vec![
            format!("_Static_assert(sizeof(struct {0}) == {1}, \"{0}\");", $c, size_of::<$name>()),
            $(format!(
                "_Static_assert(__builtin_offsetof(struct {0}, {1}) == {2}, \"{0}.{1}\");",
                $c, stringify!($field), offset_of!($name, $field)
            ),)*
        ]
    };
}

#[test]
fn is_the_headers() {
    let mut lines = numbers!(
        ABI_VERSION IPC_PRIVATE IPC_CREAT IPC_EXCL HUGETLB NORESERVE HUGE_SHIFT HUGE_MASK HUGE_2MB RDONLY RND REMAP EXEC
        IPC_RMID IPC_SET IPC_STAT IPC_INFO LOCK UNLOCK STAT INFO STAT_ANY CTL_HUGE MODE_DEST MODE_LOCKED
        IOC_VERSION IOC_GET IOC_ATTACH IOC_DETACH IOC_CTL
        IOC_RESTORE FEATURE_RESTORE RESTORE_OPEN RESTORE_CLOSE
        FEATURE_SERVE SERVE_ASK SERVE_ON SERVE_OFF IOC_SERVE
    );
    lines.extend(layout!(Version as "rust_shm_version": abi reserved features));
    lines.extend(layout!(Get as "rust_shm_get": key flags size));
    lines.extend(layout!(Attach as "rust_shm_attach": id flags addr length));
    lines.extend(layout!(Detach as "rust_shm_detach": addr flags reserved));
    lines.extend(layout!(Ctl as "rust_shm_ctl": id cmd arg arg_size flags));
    lines.extend(
        layout!(Stat as "rust_shm_stat": key uid gid cuid cgid mode cpid lpid segsz nattch
        atime dtime ctime rss huge seq reserved swap flags reserved2),
    );
    lines.extend(layout!(Limits as "rust_shm_limits": shmmax shmmin shmmni shmseg shmall));
    lines.extend(
        layout!(Usage as "rust_shm_usage": used_ids reserved shm_tot shm_rss shm_swp
        swap_attempts swap_successes),
    );
    lines.extend(
        layout!(Restore as "rust_shm_restore": id key size flags mode uid gid cuid cgid
        cpid lpid atime dtime ctime),
    );
    lines.extend(layout!(Serve as "rust_shm_serve": op flags));
    lines.push(format!(
        "_Static_assert(!__builtin_strcmp(RUST_SHM_DEVICE, \"{DEVICE}\"), \"DEVICE\");"
    ));

    let header = concat!(env!("CARGO_MANIFEST_DIR"), "/../../include/uapi/rust_shm.h");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let mut child = Command::new(&compiler)
        .args([
            "-std=gnu11",
            "-fsyntax-only",
            "-Werror",
            "-include",
            header,
            "-x",
            "c",
            "-",
        ])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{compiler}: {error}"));
    child
        .stdin
        .take()
        .unwrap()
        .write_all(lines.join("\n").as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
}
