//! The folders of `conformance/` and their `case.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

/// A JSON object.
pub(crate) type Object = Map<String, Value>;

/// One folder: an option, or a few related ones, and its pictures.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Folder {
    #[serde(skip)]
    pub(crate) name: String,
    /// The options of the table that the folder shows; empty if it shows none.
    #[serde(default)]
    pub(crate) options: Vec<String>,
    /// One or two sentences about the option.
    pub(crate) about: String,
    #[serde(rename = "picture")]
    pub(crate) pictures: Vec<Picture>,
}

/// One request and its expected result. Exactly one of `url`, `image` and `binding` describes the request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Picture {
    pub(crate) name: String,
    /// One sentence about the expected result.
    pub(crate) proves: String,
    /// A file of `sources/`.
    pub(crate) source: String,
    /// Options of the URL interface. The requests of the other interfaces are derived from them.
    pub(crate) url: Option<String>,
    /// A `cf.image` object; `url` and `font.url` are file names. The binding request is derived from it.
    pub(crate) image: Option<Object>,
    /// A request that only the binding supports.
    pub(crate) binding: Option<Binding>,
    /// Numbers of the tested statements.
    #[serde(default)]
    pub(crate) statements: Vec<String>,
    /// Set if JSON would express something else, for example a text that is no number.
    #[serde(default)]
    pub(crate) only_as_text: bool,
    /// Request headers. Only interfaces with headers are then tested.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Limit of the mean difference of a sample from the expected picture, in 1/255.
    #[serde(default = "mean")]
    pub(crate) mean: f64,
    /// Limit of the difference of a single sample.
    #[serde(default = "max")]
    pub(crate) max: u8,
    /// Text that the body must contain, or must not contain.
    #[serde(default)]
    pub(crate) holds: Vec<String>,
    #[serde(default)]
    pub(crate) lacks: Vec<String>,
    /// Part of an expected warning.
    pub(crate) warning: Option<String>,
    pub(crate) frames: Option<u32>,
    /// Another picture of the folder with the same bytes. This one then has no file.
    pub(crate) same_as: Option<String>,
    /// Another picture of the folder with different bytes.
    pub(crate) unlike: Option<String>,
}

/// The parts of a binding request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Binding {
    /// Files, or text objects, numbered from 1.
    #[serde(default)]
    pub(crate) overlays: Vec<Value>,
    pub(crate) steps: Vec<Object>,
    /// `format` and the other arguments of `output()`.
    pub(crate) output: Object,
}

/// The computation is the same everywhere, but processors can round differently.
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

/// All folders, sorted by name.
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
    /// The file of the expected picture or text; for a picture with `same`, that of the other one.
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

/// The files of a folder, except the case itself and the output of failed tests.
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
