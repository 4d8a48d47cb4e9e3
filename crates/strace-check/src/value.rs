//! The arguments of a system call as strace prints them, as values.
//!
//! The reader does not parse flags, addresses and pathnames: they stay words. Strings keep their bytes and a mark
//! if strace cut them.

/// Deepest nesting of structures, far above that of strace's output.
const DEEPEST: u8 = 32;

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A quoted string; `cut` if strace printed only its beginning.
    Text { bytes: Vec<u8>, cut: bool },
    /// `[...]`; `cut` if strace omitted elements.
    List { items: Vec<Self>, cut: bool },
    /// `{...}`; a field without a name has an empty one.
    Fields(Vec<(String, Self)>),
    /// Anything else: a number, flags, an address, a descriptor with its annotation.
    Word(String),
}

impl Value {
    /// A number in any of strace's notations.
    pub(crate) fn number(&self) -> Option<u64> {
        let Self::Word(word) = self else { return None };
        match word.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => word.parse().ok(),
        }
    }

    pub(crate) fn word(&self) -> &str {
        match self {
            Self::Word(word) => word,
            Self::Text { .. } | Self::List { .. } | Self::Fields(_) => "",
        }
    }

    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Text { bytes, .. } => Some(bytes),
            Self::List { .. } | Self::Fields(_) | Self::Word(_) => None,
        }
    }

    /// A constant: by its name, by its number (`-X raw`), or by both (`-X verbose`).
    pub(crate) fn is(&self, name: &str, number: u64) -> bool {
        let mut words = self.word().split([' ', '|']);
        self.number() == Some(number) || words.any(|word| word == name)
    }

    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        let Self::Fields(fields) = self else { return None };
        fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }
}

/// A descriptor, with its annotation by `-y` or `-yy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) number: i64,
    pub(crate) about: Option<String>,
}

impl Descriptor {
    pub(crate) fn parse(word: &str) -> Option<Self> {
        let (number, about) = match word.split_once('<') {
            Some((number, about)) => (number, Some(about.strip_suffix('>').unwrap_or(about).to_owned())),
            None => (word, None),
        };
        let number = number.trim();
        let number = match number.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        Some(Self { number, about })
    }
}

/// Parses arguments from the text after the opening parenthesis. Returns them and the text after the closing one, which
/// is empty if the parenthesis is not closed, as in an unfinished call.
pub(crate) fn arguments(text: &[u8]) -> (Vec<Value>, &[u8]) {
    let mut reader = Reader { text, at: 0 };
    let (items, _) = reader.items(b')', 0);
    (items, &text[reader.at.min(text.len())..])
}

/// The name in `name=`, or in the older `name(2)=`, and its length with the `=`.
fn field_name(text: &[u8]) -> Option<(&[u8], usize)> {
    let name = text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    let mut end = name;
    if text.get(end) == Some(&b'(') {
        end += 1 + text[end + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        end += usize::from(text.get(end) == Some(&b')'));
    }
    (name > 0 && text.get(end) == Some(&b'=')).then_some((&text[..name], end + 1))
}

/// The length of a name before an argument. `flags=` is kept, because older versions print it with some calls only.
fn argument_name(text: &[u8]) -> usize {
    match field_name(text) {
        Some((name, used)) if name != b"flags" => used,
        _ => 0,
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn starts_with(&self, what: &[u8]) -> bool {
        self.text[self.at..].starts_with(what)
    }

    fn spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b',')) {
            self.at += 1;
        }
    }

    /// Values up to the closing byte, and whether elements were omitted.
    fn items(&mut self, close: u8, depth: u8) -> (Vec<Value>, bool) {
        let mut items = Vec::new();
        let mut cut = false;
        loop {
            self.spaces();
            match self.peek() {
                None => return (items, cut),
                Some(byte) if byte == close => {
                    self.at += 1;
                    return (items, cut);
                }
                Some(b'.') if self.starts_with(b"...") => {
                    cut = true;
                    self.at += 3;
                }
                Some(_) => {
                    let before = self.at;
                    // `strace -N` names the arguments of calls.
                    if depth == 0 {
                        self.at += argument_name(&self.text[self.at..]);
                    }
                    let value = self.value(depth);
                    items.push(value);
                    // A stray closing byte of another kind is skipped, so that the loop always ends.
                    if self.at == before {
                        self.at += 1;
                    }
                }
            }
        }
    }

    fn value(&mut self, depth: u8) -> Value {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'[') if depth < DEEPEST => {
                self.at += 1;
                let (items, cut) = self.items(b']', depth + 1);
                Value::List { items, cut }
            }
            Some(b'{') if depth < DEEPEST => {
                self.at += 1;
                self.fields(depth + 1)
            }
            _ => self.word(),
        }
    }

    fn fields(&mut self, depth: u8) -> Value {
        let mut fields = Vec::new();
        loop {
            self.spaces();
            match self.peek() {
                None => return Value::Fields(fields),
                Some(b'}') => {
                    self.at += 1;
                    return Value::Fields(fields);
                }
                Some(_) => {
                    let before = self.at;
                    let rest = &self.text[self.at..];
                    let name = field_name(rest);
                    self.at += name.map_or(0, |(_, used)| used);
                    let name =
                        name.map_or_else(String::new, |(name, _)| String::from_utf8_lossy(name).into_owned());
                    let value = self.value(depth);
                    fields.push((name, value));
                    if self.at == before {
                        self.at += 1;
                    }
                }
            }
        }
    }

    /// A word ends at a comma or a closing bracket outside of quotes, `<...>` and brackets of its own.
    fn word(&mut self) -> Value {
        let start = self.at;
        let mut open = 0_usize;
        let mut angle = false;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.string();
                    continue;
                }
                b'<' => angle = true,
                // `->` inside of an annotation is an arrow.
                b'>' if angle && self.text[self.at - 1] != b'-' => angle = false,
                _ if angle => {}
                b'(' | b'[' | b'{' => open += 1,
                b')' | b']' | b'}' if open > 0 => open -= 1,
                b')' | b']' | b'}' => break,
                b',' if open == 0 => break,
                _ => {}
            }
            self.at += 1;
        }
        let word = &self.text[start..self.at.min(self.text.len())];
        Value::Word(String::from_utf8_lossy(word).trim().to_owned())
    }

    fn string(&mut self) -> Value {
        self.at += 1;
        let mut bytes = Vec::new();
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' => break,
                b'\\' => bytes.extend(self.escape()),
                _ => bytes.push(byte),
            }
        }
        let cut = self.starts_with_at_end(b"...");
        if cut {
            self.at += 3;
        }
        Value::Text { bytes, cut }
    }

    fn starts_with_at_end(&self, what: &[u8]) -> bool {
        self.text.get(self.at..).is_some_and(|rest| rest.starts_with(what))
    }

    /// The byte after a backslash: a letter, one to three octal digits, or `x` and two hexadecimal ones.
    fn escape(&mut self) -> Option<u8> {
        let first = self.peek()?;
        self.at += 1;
        Some(match first {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'f' => 0x0c,
            b'x' => {
                let digits = self.digits(2, 16);
                u8::from_str_radix(&digits, 16).unwrap_or(b'x')
            }
            b'0'..=b'7' => {
                self.at -= 1;
                let digits = self.digits(3, 8);
                u16::from_str_radix(&digits, 8).map_or(first, |value| value.to_le_bytes()[0])
            }
            other => other,
        })
    }

    fn digits(&mut self, most: usize, radix: u32) -> String {
        let digits: String = self.text[self.at..]
            .iter()
            .take(most)
            .map(|byte| char::from(*byte))
            .take_while(|digit| digit.is_digit(radix))
            .collect();
        self.at += digits.len();
        digits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(word: &str) -> Value {
        Value::Word(word.to_owned())
    }

    #[test]
    fn a_vectored_write_with_annotations_is_read() {
        let text = br#"7<UNIX-STREAM:[11->12,"/run/a,b.sock"]>, [{iov_base="HTTP/1.1 \"\33\0012\x41"..., iov_len=126}, {iov_base=NULL, iov_len=0}], 2) = 219264 <0.000011>"#;
        let (values, rest) = arguments(text);
        assert_eq!(rest, b" = 219264 <0.000011>");
        let about = Some("UNIX-STREAM:[11->12,\"/run/a,b.sock\"]".to_owned());
        assert_eq!(Descriptor::parse(values[0].word()), Some(Descriptor { number: 7, about }));
        let Value::List { items, cut: false } = &values[1] else { panic!("{values:?}") };
        let bytes = b"HTTP/1.1 \"\x1b\x012A".to_vec();
        assert_eq!(items[0].field("iov_base"), Some(&Value::Text { bytes, cut: true }));
        assert_eq!(items[0].field("iov_len").and_then(Value::number), Some(126));
        assert_eq!(values[2], word("2"));
    }

    #[test]
    fn flags_nested_structures_and_elided_lists_are_read() {
        let (values, rest) = arguments(
            br#"{msg_name={sa_family=AF_UNIX}, msg_iov=[{"x", 1}, ...], msg_flags=0}, MSG_DONTWAIT|MSG_NOSIGNAL, [28 => 16]) = -1 EAGAIN (Resource temporarily unavailable)"#,
        );
        assert!(rest.starts_with(b" = -1 EAGAIN"));
        assert!(
            matches!(values[0].field("msg_iov"), Some(Value::List { cut: true, items }) if items.len() == 1)
        );
        assert_eq!(values[1], word("MSG_DONTWAIT|MSG_NOSIGNAL"));
    }

    #[test]
    fn unclosed_text_ends() {
        for text in
            [&b"7, [{iov_base=\"abc"[..], b"\"\\", b"[[[[", b"}}]]", b"7<TCP:[a->b", b"", b"{{{{a=", b"\\x"]
        {
            arguments(text);
        }
        arguments(&b"[".repeat(100_000));
    }
}
