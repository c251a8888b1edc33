// SPDX-License-Identifier: MIT OR Apache-2.0

//! The public interface of the published crates is what `api.txt` says, beside each one's Cargo.toml:
//! so none of it changes by accident, and a review shows what does. UPDATE_API=1 writes it anew.

use std::{env, fs, path::Path, process::Command};

#[test]
fn the_interface_is_what_is_written_down() {
    for (directory, name) in [("abi", "rust_shm_abi"), ("rshm", "rshm")] {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("api");
        let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(directory);
        let status = Command::new(env!("CARGO"))
            .args(["rustdoc", "--quiet", "--lib", "--locked", "--target-dir"])
            .arg(&target)
            .args([
                "--",
                "-Zunstable-options",
                "--output-format=json",
                "--cap-lints=allow",
            ])
            .current_dir(&directory)
            // This format of rustdoc's is not stable yet.
            .env("RUSTC_BOOTSTRAP", "1")
            .status()
            .unwrap();
        assert!(status.success());
        let api = public_api::Builder::from_rustdoc_json(target.join(format!("doc/{name}.json")))
            .omit_auto_derived_impls(true)
            .omit_blanket_impls(true)
            .build()
            .unwrap()
            .to_string();
        let list = directory.join("api.txt");
        if env::var_os("UPDATE_API").is_some() {
            fs::write(&list, &api).unwrap();
        }
        let written = fs::read_to_string(&list).unwrap();
        let only_in = |these: &str, others: &str, sign: &str| {
            let others: Vec<_> = others.lines().collect();
            let lines = these.lines().filter(|line| !others.contains(line));
            let signed: Vec<_> = lines.map(|line| sign.to_owned() + line).collect();
            signed.join("\n")
        };
        let removed = only_in(&written, &api, "-");
        let added = only_in(&api, &written, "+");
        assert!(
            written == api,
            "{name} is not what {} says:\n{removed}\n{added}\nIf that is meant: UPDATE_API=1 cargo test -p rshm --test api",
            list.display()
        );
    }
}
