#!/usr/bin/env python3
"""Copies the inputs of the tests to a fuzz target's corpus. usage: fuzz/seeds.py TARGET FOLDER"""
import hashlib, json, pathlib, re, struct, sys, tomllib, zlib

ROOT = pathlib.Path(__file__).parent.parent
# Larger seeds slow the fuzzer down.
MOST = 64 * 1024
ENDINGS = {
    "decode_avif": ("avif",), "decode_bmp": ("bmp",), "decode_gif": ("gif",), "decode_heic": ("heic", "heif"),
    "decode_jpeg": ("jpg", "jpeg"), "decode_jxl": ("jxl",), "decode_png": ("png",), "decode_tiff": ("tif", "tiff"),
    "decode_webp": ("webp",), "svg": ("svg", "svgz"), "fonts": ("ttf", "otf", "woff", "woff2", "ttc"), "strace": ("strace",),
}
JPEG, PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"


def files(*endings):
    for folder in ("crates", "conformance", "demo"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix.lstrip(".").lower() in endings and path.is_file() and "target" not in path.parts:
                if 0 < path.stat().st_size <= MOST:
                    yield path.read_bytes()


def cases():
    """The pictures of conformance/ as tables."""
    for path in sorted((ROOT / "conformance").glob("*/case.toml")):
        yield from tomllib.loads(path.read_text()).get("picture", [])


def segments(data):
    """The marker segments of a JPEG before its first scan."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        length = struct.unpack(">H", data[at + 2:at + 4])[0]
        yield data[at + 1], data[at + 4:at + 2 + length]
        at += 2 + length


def chunks(data):
    at = 8
    while at + 12 <= len(data):
        length = struct.unpack(">I", data[at:at + 4])[0]
        yield data[at + 4:at + 8], data[at + 8:at + 8 + length]
        at += 12 + length


def metadata(kind):
    for data in files("jpg", "jpeg"):
        for marker, body in segments(data) if data.startswith(JPEG) else ():
            if kind == "exif" and marker == 0xE1 and body.startswith(b"Exif\0\0"):
                yield body[6:]
            if kind == "icc" and marker == 0xE2 and body.startswith(b"ICC_PROFILE\0"):
                yield body[14:]
    for data in files("png"):
        for name, body in chunks(data) if data.startswith(PNG) else ():
            if kind == "exif" and name == b"eXIf":
                yield body
            if kind == "icc" and name == b"iCCP":
                yield zlib.decompress(body.split(b"\0", 1)[1][1:])


def tiff(width, height, bits, photometric, samples, compression, data, tiled=False):
    entries = [(256, 3, width), (257, 3, height), (258, 3, bits), (259, 3, compression), (262, 3, photometric), (277, 3, samples)]
    head = 8 + 2 + 12 * (len(entries) + (4 if tiled else 3)) + 4
    if tiled:
        entries += [(322, 3, 16), (323, 3, 16), (324, 4, head), (325, 4, len(data))]
    else:
        entries += [(273, 4, head), (278, 3, height), (279, 4, len(data))]
    out = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    for tag, kind, value in sorted(entries):
        out += struct.pack("<HHII", tag, kind, 1, value)
    return out + bytes(4) + data


def tiffs():
    gray, rgb = bytes(range(0, 252, 4)), bytes(i * 5 % 256 for i in range(9 * 7 * 3))
    yield tiff(9, 7, 8, 1, 1, 1, gray)
    yield tiff(9, 7, 8, 2, 3, 8, zlib.compress(rgb))
    yield tiff(9, 7, 8, 2, 3, 32946, zlib.compress(rgb))
    yield tiff(16, 16, 8, 1, 1, 8, zlib.compress(bytes(256)), tiled=True)
    # PackBits, and one bit for each pixel.
    yield tiff(9, 7, 1, 0, 1, 32773, b"\xf3\xaa")
    yield tiff(9, 7, 16, 1, 1, 1, rgb[:126])


def bmp(width, height, bits, compression, palette, data):
    offset = 14 + 40 + len(palette)
    head = struct.pack("<2sIHHI", b"BM", offset + len(data), 0, 0, offset)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(data), 0, 0, len(palette) // 4, 0)
    return head + info + palette + data


def bmps():
    pixels = bytes(i * 7 % 256 for i in range(256))
    yield bmp(8, 8, 24, 0, b"", pixels[:192])
    yield bmp(8, -8, 32, 0, b"", pixels)
    yield bmp(8, 8, 8, 0, bytes(1024), pixels[:64])
    yield bmp(8, 8, 4, 0, bytes(64), pixels[:32])
    yield bmp(8, 8, 1, 0, bytes(8), pixels[:32])
    yield bmp(8, 8, 8, 1, bytes(1024), b"\x08\x05\0\0" * 8 + b"\0\1")
    yield bmp(8, 8, 16, 3, struct.pack("<III", 0xF800, 0x7E0, 0x1F), pixels[:128])


def urls():
    for case in cases():
        if "url" in case:
            yield f"/cdn-cgi/image/{case['url']}/{case['source']}".encode()
    yield b"/cdn-cgi/image/width=80,onerror=redirect/https://example.com/a.png?b=c"


def transforms():
    for case in cases():
        if "binding" in case:
            yield json.dumps(case["binding"].get("steps", [])).encode()
        if "image" in case:
            step = {k: v for k, v in case["image"].items() if k not in ("draw", "format")}
            yield json.dumps([{"imageIndex": 0, **step}, {"drawImageIndex": 1, "targetImageIndex": 0, "opacity": 0.5}]).encode()
        for pairs in [case["url"].split(",")] if "url" in case else []:
            step = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
            yield json.dumps([{"imageIndex": 0, **step}]).encode()


def forms():
    def part(name, body, more=""):
        return f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + body + b"\r\n"
    image = part("image", b"\x89PNG\r\n\x1a\n\r\n--b", '; filename="a"')
    text = part("text_input", b'{"text":"A"}')
    steps = part("transforms", b"[]") + part("output_format", b"image/png")
    for body in (image + steps, text + steps, image + part("draw_image", b"x") * 3 + part("draw_text", b"{}") + steps,
                 image + part("background", b"red") + part("anim", b"false") + part("output_quality", b"50")):
        for piece in (1, 7, 255):
            yield bytes([piece]) + b"preamble\r\n" * (piece == 7) + body + b"--b--\r\n"


def heads():
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1f;a=b\r\n"
    yield b"HTTP/1.0 304 Not Modified\r\ncontent-length:0\r\n\r\n0\r\n"


def seeds(target):
    if target in ENDINGS:
        yield from files(*ENDINGS[target])
    match target:
        case "decode_tiff": yield from tiffs()
        case "decode_bmp": yield from bmps()
        case "exif" | "icc": yield from metadata(target)
        case "options": yield from urls()
        case "cf_image":
            for case in cases():
                if "image" in case:
                    yield json.dumps({"image": case["image"]}).encode()
        case "binding":
            for text in transforms():
                yield text + b'\n80\nred\ntrue\n\n{"text":"two","font":{"url":"latin.ttf"},"size":22,"color":"#f00"}'
        case "plan":
            for i, text in enumerate(transforms()):
                yield bytes(b"%c\x03\0\0\x40\x02\0\0%c\x01\x02\0" % (i % 256, i % 10)) * 3 + bytes([i % 5, i % 2]) + text
        case "render":
            for i, text in enumerate(transforms()):
                yield bytes([i * 7 % 256, i % 5, i % 2]) + text
        case "multipart": yield from forms()
        case "ledger": yield from heads()


target, folder = sys.argv[1], pathlib.Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
for seed in seeds(target):
    (folder / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
