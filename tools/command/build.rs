// SPDX-License-Identifier: GPL-2.0-only

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Of glibc 2.39. std looks for them at run time, and goes without if they are nowhere: so here they are. Otherwise
    // the loader of an older glibc, as Debian 12's, refuses the program.
    for function in ["pidfd_spawnp", "pidfd_getpid"] {
        println!("cargo::rustc-link-arg-bins=-Wl,--defsym={function}=0");
    }
}
