//! Finds libwim, the C library whose compressors and decompressors the crate binds.

use std::path::Path;
use std::process::Command;

/// Where Linux distributions put libraries, for systems without `pkg-config`.
const LIBRARY_FOLDERS: [&str; 6] =
    ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib", "/usr/local/lib64"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PKG_CONFIG_PATH");
    let asked = Command::new("pkg-config").args(["--libs-only-L", "wimlib"]).output();
    match asked {
        Ok(answer) if answer.status.success() => {
            for flag in String::from_utf8_lossy(&answer.stdout).split_whitespace() {
                if let Some(folder) = flag.strip_prefix("-L") {
                    println!("cargo::rustc-link-search=native={folder}");
                }
            }
        }
        _ => match LIBRARY_FOLDERS.iter().find(|folder| Path::new(folder).join("libwim.so").exists()) {
            Some(folder) => println!("cargo::rustc-link-search=native={folder}"),
            None => {
                println!(
                    "cargo::error=libwim is missing: install it (Debian, Ubuntu: apt-get install libwim-dev; Fedora: dnf install wimlib-devel)"
                );
                return;
            }
        },
    }
    println!("cargo::rustc-link-lib=dylib=wim");
}
