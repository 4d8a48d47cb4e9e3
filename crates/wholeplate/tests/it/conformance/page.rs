//! The gallery: before, after, the URL and the Worker code of every picture, as one page without scripts.

use super::cases::{Folder, Picture, root};
use super::forms::{Forms, forms};
use super::worker_code;
use work::Work;

const STYLE: &str = include_str!("page.css");

pub(crate) fn page(folders: &[Folder]) -> String {
    let links: String =
        folders.iter().map(|f| format!("<a href=\"#{0}\">{0}</a>\n", escaped(&f.name))).collect();
    let sections: String = folders.iter().map(section).collect();
    let pictures: usize = folders.iter().map(|f| f.pictures.len()).sum();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Wholeplate: every option in pictures</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header>\n<h1>Every option in pictures</h1>\n<p>{pictures} requests, each with its source, its result, its URL and \
         its Worker code. The folders of <code>conformance/</code> make this page and are the test that it tells the truth: \
         every request goes through each interface that can express it, and has to give these pixels. \
         Written by <code>scripts/gallery</code>.</p>\n<nav>\n{links}</nav>\n</header>\n<main>\n{sections}</main>\n</body>\n</html>\n"
    )
}

fn section(folder: &Folder) -> String {
    let options: Vec<String> =
        folder.options.iter().map(|name| format!("<code>{}</code>", escaped(name))).collect();
    let options = if folder.options.len() > 1 {
        format!("<p class=\"options\">{}</p>\n", options.join(" "))
    } else {
        String::new()
    };
    let pictures: String = folder.pictures.iter().map(|p| entry(folder, p)).collect();
    format!(
        "<section id=\"{0}\">\n<h2><a href=\"#{0}\">{0}</a></h2>\n<p>{1}</p>\n{options}<div class=\"entries\">\n{pictures}</div>\n</section>\n",
        escaped(&folder.name),
        escaped(&folder.about)
    )
}

fn entry(folder: &Folder, picture: &Picture) -> String {
    let Forms { url, image, binding, .. } = forms(picture);
    let source = picture.source.rsplit('/').next().unwrap();
    let before = image_tag(&format!("../../conformance/sources/{source}"), "before");
    let mut code = String::new();
    if let Some(url) = url {
        code.push_str(&format!(
            "<pre class=\"url\"><code>{}</code></pre>\n",
            breakable(&format!("/cdn-cgi/image/{url}/{}", picture.source))
        ));
    }
    for (name, value) in &picture.headers {
        code.push_str(&format!(
            "<p class=\"sent\">sent with <code>{}: {}</code></p>\n",
            escaped(name),
            escaped(value)
        ));
    }
    let mut listing = |title: &str, text: &str, open: bool| {
        let open = if open { " open" } else { "" };
        code.push_str(&format!(
            "<details{open}><summary>{title}</summary><pre><code>{}</code></pre></details>\n",
            escaped(text)
        ));
    };
    if let Some(image) = &image {
        listing("cf.image", &worker_code::cf_image(&picture.source, image), picture.url.is_none());
    }
    if let Some(binding) = &binding {
        listing("env.IMAGES", &worker_code::binding(&picture.source, binding), picture.binding.is_some());
    }
    let statements = if picture.statements.is_empty() {
        String::new()
    } else {
        format!("<p class=\"statements\">{}</p>\n", escaped(&picture.statements.join(" ")))
    };
    format!(
        "<article id=\"{folder}-{name}\">\n<h3>{name}</h3>\n<p>{proves}</p>\n<div class=\"pictures\">\n\
         <figure>{before}<figcaption>{source}</figcaption></figure>\n<span class=\"arrow\">→</span>\n{after}\n</div>\n{code}{statements}</article>\n",
        folder = escaped(&folder.name),
        name = escaped(&picture.name),
        proves = escaped(&picture.proves),
        source = escaped(source),
        after = after(folder, picture),
    )
}

/// The result: a picture with its size, or the text of the response.
fn after(folder: &Folder, picture: &Picture) -> String {
    let Some(path) = folder.expected(picture) else {
        return "<p class=\"missing\">not made yet</p>".to_owned();
    };
    let bytes = std::fs::read(&path).unwrap();
    let file = path.file_name().unwrap().to_string_lossy();
    if matches!(path.extension().and_then(|e| e.to_str()), Some("txt" | "json")) {
        return format!("<pre class=\"answer\">{}</pre>", escaped(String::from_utf8_lossy(&bytes).trim()));
    }
    let probe = imaging::probe(&bytes, &Work::unlimited()).unwrap();
    let (width, height) = probe.oriented_size();
    let kind = path.extension().unwrap().to_string_lossy().to_uppercase();
    let frames =
        probe.animation.filter(|a| a.frames > 1).map_or(String::new(), |a| format!(", {} frames", a.frames));
    let size = if kind == "SVG" { String::new() } else { format!(" {width}×{height}{frames},") };
    let tag = image_tag(&format!("../../conformance/{}/{file}", folder.name), "after");
    format!("<figure>{tag}<figcaption>{kind}{size} {} bytes</figcaption></figure>", bytes.len())
}

fn image_tag(path: &str, what: &str) -> String {
    let file = root().join("../docs/gallery").join(path);
    let readable =
        std::fs::read(&file).ok().and_then(|bytes| imaging::probe(&bytes, &Work::unlimited()).ok());
    match readable {
        Some(probe) => {
            let (width, height) = probe.oriented_size();
            let size = if width > 0 && height > 0 {
                format!(" width=\"{width}\" height=\"{height}\"")
            } else {
                String::new()
            };
            format!("<img src=\"{}\" alt=\"{what}\"{size} loading=\"lazy\">", escaped(path))
        }
        None => format!("<span class=\"no-picture\">{what}: no picture</span>"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Lets long URLs break after commas and slashes.
fn breakable(text: &str) -> String {
    escaped(text).replace(',', ",<wbr>").replace("/", "/<wbr>")
}
