#!/usr/bin/env python3
"""Makes the fonts of the tests: subsets of free fonts, and a tiny colour font.

Needs fonttools and brotli, and the Debian packages fonts-noto-core and fonts-ebgaramond.
The subsets are under the SIL Open Font License (see OFL.txt); the colour font is ours.
"""
import sys
from fontTools import subset
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont

NOTO = "/usr/share/fonts/truetype/noto/"
GARAMOND = "/usr/share/fonts/opentype/ebgaramond/EBGaramond12-Regular.otf"


def cut(source, target, text, flavor=None):
    options = subset.Options(flavor=flavor, layout_features=["*"], hinting=False)
    font = subset.load_font(source, options)
    worker = subset.Subsetter(options)
    worker.populate(text=text)
    worker.subset(font)
    # Reserved names are not carried over into a changed font.
    for record in font["name"].names:
        if record.nameID in (1, 3, 4, 6, 16):
            record.string = target.split(".")[0].replace("-", "")
    subset.save_font(font, target, options)


def square(pen, x0, y0, x1, y1):
    pen.moveTo((x0, y0))
    for point in ((x0, y1), (x1, y1), (x1, y0)):
        pen.lineTo(point)
    pen.closePath()


def colour():
    build = FontBuilder(1000, isTTF=True)
    build.setupGlyphOrder([".notdef", "flag", "left", "right"])
    build.setupCharacterMap({0x1F3F4: "flag", 0x41: "flag"})
    glyphs = {}
    for name, box in (("flag", (0, 0, 1000, 700)), ("left", (0, 0, 500, 700)), ("right", (500, 0, 1000, 700))):
        pen = TTGlyphPen(None)
        square(pen, *box)
        glyphs[name] = pen.glyph()
    glyphs[".notdef"] = TTGlyphPen(None).glyph()
    build.setupGlyf(glyphs)
    build.setupHorizontalMetrics({name: (1000, 500 if name == "right" else 0) for name in glyphs})
    build.setupHorizontalHeader(ascent=800, descent=-200)
    build.setupNameTable({"familyName": "Wholeplate Colours", "styleName": "Regular"})
    build.setupOS2(sTypoAscender=800, sTypoDescender=-200, usWinAscent=800, usWinDescent=200)
    build.setupPost()
    build.setupCOLR({"flag": [("left", 0), ("right", 1)]}, version=0)
    build.setupCPAL([[(1.0, 0.0, 0.0, 1.0), (0.0, 0.0, 1.0, 1.0)]])
    build.save("colours.ttf")


LATIN = "".join(map(chr, range(0x20, 0x7F))) + "éàüßñ\u0301\u0308\u0323\u2026–—’"
ARABIC = "السلام عليكم مرحبا بالعالم \u064e\u0650\u0651"
cut(NOTO + "NotoSans-Regular.ttf", "latin.ttf", LATIN)
cut(NOTO + "NotoSans-Regular.ttf", "latin.woff", LATIN, "woff")
cut(NOTO + "NotoSans-Regular.ttf", "latin.woff2", LATIN, "woff2")
cut(NOTO + "NotoNaskhArabic-Regular.ttf", "arabic.ttf", ARABIC + " ")
cut(GARAMOND, "garamond.otf", "".join(map(chr, range(0x20, 0x7F))))
colour()
