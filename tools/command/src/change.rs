// SPDX-License-Identifier: GPL-2.0-only

//! `rshm chmod`, `chown`, `lock`, `unlock`.

use crate::{
    cli::{Chmod, Chown},
    names,
    output::{complain, Failure, Result},
    units,
};
use rshm::{Device, Ownership, Segment};
use std::str::FromStr;

/// What chmod does to nine bits: for each in turn, those of the mask become those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeChange(Vec<Step>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    clear: u32,
    set: u32,
}

impl ModeChange {
    fn apply(&self, mode: u32) -> u32 {
        self.0
            .iter()
            .fold(mode, |mode, step| (mode & !step.clear) | step.set)
    }
}

impl FromStr for ModeChange {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let mode = units::parse_mode(text)?;
            return Ok(Self(vec![Step {
                clear: 0o777,
                set: mode,
            }]));
        }
        let wrong = || {
            format!("{text:?} is not a mode: use octal digits (0640), or symbols as chmod(1) does (u+rw,g=r,o=)")
        };
        let mut steps = Vec::new();
        for clause in text.split(',') {
            let mut who = 0;
            let mut rest = clause;
            while let Some(class) = rest.chars().next().filter(|c| "ugoa".contains(*c)) {
                who |= match class {
                    'u' => 0o700,
                    'g' => 0o070,
                    'o' => 0o007,
                    _ => 0o777,
                };
                rest = &rest[1..];
            }
            // Without a class it is all; there is no umask for segments.
            let who = if who == 0 { 0o777 } else { who };
            if rest.is_empty() {
                return Err(wrong());
            }
            while let Some(operator) = rest.chars().next() {
                if !"+-=".contains(operator) {
                    return Err(wrong());
                }
                rest = &rest[1..];
                let end = rest.find(|c| !"rwx".contains(c)).unwrap_or(rest.len());
                let bits = rest[..end].chars().fold(0, |bits, c| {
                    bits | match c {
                        'r' => 0o444,
                        'w' => 0o222,
                        _ => 0o111,
                    }
                });
                rest = &rest[end..];
                steps.push(match operator {
                    '+' => Step {
                        clear: 0,
                        set: bits & who,
                    },
                    '-' => Step {
                        clear: bits & who,
                        set: 0,
                    },
                    _ => Step {
                        clear: who,
                        set: bits & who,
                    },
                });
            }
        }
        Ok(Self(steps))
    }
}

/// What chown sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    uid: Option<u32>,
    gid: Option<u32>,
}

impl FromStr for Owner {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (user, group) = text
            .split_once(':')
            .map_or((text, None), |(user, group)| (user, Some(group)));
        let uid = if user.is_empty() {
            None
        } else {
            Some(names::parse_user(user)?)
        };
        let gid = group
            .filter(|group| !group.is_empty())
            .map(names::parse_group)
            .transpose()?;
        if uid.is_none() && gid.is_none() {
            return Err("give USER, USER:GROUP or :GROUP".into());
        }
        Ok(Self { uid, gid })
    }
}

/// Does it to each segment, and says of which it failed.
pub fn each(device: &Device, ids: &[i32], f: impl Fn(&Segment) -> rshm::Result<()>) -> Result {
    let mut failed = false;
    for &id in ids {
        if let Err(error) = f(&device.segment_by_id(id)) {
            complain(error.with_hint());
            failed = true;
        }
    }
    if failed {
        return Err(Failure::new(1, ""));
    }
    Ok(())
}

/// Who owns it: also where one may not read it, but may change it.
fn ownership(segment: &Segment) -> rshm::Result<Ownership> {
    match segment.stat() {
        Err(error) if error.errno_name() == Some("EACCES") => {
            let all = segment.device().list()?;
            all.iter()
                .find(|info| info.id() == segment.id())
                .map(|info| info.ownership())
                .ok_or(error)
        }
        stat => stat.map(|info| info.ownership()),
    }
}

pub fn chmod(device: &Device, chmod: &Chmod) -> Result {
    each(device, &chmod.ids, |segment| {
        let old = ownership(segment)?;
        segment.set(Ownership {
            mode: chmod.mode.apply(old.mode),
            ..old
        })
    })
}

pub fn chown(device: &Device, chown: &Chown) -> Result {
    each(device, &chown.ids, |segment| {
        let old = ownership(segment)?;
        segment.set(Ownership {
            uid: chown.owner.uid.unwrap_or(old.uid),
            gid: chown.owner.gid.unwrap_or(old.gid),
            ..old
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn modes() {
        for (text, from, to) in [
            ("0640", 0o777, 0o640),
            ("0", 0o777, 0),
            ("u+w", 0o444, 0o644),
            ("go-rwx", 0o666, 0o600),
            ("g=r,o=", 0o666, 0o640),
            ("+r", 0, 0o444),
            ("a=rw", 0o111, 0o666),
            ("u=rw+x-w", 0, 0o500),
            ("ug+r,o-r", 0o004, 0o440),
        ] {
            assert_eq!(
                text.parse::<ModeChange>().unwrap().apply(from),
                to,
                "{text}"
            );
        }
        for text in ["", "u", "u+s", "+rX", "u+r,", "9", "1000", "rw", "é", "u+é"] {
            assert!(text.parse::<ModeChange>().is_err(), "{text}");
        }
    }

    #[test]
    fn owners() {
        assert_eq!(
            "0:0".parse(),
            Ok(Owner {
                uid: Some(0),
                gid: Some(0)
            })
        );
        assert_eq!(
            "root".parse(),
            Ok(Owner {
                uid: Some(0),
                gid: None
            })
        );
        assert_eq!(
            "root:".parse(),
            Ok(Owner {
                uid: Some(0),
                gid: None
            })
        );
        assert_eq!(
            ":7".parse(),
            Ok(Owner {
                uid: None,
                gid: Some(7)
            })
        );
        for text in [
            "",
            ":",
            "no-such-user",
            "0:no-such-group",
            "-1",
            "4294967295",
        ] {
            assert!(text.parse::<Owner>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn bits_stay_nine(text in "[ugoa]{0,3}[-+=][rwx]{0,3}(,[ugoa]?[-+=][rwx]{0,3}){0,3}", mode in 0_u32..0o1000) {
            let change = text.parse::<ModeChange>().unwrap();
            prop_assert!(change.apply(mode) <= 0o777);
            prop_assert_eq!(change.apply(change.apply(mode)), change.apply(mode));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<ModeChange>();
        }
    }
}
