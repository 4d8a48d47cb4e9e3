//! Model files through the program's interfaces. The models have a few hundred bytes, so their results are known.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::{Server, flag, photo};
use codecs::Format;

fn run(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wholeplate")).args(arguments).current_dir(directory).output().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

// The error names the missing setting, and the warning says that nothing was generated.
#[test]
fn without_models_the_response_says_so() {
    let s = Server::start(&[("a.png", flag()), ("b.jpg", photo(20, 10, Format::Jpeg))], &[]);
    let refused = s.image("segment=foreground", "a.png");
    assert_eq!(refused.error(), (400, 9401));
    assert!(refused.text().contains("segment-model"), "{}", refused.text());
    let options = "width=40,height=40,fit=contain,format=png";
    let warned = s.image(&format!("{options},upscale=generate"), "b.jpg");
    assert!(warned.header("warning").unwrap().contains("bicubic"), "{:?}", warned.header("warning"));
    assert_eq!(warned.pixels().rgba, s.image(options, "b.jpg").pixels().rgba);
}

#[cfg(not(feature = "models"))]
#[test]
fn a_build_without_inference_refuses_model_files() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.png"), flag()).unwrap();
    let asks = ["transform", "a.png", "-o", "b.png", "--options", "segment=foreground"];
    let cases: [(&[&str], &[&str], &str); 4] = [
        (&["serve"], &["--segment-model", "m.onnx"], "segment-model: m.onnx"),
        (&["serve"], &["--upscale-model", "m.onnx"], "upscale-model: m.onnx"),
        (&asks, &["--segment-model", "m.onnx"], "segment-model: m.onnx"),
        (&["info", "a.png"], &["--segment-model", "m.onnx"], "segment-model: m.onnx"),
    ];
    for (command, model, named) in cases {
        let done = run(dir.path(), &[command, model].concat());
        let said = errors(&done);
        assert!(
            !done.status.success() && said.contains(named) && said.contains("--features models"),
            "{said}"
        );
    }
}

#[cfg(feature = "models")]
#[path = "../../../models/tests/support/onnx.rs"]
mod onnx;

#[cfg(feature = "models")]
mod with_models {
    use codecs::Format;
    use serde_json::Value;

    use super::onnx::{self, Axis, Ending};
    use super::{errors, run};
    use crate::support::{Form, Pixels, Reply, Server, encode, flag, photo, raster, solid};

    /// Model files in a directory of their own.
    struct Files(tempfile::TempDir);

    impl Files {
        fn new(files: &[(&str, Vec<u8>)]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            for (name, bytes) in files {
                std::fs::write(dir.path().join(name), bytes).unwrap();
            }
            Self(dir)
        }

        fn path(&self, name: &str) -> String {
            self.0.path().join(name).to_str().unwrap().to_owned()
        }
    }

    /// A server whose model classifies red as foreground.
    fn segmenting(pictures: &[(&str, Vec<u8>)]) -> (Server, Files) {
        let files = Files::new(&[("red.onnx", onnx::red(64))]);
        let server = Server::start(pictures, &["--segment-model", &files.path("red.onnx")]);
        (server, files)
    }

    /// White with a red block, whose position every rotation and mirror changes.
    fn block(width: u32, height: u32) -> codecs::Raster {
        raster(width, height, |x, y| {
            let red = (width / 8..width / 2).contains(&x) && (height / 8..height / 3).contains(&y);
            if red { [255, 0, 0, 255] } else { [255; 4] }
        })
    }

    fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
        let exif = [
            &b"\xFF\xE1\0\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"[..],
            &[orientation, 0, 0, 0, 0, 0, 0],
        ];
        [&jpeg[..2], &exif.concat(), &jpeg[2..]].concat()
    }

    /// Red is opaque and everything else transparent, except a seam as wide as a pixel of the mask.
    fn assert_only_red_is_left(image: &Pixels, what: &str) {
        let mut counted = [0, 0, 0];
        for p in &image.rgba {
            let red = p[0] > 200 && p[1] < 60;
            let white = p[1] > 230;
            counted[usize::from(red)] += usize::from(red || white);
            counted[2] += usize::from(red && p[3] < 250 || white && p[3] > 5);
        }
        let [white, red, wrong] = counted;
        assert!(white > 100 && red > 100, "{what}: {white} white and {red} red pixels");
        assert!(wrong * 8 < white + red, "{what}: {wrong} of {} pixels are masked wrongly", white + red);
    }

    // URL-201
    #[test]
    fn url_201_the_foreground_keeps_its_size_and_colours() {
        let (s, _files) = segmenting(&[("flag.png", flag())]);
        let reply = s.image("segment=foreground", "flag.png");
        assert_eq!(reply.header("content-type"), Some("image/png"));
        let image = reply.pixels();
        assert_eq!((image.width, image.height), (200, 100));
        assert_eq!(image.at(100, 90), [255, 0, 0, 255]);
        assert_eq!(image.at(100, 10)[3], 0);
        // The seam is at the change of colours, within the precision of 64 mask rows for 100 image rows.
        let seam = (0..100).find(|&y| image.at(100, y)[3] > 127).unwrap();
        assert!((49..=51).contains(&seam), "{seam}");
        // JPEG has no alpha, so transparent pixels become white or the background.
        let jpeg = s.image("segment=foreground,format=jpeg", "flag.png").pixels();
        assert!(jpeg.is(100, 10, [255, 255, 255], 3) && jpeg.is(100, 90, [254, 0, 0], 3));
        let blue = s.image("segment=foreground,background=blue,format=png", "flag.png").pixels();
        assert_eq!((blue.at(100, 10), blue.at(100, 90)), ([0, 0, 255, 255], [255, 0, 0, 255]));
        for format in ["webp", "avif"] {
            let reply = s.image(&format!("segment=foreground,format={format}"), "flag.png");
            assert_eq!(reply.pixels().at(100, 10)[3], 0, "{format}");
        }
    }

    #[test]
    fn the_mask_lies_on_the_picture_whatever_is_done_to_it() {
        let upright = encode(&block(160, 96), Format::Png);
        let jpeg = encode(&block(160, 96), Format::Jpeg);
        let mut pictures = vec![("0.png".to_owned(), upright)];
        for orientation in 1..=8 {
            pictures.push((format!("{orientation}.jpg"), with_orientation(&jpeg, orientation)));
        }
        let pictures: Vec<_> = pictures.iter().map(|(n, b)| (n.as_str(), b.clone())).collect();
        let (s, _files) = segmenting(&pictures);
        for (name, _) in &pictures {
            for after in [
                "",
                "rotate=90,",
                "flip=h,",
                "trim.left=12,",
                "trim=border,",
                "width=64,height=64,fit=cover,",
                "width=320,height=300,fit=pad,rotate=270,flip=v,",
            ] {
                // The result of the same steps without the mask shows the expected positions.
                let options = format!("{after}format=png");
                let masked = s.image(&format!("segment=foreground,{options}"), name).pixels();
                if after == "trim=border," {
                    // Segmenting precedes the border detection, so all removed pixels are border.
                    assert!(masked.width < 90 && masked.rgba.iter().filter(|p| p[3] > 250).count() > 800);
                    continue;
                }
                let plain = s.image(&options, name).pixels();
                assert_eq!((masked.width, masked.height), (plain.width, plain.height), "{name} {options}");
                let both = Pixels {
                    rgba: plain
                        .rgba
                        .iter()
                        .zip(&masked.rgba)
                        .map(|(p, m)| [p[0], p[1], p[2], m[3]])
                        .collect(),
                    ..plain
                };
                if !after.contains("fit=pad") {
                    assert_only_red_is_left(&both, &format!("{name} {options}"));
                }
            }
        }
    }

    #[test]
    fn alpha_is_multiplied() {
        let glass = raster(100, 100, |x, _| [255, 0, 0, if x < 50 { 255 } else { 128 }]);
        let (s, _files) = segmenting(&[("glass.png", encode(&glass, Format::Png))]);
        let image = s.image("segment=foreground", "glass.png").pixels();
        assert_eq!(image.at(10, 50), [255, 0, 0, 255]);
        // The model sees the image on white, which is half red there: logit 40 · 0.5 − 20 = 0.
        let alpha = image.at(90, 50)[3];
        assert!((60..=72).contains(&alpha), "{alpha}");
    }

    #[test]
    fn a_description_has_the_mask_and_only_then() {
        use base64::Engine;
        let (s, _files) = segmenting(&[("flag.png", flag())]);
        let told = |reply: &Reply| serde_json::from_slice::<Value>(&reply.body).unwrap();
        let reply = s.image("segment=foreground,width=50,format=json", "flag.png");
        let json = told(&reply);
        assert_eq!((json["width"].as_u64(), json["original"]["width"].as_u64()), (Some(50), Some(200)));
        let mask = json["segment"]["mask"].as_str().unwrap();
        let mask = Pixels::decode(&base64::engine::general_purpose::STANDARD.decode(mask).unwrap());
        assert_eq!((mask.width, mask.height), (200, 100));
        assert_eq!((mask.at(100, 10), mask.at(100, 90)), ([0, 0, 0, 255], [255; 4]));
        assert!(told(&s.image("width=50,format=json", "flag.png")).get("segment").is_none());
    }

    // The background of an overlay is removed before the draw.
    #[test]
    fn a_step_of_the_binding_segments_too() {
        let (s, _files) = segmenting(&[]);
        let steps = r#"[{"imageIndex":1,"segment":"foreground"},{"imageIndex":1,"width":100},
            {"drawImageIndex":1,"targetImageIndex":0,"left":0,"top":0}]"#;
        let body = Form::new()
            .file("image", &solid(200, 100, [0, 0, 255, 255]))
            .file("draw_image", &flag())
            .text("transforms", steps)
            .text("output_format", "image/png")
            .closed();
        let image = s.post("/transform", &body, 4096).pixels();
        assert_eq!((image.width, image.height), (200, 100));
        assert!(image.is(50, 10, [0, 0, 255], 1) && image.is(50, 40, [255, 0, 0], 1));
    }

    // URL-200
    #[test]
    fn url_200_generate_has_no_effect_where_nothing_is_enlarged() {
        let files = Files::new(&[("2.onnx", onnx::negative(2))]);
        let s = Server::start(
            &[("a.jpg", photo(300, 200, Format::Jpeg))],
            &["--upscale-model", &files.path("2.onnx")],
        );
        for options in
            ["width=900,height=900,fit=scale-down", "width=900", "width=150,height=150,fit=cover", "blur=3"]
        {
            let plain = s.image(&format!("{options},format=png"), "a.jpg");
            let generated = s.image(&format!("{options},upscale=generate,format=png"), "a.jpg");
            assert_eq!(generated.header("warning"), None, "{options}");
            assert_eq!(plain.body, generated.body, "{options}");
        }
    }

    #[test]
    fn generate_is_one_pass_and_an_exact_resize() {
        let files = Files::new(&[("2.onnx", onnx::negative(2)), ("4.onnx", onnx::blue(4))]);
        let (two, four) = (files.path("2.onnx"), files.path("4.onnx"));
        let pictures = [("teal.png", solid(90, 60, [0, 100, 120, 255]))];
        let s = Server::start(&pictures, &["--upscale-model", &two, "--upscale-model", &four]);
        let colour = |s: &Server, options: &str, size: (u32, u32)| {
            let reply = s.image(&format!("{options},upscale=generate,format=png"), "teal.png");
            assert_eq!(reply.header("warning"), None, "{options}");
            let image = reply.pixels();
            assert_eq!((image.width, image.height), size, "{options}");
            // From edge to edge.
            let first = image.at(0, 0);
            assert!(image.rgba.iter().all(|p| *p == first), "{options}");
            first
        };
        let (negative, blue) = ([255, 155, 135, 255], [0, 0, 255, 255]);
        assert_eq!(colour(&s, "width=180,height=120,fit=contain", (180, 120)), negative);
        assert_eq!(colour(&s, "width=126,height=84,fit=contain", (126, 84)), negative);
        assert_eq!(colour(&s, "width=270,height=180,fit=contain", (270, 180)), blue); // 3×: by 4×
        assert_eq!(colour(&s, "width=720,height=480,fit=scale-up", (720, 480)), blue); // 8×: 4×, then bicubic
        assert_eq!(colour(&s, "width=100,height=200,fit=cover", (100, 200)), blue); // 3.3×
        assert_eq!(colour(&s, "width=200,height=500,fit=squeeze,rotate=90", (200, 500)), blue);
        assert_eq!(colour(&s, "width=200,height=200,fit=cover,gravity=auto", (200, 200)), blue);
        let only_two = Server::start(&pictures, &["--upscale-model", &two]);
        assert_eq!(colour(&only_two, "width=720,height=480,fit=contain", (720, 480)), negative);
    }

    // The model repeats pixels. The position must equal that of bicubic interpolation.
    #[test]
    fn what_is_generated_lies_where_it_should() {
        let same = onnx::enlarger(2, 1.0, [0.0; 3], Axis::Of(16), Axis::Of(24));
        let files = Files::new(&[("same.onnx", same)]);
        let jpeg = encode(&block(160, 96), Format::Jpeg);
        let clear = raster(150, 90, |x, y| [200, x as u8, y as u8, if x < 75 { 255 } else { 60 }]);
        let pictures = [("6.jpg", with_orientation(&jpeg, 6)), ("clear.png", encode(&clear, Format::Png))];
        let s = Server::start(&pictures, &["--upscale-model", &files.path("same.onnx")]);
        for options in [
            "width=300,height=400,fit=contain",
            "width=400,height=400,fit=cover,gravity=0.2x0.7",
            "width=400,height=400,fit=cover,gravity=auto",
            "trim.left=20,trim.top=9,rotate=90,width=500,height=500,fit=contain",
            "trim=border,width=500,height=300,fit=pad,flip=hv",
        ] {
            for (name, _) in &pictures {
                let plain = s.image(&format!("{options},format=png"), name).pixels();
                let generated = s.image(&format!("{options},upscale=generate,format=png"), name).pixels();
                assert_eq!((plain.width, plain.height), (generated.width, generated.height));
                let mut sum = 0;
                for (p, g) in plain.rgba.iter().zip(&generated.rgba) {
                    sum += p.iter().zip(g).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>();
                }
                let mean = sum as f64 / (plain.rgba.len() * 4) as f64;
                assert!(mean > 0.0 && mean < 4.0, "{name} {options}: {mean}");
            }
        }
    }

    #[test]
    fn a_model_that_fails_is_an_error_of_one_request() {
        let root = onnx::segmenter(32, [1.0, -1.0, 0.0], 0.0, Ending::Root);
        let files = Files::new(&[("root.onnx", root)]);
        let pictures =
            [("green.png", solid(50, 50, [0, 200, 0, 255])), ("red.png", solid(50, 50, [200, 0, 0, 255]))];
        let s = Server::start(&pictures, &["--segment-model", &files.path("root.onnx")]);
        for _ in 0..2 {
            let failed = s.image("segment=foreground", "green.png");
            assert_eq!(failed.error(), (500, 9523));
            assert!(failed.text().contains("segment"), "{}", failed.text());
            assert_eq!(s.image("segment=foreground", "red.png").size(), (50, 50));
        }
    }

    #[test]
    fn a_model_that_cannot_be_used_stops_the_start() {
        let files = Files::new(&[
            ("text.onnx", b"not a model".to_vec()),
            ("red.onnx", onnx::red(32)),
            ("large.onnx", onnx::red(4096)),
            ("negative.onnx", onnx::negative(2)),
            ("three.onnx", onnx::enlarger(3, 1.0, [0.0; 3], Axis::Of(8), Axis::Of(8))),
        ]);
        let cases: [(&str, &str, &str); 7] = [
            ("--segment-model", "nowhere.onnx", "No such file"),
            ("--segment-model", "text.onnx", "cannot be used as an ONNX model"),
            ("--segment-model", "negative.onnx", "1×3×N×N"),
            ("--segment-model", "large.onnx", "memory"),
            ("--upscale-model", "nowhere.onnx", "No such file"),
            ("--upscale-model", "red.onnx", "1×3×4H×4W"),
            ("--upscale-model", "three.onnx", "1×3×24×24"),
        ];
        for (setting, name, why) in cases {
            let path = files.path(name);
            // The address cannot be bound, so that an accepted configuration also ends.
            let done = run(
                files.0.path(),
                &["serve", "--listen", "192.0.2.1:1", "--memory", "1024", setting, &path],
            );
            let said = errors(&done);
            let named = said.contains(&setting[2..]) && (said.contains(&path) || why == "memory");
            assert!(!done.status.success() && named && said.contains(why), "{setting} {name}: {said}");
        }
    }

    #[test]
    fn flags_win_over_the_environment_and_it_over_the_file() {
        let files = Files::new(&[("red.onnx", onnx::red(32)), ("2.onnx", onnx::negative(2))]);
        let toml = "segment-model = 'of-the-file.onnx'\nupscale-model = ['of-the-file.onnx']\n";
        std::fs::write(files.0.path().join("w.toml"), toml).unwrap();
        let told = |environment: &[(&str, &str)], flags: &[&str]| {
            let done = std::process::Command::new(env!("CARGO_BIN_EXE_wholeplate"))
                .args(["config", "--config", "w.toml"])
                .args(flags)
                .envs(environment.iter().copied())
                .current_dir(files.0.path())
                .output()
                .unwrap();
            let table: toml::Table = String::from_utf8(done.stdout).unwrap().parse().unwrap();
            (table["segment-model"].to_string(), table["upscale-model"].to_string())
        };
        let quoted = |name: &str| format!("\"{name}\"");
        assert_eq!(told(&[], &[]), (quoted("of-the-file.onnx"), "[\"of-the-file.onnx\"]".to_owned()));
        let environment = [("WHOLEPLATE_SEGMENT_MODEL", "e.onnx"), ("WHOLEPLATE_UPSCALE_MODEL", "a, b")];
        assert_eq!(told(&environment, &[]), (quoted("e.onnx"), "[\"a\", \"b\"]".to_owned()));
        let flags = ["--segment-model", "f.onnx", "--upscale-model", "g"];
        assert_eq!(told(&environment, &flags), (quoted("f.onnx"), "[\"g\"]".to_owned()));
    }

    #[test]
    fn the_command_line_takes_models_too() {
        let files =
            Files::new(&[("flag.png", flag()), ("red.onnx", onnx::red(32)), ("2.onnx", onnx::negative(2))]);
        let dir = files.0.path();
        let cut = ["transform", "flag.png", "-o", "cut.png", "--options", "segment=foreground"];
        let done = run(dir, &[&cut[..], &["--segment-model", "red.onnx"]].concat());
        assert!(done.status.success(), "{}", errors(&done));
        let image = Pixels::decode(&std::fs::read(dir.join("cut.png")).unwrap());
        assert_eq!((image.at(100, 10)[3], image.at(100, 90)), (0, [255, 0, 0, 255]));
        let without = run(dir, &cut);
        assert!(!without.status.success() && errors(&without).contains("ERROR 9401"), "{}", errors(&without));

        let options = "width=400,height=200,fit=contain,upscale=generate,format=png";
        let done = std::process::Command::new(env!("CARGO_BIN_EXE_wholeplate"))
            .args(["transform", "flag.png", "-o", "large.png", "--options", options])
            .env("WHOLEPLATE_UPSCALE_MODEL", "2.onnx")
            .env("WHOLEPLATE_LISTEN", "none")
            .current_dir(dir)
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", errors(&done));
        let image = Pixels::decode(&std::fs::read(dir.join("large.png")).unwrap());
        assert_eq!((image.width, image.height, image.at(9, 9)), (400, 200, [0, 0, 0, 255]));

        let done = run(dir, &["info", "flag.png", "--segment-model", "red.onnx"]);
        let json: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert!(json["segment"]["mask"].is_string() && json["width"] == 200, "{json}");
    }
}
