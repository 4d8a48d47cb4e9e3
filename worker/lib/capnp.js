// Cap'n Proto messages as trees: read, changed, and written with all fields, including those that this package does not
// know. (capnp-es 0.0.16 cannot copy lists of structs between messages.) Encoding: https://capnproto.org/encoding.html

/** Deepest nesting. */
const MAX_DEPTH = 64;
/** Most words read from one message through pointers, which stops cycles. */
const MAX_WORDS = 1 << 25;

/** Bits of an element, by the code of a list pointer; 6 is a pointer, 7 a struct. */
const ELEMENT_BITS = [0, 1, 8, 16, 32, 64];

/** @param {Uint8Array} bytes a message as `workerd compile --config-only` writes it @returns {Struct} its root */
export function parseMessage(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = view.getUint32(0, true) + 1;
  if (count > 512) throw new Error("the message has too many segments");
  let at = Math.ceil((4 + 4 * count) / 8) * 8;
  const segments = [];
  for (let i = 0; i < count; i++) {
    const length = view.getUint32(4 + 4 * i, true) * 8;
    if (at + length > bytes.byteLength) throw new Error("the message ends early");
    segments.push(new DataView(bytes.buffer, bytes.byteOffset + at, length));
    at += length;
  }
  let words = 0;
  const spend = (n) => {
    words += n;
    if (words > MAX_WORDS) throw new Error("the message is too large");
  };
  const copy = (segment, offset, length) => {
    if (offset < 0 || offset + length > segment.byteLength) throw new Error("a pointer leaves its segment");
    spend(Math.ceil(length / 8) + 1);
    return new Uint8Array(segment.buffer.slice(segment.byteOffset + offset, segment.byteOffset + offset + length));
  };

  function readStruct(segment, offset, dataWords, pointerCount, depth) {
    const data = copy(segment, offset, dataWords * 8);
    const pointers = [];
    for (let i = 0; i < pointerCount; i++) pointers.push(readPointer(segment, offset + (dataWords + i) * 8, depth + 1));
    return new Struct(data, pointers);
  }

  /** `tag`: the position of the pointer that describes the target; `target`: the start of the target. */
  function readTarget(low, high, segment, target, depth) {
    if ((low & 3) === 0) return readStruct(segment, target, high & 0xffff, high >>> 16, depth);
    if ((low & 3) !== 1) throw new Error("the message has a capability");
    const code = high & 7;
    const length = high >>> 3;
    if (code < 6) return new DataList(code, length, copy(segment, target, Math.ceil((ELEMENT_BITS[code] * length) / 8)));
    if (code === 6) {
      spend(length);
      return new PointerList(Array.from({ length }, (_, i) => readPointer(segment, target + i * 8, depth + 1)));
    }
    const items = segment.getUint32(target, true) >>> 2;
    const [dataWords, pointerCount] = [segment.getUint16(target + 4, true), segment.getUint16(target + 6, true)];
    spend(items);
    const size = (dataWords + pointerCount) * 8;
    return new StructList(Array.from({ length: items }, (_, i) => readStruct(segment, target + 8 + i * size, dataWords, pointerCount, depth)));
  }

  function readPointer(segment, at, depth) {
    if (depth > MAX_DEPTH) throw new Error("the message is nested too deeply");
    spend(1);
    const low = segment.getUint32(at, true);
    const high = segment.getUint32(at + 4, true);
    if (low === 0 && high === 0) return null;
    if ((low & 3) !== 2) return readTarget(low, high, segment, at + 8 + (low >> 2) * 8, depth);
    const pad = segments[high];
    const padAt = (low >>> 3) * 8;
    if (!pad) throw new Error("a pointer refers to a missing segment");
    if ((low & 4) === 0) return readPointer(pad, padAt, depth + 1);
    // A double far pointer: the landing pad contains the position of the target, and a tag that describes it.
    const place = pad.getUint32(padAt, true) >>> 3;
    const target = segments[pad.getUint32(padAt + 4, true)];
    if (!target) throw new Error("a pointer refers to a missing segment");
    return readTarget(pad.getUint32(padAt + 8, true), pad.getUint32(padAt + 12, true), target, place * 8, depth);
  }

  const root = readPointer(segments[0], 0, 0);
  if (!(root instanceof Struct)) throw new Error("the message has no root");
  return root;
}

/** @param {Struct} root @returns {Uint8Array} a message of one segment */
export function writeMessage(root) {
  let bytes = new Uint8Array(1 << 16);
  let used = 8;
  const allocate = (length) => {
    const at = used;
    used += Math.ceil(length / 8) * 8;
    while (used > bytes.length) {
      const larger = new Uint8Array(bytes.length * 2);
      larger.set(bytes);
      bytes = larger;
    }
    return at;
  };
  const put = (at, low, high) => {
    const view = new DataView(bytes.buffer);
    view.setUint32(at, low >>> 0, true);
    view.setUint32(at + 4, high >>> 0, true);
  };
  const offsetTo = (at, target) => ((target - at - 8) / 8) << 2;

  function fill(at, struct, dataWords, pointerCount) {
    bytes.set(struct.data, at);
    for (let i = 0; i < pointerCount; i++) write(at + (dataWords + i) * 8, struct.pointers[i] ?? null);
  }

  function write(at, node) {
    if (node === null) return;
    if (node instanceof Struct) {
      const dataWords = Math.ceil(node.data.length / 8);
      // An offset of -1 marks a struct without words.
      if (dataWords + node.pointers.length === 0) return put(at, 0xfffffffc, 0);
      const target = allocate((dataWords + node.pointers.length) * 8);
      put(at, offsetTo(at, target), dataWords | (node.pointers.length << 16));
      fill(target, node, dataWords, node.pointers.length);
    } else if (node instanceof DataList) {
      const target = allocate(node.bytes.length);
      bytes.set(node.bytes, target);
      put(at, offsetTo(at, target) | 1, node.code | (node.length << 3));
    } else if (node instanceof PointerList) {
      const target = allocate(node.items.length * 8);
      put(at, offsetTo(at, target) | 1, 6 | (node.items.length << 3));
      node.items.forEach((item, i) => write(target + i * 8, item));
    } else {
      const dataWords = Math.max(0, ...node.items.map((item) => Math.ceil(item.data.length / 8)));
      const pointerCount = Math.max(0, ...node.items.map((item) => item.pointers.length));
      const size = dataWords + pointerCount;
      const target = allocate((size * node.items.length + 1) * 8);
      put(at, offsetTo(at, target) | 1, 7 | ((size * node.items.length) << 3));
      put(target, node.items.length << 2, dataWords | (pointerCount << 16));
      node.items.forEach((item, i) => fill(target + 8 + i * size * 8, item, dataWords, pointerCount));
    }
  }

  write(0, root);
  const message = new Uint8Array(8 + used);
  new DataView(message.buffer).setUint32(4, used / 8, true);
  message.set(bytes.subarray(0, used), 8);
  return message;
}

export class Struct {
  /** @param {Uint8Array} data @param {(Struct | DataList | PointerList | StructList | null)[]} pointers */
  constructor(data, pointers) {
    this.data = data;
    this.pointers = pointers;
  }

  static sized(dataWords, pointerCount) {
    return new Struct(new Uint8Array(dataWords * 8), new Array(pointerCount).fill(null));
  }

  uint16(offset) {
    return offset + 2 <= this.data.length ? new DataView(this.data.buffer, this.data.byteOffset).getUint16(offset, true) : 0;
  }

  setUint16(offset, value) {
    new DataView(this.data.buffer, this.data.byteOffset).setUint16(offset, value, true);
    return this;
  }

  bit(index) {
    return ((this.data[index >> 3] ?? 0) >> (index & 7)) & 1;
  }

  set(index, node) {
    while (this.pointers.length <= index) this.pointers.push(null);
    this.pointers[index] = node;
    return this;
  }

  setText(index, value) {
    return this.set(index, text(value));
  }

  /** A text field; `undefined` if it is not set. */
  text(index) {
    const list = this.pointers[index];
    return list instanceof DataList ? new TextDecoder().decode(list.bytes.subarray(0, -1)) : undefined;
  }

  bytes(index) {
    return this.pointers[index] instanceof DataList ? this.pointers[index].bytes : new Uint8Array();
  }

  setBytes(index, value) {
    return this.set(index, new DataList(2, value.length, value));
  }

  struct(index) {
    return this.pointers[index] instanceof Struct ? this.pointers[index] : null;
  }

  /** The elements of a list of structs. */
  items(index) {
    return this.pointers[index] instanceof StructList ? this.pointers[index].items : [];
  }

  texts(index) {
    const list = this.pointers[index];
    return list instanceof PointerList ? list.items.map((item) => new TextDecoder().decode(item.bytes.subarray(0, -1))) : [];
  }
}

export class DataList {
  constructor(code, length, bytes) {
    this.code = code;
    this.length = length;
    this.bytes = bytes;
  }
}

export class PointerList {
  constructor(items) {
    this.items = items;
  }
}

export class StructList {
  constructor(items) {
    this.items = items;
  }
}

/** A text: UTF-8 with a zero byte at the end. */
export function text(value) {
  const utf8 = new TextEncoder().encode(value);
  const bytes = new Uint8Array(utf8.length + 1);
  bytes.set(utf8);
  return new DataList(2, bytes.length, bytes);
}
