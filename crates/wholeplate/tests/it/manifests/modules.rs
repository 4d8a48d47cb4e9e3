//! Cycles between the source files of a crate, read from the text of its `mod` and `use` items and of its paths.
//!
//! An edge goes from a file that uses an item to the file that defines it; re-exports are followed. No edge goes from a
//! module to a module below it, because a module combines its submodules. Code under `#[cfg(test)]` and paths into other
//! crates are ignored. The items of a glob re-export count as defined by the file that re-exports them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Files by their path below `src`, with their text.
pub type Sources = BTreeMap<String, String>;

/// One use of another file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    pub from: String,
    pub to: String,
    /// The path as it is written, with the path of its `use` group.
    pub path: String,
}

/// A module by its names from the root of the crate.
type Name = Vec<String>;

#[derive(Debug, Default)]
struct Module {
    file: String,
    children: BTreeSet<String>,
    /// The paths of `use` items, by the name that they bring in.
    imports: BTreeMap<String, Vec<String>>,
    /// Paths in `use` items and in code. Those of re-exports are missing: they name an item and do not use it.
    uses: BTreeSet<Vec<String>>,
}

/// The source files below a folder.
pub fn sources(folder: &Path) -> Sources {
    let mut found = Sources::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

/// The cycles of a crate: for each, all edges between its files.
pub fn cycles(sources: &Sources) -> Vec<Vec<Edge>> {
    let edges = edges(sources);
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for edge in &edges {
        next.entry(&edge.from).or_default().push(&edge.to);
    }
    // The files that each file reaches. Two files that reach each other are in one cycle.
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        next.keys().map(|file| (*file, reach(file, &next))).collect();
    let mut done = BTreeSet::new();
    let mut cycles = Vec::new();
    for (file, below) in &reached {
        if below.contains(file) && !done.contains(file) {
            let both = |other: &&&str| reached.get(**other).is_some_and(|others| others.contains(file));
            let members: BTreeSet<&str> = below.iter().filter(both).copied().collect();
            let inside = |edge: &&Edge| members.contains(&*edge.from) && members.contains(&*edge.to);
            cycles.push(edges.iter().filter(inside).cloned().collect());
            done.extend(members);
        }
    }
    cycles
}

fn reach<'a>(file: &str, next: &BTreeMap<&'a str, Vec<&'a str>>) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut left = next.get(file).cloned().unwrap_or_default();
    while let Some(file) = left.pop() {
        if found.insert(file) {
            left.extend(next.get(file).into_iter().flatten());
        }
    }
    found
}

/// Every use of a file by another.
pub fn edges(sources: &Sources) -> BTreeSet<Edge> {
    let mut edges = BTreeSet::new();
    for modules in roots(sources) {
        for (name, module) in &modules {
            for path in &module.uses {
                let Some(target) = absolute(name, path, &modules, 0) else { continue };
                let Some(definer) = definer(&target, &modules, 0) else { continue };
                let (from, to) = (&module.file, &modules[&definer].file);
                if from != to && !(definer.len() > name.len() && definer.starts_with(name)) {
                    edges.insert(Edge { from: from.clone(), to: to.clone(), path: path.join("::") });
                }
            }
        }
    }
    edges
}

/// The modules below each root: the library, and each program.
fn roots(sources: &Sources) -> Vec<BTreeMap<Name, Module>> {
    let is_root = |(file, text): &(&String, &String)| {
        !file.contains('/') && (*file == "lib.rs" || *file == "main.rs" || text.contains("fn main("))
    };
    let roots = sources.iter().filter(is_root).map(|(root, _)| {
        let mut modules = BTreeMap::new();
        read_file(root, Vec::new(), sources, &mut modules);
        modules
    });
    roots.collect()
}

/// The files that no root declares, so that their edges are unknown. Files of tests are not among them.
pub fn unread(sources: &Sources) -> BTreeSet<&str> {
    let read: BTreeSet<String> = roots(sources)
        .into_iter()
        .flat_map(|modules| modules.into_values().map(|module| module.file))
        .collect();
    let is_test = |file: &str| {
        let name = file.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        sources.values().any(|text| text.contains(&format!("#[cfg(test)]\nmod {name};")))
    };
    sources.keys().map(String::as_str).filter(|file| !read.contains(*file) && !is_test(file)).collect()
}

/// Imports that may refer to each other are followed this often.
const MAX_IMPORTS: usize = 16;

/// A path from the root of the crate; `None` for a path into another crate.
fn absolute(
    from: &[String],
    path: &[String],
    modules: &BTreeMap<Name, Module>,
    depth: usize,
) -> Option<Name> {
    let (first, rest) = path.split_first()?;
    let mut base = match &**first {
        "crate" => Vec::new(),
        "self" => from.to_vec(),
        "super" => {
            let mut parent = from.to_vec();
            parent.pop()?;
            let above = rest.iter().take_while(|name| *name == "super").count();
            parent.truncate(parent.len().checked_sub(above)?);
            parent.extend(rest[above..].iter().cloned());
            return Some(parent);
        }
        name if modules[from].children.contains(name) => [from, &[name.to_owned()]].concat(),
        // An imported module. An imported item needs no edge here, because its `use` item is one.
        name => {
            let import = modules[from].imports.get(name).filter(|_| depth < MAX_IMPORTS)?;
            absolute(from, import, modules, depth + 1).filter(|target| modules.contains_key(target))?
        }
    };
    base.extend(rest.iter().cloned());
    Some(base)
}

/// The module that defines the item of an absolute path. A path that ends at a module names no item.
fn definer(path: &[String], modules: &BTreeMap<Name, Module>, depth: usize) -> Option<Name> {
    let known = (0..=path.len()).rev().find(|length| modules.contains_key(&path[..*length]))?;
    let (module, rest) = path.split_at(known);
    let item = rest.first()?;
    let module = module.to_vec();
    if let Some(import) = modules[&module].imports.get(item).filter(|_| depth < MAX_IMPORTS) {
        let mut target = absolute(&module, import, modules, 0)?;
        target.extend(rest[1..].iter().cloned());
        return if target == path { Some(module) } else { definer(&target, modules, depth + 1) };
    }
    Some(module)
}

/// Reads a file and the files of its submodules.
fn read_file(file: &str, name: Name, sources: &Sources, modules: &mut BTreeMap<Name, Module>) {
    let tokens = tokens(&sources[file]);
    let mut at = 0;
    read_module(&tokens, &mut at, file, name, modules);
    // Modules in the same file declare files, too.
    let declared: Vec<Name> = modules
        .iter()
        .filter(|(_, module)| module.file == file)
        .flat_map(|(parent, module)| {
            module.children.iter().map(|c| [parent.as_slice(), std::slice::from_ref(c)].concat())
        })
        .collect();
    for child in declared {
        if !modules.contains_key(&child) {
            let path = child.join("/");
            let files = [format!("{path}.rs"), format!("{path}/mod.rs")];
            // A file elsewhere, by `#[path]`, is not followed.
            if let Some(file) = files.iter().find(|file| sources.contains_key(*file)) {
                read_file(file, child, sources, modules);
            }
        }
    }
}

/// Reads the items of a module up to the brace that ends it.
fn read_module(
    tokens: &[&str],
    at: &mut usize,
    file: &str,
    name: Name,
    modules: &mut BTreeMap<Name, Module>,
) {
    let mut module = Module { file: file.to_owned(), ..Module::default() };
    let mut reexports = Vec::new();
    let (mut depth, mut public) = (0, false);
    while let Some(token) = tokens.get(*at) {
        let after = |offset: usize| tokens.get(*at + offset).copied().unwrap_or_default();
        match *token {
            "#" if is_test(&tokens[*at..]) => {
                *at += skip_item(&tokens[*at..]);
                continue;
            }
            "mod" if after(2) == ";" => {
                module.children.insert(after(1).to_owned());
            }
            "mod" if after(2) == "{" => {
                let child = after(1).to_owned();
                *at += 3;
                module.children.insert(child.clone());
                read_module(tokens, at, file, [name.as_slice(), &[child]].concat(), modules);
            }
            "use" => {
                *at += 1;
                let mut paths = Vec::new();
                use_tree(tokens, at, &[], &mut paths);
                for (path, alias) in paths {
                    if public {
                        reexports.push((alias.clone(), path.clone()));
                    } else {
                        module.uses.insert(path.clone());
                    }
                    module.imports.insert(alias, path);
                }
            }
            "{" => depth += 1,
            "}" if depth == 0 => break,
            "}" => depth -= 1,
            word if is_word(word) && after(1) == "::" => {
                let mut path = vec![word.to_owned()];
                while tokens.get(*at + 1) == Some(&"::") && tokens.get(*at + 2).is_some_and(|t| is_word(t)) {
                    path.push(tokens[*at + 2].to_owned());
                    *at += 2;
                }
                module.uses.insert(path);
            }
            _ => {}
        }
        // `pub`, `pub(crate)` or `pub(in path)` in front of `use`.
        public = match tokens.get(*at) {
            Some(&"pub") => true,
            Some(&("(" | ")" | "crate" | "super" | "self" | "in" | "::")) => public,
            _ => false,
        };
        *at += 1;
    }
    // A re-exported item that the module's own code names is used as well.
    for (alias, path) in reexports {
        let named = tokens.iter().filter(|token| **token == alias).count();
        if named > path.iter().filter(|part| **part == alias).count().max(1) {
            module.uses.insert(path);
        }
    }
    modules.insert(name, module);
}

/// Reads one tree of a `use` item: its paths, each with the name that it brings in. Leaves `at` behind the tree.
fn use_tree(tokens: &[&str], at: &mut usize, prefix: &[String], paths: &mut Vec<(Vec<String>, String)>) {
    let start = *at;
    let mut path = prefix.to_vec();
    let mut alias = None;
    while let Some(token) = tokens.get(*at) {
        match *token {
            "::" => {}
            "{" => {
                *at += 1;
                loop {
                    use_tree(tokens, at, &path, paths);
                    // A comma, or the brace after the last tree.
                    *at += 1;
                    if tokens.get(*at - 1) != Some(&",") {
                        return;
                    }
                }
            }
            "as" => {
                *at += 1;
                alias = tokens.get(*at).map(|name| (*name).to_owned());
            }
            "self" if !path.is_empty() => {}
            word if is_word(word) || word == "*" => path.push(word.to_owned()),
            _ => break,
        }
        *at += 1;
    }
    // After a trailing comma there is no tree.
    if *at > start
        && let Some(alias) = alias.or_else(|| path.last().cloned())
    {
        paths.push((path, alias));
    }
}

/// Whether an attribute begins here that leaves its item out of the program: `#[test]`, `#[cfg(test)]`, `#[cfg(all(test, …))]`.
fn is_test(tokens: &[&str]) -> bool {
    let begins = |with: &[&str]| tokens.starts_with(with);
    begins(&["#", "[", "test", "]"])
        || begins(&["#", "[", "cfg", "(", "test", ")"])
        || begins(&["#", "[", "cfg", "(", "all", "(", "test"])
}

/// The length of an item with its attributes: up to its semicolon or the end of its braces.
fn skip_item(tokens: &[&str]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "{" | "(" | "[" => depth += 1,
            "}" if depth == 1 => return at + 1,
            // A field, at the end of its struct.
            "}" if depth == 0 => return at,
            "}" | ")" | "]" => depth -= 1,
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The tokens of a source text, without comments, texts and characters.
fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = literal(rest) {
            length
        } else if first.is_alphanumeric() || first == '_' {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let token = &rest[..length];
        if !token.starts_with("//")
            && !token.starts_with("/*")
            && !first.is_whitespace()
            && literal(rest).is_none()
        {
            found.push(token);
        }
        rest = &rest[length..];
    }
    found
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of a text, raw text or character that begins here. A lifetime is none of them.
fn literal(text: &str) -> Option<usize> {
    let body = text.strip_prefix(['b', 'c']).unwrap_or(text);
    let before = text.len() - body.len();
    if let Some(raw) = body.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let open = raw[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(before + 1 + hashes + 1 + open.find(&end)? + end.len());
    }
    let quote = body.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut characters = body.char_indices().skip(1);
    let mut length = 0;
    while let Some((at, character)) = characters.next() {
        length += 1;
        if character == quote {
            return Some(before + at + 1);
        }
        if character == '\\' {
            // `'\u{1F600}'` is the longest character.
            characters.next();
            continue;
        }
        if quote == '\'' && length == 1 && !body[at + character.len_utf8()..].starts_with('\'') {
            return None;
        }
    }
    None
}
