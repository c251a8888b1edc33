// SPDX-License-Identifier: GPL-2.0

//! The configuration of the kernel that the module's files are compiled for.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cfg=CONFIG_SYSVIPC");
}
