//! The files below `deploy/` and the release archive.

use std::path::Path;
use std::process::Command;

// OPS-050, OPS-052: `scripts/check-deploy` starts what the files start, with the tools that are here.
#[test]
fn deployment_files_start_what_they_say() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/check-deploy");
    let done =
        Command::new("python3").arg(script).args(["--program", env!("CARGO_BIN_EXE_wholeplate")]).output();
    let Ok(done) = done else {
        eprintln!("skipped: python3 is not here");
        return;
    };
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    // These need no tool but Python.
    for check in ["settings", "dockerfile", "coolify", "railway"] {
        assert!(said.lines().any(|line| line.starts_with(&format!("ok       {check}"))), "{check}: {said}");
    }
}
