//! Parses a document and rewrites its elements for the sanitiser: names without prefixes, style sheets and animations
//! without references to other documents.
//!
//! The XML parser collects all namespaces in scope for each element, so its time grows with depth and declarations, not
//! only with bytes. [`Complexity`] stops it.

use std::borrow::Cow;

use xml::attribute::OwnedAttribute;
use xml::name::OwnedName;
use xml::namespace::Namespace;
use xml::reader::{Error as XmlError, ErrorKind, EventReader, ParserConfig, XmlEvent};

use super::buffer::{Buffer, CheckedReader};
use super::{MAX_BYTES, css, damaged, size};
use crate::{Error, Format};
use work::Work;

/// Stands before a tag that has no text before it: there, `svg-hush` would write a line break, which browsers show as
/// a space in a text. It is removed from its output. The document's own characters of this kind are left out.
pub(super) const MARK: u8 = 0x7F;
const MARK_TEXT: &str = "\x7F";

const SVG: &str = "http://www.w3.org/2000/svg";
const XLINK: &str = "http://www.w3.org/1999/xlink";

/// Nesting of elements.
const MAX_DEPTH: u32 = 1024;
/// The limits of `svg-hush`, so that it refuses nothing that was accepted here.
const MAX_ATTRIBUTES: usize = 200;
const MAX_NAME: usize = 1000;

/// Attributes that may contain `url(…)`, like a style sheet.
const PAINTS: [&str; 11] = [
    "clip-path",
    "color-profile",
    "cursor",
    "fill",
    "filter",
    "marker",
    "marker-end",
    "marker-mid",
    "marker-start",
    "mask",
    "stroke",
];
/// Attributes with an animation's values for another attribute.
const STEPS: [&str; 4] = ["values", "to", "from", "by"];

/// The remaining work of the XML parsers for a document, in steps of about 0.16 µs (measured with `xml` 1.4, parsed
/// twice and written once).
#[derive(Debug)]
pub(super) struct Complexity<'a> {
    left: u64,
    limit: u64,
    until_check: u64,
    work: &'a Work,
}

/// Steps between two checks of deadline and cancellation: a few bytes of the file can take many.
const CHECK_EVERY: u64 = 5000;

impl<'a> Complexity<'a> {
    /// 0.4 s for files of up to 1 MiB, 1.3 s for larger ones.
    pub(super) fn for_file(bytes: usize, work: &'a Work) -> Self {
        let limit = if bytes > 1 << 20 { 8_000_000 } else { 2_500_000 };
        Self { left: limit, limit, until_check: CHECK_EVERY, work }
    }

    fn element(&mut self, depth: u32, attributes: usize, namespaces: usize) -> Result<(), Error> {
        self.spend(15 + 2 * u64::from(depth) + 4 * attributes as u64 + 2 * namespaces as u64)
    }

    fn spend(&mut self, steps: u64) -> Result<(), Error> {
        self.left = self.left.checked_sub(steps).ok_or_else(|| {
            Error::TooLarge(format!(
                "the SVG file has too many elements, attributes or style rules ({} steps of work for its size)",
                self.limit
            ))
        })?;
        match self.until_check.checked_sub(steps) {
            Some(left) => self.until_check = left,
            None => {
                self.work.check()?;
                self.until_check = CHECK_EVERY;
            }
        }
        Ok(())
    }
}

/// Rewrites the text, which has no doctype.
pub(super) fn rewrite(
    text: &str,
    complexity: Complexity<'_>,
    out: &mut Buffer,
    work: &Work,
) -> Result<(), Error> {
    let mut rewriter =
        Rewriter { out, complexity, depth: 0, skipped: 0, sheet: None, root: true, closed: false };
    rewriter.complexity.spend(text.len() as u64 / 4)?;
    let mut input = CheckedReader::new(text.as_bytes(), work);
    for event in parser(&mut input) {
        let event = match event {
            Ok(event) => event,
            Err(error) => return Err(input.failure().unwrap_or_else(|| parse_error(&error))),
        };
        match event {
            XmlEvent::StartElement { name, attributes, namespace } => {
                rewriter.start(&name, &attributes, &namespace)?;
            }
            XmlEvent::EndElement { name } => rewriter.end(&name)?,
            XmlEvent::Characters(text) | XmlEvent::Whitespace(text) | XmlEvent::CData(text) => {
                rewriter.text(&text)?;
            }
            XmlEvent::Doctype { .. } => return Err(damaged("it has a second doctype")),
            XmlEvent::StartDocument { .. }
            | XmlEvent::EndDocument
            | XmlEvent::ProcessingInstruction { .. }
            | XmlEvent::Comment(_) => {}
        }
    }
    if rewriter.root { Err(damaged("it has no root element")) } else { Ok(()) }
}

/// Width and height in CSS pixels, 0 if the root element does not give them. The text may end after its start tag.
pub(super) fn root_size(text: &str, work: &Work) -> Result<(u32, u32), Error> {
    let mut input = CheckedReader::new(text.as_bytes(), work);
    for event in parser(&mut input) {
        match event {
            Ok(XmlEvent::StartElement { name, attributes, .. }) => {
                check_root(&name)?;
                return Ok(size::of(&attributes));
            }
            Ok(_) => {}
            Err(error) => return Err(input.failure().unwrap_or_else(|| parse_error(&error))),
        }
    }
    Err(damaged("it has no root element"))
}

fn is_svg(name: &OwnedName) -> bool {
    name.namespace.as_deref() == Some(SVG)
}

fn check_root(name: &OwnedName) -> Result<(), Error> {
    if is_svg(name) && name.local_name == "svg" {
        return Ok(());
    }
    Err(damaged(format!(
        "the root element <{}> is not in the namespace of SVG; it needs xmlns=\"{SVG}\"",
        name.local_name
    )))
}

fn parser<'r, 'a>(input: &'r mut CheckedReader<'a>) -> EventReader<&'r mut CheckedReader<'a>> {
    ParserConfig::new()
        .cdata_to_characters(true)
        .whitespace_to_characters(true)
        .coalesce_characters(false)
        .allow_multiple_root_elements(false)
        .max_entity_expansion_depth(1)
        .max_entity_expansion_length(1)
        .max_attributes(MAX_ATTRIBUTES)
        .max_name_length(MAX_NAME)
        .max_attribute_length(2 * MAX_BYTES)
        .max_data_length(2 * MAX_BYTES)
        .create_reader(input)
}

fn parse_error(error: &XmlError) -> Error {
    match error.kind() {
        ErrorKind::UnexpectedEof => Error::Truncated(Format::Svg),
        _ => damaged(error.to_string()),
    }
}

fn without_marks(text: &str) -> Cow<'_, str> {
    if text.contains(MARK_TEXT) { text.replace(MARK_TEXT, "").into() } else { text.into() }
}

struct Rewriter<'a> {
    out: &'a mut Buffer,
    complexity: Complexity<'a>,
    depth: u32,
    /// Number of open elements from the outermost removed one on.
    skipped: u32,
    /// The text of the open style sheet.
    sheet: Option<String>,
    /// The root element is still to come.
    root: bool,
    /// An end tag was written last.
    closed: bool,
}

impl Rewriter<'_> {
    fn start(
        &mut self,
        name: &OwnedName,
        attributes: &[OwnedAttribute],
        namespace: &Namespace,
    ) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(damaged(format!("its elements are nested deeper than {MAX_DEPTH}")));
        }
        self.complexity.element(self.depth, attributes.len(), namespace.0.len())?;
        let root = std::mem::take(&mut self.root);
        if root {
            check_root(name)?;
        }
        // Only the text of a style sheet is kept. Elements of other namespaces are removed.
        if self.skipped > 0 || self.sheet.is_some() || !is_svg(name) {
            self.skipped += 1;
            return Ok(());
        }
        if name.local_name == "style" {
            self.sheet = Some(String::new());
        }
        self.closed = false;
        self.write(&[if root { "" } else { MARK_TEXT }, "<", &name.local_name])?;
        if root {
            self.write(&[" xmlns=\"", SVG, "\" xmlns:xlink=\"", XLINK, "\""])?;
        }
        for attribute in attributes {
            self.attribute(&name.local_name, attribute)?;
        }
        self.write(&[">"])
    }

    fn attribute(&mut self, element: &str, attribute: &OwnedAttribute) -> Result<(), Error> {
        let local = attribute.name.local_name.as_str();
        let prefix = match attribute.name.namespace.as_deref() {
            None => "",
            Some(XLINK) if local == "href" => "xlink:",
            // `svg-hush` removes all others.
            Some(_) => return Ok(()),
        };
        let value = without_marks(&attribute.value);
        let named = matches!(local, "id" | "class") || (local == "href" && value.starts_with('#'));
        let value = if named { css::ascii_name(&value).into_owned().into() } else { value };
        let animated = element == "set" || element.starts_with("animate");
        if animated && STEPS.contains(&local) {
            self.complexity.spend(value.len() as u64)?;
            if css::is_external(&value) {
                return Ok(());
            }
        }
        let styled = local == "style" || (PAINTS.contains(&local) && value.contains(['(', '\\']));
        self.write(&[" ", prefix, local, "=\""])?;
        if styled {
            self.complexity.spend(value.len() as u64)?;
            // `svg-hush` later removes non-ASCII characters from code, which must not create other names.
            let ascii = if value.is_ascii() {
                value
            } else {
                self.complexity.spend(value.len() as u64)?;
                css::clean(&value).chars().filter(char::is_ascii).collect::<String>().into()
            };
            self.escaped(&css::clean(&ascii))?;
        } else {
            self.escaped(&value)?;
        }
        self.write(&["\""])
    }

    fn end(&mut self, name: &OwnedName) -> Result<(), Error> {
        self.depth = self.depth.saturating_sub(1);
        if self.skipped > 0 {
            self.skipped -= 1;
            return Ok(());
        }
        if let Some(sheet) = self.sheet.take() {
            self.complexity.spend(2 * sheet.len() as u64)?;
            self.escaped(&css::clean(&sheet))?;
        }
        let mark = if std::mem::replace(&mut self.closed, true) { MARK_TEXT } else { "" };
        self.write(&[mark, "</", &name.local_name, ">"])
    }

    fn text(&mut self, text: &str) -> Result<(), Error> {
        if self.skipped > 0 {
            return Ok(());
        }
        let text = &without_marks(text);
        match &mut self.sheet {
            Some(sheet) => {
                sheet.push_str(text);
                Ok(())
            }
            None => {
                self.closed = false;
                self.escaped(text)
            }
        }
    }

    fn write(&mut self, parts: &[&str]) -> Result<(), Error> {
        parts.iter().try_for_each(|part| self.out.push(part.as_bytes()))
    }

    fn escaped(&mut self, text: &str) -> Result<(), Error> {
        let special = ['&', '<', '>', '"', '\t', '\n', '\r'];
        let mut rest = text;
        while let Some(at) = rest.find(special) {
            let (before, after) = rest.split_at(at);
            let escape = match after.as_bytes()[0] {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => "&quot;",
                // As plain characters they would become spaces in an attribute.
                b'\t' => "&#9;",
                b'\n' => "&#10;",
                _ => "&#13;",
            };
            self.write(&[before, escape])?;
            rest = &after[1..];
        }
        self.write(&[rest])
    }
}

#[cfg(test)]
mod tests {
    use super::{CHECK_EVERY, Complexity, Error};
    use work::{Budget, Work};

    // 143 kB with 4,000 namespaces in scope took 0.4 s, with two checks: their number depended on bytes alone.
    #[test]
    fn elements_with_many_namespaces_stop_when_their_client_leaves() {
        let work = Work::new(Budget::new(0));
        let mut complexity = Complexity::for_file(143_000, &work);
        complexity.element(1, 0, 4000).unwrap();
        work.cancel.cancel();
        let refused = (0..).find_map(|n| complexity.element(2, 0, 4000).err().map(|error| (n, error)));
        let (elements, error) = refused.unwrap();
        assert!(matches!(error, Error::Work(work::Error::Cancelled)), "{error}");
        assert!(elements * 8000 <= CHECK_EVERY, "{elements}");
    }
}
