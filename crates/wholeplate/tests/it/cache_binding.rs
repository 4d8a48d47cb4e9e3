//! The cache behind the Images binding.

use std::io::Write;
use std::os::unix::net::UnixStream;

use crate::support::{BOUNDARY, Form, Reply, Server, cache_status as status, flag, solid};

const TRANSFORMS: &str = r#"[{"imageIndex":0,"width":50}]"#;

fn form(image: &[u8], transforms: &str) -> Vec<u8> {
    Form::new()
        .file("image", image)
        .text("transforms", transforms)
        .text("output_format", "image/webp")
        .closed()
}

fn ask(server: &Server, body: &[u8]) -> Reply {
    server.post("/transform", body, 8192)
}

// CAC-060, CAC-061
#[test]
fn equal_inputs_and_recipes_are_computed_once() {
    let server = Server::start(&[], &[]);
    let image = flag();
    let first = ask(&server, &form(&image, TRANSFORMS));
    assert_eq!((first.status, status(&first)), (200, "MISS"), "{}", first.text());
    let second = ask(&server, &form(&image, TRANSFORMS));
    assert_eq!((status(&second), &second.body), ("HIT", &first.body));
    assert_eq!(second.header("content-type"), first.header("content-type"));
    assert!(second.header("age").is_some());
    // The order of the parts does not change the key.
    let other = Form::new()
        .text("output_format", "image/webp")
        .text("transforms", TRANSFORMS)
        .file("image", &image)
        .closed();
    assert_eq!(status(&ask(&server, &other)), "HIT");
    // Nor does another boundary; the helper needs one of the same length.
    let boundary = "x".repeat(BOUNDARY.len());
    let mut body = form(&image, TRANSFORMS);
    while let Some(at) = body.windows(BOUNDARY.len()).position(|bytes| bytes == BOUNDARY.as_bytes()) {
        body[at..at + BOUNDARY.len()].copy_from_slice(boundary.as_bytes());
    }
    let mut stream = UnixStream::connect(&server.socket).unwrap();
    let head = format!(
        "POST /transform HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\
         content-type: multipart/form-data; boundary={boundary}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
    let reply = Reply::read(&mut stream, false);
    assert_eq!((status(&reply), &reply.body), ("HIT", &first.body), "{}", reply.text());
    let spelled = r#"[ {"width":50.0,"imageIndex":0} ]"#;
    assert_eq!(status(&ask(&server, &form(&image, spelled))), "HIT");
    assert_eq!(status(&ask(&server, &form(&solid(200, 100, [1, 2, 3, 255]), TRANSFORMS))), "MISS");
    let mut almost = image;
    // A byte after the end of the image: the same pixels, but another input.
    almost.push(0);
    assert_eq!(status(&ask(&server, &form(&almost, TRANSFORMS))), "MISS");
}

// CAC-062
#[test]
fn info_and_errors_are_not_kept() {
    let server = Server::start(&[], &[]);
    for _ in 0..2 {
        let info = server.post("/info", &Form::new().file("image", &flag()).closed(), 8192);
        assert_eq!(info.status, 200);
        assert_ne!(status(&info), "HIT");
        let error = ask(&server, &form(b"no image", TRANSFORMS));
        assert_eq!(status(&error), "MISS");
        assert!(error.status >= 400);
    }
    assert_eq!(status(&server.unix(&["GET /transform HTTP/1.1", "host: a"])), "MISS");
}

#[test]
fn a_switch_turns_it_off() {
    for flag_name in ["--no-cache-binding", "--no-cache"] {
        let server = Server::start(&[], &[flag_name]);
        for _ in 0..2 {
            assert_eq!(status(&ask(&server, &form(&flag(), TRANSFORMS))), "DYNAMIC", "{flag_name}");
        }
    }
}
