//! The tokens of CSS Syntax Level 3; escapes in names are decoded.

/// A token of a style sheet.
#[derive(Debug, PartialEq)]
pub(super) enum Token {
    Name(String),
    /// A name and its opening parenthesis.
    Function(String),
    /// `url(…)` without quotes; `None` if malformed.
    Url(Option<String>),
    At(String),
    Hash(String),
    /// A number with its unit.
    Number(String),
    /// The content of quotes; `None` if the line ends before the closing quote.
    Text(Option<String>),
    Space,
    /// A comment, or characters that are not a token: they only separate other tokens.
    Nothing,
    Char(char),
}

#[derive(Debug)]
pub(super) struct Tokens<'a>(&'a str);

fn is_newline(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\x0C')
}

pub(super) fn is_space(c: char) -> bool {
    is_newline(c) || matches!(c, ' ' | '\t')
}

fn starts_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn in_name(c: char) -> bool {
    starts_name(c) || c.is_ascii_digit() || c == '-'
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self(text)
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.0.chars().nth(ahead)
    }

    fn bump(&mut self) -> Option<char> {
        let mut chars = self.0.chars();
        let c = chars.next();
        self.0 = chars.as_str();
        c
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !wanted(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn eat(&mut self, text: &str) -> bool {
        self.0.strip_prefix(text).map(|rest| self.0 = rest).is_some()
    }

    fn escape_at(&self, ahead: usize) -> bool {
        self.peek(ahead) == Some('\\') && !self.peek(ahead + 1).is_some_and(is_newline)
    }

    fn name_at(&self, ahead: usize) -> bool {
        match self.peek(ahead) {
            Some('-') => {
                self.peek(ahead + 1).is_some_and(|c| starts_name(c) || c == '-') || self.escape_at(ahead + 1)
            }
            Some(c) => starts_name(c) || self.escape_at(ahead),
            None => false,
        }
    }

    fn number_at(&self) -> bool {
        let signed = usize::from(matches!(self.peek(0), Some('+' | '-')));
        let digit = |ahead| self.peek(ahead).is_some_and(|c| c.is_ascii_digit());
        digit(signed) || (self.peek(signed) == Some('.') && digit(signed + 1))
    }

    /// The character of an escape, whose backslash has been taken.
    fn escaped(&mut self) -> char {
        let digits = self.0.bytes().take(6).take_while(u8::is_ascii_hexdigit).count();
        if digits == 0 {
            return self.bump().unwrap_or('\u{FFFD}');
        }
        let (hex, rest) = self.0.split_at(digits);
        self.0 = rest;
        if !self.eat("\r\n") && self.peek(0).is_some_and(is_space) {
            self.bump();
        }
        u32::from_str_radix(hex, 16).ok().filter(|&c| c != 0).and_then(char::from_u32).unwrap_or('\u{FFFD}')
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        loop {
            name.push_str(self.take_while(in_name));
            if !self.escape_at(0) {
                return name;
            }
            self.bump();
            name.push(self.escaped());
        }
    }

    fn number(&mut self) -> Token {
        let start = self.0;
        if matches!(self.peek(0), Some('+' | '-')) {
            self.bump();
        }
        self.take_while(|c| c.is_ascii_digit());
        if self.peek(0) == Some('.') && self.peek(1).is_some_and(|c| c.is_ascii_digit()) {
            self.bump();
            self.take_while(|c| c.is_ascii_digit());
        }
        if matches!(self.peek(0), Some('e' | 'E')) {
            let signed = 1 + usize::from(matches!(self.peek(1), Some('+' | '-')));
            if self.peek(signed).is_some_and(|c| c.is_ascii_digit()) {
                self.0 = &self.0[signed..];
                self.take_while(|c| c.is_ascii_digit());
            }
        }
        let mut number = start[..start.len() - self.0.len()].to_owned();
        if self.name_at(0) {
            number.push_str(&self.name());
        }
        Token::Number(number)
    }

    fn text(&mut self, quote: char) -> Token {
        let mut text = String::new();
        loop {
            text.push_str(self.take_while(|c| c != quote && c != '\\' && !is_newline(c)));
            match self.peek(0) {
                Some('\\') => {
                    self.bump();
                    match self.peek(0) {
                        // A backslash at the end of a line continues it.
                        Some(c) if is_newline(c) => {
                            let _ = self.eat("\r\n") || self.bump().is_some();
                        }
                        Some(_) => text.push(self.escaped()),
                        None => {}
                    }
                }
                Some(c) if is_newline(c) => return Token::Text(None),
                _ => {
                    self.bump();
                    return Token::Text(Some(text));
                }
            }
        }
    }

    /// The rest of `url(` without quotes.
    fn url(&mut self) -> Token {
        let mut url = String::new();
        loop {
            url.push_str(
                self.take_while(|c| c > ' ' && !matches!(c, ')' | '(' | '"' | '\'' | '\\' | '\x7F')),
            );
            if self.escape_at(0) {
                self.bump();
                url.push(self.escaped());
                continue;
            }
            self.take_while(is_space);
            if matches!(self.peek(0), None | Some(')')) {
                self.bump();
                return Token::Url(Some(url));
            }
            // Malformed: it extends to the closing parenthesis.
            loop {
                self.take_while(|c| c != ')' && c != '\\');
                let escape = self.escape_at(0);
                if self.bump() != Some('\\') {
                    return Token::Url(None);
                }
                if escape {
                    self.escaped();
                }
            }
        }
    }

    fn name_or_function(&mut self) -> Token {
        let name = self.name();
        if !self.eat("(") {
            return Token::Name(name);
        }
        if name.eq_ignore_ascii_case("url") {
            self.take_while(is_space);
            if !matches!(self.peek(0), Some('"' | '\'')) {
                return self.url();
            }
        }
        Token::Function(name)
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let first = self.peek(0)?;
        if is_space(first) {
            self.take_while(is_space);
            return Some(Token::Space);
        }
        if self.eat("/*") {
            self.0 = self.0.split_once("*/").map_or("", |(_, rest)| rest);
            return Some(Token::Nothing);
        }
        if self.number_at() {
            return Some(self.number());
        }
        if self.eat("<!--") || self.eat("-->") {
            return Some(Token::Nothing);
        }
        if self.name_at(0) {
            return Some(self.name_or_function());
        }
        let next_in_name = self.peek(1).is_some_and(in_name) || self.escape_at(1);
        let next_is_name = self.name_at(1);
        self.bump();
        Some(match first {
            '"' | '\'' => self.text(first),
            '#' if next_in_name => Token::Hash(self.name()),
            '@' if next_is_name => Token::At(self.name()),
            '\\' => Token::Nothing,
            other => Token::Char(other),
        })
    }
}
