//! The folders of `conformance/`: what each `case.toml` says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

/// A JSON object.
pub(crate) type Object = Map<String, Value>;

/// One folder: an option (or a few that belong together) and its pictures.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Folder {
    #[serde(skip)]
    pub(crate) name: String,
    /// The options of the table that it shows; none for what is no option.
    #[serde(default)]
    pub(crate) options: Vec<String>,
    /// What the option does, in a sentence or two.
    pub(crate) about: String,
    #[serde(rename = "picture")]
    pub(crate) pictures: Vec<Picture>,
}

/// One request and what comes of it. Exactly one of `url`, `image` and `binding` says what is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Picture {
    pub(crate) name: String,
    /// What it proves, in a sentence.
    pub(crate) proves: String,
    /// A file of `sources/`.
    pub(crate) source: String,
    /// Options as the URL interface takes them; the other doors' forms are made of them.
    pub(crate) url: Option<String>,
    /// A `cf.image` object; `url` and `font.url` in it are files. The binding's form is made of it.
    pub(crate) image: Option<Object>,
    /// A request that only the binding can express.
    pub(crate) binding: Option<Binding>,
    /// Numbers of the statements that it tests.
    #[serde(default)]
    pub(crate) statements: Vec<String>,
    /// JSON would say something else: text that is no number, for one.
    #[serde(default)]
    pub(crate) only_as_text: bool,
    /// Request headers; the request then goes through doors with headers only.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Greatest mean difference of a sample from the expected picture, of 255.
    #[serde(default = "mean")]
    pub(crate) mean: f64,
    /// Greatest single difference.
    #[serde(default = "max")]
    pub(crate) max: u8,
    /// Text that is in the answer's bytes, or is not.
    #[serde(default)]
    pub(crate) holds: Vec<String>,
    #[serde(default)]
    pub(crate) lacks: Vec<String>,
    /// Part of a warning that comes with the answer.
    pub(crate) warning: Option<String>,
    pub(crate) frames: Option<u32>,
    /// Another picture of the folder that has the same bytes; this one then has no file of its own.
    pub(crate) same_as: Option<String>,
    /// Another picture of the folder that has not.
    pub(crate) unlike: Option<String>,
}

/// The parts of a binding request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Binding {
    /// Files, or objects of texts, numbered from 1.
    #[serde(default)]
    pub(crate) overlays: Vec<Value>,
    pub(crate) steps: Vec<Object>,
    /// `format`, and what else stands in `output()`.
    pub(crate) output: Object,
}

/// Pixels are computed alike everywhere; other processors may round once in a while.
fn mean() -> f64 {
    0.08
}

fn max() -> u8 {
    3
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance").canonicalize().unwrap()
}

pub(crate) fn source(name: &str) -> Vec<u8> {
    let path = root().join("sources").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// All folders by name.
pub(crate) fn folders() -> Vec<Folder> {
    let mut folders: Vec<Folder> = std::fs::read_dir(root())
        .unwrap()
        .filter_map(|entry| {
            let directory = entry.unwrap().path();
            let text = std::fs::read_to_string(directory.join("case.toml")).ok()?;
            let name = directory.file_name().unwrap().to_string_lossy().into_owned();
            let folder: Folder = toml::from_str(&text).unwrap_or_else(|e| panic!("{name}/case.toml: {e}"));
            Some(Folder { name, ..folder })
        })
        .collect();
    folders.sort_by(|a, b| a.name.cmp(&b.name));
    folders
}

impl Folder {
    /// The expected picture (or text), whatever its format; of one that is the same as another, that one's.
    pub(crate) fn expected(&self, picture: &Picture) -> Option<PathBuf> {
        if let Some(twin) = &picture.same_as {
            let twin = self.pictures.iter().find(|p| p.name == *twin).unwrap();
            return self.expected(twin);
        }
        let mut found = files(&root().join(&self.name))
            .into_iter()
            .filter(|path| path.file_stem().is_some_and(|stem| *stem == *picture.name));
        let first = found.next();
        assert!(found.next().is_none(), "{}/{} has two expected pictures", self.name, picture.name);
        first
    }
}

/// The files of a folder but the case itself and what failed tests left.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name != "case.toml" && !name.ends_with(".actual.png")
        })
        .collect();
    files.sort();
    files
}
