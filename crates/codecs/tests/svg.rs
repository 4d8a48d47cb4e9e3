//! SVG: sanitising, limits, encodings and the size of a drawing.

use codecs::codec::svg::{MAX_BYTES, sanitise};
use codecs::{Error, Format, codec_for};
use proptest::prelude::*;
use work::{Budget, Work};

fn work() -> Work {
    Work::new(Budget::new(64 << 20))
}

fn clean(svg: &str) -> String {
    String::from_utf8(sanitise(svg.as_bytes(), &work()).unwrap()).unwrap()
}

fn size(svg: &str) -> (u32, u32) {
    let probe = codec_for(Format::Svg).unwrap().probe(svg.as_bytes(), &Work::unlimited()).unwrap();
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
    // Active content is removed. `to='evil()'` of an animation without a target has no effect.
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
fn embedded_images_are_kept_and_embedded_pages_are_removed() {
    let out = clean(&format!(
        "<svg {NS}><image href='data:image/png;base64,iVBORw0KGgo='/>\
         <image href='data:image/svg+xml;base64,PHN2Zz48L3N2Zz4='/><image href='data:text/html,hello'/></svg>"
    ));
    assert!(out.contains("data:image/png"), "{out}");
    assert!(!out.contains("text/html"), "{out}");
}

/// Panics unless an XML parser finds the file well-formed.
fn well_formed(svg: &str) {
    for event in xml::EventReader::new(svg.as_bytes()) {
        event.unwrap_or_else(|e| panic!("{e}: {svg}"));
    }
}

fn styled(sheet: &str) -> String {
    format!("<svg {NS}><style>{sheet}</style><rect class='ok'/></svg>")
}

// URL-121, URL-122
#[test]
fn attacks_are_removed_and_the_document_stays_well_formed() {
    let sheets = [
        "@import url(\"http://evil.example/a.css\"); .ok{fill:red}",
        "@import url(http://evil.example/a.css); .ok{fill:red}",
        "@import url('http://evil.example/a.css') screen; .ok{fill:red}",
        "@IMPORT \"http://evil.example/b.css\"; .ok{fill:red}",
        "@import\"http://evil.example/c.css\";.ok{fill:red}",
        "@\\69mport \"http://evil.example/esc.css\"; .ok{fill:red}",
        "@namespace url(http://evil.example/ns); .ok{fill:red}",
        "@font-face{src:url(http://evil.example/f.woff)} .ok{fill:red}",
        ".a{fill:url(  \"http://evil.example/x\"  )} .ok{fill:red}",
        ".a{fill:URL(http:evil.example/u)} .ok{fill:red}",
        ".a{fill:url(\\68ttp://evil.example/u)} .ok{fill:red}",
        ".a{fill:u\\72l(http://evil.example/u)} .ok{fill:red}",
        ".a{fill:url(h\nttp://evil.example/u)} .ok{fill:red}",
        ".a{b:image-set(\"http://evil.example/i.png\" 1x)} .ok{fill:red}",
        ".a{b:src(\"http://evil.example/s\")} .ok{fill:red}",
        ".a{content:\"\\75rl(http://evil.example)\"} .ok{fill:red}",
        ".a{background:url('//evil.example/d')} .ok{fill:red}",
        ".a{b:url(/**/http://evil.example/c)} .ok{fill:red}",
        "@media all{@import 'http://evil.example/m';} .ok{fill:red}",
        "<![CDATA[@import \"http://evil.example/cd.css\"; .ok{fill:red}]]>",
        "@impo<g>rt \"http://evil.example/g\";</g>rt \"http://evil.example/h\"; .ok{fill:red}",
    ];
    for sheet in sheets {
        let out = clean(&styled(sheet));
        well_formed(&out);
        assert!(!out.contains("evil") && !out.contains("mport"), "{sheet}: {out}");
        assert!(out.contains(".ok{fill:red}"), "{sheet}: {out}");
    }
    for body in [
        "<rect style='fill:url(http://evil.example/a)' fill=\"url('http://evil.example/b#p')\"/>",
        "<rect style='fill:\\75rl(http://evil.example/a)' cursor='url(http://evil.example/c),auto'/>",
        "<rect style='b:image-set(\"http://evil.example/a\" 1x)' filter='u\\72l(http://evil.example/f)'/>",
        "<use><animate attributeName='href' values='javascript:evil()'/></use>",
        "<use><set attributeName='href' to='http://evil.example/s'/></use>",
        "<a><set attributeName='xlink:href' to='//evil.example/s'/></a>",
        "<rect><animate attributeName='fill' from='url(http://evil.example/a)' by='java&#9;script:evil()'/></rect>",
        "<script>evil()</script><foreignObject><p xmlns='http://www.w3.org/1999/xhtml'>evil</p></foreignObject>",
        "<metadata><x xmlns='urn:x'>http://evil.example/meta</x></metadata>",
        "<a href='http://evil.example/'><text>hi</text></a><feImage href='javascript:evil()'/>",
        "<image href='data:image/svg+xml,&lt;svg onload=\"evil()\"/>'/>",
        "<g><h:img xmlns:h='http://www.w3.org/1999/xhtml' src='http://evil.example/i' onerror='evil()'/></g>",
    ] {
        let out = clean(&format!("<svg {NS}>{body}<rect/></svg>"));
        well_formed(&out);
        assert!(!out.contains("evil") && out.contains("<rect"), "{body}: {out}");
    }
}

// URL-122
#[test]
fn harmless_drawings_keep_their_appearance() {
    let out = clean(&format!(
        "<svg {NS} viewBox='0 0 10 10'><style>.a{{fill:url(#g);stroke:#fff}} @media (min-width:3px){{.b{{fill:red}}}}</style>\
         <linearGradient id='g'><stop offset='0' style='stop-opacity:.5;stop-color:#f00'/></linearGradient>\
         <g clip-path='url(#c)' filter=\"url('#f')\" style='mask:url(\"#k\")' transform='rotate(3)'>\
         <use xlink:href='#s'/><text>a &lt; b &amp; c</text><animate attributeName='opacity' values='0;1' dur='1s'/>\
         <image href='data:image/png;base64,iVBORw0KGgo='/>\
         <rect style='b:url(data:image/png;base64,iVBORw0KGgo=)'/></g></svg>"
    ));
    well_formed(&out);
    for kept in [
        ".a{fill:url(#g);stroke:#fff}",
        "@media (min-width:3px){.b{fill:red}}",
        "style=\"stop-opacity:.5;stop-color:#f00\"",
        "clip-path=\"url(#c)\"",
        "filter=\"url(#f)\"",
        "style=\"mask:url(#k)\"",
        "transform=\"rotate(3)\"",
        "href=\"#s\"",
        "a &lt; b &amp; c",
        "values=\"0;1\"",
        "href=\"data:image/png;base64,iVBORw0KGgo=\"",
        "url(data:image/png;base64,iVBORw0KGgo=)",
    ] {
        assert!(out.contains(kept), "{kept} in {out}");
    }
}

// `svg-hush` indents its output, and white space within a text is shown.
#[test]
fn no_white_space_is_added() {
    for body in [
        "<text><tspan>AB</tspan><tspan>CD</tspan></text>",
        "<text>a<tspan>b<tspan>c</tspan></tspan>d<tspan/>e</text>",
        "<text> <tspan>H</tspan> <tspan>i</tspan></text><g><g><rect/></g></g>",
        "<style>.a{fill:red}</style><g><rect/><rect/></g>",
    ] {
        let out = clean(&format!("<svg {NS}>{body}</svg>"));
        let inner = out.split_once("<svg").unwrap().1.split_once('>').unwrap().1;
        assert_eq!(inner, format!("{body}</svg>"));
    }
    // What is removed leaves nothing behind, and the characters of the document cannot split a word.
    let out = clean(&format!(
        "<svg {NS}><text><x/><tspan>A\x7F</tspan><script/><tspan style='fill:u\x7Frl(http://evil)'>B</tspan></text>\
         <style>a{{b:u\x7Frl(http://evil)}}</style></svg>"
    ));
    assert!(
        out.contains("<tspan>A</tspan><tspan") && !out.contains("evil") && !out.contains('\x7F'),
        "{out}"
    );
    // The indentation of 60 elements within each other was longer than the drawing itself.
    let deep = format!("<svg {NS}>{}<rect/>{}</svg>", "<g>".repeat(600), "</g>".repeat(600));
    assert!(clean(&deep).len() < deep.len() + 100);
}

// `svg-hush` deletes letters outside ASCII from attributes, not from style sheets: drawings lost their paint.
#[test]
fn names_in_every_script_stay_connected() {
    let out = clean(&format!(
        "<svg {NS}><style>.größe{{fill:url(#渐变)}} #é{{fill:red}} text{{font-family:größe}}</style>\
         <linearGradient id='渐变'/><linearGradient id='Градиент_1'/><linearGradient id='Узор_1'/><g id='é'/>\
         <rect class='größe b' fill='url(#渐变)' style=\"fill:url('#Градиент_1')\"/>\
         <use href='#Узор_1'/><use xlink:href='#é'/></svg>"
    ));
    well_formed(&out);
    let (gradient, pattern) = ("_u413_u440_u430_u434_u438_u435_u43d_u442_1", "_u423_u437_u43e_u440_1");
    for kept in [
        ".gr_uf6_udfe{fill:url(#_u6e10_u53d8)} #_ue9{fill:red} text{font-family:größe}",
        "id=\"_u6e10_u53d8\"",
        "class=\"gr_uf6_udfe b\" fill=\"url(#_u6e10_u53d8)\"",
        "id=\"_ue9\"",
        "href=\"#_ue9\"",
        &format!("id=\"{gradient}\""),
        &format!("style=\"fill:url(#{gradient})\""),
        &format!("id=\"{pattern}\""),
        &format!("href=\"#{pattern}\""),
    ] {
        assert!(out.contains(kept), "{kept} in {out}");
    }
}

#[test]
fn a_root_element_with_a_prefix_is_accepted() {
    let svg = "<s:svg xmlns:s='http://www.w3.org/2000/svg' width='30' height='20'><s:script>evil()</s:script>\
               <s:rect width='3' height='2'/></s:svg>";
    let out = clean(svg);
    assert!(out.contains("<svg xmlns=\"http://www.w3.org/2000/svg\"") && out.contains("<rect"), "{out}");
    assert!(!out.contains("evil"), "{out}");
    assert_eq!(size(svg), (30, 20));
    assert_eq!(size(&out), (30, 20));
}

#[test]
fn entity_bombs_are_refused() {
    let mut laughs = "<!DOCTYPE svg [<!ENTITY a0 'ha'>".to_owned();
    let mut silence = "<!DOCTYPE svg [<!ENTITY a0 ''>".to_owned();
    for n in 1..10 {
        for bomb in [&mut laughs, &mut silence] {
            bomb.push_str(&format!("<!ENTITY a{n} '{}'>", format!("&a{};", n - 1).repeat(50)));
        }
    }
    let long = format!("<!DOCTYPE svg [<!ENTITY a7 '{}'>", "x".repeat(10_000));
    let round = "<!DOCTYPE svg [<!ENTITY a7 '&a8;'><!ENTITY a8 '&a7;'>".to_owned();
    for bomb in [laughs, silence, long, round] {
        let uses = "&a7;".repeat(200);
        for body in [format!("<text>{uses}</text>"), format!("<text id='{uses}'/>")] {
            let bomb = format!("{bomb}]><svg {NS}>{body}</svg>");
            assert!(matches!(sanitise(bomb.as_bytes(), &work()), Err(Error::Malformed { .. })));
        }
    }
    for outside in ["<!ENTITY x SYSTEM 'file:///etc/passwd'>", "<!entity x 'y'>"] {
        let outside = format!("<!DOCTYPE svg [{outside}]><svg {NS}><text>&x;</text></svg>");
        assert!(matches!(sanitise(outside.as_bytes(), &work()), Err(Error::Malformed { .. })), "{outside}");
    }
}

#[test]
fn entities_that_drawing_programs_declare_are_read() {
    let svg = "<?xml version='1.0' encoding='utf-8'?><!-- Generator -->\n\
        <!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' 'http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd' [\n\
        \t<!ENTITY ns_svg \"http://www.w3.org/2000/svg\"><!-- a > b -->\n\
        \t<!ENTITY ns_ai 'http://ns.adobe.com/AdobeIllustrator/10.0/'>\n\
        \t<!ATTLIST svg x CDATA #FIXED '>'><!ENTITY unused SYSTEM 'file:///etc/passwd'>\n\
        \t<!ENTITY c 're&#x64;'><!ENTITY part '<rect fill=\"&c;\"/>'><!ENTITY quote '\"'>] >\n\
        <svg xmlns='&ns_svg;' xmlns:i='&ns_ai;' width='5' height='6'><i:pgf>x</i:pgf>&part;\
        <text id='a&quote;b'>&c;&amp;<![CDATA[&c;]]></text></svg>";
    let out = clean(svg);
    well_formed(&out);
    assert_eq!(size(svg), (5, 6));
    assert!(out.contains("<rect fill=\"red\"/>") && out.contains(">red&amp;&amp;c;<"), "{out}");
    assert!(out.contains("a&quot;b") && !out.contains("ENTITY") && !out.contains("pgf"), "{out}");
    let acting = "<!DOCTYPE svg [<!ENTITY x '<script>evil()</script>'>]>";
    let out = clean(&format!("{acting}<svg {NS}>&x;<rect/></svg>"));
    assert!(!out.contains("evil"), "{out}");
}

#[test]
fn other_encodings_and_compressed_files_are_read() {
    let svg = format!(
        "<?xml version='1.0' encoding='UTF-16'?><svg {NS} width='7' height='8'><text>é𝄞</text></svg>"
    );
    let units: Vec<u16> = std::iter::once(0xFEFF).chain(svg.encode_utf16()).collect();
    let little: Vec<u8> = units.iter().flat_map(|u| u.to_le_bytes()).collect();
    let big: Vec<u8> = units.iter().flat_map(|u| u.to_be_bytes()).collect();
    let packed = gzip(svg.replace("UTF-16", "UTF-8").as_bytes());
    for bytes in [&little, &big, &packed, &gzip(&little)] {
        assert_eq!(Format::sniff(bytes), Some(Format::Svg));
        let probe = codec_for(Format::Svg).unwrap().probe(bytes, &Work::unlimited()).unwrap();
        assert_eq!((probe.width, probe.height), (7, 8));
        let out = String::from_utf8(sanitise(bytes, &work()).unwrap()).unwrap();
        assert!(out.contains("é𝄞") && out.contains("encoding=\"utf-8\""), "{out}");
    }
    let latin = format!("<?xml version='1.0' encoding='ISO-8859-1'?><svg {NS}><text>_</text></svg>");
    let latin: Vec<u8> = latin.bytes().map(|b| if b == b'_' { 0xE9 } else { b }).collect();
    assert!(String::from_utf8(sanitise(&latin, &work()).unwrap()).unwrap().contains('é'));

    // UTF-16 without a byte order mark is read, too.
    for unmarked in [&little[2..], &big[2..]] {
        assert_eq!(Format::sniff(unmarked), Some(Format::Svg));
        assert!(String::from_utf8(sanitise(unmarked, &work()).unwrap()).unwrap().contains("é𝄞"));
    }

    // Padding of NUL bytes, and several members, also of no bytes.
    let (start, end) = little.split_at(50);
    for bytes in [[&packed[..], &[0; 700]].concat(), [gzip(start), gzip(b""), gzip(end), vec![0]].concat()] {
        let out = String::from_utf8(sanitise(&bytes, &work()).unwrap()).unwrap();
        assert!(out.contains("é𝄞"), "{out}");
    }
    assert!(matches!(
        sanitise(&[&packed[..], b"\0 and more bytes"].concat(), &work()),
        Err(Error::Malformed { .. })
    ));

    // Truncated gzip, an odd UTF-16 length, too large when inflated, and gzip of another format.
    for n in [packed.len() - 1, packed.len() / 2] {
        assert!(sanitise(&packed[..n], &work()).is_err());
    }
    assert_eq!(sanitise(&little[..little.len() - 1], &work()), Err(Error::Truncated(Format::Svg)));
    let blank = gzip(format!("<svg {NS}>{}</svg>", " ".repeat(MAX_BYTES)).as_bytes());
    assert!(matches!(sanitise(&blank, &work()), Err(Error::TooLarge(_))));
    assert_eq!(Format::sniff(&gzip(b"<html/>")), None);
}

/// Browsers read the labels of the WHATWG Encoding Standard.
#[test]
fn declared_encodings_are_read() {
    for (label, byte, expected) in [
        ("windows-1252", &b"\xE9\x80"[..], "é€"),
        ("Windows-1252", b"\xE9", "é"),
        ("iso-8859-1", b"\xE9\x93", "é“"),
        ("ISO-8859-15", b"\xA4", "€"),
        ("windows-1251", b"\xC6", "Ж"),
        ("Shift_JIS", b"\x93\xFA", "日"),
        ("gb2312", b"\xD6\xD0", "中"),
        ("euc-kr", b"\xC7\xD1", "한"),
        ("UTF-8", "é".as_bytes(), "é"),
        // A declaration in single bytes means that the rest is in single bytes too.
        ("UTF-16", "é".as_bytes(), "é"),
        ("utf-16be", b"e", "e"),
        ("us-ascii", b"e", "e"),
    ] {
        let declaration = format!("<?xml version='1.0' encoding=\"{label}\"?>");
        let svg = [
            declaration.as_bytes(),
            format!("<svg {NS} width='80'><desc>").as_bytes(),
            byte,
            b"</desc></svg>",
        ]
        .concat();
        let probe = codec_for(Format::Svg).unwrap().probe(&svg, &Work::unlimited()).unwrap();
        assert_eq!(probe.width, 80, "{label}");
        let out = String::from_utf8(sanitise(&svg, &work()).unwrap()).unwrap();
        assert!(out.contains(&format!("<desc>{expected}</desc>")), "{label}: {out}");
        assert!(!out.contains(label) || label.eq_ignore_ascii_case("utf-8"), "{label}: {out}");
    }
    for (label, byte) in [
        ("x-none", &b"e"[..]),
        ("iso-2022-kr", b"e"),
        ("utf-16", b"\xE9"),
        ("", b"\xE9"),
        ("shift_jis", b"\xFF"),
    ] {
        let declaration = format!("<?xml version='1.0' encoding='{label}'?>");
        let svg =
            [declaration.as_bytes(), format!("<svg {NS}><desc>").as_bytes(), byte, b"</desc></svg>"].concat();
        assert!(matches!(sanitise(&svg, &work()), Err(Error::Malformed { .. })), "{label}");
        assert!(codec_for(Format::Svg).unwrap().probe(&svg, &Work::unlimited()).is_err(), "{label}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn probe_refuses_a_damaged_root_and_sanitise_a_damaged_drawing() {
    let probe = |svg: &str| codec_for(Format::Svg).unwrap().probe(svg.as_bytes(), &Work::unlimited());
    for (svg, reason) in [
        (format!("<svg {NS} width='1' width='2'/>"), "width"),
        ("<svg width='1'/>".to_owned(), "xmlns=\"http://www.w3.org/2000/svg\""),
        ("<svg xmlns='http://www.w3.org/1999/xhtml'/>".to_owned(), "xmlns=\"http://www.w3.org/2000/svg\""),
    ] {
        let probed = probe(&svg).unwrap_err();
        assert_eq!(Err(&probed), sanitise(svg.as_bytes(), &work()).as_ref(), "{svg}");
        assert!(
            matches!(&probed, Error::Malformed { reason: said, .. } if said.contains(reason)),
            "{probed}"
        );
    }
    for (svg, reason) in [
        (format!("<svg {NS} width='5'><rect></svg>"), "rect"),
        (format!("<svg {NS} width='5'><text>\0</text></svg>"), ""),
        (format!("<svg {NS} width='5'><x:rect/></svg>"), "x"),
        (format!("<svg {NS} width='5'/><svg/>"), ""),
    ] {
        assert_eq!(probe(&svg).unwrap().width, 5, "{svg}");
        let error = sanitise(svg.as_bytes(), &work()).unwrap_err();
        assert!(matches!(&error, Error::Malformed { reason: said, .. } if said.contains(reason)), "{error}");
    }
}

/// Unusual root elements: far from the beginning, with entities in attributes, longer than the limit.
#[test]
fn the_root_element_is_found_within_limits() {
    let entity = "<!DOCTYPE svg [<!ENTITY w '120'>]>";
    let late = format!("<!-- {} -->{entity}<svg {NS} width='&w;' height='7'><g/></svg>", "x".repeat(15_000));
    assert_eq!(size(&late), (120, 7));
    let long = |n: usize| format!("<svg {NS} data-x='{}' width='3' height='4'><g/></svg>", "é".repeat(n));
    assert_eq!(size(&long(100_000)), (3, 4));
    let probe = codec_for(Format::Svg).unwrap().probe(long(140_000).as_bytes(), &Work::unlimited());
    assert!(matches!(probe, Err(Error::Malformed { reason, .. }) if reason.contains("first 262144 bytes")));
}

fn too_large(svg: &[u8]) {
    let result = sanitise(svg, &Work::new(Budget::new(512 << 20)));
    assert!(matches!(result, Err(Error::TooLarge(_))), "{:?}", result.map(|out| out.len()));
}

/// The XML parser collects the namespaces of all open elements for each element.
#[test]
fn elements_times_depth_and_namespaces_are_limited() {
    let deep =
        format!("<svg {NS}>{}{}{}</svg>", "<g>".repeat(1000), "<g/>".repeat(30_000), "</g>".repeat(1000));
    too_large(deep.as_bytes());
    let names: String = (0..2000).map(|i| format!(" xmlns:n{i}='u'")).collect();
    too_large(format!("<svg {NS}{names}>{}</svg>", "<g/>".repeat(30_000)).as_bytes());
    too_large(format!("<svg {NS}>{}</svg>", "<g/>".repeat(250_000)).as_bytes());
    too_large(&gzip(format!("<svg {NS}>{}</svg>", "<g/>".repeat(400_000)).as_bytes()));
    let wide: String = (0..190).map(|i| format!(" a{i}=''")).collect();
    too_large(format!("<svg {NS}>{}</svg>", format!("<g{wide}/>").repeat(10_000)).as_bytes());
    too_large(format!("<svg {NS}><style>{}</style></svg>", "a{b:c}".repeat(900_000)).as_bytes());
    // A large ordinary drawing is accepted: 60,000 paths in 6 MB.
    let path =
        "<path style='fill:#aabbcc' d='M12.5 2.25L3 4L5 6C1 2 3 4 5 6L7 8L9 10L11 12Z' class='some-class'/>";
    let map = format!("<svg {NS}><g><g>{}</g></g></svg>", path.repeat(60_000));
    assert!(sanitise(map.as_bytes(), &Work::unlimited()).is_ok());
}

#[test]
fn a_cancelled_request_stops_within_the_file() {
    let work = work();
    work.cancel.cancel();
    let svg = format!("<svg {NS}><text>{}</text></svg>", "x".repeat(1 << 20));
    assert_eq!(sanitise(svg.as_bytes(), &work), Err(Error::Work(work::Error::Cancelled)));
    let probe = codec_for(Format::Svg).unwrap().probe(svg.as_bytes(), &work);
    assert_eq!(probe, Err(Error::Work(work::Error::Cancelled)));
}

#[test]
fn doctypes_with_more_than_entities_are_bounded() {
    for subset in [
        "<!ENTITY % p SYSTEM 'http://evil.example/p'>%p;".to_owned(),
        "<!ENTITY % p '<!ENTITY x \"y\">'>".to_owned(),
        "%p;".to_owned(),
        (0..2000).map(|i| format!("<!ENTITY e{i} 'x'>")).collect(),
        "<!ENTITY x '".to_owned() + &"y".repeat(2 << 20) + "'>",
    ] {
        let svg = format!("<!DOCTYPE svg [{subset}]><svg {NS}/>");
        let result = sanitise(svg.as_bytes(), &work());
        assert!(matches!(result, Err(Error::Malformed { .. } | Error::NotAnImage)), "{}", &svg[..80]);
    }
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
    assert!(matches!(sanitise(wide.as_bytes(), &small), Err(Error::Work(work::Error::MemoryBudget { .. }))));
}

#[test]
fn a_truncated_file_is_an_error() {
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
        ("width='40Q' height=' +5.5e1 '", (38, 55)),
        ("width='5furlongs' height='1 0'", (0, 0)),
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
        ("xmlns:w='urn:w' w:width='5' height='6'", (0, 6)),
    ] {
        assert_eq!(
            size(&format!("<?xml version='1.0'?><!-- <svg width='1'> --><svg {NS} {tag}></svg>")),
            expected,
            "{tag}"
        );
    }
}

#[test]
fn a_file_that_is_no_svg_is_refused() {
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
        drop(codec_for(Format::Svg).unwrap().probe(&bytes, &Work::unlimited()));
        let work = work();
        drop(sanitise(&bytes, &work));
        prop_assert_eq!(work.budget.used(), 0);
    }
}
