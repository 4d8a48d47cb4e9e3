//! Removes the doctype and expands the entities that it declares.
//!
//! Drawing programs declare a few entities for their namespaces. With `<!DOCTYPE` a short file can also expand without
//! limit or fetch other files. Entities are expanded here, within limits, before an XML parser reads the text. Detection by
//! content already bounds the doctype: the root element has to begin within the first 16 KiB.

use std::collections::HashMap;

use super::damaged;
use super::decode::{HEAD, Head};
use crate::{Error, Format};
use work::{Reservation, Work};

/// Nesting of entities within each other.
const MAX_DEPTH: u32 = 8;
/// Most bytes that all references together expand to.
pub(super) const MAX_EXPANSION: usize = 1 << 20;

/// The text after the prolog.
pub(super) enum Expanded {
    /// No entities: the text from this byte on.
    Slice(usize),
    Text(String, Reservation),
}

/// The text from its first element or comment on, without references other than character references.
pub(super) fn expanded(text: &str, work: &Work) -> Result<Expanded, Error> {
    let mut scan = Scan(text);
    let entities = prolog(&mut scan)?;
    let start = text.len() - scan.0.len();
    if entities.is_empty() {
        return Ok(Expanded::Slice(start));
    }
    let mut expander = Expander::new(entities, scan.0.len());
    let held = work.take(expander.limit)?;
    let mut out = String::with_capacity(expander.limit);
    expander.content(scan.0, 0, Until::End, &mut out)?;
    work.check()?;
    Ok(Expanded::Text(out, held))
}

/// The start tag of the root element, and the comments before it.
pub(super) fn expanded_root(head: &Head) -> Result<String, Error> {
    let expand = || {
        let mut scan = Scan(&head.text);
        let entities = prolog(&mut scan)?;
        let mut out = String::new();
        Expander::new(entities, scan.0.len()).content(scan.0, 0, Until::FirstTag, &mut out)?;
        Ok(out)
    };
    expand().map_err(|error| match error {
        Error::Truncated(_) if head.cut => damaged(format!(
            "the start tag of its root element does not end within the first {HEAD} bytes of its text"
        )),
        other => other,
    })
}

/// The values of the entities; `None` for those in other files.
type Entities = HashMap<String, Option<String>>;

struct Scan<'a>(&'a str);

impl<'a> Scan<'a> {
    fn eat(&mut self, text: &str) -> bool {
        self.0.strip_prefix(text).map(|rest| self.0 = rest).is_some()
    }

    fn space(&mut self) -> bool {
        let before = self.0.len();
        self.0 = self.0.trim_start_matches([' ', '\t', '\r', '\n']);
        self.0.len() < before
    }

    /// The text before `end`, which is consumed too.
    fn until(&mut self, end: &str) -> Result<&'a str, Error> {
        let (before, rest) = self.0.split_once(end).ok_or(Error::Truncated(Format::Svg))?;
        self.0 = rest;
        Ok(before)
    }

    fn name(&mut self) -> &'a str {
        let ends = |c: char| c.is_whitespace() || "<>&;%'\"[]/=".contains(c);
        let (name, rest) = self.0.split_at(self.0.find(ends).unwrap_or(self.0.len()));
        self.0 = rest;
        name
    }

    fn quoted(&mut self) -> Result<Option<&'a str>, Error> {
        let quote = if self.0.starts_with('"') { "\"" } else { "'" };
        if self.eat(quote) { self.until(quote).map(Some) } else { Ok(None) }
    }

    /// Skips to the end of a declaration; a `>` in quotes does not end it.
    fn declaration(&mut self) -> Result<(), Error> {
        loop {
            let at = self.0.find(['"', '\'', '>']).ok_or(Error::Truncated(Format::Svg))?;
            self.0 = &self.0[at..];
            if self.eat(">") {
                return Ok(());
            }
            self.quoted()?;
        }
    }
}

/// Skips the XML declaration, and everything up to the end of the doctype if there is one.
fn prolog(scan: &mut Scan<'_>) -> Result<Entities, Error> {
    if scan.0.strip_prefix("<?xml").is_some_and(|rest| rest.starts_with(char::is_whitespace)) {
        scan.until("?>")?;
    }
    let mut ahead = Scan(scan.0);
    loop {
        ahead.space();
        if ahead.eat("<!--") {
            ahead.until("-->")?;
        } else if ahead.eat("<?") {
            ahead.until("?>")?;
        } else if ahead.eat("<!DOCTYPE") {
            let entities = doctype(&mut ahead)?;
            scan.0 = ahead.0;
            return Ok(entities);
        } else {
            return Ok(Entities::new());
        }
    }
}

fn doctype(scan: &mut Scan<'_>) -> Result<Entities, Error> {
    let mut entities = Entities::new();
    loop {
        scan.space();
        if scan.eat(">") {
            return Ok(entities);
        } else if scan.eat("[") {
            internal_subset(scan, &mut entities)?;
        } else if scan.quoted()?.is_none() && scan.name().is_empty() {
            return Err(unreadable(scan));
        }
    }
}

fn unreadable(scan: &Scan<'_>) -> Error {
    if scan.0.is_empty() {
        return Error::Truncated(Format::Svg);
    }
    damaged("its doctype is not well-formed, or declares more than `<!ENTITY name \"value\">`")
}

fn internal_subset(scan: &mut Scan<'_>, entities: &mut Entities) -> Result<(), Error> {
    loop {
        scan.space();
        if scan.eat("]") {
            return Ok(());
        } else if scan.eat("<!--") {
            scan.until("-->")?;
        } else if scan.eat("<?") {
            scan.until("?>")?;
        } else if scan.eat("<!ENTITY") {
            entity(scan, entities)?;
        } else if ["<!ELEMENT", "<!ATTLIST", "<!NOTATION"].iter().any(|kind| scan.eat(kind)) {
            // Illustrator writes these. They are skipped and have no effect.
            scan.declaration()?;
        } else {
            // Includes parameter entities, whose declarations may be in other files.
            return Err(unreadable(scan));
        }
    }
}

fn entity(scan: &mut Scan<'_>, entities: &mut Entities) -> Result<(), Error> {
    let spaced = scan.space();
    let name = scan.name();
    if !spaced || name.is_empty() {
        return Err(unreadable(scan));
    }
    scan.space();
    let value = scan.quoted()?.map(characters).transpose()?;
    scan.declaration()?;
    // The first declaration of a name counts.
    entities.entry(name.to_owned()).or_insert(value);
    Ok(())
}

/// The value of an entity. XML replaces character references when the entity is declared.
fn characters(value: &str) -> Result<String, Error> {
    let mut out = String::new();
    let mut scan = Scan(value);
    while let Some((before, after)) = scan.0.split_once("&#") {
        out.push_str(before);
        scan.0 = after;
        let number = scan.until(";").map_err(|_| damaged("a character reference has no `;`"))?;
        let code = match number.strip_prefix('x') {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        let c = code.ok().and_then(char::from_u32);
        out.push(c.ok_or_else(|| damaged(format!("&#{}; is not a character", number.escape_default())))?);
    }
    out.push_str(scan.0);
    Ok(out)
}

struct Expander {
    entities: Entities,
    /// Remaining bytes for expanded references.
    left: usize,
    /// Bytes of the whole output.
    limit: usize,
}

/// How much of the content is expanded.
#[derive(Clone, Copy, PartialEq)]
enum Until {
    End,
    /// Up to the end of the first start tag.
    FirstTag,
}

impl Expander {
    fn new(entities: Entities, text: usize) -> Self {
        Self { entities, left: MAX_EXPANSION, limit: text + MAX_EXPANSION }
    }

    /// Text and elements.
    fn content(&mut self, text: &str, depth: u32, until: Until, out: &mut String) -> Result<(), Error> {
        let mut scan = Scan(text);
        while let Some(at) = scan.0.find(['<', '&']) {
            let (before, rest) = scan.0.split_at(at);
            out.push_str(before);
            scan.0 = rest;
            if scan.eat("&") {
                if let Some(value) = self.reference(&mut scan, depth, out)? {
                    self.content(&value, depth + 1, Until::End, out)?;
                }
                continue;
            }
            let whole = scan.0;
            let verbatim = [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")];
            if let Some((_, end)) = verbatim.iter().find(|(start, _)| scan.eat(start)) {
                scan.until(end)?;
                out.push_str(&whole[..whole.len() - scan.0.len()]);
            } else {
                self.tag(&mut scan, depth, out)?;
                if until == Until::FirstTag {
                    return Ok(());
                }
            }
        }
        if until == Until::FirstTag {
            return Err(Error::Truncated(Format::Svg));
        }
        out.push_str(scan.0);
        Ok(())
    }

    fn tag(&mut self, scan: &mut Scan<'_>, depth: u32, out: &mut String) -> Result<(), Error> {
        loop {
            let at = scan.0.find(['"', '\'', '>']).ok_or(Error::Truncated(Format::Svg))?;
            let (before, rest) = scan.0.split_at(at);
            out.push_str(before);
            scan.0 = rest;
            if scan.eat(">") {
                out.push('>');
                return Ok(());
            }
            let quote = if scan.0.starts_with('"') { '"' } else { '\'' };
            if let Some(value) = scan.quoted()? {
                out.push(quote);
                self.value(value, depth, out)?;
                out.push(quote);
            }
        }
    }

    /// The value of an attribute. Quotes that come from an entity do not end it.
    fn value(&mut self, text: &str, depth: u32, out: &mut String) -> Result<(), Error> {
        let mut scan = Scan(text);
        while let Some((before, after)) = scan.0.split_once('&') {
            push_value(before, depth, out);
            scan.0 = after;
            if let Some(value) = self.reference(&mut scan, depth, out)? {
                self.value(&value, depth + 1, out)?;
            }
        }
        push_value(scan.0, depth, out);
        Ok(())
    }

    /// The value of the reference whose `&` was consumed; `None` for predefined entities and character references.
    fn reference(
        &mut self,
        scan: &mut Scan<'_>,
        depth: u32,
        out: &mut String,
    ) -> Result<Option<String>, Error> {
        let mut name = Scan(scan.0);
        let found = self.entities.get(name.name()).filter(|_| name.eat(";"));
        let named = &scan.0[..scan.0.len() - name.0.len()];
        let Some(value) = found.filter(|_| !matches!(named, "lt;" | "gt;" | "amp;" | "quot;" | "apos;"))
        else {
            out.push('&');
            return Ok(None);
        };
        let value =
            value.clone().ok_or_else(|| damaged(format!("the entity &{named} is in another file")))?;
        scan.0 = name.0;
        // A reference to an empty entity counts too.
        let left = self.left.checked_sub(value.len() + 1);
        match left {
            Some(left) if depth < MAX_DEPTH && out.len() + value.len() <= self.limit => self.left = left,
            _ => {
                return Err(damaged(format!(
                    "its entities expand to more than {MAX_EXPANSION} bytes or are nested deeper than {MAX_DEPTH}"
                )));
            }
        }
        Ok(Some(value))
    }
}

fn push_value(text: &str, depth: u32, out: &mut String) {
    if depth == 0 {
        out.push_str(text);
        return;
    }
    for c in text.chars() {
        match c {
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '<' => out.push_str("&lt;"),
            other => out.push(other),
        }
    }
}
