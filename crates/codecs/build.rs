//! Refuses to build without the assembler that the JPEG codec's SIMD code needs.
//!
//! The libjpeg build only prints a warning that nobody sees and goes on without SIMD, which makes
//! JPEG several times slower. AVIF's libraries stop with messages that do not say what to do.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    if !matches!(arch.as_str(), "x86_64" | "x86") {
        return;
    }
    let version = Command::new("nasm").arg("-v").output();
    let usable = version.as_ref().is_ok_and(|out| {
        let text = String::from_utf8_lossy(&out.stdout);
        out.status.success() && text.contains("NASM version") && !text.contains("NASM version 0.")
    });
    if !usable {
        println!("cargo::error=`nasm` is missing or too old: the image codecs are not built without SIMD.");
        println!(
            "cargo::error=Install it (Debian, Ubuntu: apt-get install nasm; Fedora: dnf install nasm; \
             Alpine: apk add nasm; macOS: brew install nasm), then run `cargo clean -p mozjpeg-sys` \
             and build again."
        );
    }
}
