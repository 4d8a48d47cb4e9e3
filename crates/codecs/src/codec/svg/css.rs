//! Removes everything that fetches from style sheets. A sheet is rewritten from its tokens, without escapes, comments or
//! malformed parts, so that other parsers read it in the same way.

mod token;

use std::borrow::Cow;

use token::{Token, Tokens};

/// At-rules that are kept. Others fetch (`@import`) or change the meaning of names (`@namespace`).
const KEPT: [&str; 8] =
    ["media", "supports", "keyframes", "-webkit-keyframes", "font-face", "layer", "page", "container"];

/// Functions besides `url` that fetch the URLs in their arguments.
const FETCHING: [&str; 6] = ["src", "image", "image-set", "-webkit-image-set", "cross-fade", "expression"];

/// Embedded images allowed in a style sheet, as `svg-hush` allows elsewhere.
const IMAGES: [&str; 3] = ["data:image/png", "data:image/jpeg", "data:image/gif"];

/// The sheet, or the declarations of a `style` attribute, reduced to references within the document and embedded
/// images.
pub(super) fn clean(sheet: &str) -> String {
    rewritten(sheet, true)
}

/// The name of an element or a class with letters outside ASCII spelled in ASCII: `svg-hush` would delete them, but
/// not in style sheets.
pub(super) fn ascii_name(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        return name.into();
    }
    let mut out = String::with_capacity(2 * name.len());
    for c in name.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            out.push_str(&format!("_u{:x}", u32::from(c)));
        }
    }
    out.into()
}

/// `names`: spell the names of elements and classes in ASCII.
fn rewritten(sheet: &str, names: bool) -> String {
    let spelled = |name: String| if names { ascii_name(&name).into_owned() } else { name };
    let mut out = String::with_capacity(sheet.len());
    let mut tokens = Tokens::new(sheet);
    while let Some(token) = tokens.next() {
        match token {
            Token::At(name) if KEPT.iter().any(|kept| name.eq_ignore_ascii_case(kept)) => {
                out.push('@');
                out.push_str(&name);
            }
            Token::At(_) => {
                separate(&mut out);
                if skip_rule(&mut tokens) {
                    out.push('}');
                }
            }
            Token::Url(target) => reference(target.map(spelled).as_deref(), &mut out),
            Token::Function(name) if name.eq_ignore_ascii_case("url") => {
                reference(argument(&mut tokens).map(spelled).as_deref(), &mut out);
            }
            Token::Function(name) if FETCHING.iter().any(|f| name.eq_ignore_ascii_case(f)) => {
                argument(&mut tokens);
                out.push_str("none");
            }
            Token::Function(name) => {
                push_name(&name, &mut out);
                out.push('(');
            }
            Token::Name(name) if out.ends_with('.') => push_name(&spelled(name), &mut out),
            Token::Name(name) => push_name(&name, &mut out),
            Token::Hash(name) => {
                let name = spelled(name);
                let hash = format!("#{name}");
                let plain = reads_as(&hash, &Token::Hash(name));
                out.push_str(if plain { &hash } else { "#_" });
            }
            Token::Number(number) => {
                // An escape in a unit may spell another token: `1\.url(`.
                let plain = reads_as(&number, &Token::Number(number.clone()));
                out.push_str(if plain { &number } else { "0" });
            }
            Token::Text(Some(text)) => push_text(&text, &mut out),
            Token::Space => out.push(' '),
            // The neighbours must not join into one token: `url<!--(`.
            Token::Text(None) | Token::Nothing => separate(&mut out),
            Token::Char(c) => out.push(c),
        }
    }
    out
}

/// Whether a value that is not CSS, such as an animation's, refers outside the document or runs code.
pub(super) fn is_external(value: &str) -> bool {
    value.split(';').any(|part| {
        // URL parsers ignore white space and control characters within a scheme.
        let part: String = part.chars().filter(|c| *c > ' ').flat_map(char::to_lowercase).collect();
        let scheme = part.find(':').is_some_and(|colon| {
            part.starts_with(|c: char| c.is_ascii_alphabetic())
                && part[..colon].chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        });
        scheme || part.contains("//") || part.contains('\\') || rewritten(&part, false) != part
    })
}

fn separate(out: &mut String) {
    if !out.is_empty() && !out.ends_with([' ', ';', '{', '}']) {
        out.push_str("/**/");
    }
}

/// Whether a text without escapes is exactly this token.
fn reads_as(text: &str, token: &Token) -> bool {
    let mut tokens = Tokens::new(text);
    !text.contains('\\') && tokens.next().as_ref() == Some(token) && tokens.next().is_none()
}

fn push_name(name: &str, out: &mut String) {
    // A name that needs an escape does not refer to anything that is kept.
    let plain = reads_as(name, &Token::Name(name.to_owned()));
    // `\-->` and `<!\--` would become comment delimiters.
    let bracket = name == "--" || (name.starts_with("--") && out.ends_with("<!"));
    out.push_str(if plain && !bracket { name } else { "_" });
}

fn push_text(text: &str, out: &mut String) {
    let lower = text.to_ascii_lowercase();
    let odd = ["//", "\\", "@", "url(", "src(", "image(", "image-set(", "script:"];
    let quote = if text.contains('"') { '\'' } else { '"' };
    out.push(quote);
    if !odd.iter().any(|o| lower.contains(o)) && !text.contains(quote) && !text.contains(char::is_control) {
        out.push_str(text);
    }
    out.push(quote);
}

fn reference(target: Option<&str>, out: &mut String) {
    let plain = |c: char| c > ' ' && !matches!(c, '"' | '\'' | '(' | ')' | '\\' | '\x7F');
    let allowed = |target: &&str| {
        let lower = target.get(..16).unwrap_or(target).to_ascii_lowercase();
        target.chars().all(plain)
            && (target.starts_with('#') || IMAGES.iter().any(|image| lower.starts_with(image)))
    };
    match target.map(str::trim).filter(allowed) {
        Some(target) => {
            out.push_str("url(");
            out.push_str(target);
            out.push(')');
        }
        None => out.push_str("none"),
    }
}

/// The closing bracket for a token that opens one.
fn closer(token: &Token) -> Option<char> {
    match token {
        Token::Function(_) | Token::Char('(') => Some(')'),
        Token::Char('{') => Some('}'),
        Token::Char('[') => Some(']'),
        _ => None,
    }
}

/// Skips the rest of a rule, up to its semicolon or the end of its block. Returns whether the end of the enclosing block
/// ended it instead.
fn skip_rule(tokens: &mut Tokens<'_>) -> bool {
    let mut open = Vec::new();
    for token in tokens {
        if let Some(end) = closer(&token) {
            open.push(end);
            continue;
        }
        match token {
            Token::Char(';') if open.is_empty() => return false,
            Token::Char('}') if open.is_empty() => return true,
            Token::Char(c) if open.last() == Some(&c) => {
                open.pop();
                if open.is_empty() && c == '}' {
                    return false;
                }
            }
            _ => {}
        }
    }
    false
}

/// Consumes the arguments of a function. Returns the string if it is the only argument.
fn argument(tokens: &mut Tokens<'_>) -> Option<String> {
    let (mut open, mut only, mut others) = (vec![')'], None, false);
    for token in tokens {
        if let Some(end) = closer(&token) {
            open.push(end);
            others = true;
            continue;
        }
        match token {
            Token::Char(c) if open.last() == Some(&c) => {
                open.pop();
                if open.is_empty() {
                    break;
                }
            }
            Token::Text(Some(text)) if only.is_none() => only = Some(text),
            Token::Space | Token::Nothing => {}
            _ => others = true,
        }
    }
    only.filter(|_| !others)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::token::{Token, Tokens};
    use super::{FETCHING, clean, is_external};

    #[test]
    fn fetches_are_removed_and_the_rest_is_kept() {
        for (sheet, expected) in [
            ("@import url(\"http://e/a.css\"); .ok{fill:red}", " .ok{fill:red}"),
            ("@import url(http://e/a.css);.ok{fill:red}", ".ok{fill:red}"),
            ("@\\69mport 'http://e/b' screen; .ok{}", " .ok{}"),
            ("@media print{@import 'http://e'}.ok{}", "@media print{}.ok{}"),
            ("@unknown x { a{b:c} } .ok{}", " .ok{}"),
            ("a{b:image-set(\"http://e/i.png\" 1x)}", "a{b:none}"),
            ("a{b:src(\"http://e\")}", "a{b:none}"),
            ("a{b:url(\\68ttp://e)}", "a{b:none}"),
            ("a{b:u\\72l(http://e)}", "a{b:none}"),
            ("a{b:URL(  'http://e'  ) red}", "a{b:none red}"),
            ("a{b:url(h\nttp://e)}", "a{b:none}"),
            ("a{b:url(x\"y)}c{}", "a{b:none}c{}"),
            ("a{content:\"\\75rl(http://e)\"}", "a{content:\"\"}"),
            ("a{b:url<!--(http:e)}", "a{b:url/**/(http:e)}"),
            ("url@x;(a)", "url/**/(a)"),
            ("a{b:\"x\n;c:d}", "a{b:/**/ ;c:d}"),
            ("a{b:url(#g", "a{b:url(#g)"),
            ("a{b:url(data:text/html,x)}", "a{b:none}"),
            ("a{b:url(data:font/woff;base64,AA)}", "a{b:none}"),
            ("a{b:c\\-->d}", "a{b:c-->d}"),
            ("\\-->a{}", "_>a{}"),
            ("a{b:1\\.url(http://e)}", "a{b:0(http://e)}"),
            ("a{b:url<!\\--(http:e)}", "a{b:url<!_(http:e)}"),
        ] {
            assert_eq!(clean(sheet), expected, "{sheet}");
        }
    }

    #[test]
    fn harmless_sheets_are_unchanged() {
        for sheet in [
            ".b::after{content:\"x;y\"} @media (min-width:3px){.c{fill:red}}",
            "@keyframes a{from{opacity:0}50.5%{opacity:.5}to{opacity:1}}",
            ".st0{fill:#1D1D1B;stroke:rgb(1,2,3);stroke-width:1e-3px;transform:translate(-5px,+2%)}",
            "a>b~c+d,[x=\"y\"]{--v:1;fill:var(--v)!important;filter:url(#f) drop-shadow(0 0 2px #000)}",
            "@font-face{font-family:Größe;src:local(\"Größe\")}",
            "a{b:url(data:image/png;base64,iVBORw0KGgo=)}",
        ] {
            assert_eq!(clean(sheet), sheet);
        }
        assert_eq!(clean(".\\62 {}.c\\:d{}"), ".b{}._{}");
        assert_eq!(
            clean(".gr\u{f6}\u{df}e,#\u{e9}{fill:url(#\u{e9})}"),
            ".gr_uf6_udfe,#_ue9{fill:url(#_ue9)}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]
        /// A cleaned sheet parses back to itself and contains nothing that fetches.
        #[test]
        fn a_clean_sheet_is_clean(parts in prop::collection::vec(prop::sample::select(vec![
            "url(", "u\\72l(", "(", ")", "{", "}", "[", "]", "'", "\"", "\\", "\n", " ", ";", ":", "@import ",
            "@media ", "@\\69mport ", "@", "#a", "#", "http://e", "//", "/*", "*/", "<!--", "-->", "<", "!", "-",
            "--", "\\2d ", "\\3c ", ">", "1", "1e", "%", "px", ".5", "e", "a", "é", "src(", "image-set(",
            "data:image/png,", "javascript:", "\0", "\\0", "+", ".", "\r\n", "\u{C}", "\u{80}", "\\a",
        ]), 0..12)) {
            let once = clean(&parts.concat());
            let again = clean(&once);
            // White space, quotes and separators between the same tokens may differ.
            let tokens = |sheet: &str| sheet.replace(' ', "").replace('\'', "\"").replace("/**/", "");
            prop_assert_eq!(tokens(&once), tokens(&again));
            for token in Tokens::new(&once) {
                match token {
                    Token::Url(target) => {
                        let target = target.unwrap_or_default();
                        prop_assert!(target.starts_with('#') || target.starts_with("data:image/"), "{once}");
                    }
                    Token::Function(name) => {
                        let fetches = name == "url" || FETCHING.contains(&name.as_str());
                        prop_assert!(!fetches, "{once}");
                    }
                    Token::At(name) => prop_assert!(!name.eq_ignore_ascii_case("import"), "{once}"),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn external_values_of_animations_are_found() {
        for out in
            ["javascript:x", "#a; java\tscript:x", "//e/x", "http://e", "url(http://e)", "\\\\e", "data:x,y"]
        {
            assert!(is_external(out), "{out}");
        }
        for within in ["0;1", "#a;#b", "M0 0L1,1Z", "url(#a)", "rgb(1,2,3)", "0 0;360 5 5", "red"] {
            assert!(!is_external(within), "{within}");
        }
    }
}
