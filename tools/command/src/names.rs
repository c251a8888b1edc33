// SPDX-License-Identifier: GPL-2.0-only

//! Users and groups by name.

use nix::unistd::{Gid, Group, Uid, User};

/// A user's name, or its number where there is none.
pub fn user(uid: u32) -> String {
    User::from_uid(Uid::from_raw(uid))
        .ok()
        .flatten()
        .map_or_else(|| uid.to_string(), |user| user.name)
}

/// A group's name, or its number where there is none.
pub fn group(gid: u32) -> String {
    Group::from_gid(Gid::from_raw(gid))
        .ok()
        .flatten()
        .map_or_else(|| gid.to_string(), |group| group.name)
}

/// By name, as a name may look like a number, or else by number.
pub fn parse_user(text: &str) -> Result<u32, String> {
    match User::from_name(text) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        _ => number(text).ok_or_else(|| format!("there is no user {text:?}")),
    }
}

/// As [`parse_user`].
pub fn parse_group(text: &str) -> Result<u32, String> {
    match Group::from_name(text) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        _ => number(text).ok_or_else(|| format!("there is no group {text:?}")),
    }
}

/// -1 is nobody's.
fn number(text: &str) -> Option<u32> {
    text.parse()
        .ok()
        .filter(|&number| number != u32::MAX && !text.starts_with('+'))
}
