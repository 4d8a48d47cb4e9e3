//! The pictures of `conformance/`: sends each request through every interface that supports it and compares the result
//! with the expected picture. `scripts/gallery` writes the page that shows them.
//!
//! `CONFORMANCE=update` writes the pictures instead; review them. `CONFORMANCE_ONLY=fit` selects one folder. A picture
//! that differs leaves `<name>.actual.png` beside it: expected, actual, and eight times the difference.

mod cases;
mod compare;
mod forms;
mod interfaces;
mod page;
mod worker_code;

use std::collections::HashMap;
use std::path::Path;
use work::Work;

use self::cases::{Folder, Picture, files, folders, root};
use self::interfaces::{Answer, Bench};
use crate::support::Pixels;

fn updating() -> bool {
    std::env::var("CONFORMANCE").is_ok_and(|mode| mode == "update")
}

#[test]
fn every_picture_is_as_expected_through_every_interface() {
    let bench = Bench::start();
    let only = std::env::var("CONFORMANCE_ONLY").ok();
    let mut problems = Vec::new();
    for folder in folders().iter().filter(|f| only.as_ref().is_none_or(|only| *only == f.name)) {
        let mut bodies: HashMap<&str, Vec<u8>> = HashMap::new();
        for picture in &folder.pictures {
            let answers = bench.ask(picture);
            let problem = |text: String| format!("{}/{}: {text}", folder.name, picture.name);
            problems.extend(check(folder, picture, &answers).into_iter().map(problem));
            bodies.insert(&picture.name, answers[0].body.clone());
        }
        for picture in &folder.pictures {
            let same = |other: &String| bodies[picture.name.as_str()] == bodies[other.as_str()];
            if picture.same_as.as_ref().is_some_and(|other| !same(other)) {
                problems.push(format!("{}/{}: not the same as its twin", folder.name, picture.name));
            }
            if picture.unlike.as_ref().is_some_and(same) {
                problems.push(format!("{}/{}: no different from its rival", folder.name, picture.name));
            }
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// The errors in the responses of one picture.
fn check(folder: &Folder, picture: &Picture, answers: &[Answer]) -> Vec<String> {
    let first = &answers[0];
    let mut problems = Vec::new();
    for other in &answers[1..] {
        let same = if first.extension == "txt" {
            problem_of(other) == problem_of(first)
        } else {
            other.body == first.body
        };
        if !same {
            let text = |a: &Answer| {
                if a.extension == "txt" {
                    text(&a.body)
                } else {
                    format!("{} bytes of {}", a.body.len(), a.extension)
                }
            };
            problems.push(format!(
                "{} gives {}, and {} gives {}",
                first.interface,
                text(first),
                other.interface,
                text(other)
            ));
        }
    }
    for answer in answers {
        let contains = |text: &String| answer.body.windows(text.len()).any(|part| part == text.as_bytes());
        problems.extend(
            picture.holds.iter().filter(|t| !contains(t)).map(|t| format!("{}: no '{t}'", answer.interface)),
        );
        problems.extend(
            picture.lacks.iter().filter(|t| contains(t)).map(|t| format!("{}: '{t}'", answer.interface)),
        );
    }
    if let Some(text) = &picture.warning {
        // Responses of the binding carry no warnings.
        for answer in answers.iter().filter(|a| a.interface != "binding") {
            if !answer.warnings.iter().any(|w| w.contains(text)) {
                problems.push(format!("{}: no warning '{text}' but {:?}", answer.interface, answer.warnings));
            }
        }
    }
    if let Some(frames) = picture.frames {
        let found =
            imaging::probe(&first.body, &Work::unlimited()).unwrap().animation.map_or(1, |a| a.frames);
        if found != frames {
            problems.push(format!("{found} frames instead of {frames}"));
        }
    }
    let directory = root().join(&folder.name);
    let left = directory.join(format!("{}.actual.png", picture.name));
    let _ = std::fs::remove_file(&left);
    let expected = folder.expected(picture);
    if updating() {
        if picture.same_as.is_some() {
            return problems;
        }
        if let Some(old) = expected {
            std::fs::remove_file(old).unwrap();
        }
        let path = directory.join(format!("{}.{}", picture.name, first.extension));
        std::fs::write(path, &first.body).unwrap();
        return problems;
    }
    match expected {
        None => problems.push("there is no expected picture; make it with CONFORMANCE=update".to_owned()),
        Some(path) => problems.extend(compare(&path, picture, first, &left).err()),
    }
    problems
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// An error without the position, which each interface names differently.
fn problem_of(answer: &Answer) -> String {
    let text = text(&answer.body);
    let places = ["wholeplate: --options: ", "ERROR 9401: Missing or invalid resizing parameters: "];
    let rest = places.iter().fold(text.as_str(), |rest, place| rest.strip_prefix(place).unwrap_or(rest));
    // draw[0].left and transforms[1].left
    let rest = rest.split_once("].").map_or(rest, |(_, rest)| rest);
    if answer.extension == "txt" { rest.to_owned() } else { format!("no error but {}", answer.extension) }
}

fn compare(path: &Path, picture: &Picture, answer: &Answer, left: &Path) -> Result<(), String> {
    let expected = std::fs::read(path).unwrap();
    let extension = path.extension().unwrap().to_str().unwrap();
    if extension != answer.extension {
        let said = if answer.extension == "txt" { text(&answer.body) } else { String::new() };
        return Err(format!("{} instead of {extension} {said}", answer.extension));
    }
    if matches!(extension, "txt" | "json" | "svg") {
        let different = || format!("'{}' instead of '{}'", text(&answer.body), text(&expected));
        return if expected == answer.body { Ok(()) } else { Err(different()) };
    }
    let (expected, actual) = (Pixels::decode(&expected), Pixels::decode(&answer.body));
    let problem = match compare::difference(&expected, &actual) {
        Ok(d) if d.mean <= picture.mean && d.max <= picture.max => return Ok(()),
        Ok(d) => format!(
            "differs by {:.3} on average ({} allowed) and {} at most ({} allowed), there at {:?}",
            d.mean, picture.mean, d.max, picture.max, d.at
        ),
        Err(problem) => problem,
    };
    std::fs::write(left, compare::side_by_side(&expected, &actual)).unwrap();
    Err(format!("{problem}; see {}", left.display()))
}

#[test]
fn every_option_has_a_folder() {
    let folders = folders();
    let shown: Vec<&str> = folders.iter().flat_map(|f| f.options.iter().map(String::as_str)).collect();
    let missing: Vec<&str> = recipe::dialect::option_names().filter(|name| !shown.contains(name)).collect();
    assert!(missing.is_empty(), "no folder of conformance/ shows {missing:?}");
    for folder in &folders {
        for name in &folder.options {
            assert!(
                name == "draw" || recipe::dialect::option_names().any(|n| n == name),
                "{name} is no option"
            );
        }
    }
}

/// Every file of the folders belongs to a picture, and all are small enough for one page.
#[test]
fn the_folders_hold_what_their_cases_name_and_no_more() {
    const FILE: u64 = 60_000;
    const ALL: u64 = 2_500_000;
    let folders = folders();
    let mut total = 0;
    for folder in &folders {
        for path in files(&root().join(&folder.name)) {
            let stem = path.file_stem().unwrap().to_string_lossy();
            assert!(
                folder.pictures.iter().any(|p| p.name == stem && p.same_as.is_none()),
                "{} belongs to no picture",
                path.display()
            );
            let size = path.metadata().unwrap().len();
            assert!(size <= FILE, "{} has {size} bytes", path.display());
            total += size;
        }
        for picture in &folder.pictures {
            assert!(picture.proves.ends_with('.'), "{}/{}: a whole sentence", folder.name, picture.name);
        }
    }
    assert!(total <= ALL, "the expected pictures have {total} bytes");
    let uses = |name: &str| {
        folders.iter().flat_map(|f| &f.pictures).any(|p| {
            let all = format!("{:?} {:?}", p.image, p.binding);
            p.source.ends_with(name) || all.contains(&format!("\"{name}\""))
        })
    };
    for path in files(&root().join("sources")) {
        let name = path.file_name().unwrap().to_string_lossy();
        assert!(uses(&name), "no picture is made of sources/{name}");
    }
}

#[test]
fn the_gallery_shows_what_the_folders_hold() {
    let page = page::page(&folders());
    let path = root().join("../docs/gallery/index.html");
    if updating() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, page).unwrap();
        return;
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/gallery/index.html is not what conformance/ gives: run scripts/gallery");
}
