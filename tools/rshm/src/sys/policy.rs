// SPDX-License-Identifier: MIT OR Apache-2.0

//! NUMA policies of memory: `mbind(2)`, `get_mempolicy(2)`.

use super::memory::{Access, Memory, ReadWrite};
use crate::{Call, Error, Result, Target};
use std::io;

/// Where the pages of a range come from: `mbind(2)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "it is the arguments of a system call"
)]
pub struct Policy {
    /// `MPOL_DEFAULT` (0), `MPOL_BIND`, ... with `MPOL_F_STATIC_NODES` and its like.
    pub mode: u32,
    /// A bit for each node: 64 in a word, the lowest first. The last word is not 0.
    pub nodes: Vec<u64>,
}

/// As many nodes as any kernel can be built for.
const MOST_NODES: usize = 1024;

/// `MPOL_F_ADDR`.
const BY_ADDRESS: usize = 2;

fn checked(result: libc::c_long) -> Result<()> {
    if result < 0 {
        let error = io::Error::last_os_error();
        return Err(Error::new(Call::Policy, Target::Memory, &error));
    }
    Ok(())
}

impl<A: Access> Memory<A> {
    /// The policy of the page at an offset. Of a segment, it is the same for all who have it attached.
    ///
    /// `ENOSYS` on a kernel without NUMA.
    ///
    /// # Errors
    ///
    /// `ENOSYS` as above; an offset that is not in the memory.
    pub fn policy_at(&self, offset: usize) -> Result<Policy> {
        let place = self.place::<u8>(offset, 1)?;
        let (mut mode, mut nodes) = (0_u32, [0_u64; MOST_NODES / 64]);
        // SAFETY: The kernel writes an `int`, and no more than `MOST_NODES` bits. The address is only
        // looked up.
        checked(unsafe {
            libc::syscall(
                libc::SYS_get_mempolicy,
                &raw mut mode,
                nodes.as_mut_ptr(),
                MOST_NODES,
                place,
                BY_ADDRESS,
            )
        })?;
        let count = nodes.iter().rposition(|word| *word != 0);
        let nodes = nodes[..count.map_or(0, |last| last + 1)].to_vec();
        Ok(Policy { mode, nodes })
    }
}

impl Memory<ReadWrite> {
    /// Sets the policy of the pages of a range, which begins with a page. Pages that are there stay where
    /// they are.
    ///
    /// # Errors
    ///
    /// Those of `mbind(2)`: `EINVAL` for nodes that the machine does not have; a range that is not in the memory.
    pub fn set_policy(&self, offset: usize, size: usize, policy: &Policy) -> Result<()> {
        let place = self.place::<u8>(offset, size)?;
        // SAFETY: The kernel reads as many bits as there are (it takes one off). Which node a page is on
        // changes no byte.
        checked(unsafe {
            libc::syscall(
                libc::SYS_mbind,
                place,
                size,
                policy.mode as usize,
                policy.nodes.as_ptr(),
                policy.nodes.len() * 64 + 1,
                0_usize,
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Anonymous;

    #[test]
    fn a_policy_is_what_it_was_set_to() {
        let memory = Anonymous::new(4 << 16).unwrap();
        let Ok(none) = memory.policy_at(0) else {
            return; // a kernel without NUMA
        };
        assert_eq!(none, Policy::default());
        // MPOL_BIND to the first node, which every machine has.
        let bound = Policy {
            mode: 2,
            nodes: vec![1],
        };
        memory.set_policy(1 << 16, 1 << 16, &bound).unwrap();
        assert_eq!(memory.policy_at(1 << 16).unwrap(), bound);
        assert_eq!(memory.policy_at((2 << 16) - 1).unwrap(), bound);
        assert_eq!(memory.policy_at((1 << 16) - 1).unwrap(), none);
        assert_eq!(memory.policy_at(2 << 16).unwrap(), none);
        assert!(memory.policy_at(4 << 16).is_err());
        assert!(memory.set_policy(3 << 16, 2 << 16, &bound).is_err());
    }
}
