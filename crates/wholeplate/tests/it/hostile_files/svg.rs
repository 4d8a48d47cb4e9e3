use super::Expected::{Either, Error, Picture};
use super::{Case, case, gzip};

const OPEN: &str = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'>";

fn drawing(body: &str) -> Vec<u8> {
    format!("{OPEN}{body}</svg>").into_bytes()
}

fn entities(declarations: &str, body: &str) -> Vec<u8> {
    [format!("<!DOCTYPE svg [{declarations}]>").as_bytes(), &drawing(body)].concat()
}

pub(super) fn cases() -> Vec<Case> {
    let deep = |depth: usize, body: &str| format!("{}{body}{}", "<g>".repeat(depth), "</g>".repeat(depth));
    let names: String = (0..4000).map(|i| format!(" xmlns:n{i}='u'")).collect();
    let laughs: String =
        (1..9).map(|n| format!("<!ENTITY a{n} '{}'>", format!("&a{};", n - 1).repeat(20))).collect();
    let attributes: String = (0..190).map(|i| format!(" a{i}=''")).collect();
    vec![
        case("30,000 elements in 1,000 others", Error, drawing(&deep(1000, &"<g/>".repeat(30_000)))),
        case("100,000 elements within each other", Error, drawing(&deep(100_000, ""))),
        case("20,000 elements under 4,000 namespaces", Error, {
            format!("<svg xmlns='http://www.w3.org/2000/svg'{names}>{}</svg>", "<g/>".repeat(20_000))
                .into_bytes()
        }),
        case("250,000 elements", Error, drawing(&"<g/>".repeat(250_000))),
        case("4,000,000 elements", Error, drawing(&"<g/>".repeat(4_000_000))),
        case("4,000,000 elements, compressed", Error, gzip(&drawing(&"<g/>".repeat(4_000_000)))),
        case("400,000 elements, compressed", Error, gzip(&drawing(&"<g/>".repeat(400_000)))),
        case("64 MB, compressed", Error, gzip(&drawing(&" ".repeat(64 << 20)))),
        case(
            "10,000 elements of 190 attributes",
            Error,
            drawing(&format!("<g{attributes}/>").repeat(10_000)),
        ),
        case("an element of 100,000 attributes", Error, {
            let many: String = (0..100_000).map(|i| format!(" a{i}=''")).collect();
            drawing(&format!("<g{many}/>"))
        }),
        case(
            "entities in entities",
            Error,
            entities(&format!("<!ENTITY a0 'ha'>{laughs}"), "<text>&a8;</text>"),
        ),
        case(
            "empty entities in entities",
            Error,
            entities(&format!("<!ENTITY a0 ''>{laughs}"), "<text>&a8;</text>"),
        ),
        case("an entity that is its own value", Error, entities("<!ENTITY a '&b;'><!ENTITY b '&a;'>", "&a;")),
        case("a long entity 1,000 times", Error, {
            entities(&format!("<!ENTITY a '{}'>", "x".repeat(10_000)), &"&a;".repeat(1000))
        }),
        case("an external entity", Error, entities("<!ENTITY a SYSTEM 'file:///etc/passwd'>", "&a;")),
        case("a parameter entity", Error, entities("<!ENTITY % a 'x'>%a;", "")),
        case("900,000 style rules", Error, drawing(&format!("<style>{}</style>", "a{b:c}".repeat(900_000)))),
        case("1 MB of open brackets in a style sheet", Either, {
            drawing(&format!("<style>{}</style><g/>", "a{b:((((((((".repeat(80_000)))
        }),
        case("a path of 8 MB", Picture, drawing(&format!("<path d='{}'/>", "1 ".repeat(4 << 20)))),
        case("8 MB of text", Picture, drawing(&format!("<text>{}</text>", "a".repeat(8 << 20)))),
        case("8 MB of comment", Picture, drawing(&format!("<!--{}--><g/>", "a ".repeat(4 << 20)))),
        case("a root element of 8 MB", Error, {
            format!("<svg xmlns='http://www.w3.org/2000/svg' data-x='{}'/>", "x".repeat(8 << 20)).into_bytes()
        }),
        case("cut in an element", Error, {
            let file = drawing("<rect/>");
            file[..file.len() - 9].to_vec()
        }),
    ]
}
