//! The doctype taken away, and the entities that it declares put where they stand.
//!
//! Drawing programs declare a handful for their namespaces; `<!DOCTYPE` is also how a short file is made to grow without
//! end, or to fetch others. So all of it is settled here, within bounds, before an XML parser sees the text.

use std::borrow::Cow;
use std::collections::HashMap;

use super::damaged;
use crate::{Error, Format};

/// How deep entities may stand within each other.
const MAX_DEPTH: u32 = 8;
/// Bytes that all references together may become.
const MAX_EXPANSION: usize = 1 << 20;

/// The text from its first element or comment on, with nothing left to be expanded but characters.
pub(super) fn settle(text: Cow<'_, str>) -> Result<Cow<'_, str>, Error> {
    let mut scan = Scan(&text);
    let entities = prolog(&mut scan)?;
    let start = text.len() - scan.0.len();
    if entities.is_empty() {
        return Ok(match text {
            Cow::Borrowed(text) => Cow::Borrowed(&text[start..]),
            Cow::Owned(mut text) => {
                text.drain(..start);
                text.into()
            }
        });
    }
    let mut out = String::with_capacity(text.len());
    Expander { entities, left: MAX_EXPANSION }.content(&text[start..], 0, &mut out)?;
    Ok(out.into())
}

/// What an entity stands for; nothing when that is in another file.
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

    /// What stands before `end`, which is passed too.
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

    /// To the end of a declaration; a `>` may stand within quotes.
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

/// Passes the XML declaration, and all up to the end of the doctype if there is one.
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
    damaged("the doctype cannot be read")
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
            scan.declaration()?;
        } else if scan.eat("%") {
            // Declarations from elsewhere are not fetched, and nothing in a drawing needs them.
            scan.until(";")?;
        } else {
            return Err(unreadable(scan));
        }
    }
}

fn entity(scan: &mut Scan<'_>, entities: &mut Entities) -> Result<(), Error> {
    let spaced = scan.space();
    let of_doctype = scan.eat("%");
    let spaced = spaced && (!of_doctype || scan.space());
    let name = scan.name();
    if !spaced || name.is_empty() {
        return Err(unreadable(scan));
    }
    scan.space();
    let value = scan.quoted()?.map(characters).transpose()?;
    scan.declaration()?;
    if !of_doctype {
        // The first declaration of a name is the one that counts.
        entities.entry(name.to_owned()).or_insert(value);
    }
    Ok(())
}

/// The value of an entity with its character references replaced, as XML has it: when it is declared.
fn characters(value: &str) -> Result<String, Error> {
    let mut out = String::new();
    let mut scan = Scan(value);
    while let Some((before, after)) = scan.0.split_once("&#") {
        out.push_str(before);
        scan.0 = after;
        let number = scan.until(";").map_err(|_| damaged("a character reference has no end"))?;
        let code = match number.strip_prefix('x') {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        let c = code.ok().and_then(char::from_u32);
        out.push(c.ok_or_else(|| damaged(format!("there is no character {number}")))?);
    }
    out.push_str(scan.0);
    Ok(out)
}

struct Expander {
    entities: Entities,
    left: usize,
}

impl Expander {
    /// Text and elements.
    fn content(&mut self, text: &str, depth: u32, out: &mut String) -> Result<(), Error> {
        let mut scan = Scan(text);
        while let Some(at) = scan.0.find(['<', '&']) {
            let (before, rest) = scan.0.split_at(at);
            out.push_str(before);
            scan.0 = rest;
            if scan.eat("&") {
                if let Some(value) = self.reference(&mut scan, depth, out)? {
                    self.content(&value, depth + 1, out)?;
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
            }
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

    /// The value of an attribute. Quotes out of an entity do not end it.
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

    /// What the reference stands for whose `&` was passed. What a parser of XML knows is left to it.
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
        // Each reference costs, even one to nothing: they are work.
        let left = self.left.checked_sub(value.len() + 1);
        match left {
            Some(left) if depth < MAX_DEPTH => self.left = left,
            _ => return Err(damaged("its entities grow beyond bounds")),
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
