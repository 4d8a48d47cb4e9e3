//! The test that compares docs/settings.md with the declarations, and writes it.

#![cfg(test)]

use std::fmt::Write as _;

use super::field::{Bounds, Form};
use super::{Setting, settings};

const HEAD: &str = "# Settings

Made from `crates/wholeplate/src/config/settings.rs`; `UPDATE=1 cargo test -p wholeplate settings_page` writes it.

A setting is a flag (`--max-source 20MB`), a variable (`WHOLEPLATE_MAX_SOURCE=20MB`) or a key of the TOML file that
`--config FILE` names (`max-source = \"20MB\"`). Flags win over variables, and variables win over the file.
`wholeplate config` prints the effective settings, or says which one is wrong.

Times are seconds, or have a unit: `30`, `30s`, `500ms`, `5m`, `2h`. Sizes take `kB`, `MB`, `GB` (powers of 1000) and `KiB`, `MiB`,
`GiB` (powers of 1024); without a unit, the setting says what the number counts. A switch is on when its flag is there, and takes
`true`, `1`, `false` and `0`. A list is a repeated flag, a TOML array, or a text with commas.
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    let mut group = "";
    for setting in settings() {
        if setting.group != group {
            group = setting.group;
            let _ =
                write!(page, "\n## {group}\n\n| Setting | Default | Range | Meaning |\n|---|---|---|---|\n");
        }
        let Setting { name, value_name, help, default, bounds, form, .. } = &setting;
        let value = match form {
            Form::Switch => String::new(),
            Form::List => format!(" {value_name}, …"),
            _ => format!(" {value_name}"),
        };
        let default = default.as_ref().map_or(String::new(), |d| format!("`{d}`"));
        let range = bounds.as_ref().map_or(String::new(), |Bounds(least, most)| format!("{least} to {most}"));
        let help = help.trim().replace('|', "\\|");
        let _ = writeln!(page, "| `{name}`{value} | {default} | {range} | {help} |");
    }
    page
}

#[test]
fn settings_page_is_what_the_declarations_say() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/settings.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(written == page(), "docs/settings.md is out of date; UPDATE=1 writes it");
}
