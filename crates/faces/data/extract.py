"""Writes yunet.f32: the weights of YuNet as libfacedetection 3 publishes them, out of its PyPI package.

    pip download --no-deps --only-binary :all: yuface==2023.5.1
    unzip yuface-*.whl
    python extract.py yuface/libfacedetection.so yunet.f32

The library holds each array of its source (facedetectcnn-data.cpp) under its name. They are written one after the
other as little-endian f32, in the order in which the net uses them, weights before biases: of a point-wise
convolution [out][in], of a depth-wise one [row][column][channel]; the first convolution is [out][row][column][blue,
green, red], which the library pads to 32. The landmarks are left out.
"""

import struct
import sys


def symbols(elf: bytes) -> dict[str, tuple[int, int]]:
    """Name -> (offset in the file, bytes), of a little-endian ELF64 file."""
    (start,) = struct.unpack_from("<Q", elf, 0x28)
    size, count = struct.unpack_from("<HH", elf, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", elf, start + i * size) for i in range(count)]
    found = {}
    for section in sections:
        if section[1] != 11:  # SHT_DYNSYM
            continue
        names = sections[section[6]][4]
        for at in range(section[4], section[4] + section[5], 24):
            name, _info, _other, index, value, length = struct.unpack_from("<IBBHQQ", elf, at)
            if 0 < index < count:
                text = elf[names + name : elf.index(b"\0", names + name)].decode()
                found[text] = (value - sections[index][3] + sections[index][4], length)
    return found


def layers() -> list[str]:
    def both(name: str) -> list[str]:
        return [f"{name}_pw", f"{name}_dw"]

    names = ["backbone__model0_pw", *both("backbone__model0_dp")]
    for stage in range(1, 6):
        names += both(f"backbone__model{stage}_dp1") + both(f"backbone__model{stage}_dp2")
    # From the coarsest level to the finest, as they are computed.
    for level in (2, 1, 0):
        names += both(f"neck__lateral_convs__{level}")
        for head in ("cls", "obj", "bbox"):
            names += both(f"bbox_head__multi_level_{head}__{level}")
    return names


def main() -> None:
    source, target = sys.argv[1:]
    with open(source, "rb") as file:
        elf = file.read()
    table = symbols(elf)
    with open(target, "wb") as out:
        for name in layers():
            for part in ("weight", "bias"):
                offset, length = table[f"{name}_{part}"]
                data = elf[offset : offset + length]
                if name == "backbone__model0_pw" and part == "weight":
                    data = b"".join(data[i : i + 27 * 4] for i in range(0, len(data), 32 * 4))
                print(f"{name}_{part}", len(data) // 4)
                out.write(data)


main()
