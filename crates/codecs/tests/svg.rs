//! SVG: what a sanitised file no longer holds, and how large a drawing says it is.

use codecs::codec::svg::{MAX_BYTES, sanitise};
use codecs::{Budget, Error, Format, Work, codec_for};
use proptest::prelude::*;

fn work() -> Work {
    Work::new(Budget::new(64 << 20))
}

fn clean(svg: &str) -> String {
    String::from_utf8(sanitise(svg.as_bytes(), &work()).unwrap()).unwrap()
}

fn size(svg: &str) -> (u32, u32) {
    let probe = codec_for(Format::Svg).unwrap().probe(svg.as_bytes()).unwrap();
    assert!(probe.alpha);
    (probe.width, probe.height)
}

const NS: &str = "xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink'";

// URL-121
#[test]
fn scripts_and_handlers_are_removed() {
    let out = clean(&format!(
        "<svg {NS} onload='evil()'><script>evil()</script><rect width='9' height='9' onclick='evil()'/>\
         <a href='javascript:evil()'><circle r='4'/></a><set attributeName='onmouseover' to='evil()'/>\
         <foreignObject><body xmlns='http://www.w3.org/1999/xhtml'><iframe src='javascript:evil()'/></body>\
         </foreignObject></svg>"
    ));
    // What would act is gone; `to='evil()'` of an animation without a target is a dead letter.
    let out = out.replace(r#"<set to="evil()"/>"#, "");
    assert!(!out.contains("evil") && !out.to_lowercase().contains("script"), "{out}");
    assert!(
        !out.contains("onmouseover") && !out.contains("foreignObject") && !out.contains("iframe"),
        "{out}"
    );
    assert!(out.contains("<rect") && out.contains("circle"), "what is harmless stays: {out}");
}

// URL-122
#[test]
fn links_to_other_documents_and_origins_are_removed() {
    let out = clean(&format!(
        "<svg {NS}><a href='https://example.com/x'><circle r='1'/></a><image href='https://example.com/spy.png'/>\
         <image xlink:href='//example.com/spy.png'/><use href='https://example.com/a.svg#b'/>\
         <style>rect {{ fill: url(https://example.com/f.svg#p) }}</style>\
         <style>@import 'https://example.com/b.css'; rect {{ fill: red }}</style>\
         <style>@import url(https://example.com/c.css); rect {{ fill: red }}</style>\
         <rect style='fill:url(https://example.com/g.svg#p)' fill='url(https://example.com/h.svg#p)'/>\
         <linearGradient id='g'/><rect fill='url(#g)'/><use href='#g'/></svg>"
    ));
    let out = out.replace(r#"xmlns="http://www.w3.org/2000/svg""#, "");
    for fetched in ["@import", "url(http", "url(//", "=\"http", "=\"//", "='http", "url('http", "url(\"http"]
    {
        assert!(!out.contains(fetched), "{fetched} in {out}");
    }
    assert!(!out.contains("<a href"), "{out}");
    assert!(out.contains("#g"), "references within the drawing stay: {out}");
}

#[test]
fn a_stylesheet_instruction_and_a_doctype_are_removed() {
    let out = clean(&format!(
        "<?xml version='1.0'?><?xml-stylesheet href='https://example.com/s.css'?>\
         <!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' 'http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd'><svg {NS}/>"
    ));
    assert!(!out.contains("example.com") && !out.contains("DTD"), "{out}");
}

#[test]
fn embedded_pictures_stay_and_embedded_pages_do_not() {
    let out = clean(&format!(
        "<svg {NS}><image href='data:image/png;base64,iVBORw0KGgo='/>\
         <image href='data:image/svg+xml;base64,PHN2Zz48L3N2Zz4='/><image href='data:text/html,hello'/></svg>"
    ));
    assert!(out.contains("data:image/png"), "{out}");
    assert!(!out.contains("text/html"), "{out}");
}

#[test]
fn entity_bombs_are_refused() {
    let bomb = "<!DOCTYPE svg [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>\
        <!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;'>]><svg xmlns='http://www.w3.org/2000/svg'><text>&c;</text></svg>";
    assert!(matches!(sanitise(bomb.as_bytes(), &work()), Err(Error::Malformed { .. })));
    let outside = "<!DOCTYPE svg [<!entity x SYSTEM 'file:///etc/passwd'>]><svg><text>&x;</text></svg>";
    assert!(matches!(sanitise(outside.as_bytes(), &work()), Err(Error::Malformed { .. })));
}

#[test]
fn deep_nesting_and_size_are_limited() {
    let deep = format!("<svg {NS}>{}{}</svg>", "<g>".repeat(200_000), "</g>".repeat(200_000));
    assert!(matches!(sanitise(deep.as_bytes(), &work()), Err(Error::Malformed { .. })));
    let mut large = format!("<svg {NS}>").into_bytes();
    large.resize(MAX_BYTES + 1, b' ');
    assert!(matches!(sanitise(&large, &work()), Err(Error::TooLarge(_))));
    let wide = format!("<svg {NS}>{}</svg>", "<g/>".repeat(5000));
    let small = Work::new(Budget::new(1000));
    assert!(matches!(sanitise(wide.as_bytes(), &small), Err(Error::Budget { .. })));
}

#[test]
fn a_cut_file_is_an_error() {
    let svg = format!("<svg {NS}><g><rect width='9' height='9'/></g></svg>");
    for n in 0..svg.len() {
        assert!(sanitise(&svg.as_bytes()[..n], &work()).is_err(), "{n}");
    }
}

#[test]
fn the_size_comes_from_attributes_or_the_view_box() {
    for (tag, expected) in [
        ("width='120' height=\"80\"", (120, 80)),
        ("width='1in' height='25.4mm'", (96, 96)),
        ("width='72pt' height='6pc'", (96, 96)),
        ("viewBox='0 0 30 40'", (30, 40)),
        ("viewBox='0,0,30.4,40.6'", (30, 41)),
        ("width='60' viewBox='0 0 30 40'", (60, 80)),
        ("width='100%' height='100%' viewBox='0 0 30 40'", (30, 40)),
        ("width='2em' height='3'", (0, 3)),
        ("width='1e2' height='10'", (100, 10)),
        ("stroke-width='7'", (0, 0)),
        ("data-x='>' width='5' height='6'", (5, 6)),
        ("width='-5' height='nan'", (0, 0)),
    ] {
        assert_eq!(
            size(&format!("<?xml version='1.0'?><!-- <svg width='1'> --><svg {NS} {tag}></svg>")),
            expected,
            "{tag}"
        );
    }
}

#[test]
fn what_is_no_drawing_is_refused() {
    assert_eq!(sanitise(b"<html><svg/></html>", &work()), Err(Error::NotAnImage));
    assert_eq!(sanitise(b"", &work()), Err(Error::NotAnImage));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn damaged_files_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = format!(
            "<?xml version='1.0'?><svg {NS} width='10' viewBox='0 0 1 2'><script>evil()</script><g id='a'>\
             <use href='#a'/><style>a {{ fill: url(#b) }}</style></g></svg>"
        ).into_bytes();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        drop(codec_for(Format::Svg).unwrap().probe(&bytes));
        let work = work();
        drop(sanitise(&bytes, &work));
        prop_assert_eq!(work.budget.used(), 0);
    }
}
