//! One reading of a drawing: is it well-formed, how large is it, and, where that is wanted, its elements written anew
//! for the filter: names without prefixes, style sheets and animations without what leads out of the drawing.

use std::io::Write;

use xml::attribute::OwnedAttribute;
use xml::name::OwnedName;
use xml::reader::{Error as XmlError, ErrorKind, EventReader, ParserConfig, XmlEvent};

use super::{Bounded, MAX_BYTES, css, damaged, size};
use crate::{Error, Format};

const SVG: &str = "http://www.w3.org/2000/svg";
const XLINK: &str = "http://www.w3.org/1999/xlink";

/// How deep elements may be nested.
const MAX_DEPTH: u32 = 1024;
/// The bounds of the filter, so that it refuses nothing that was read well here.
const MAX_ATTRIBUTES: usize = 200;
const MAX_NAME: usize = 1000;

/// Attributes that may hold `url(…)` as a style sheet does.
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
/// Attributes by which an animation gives another attribute a value.
const STEPS: [&str; 4] = ["values", "to", "from", "by"];

/// Reads all of a text without doctype, and gives width and height in CSS pixels, 0 where it does not say.
pub(super) fn read(text: &str, out: Option<&mut Bounded<'_>>) -> Result<(u32, u32), Error> {
    let mut pass = Pass { out, depth: 0, skipped: 0, sheet: None, size: None };
    for event in reader(text) {
        match event.map_err(|e| fault(&e))? {
            XmlEvent::StartElement { name, attributes, .. } => pass.start(&name, &attributes)?,
            XmlEvent::EndElement { name } => pass.end(&name)?,
            XmlEvent::Characters(text) | XmlEvent::Whitespace(text) | XmlEvent::CData(text) => {
                pass.text(&text)?;
            }
            // It was taken away before; another one is none of ours.
            XmlEvent::Doctype { .. } => return Err(damaged("a doctype stands where none may be")),
            XmlEvent::StartDocument { .. }
            | XmlEvent::EndDocument
            | XmlEvent::ProcessingInstruction { .. }
            | XmlEvent::Comment(_) => {}
        }
    }
    pass.size.ok_or_else(|| damaged("no root element"))
}

fn reader(text: &str) -> EventReader<&[u8]> {
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
        .create_reader(text.as_bytes())
}

fn fault(error: &XmlError) -> Error {
    match error.kind() {
        ErrorKind::UnexpectedEof => Error::Truncated(Format::Svg),
        _ => damaged(error.to_string()),
    }
}

struct Pass<'a, 'b> {
    out: Option<&'a mut Bounded<'b>>,
    depth: u32,
    /// Elements around this place, up to the one that is left out.
    skipped: u32,
    /// The text of the style sheet around this place.
    sheet: Option<String>,
    size: Option<(u32, u32)>,
}

impl Pass<'_, '_> {
    fn start(&mut self, name: &OwnedName, attributes: &[OwnedAttribute]) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(damaged("elements are nested too deep"));
        }
        let drawn = name.namespace.as_deref() == Some(SVG);
        let root = self.size.is_none();
        if root {
            if !(drawn && name.local_name == "svg") {
                return Err(damaged(format!(
                    "the root element <{}> is not in the namespace of SVG; it needs xmlns=\"{SVG}\"",
                    name.local_name
                )));
            }
            self.size = Some(size::of(attributes));
        }
        // In a style sheet only its text counts; what is foreign to SVG is never kept.
        if self.skipped > 0 || self.sheet.is_some() || !drawn {
            self.skipped += 1;
            return Ok(());
        }
        if name.local_name == "style" {
            self.sheet = Some(String::new());
        }
        self.put(&["<", &name.local_name])?;
        if root {
            self.put(&[" xmlns=\"", SVG, "\" xmlns:xlink=\"", XLINK, "\""])?;
        }
        for attribute in attributes {
            self.attribute(&name.local_name, attribute)?;
        }
        self.put(&[">"])
    }

    fn attribute(&mut self, element: &str, attribute: &OwnedAttribute) -> Result<(), Error> {
        let local = attribute.name.local_name.as_str();
        let prefix = match attribute.name.namespace.as_deref() {
            None => "",
            Some(XLINK) if local == "href" => "xlink:",
            // The filter knows no others.
            Some(_) => return Ok(()),
        };
        let animated = element == "set" || element.starts_with("animate");
        if animated && STEPS.contains(&local) && css::leads_out(&attribute.value) {
            return Ok(());
        }
        let styled = local == "style" || (PAINTS.contains(&local) && attribute.value.contains(['(', '\\']));
        self.put(&[" ", prefix, local, "=\""])?;
        if self.out.is_none() {
            return Ok(());
        }
        if styled {
            // The filter takes what is not ASCII out of code; names must not grow into others behind our back.
            let ascii: String = attribute.value.chars().filter(char::is_ascii).collect();
            self.escaped(&css::clean(&ascii))?;
        } else {
            self.escaped(&attribute.value)?;
        }
        self.put(&["\""])
    }

    fn end(&mut self, name: &OwnedName) -> Result<(), Error> {
        self.depth = self.depth.saturating_sub(1);
        if self.skipped > 0 {
            self.skipped -= 1;
            return Ok(());
        }
        if let Some(sheet) = self.sheet.take().filter(|_| self.out.is_some()) {
            self.escaped(&css::clean(&sheet))?;
        }
        self.put(&["</", &name.local_name, ">"])
    }

    fn text(&mut self, text: &str) -> Result<(), Error> {
        if self.skipped > 0 {
            return Ok(());
        }
        match &mut self.sheet {
            Some(sheet) => {
                sheet.push_str(text);
                Ok(())
            }
            None => self.escaped(text),
        }
    }

    fn put(&mut self, parts: &[&str]) -> Result<(), Error> {
        let Some(out) = &mut self.out else { return Ok(()) };
        for part in parts {
            if out.write_all(part.as_bytes()).is_err() {
                return Err(out.failure());
            }
        }
        Ok(())
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
                // As characters they would become spaces in an attribute.
                b'\t' => "&#9;",
                b'\n' => "&#10;",
                _ => "&#13;",
            };
            self.put(&[before, escape])?;
            rest = &after[1..];
        }
        self.put(&[rest])
    }
}
