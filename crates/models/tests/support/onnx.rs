//! Tiny ONNX files, written byte by byte: one or two operators whose result can be computed by hand.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

/// A protobuf message that is being written.
#[derive(Default, Clone)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }

    fn int(mut self, field: u64, n: i64) -> Self {
        self.varint(field << 3);
        self.varint(n as u64);
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    fn message(self, field: u64, inner: &Self) -> Self {
        self.bytes(field, &inner.0)
    }

    fn all(self, field: u64, inner: &[Self]) -> Self {
        inner.iter().fold(self, |m, one| m.message(field, one))
    }
}

/// Length of an axis, or its name if it is dynamic.
#[derive(Clone, Copy)]
pub enum Axis {
    Of(i64),
    Any(&'static str),
}

const FLOAT: i64 = 1;

fn value(name: &str, axes: &[Axis]) -> Message {
    let axes: Vec<Message> = axes
        .iter()
        .map(|axis| match axis {
            Axis::Of(n) => Message::default().int(1, *n),
            Axis::Any(name) => Message::default().text(2, name),
        })
        .collect();
    let shape = Message::default().all(1, &axes);
    let tensor = Message::default().int(1, FLOAT).message(2, &shape);
    Message::default().text(1, name).message(2, &Message::default().message(1, &tensor))
}

fn constant(name: &str, axes: &[i64], numbers: &[f32]) -> Message {
    let raw: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    let tensor = axes.iter().fold(Message::default(), |m, n| m.int(1, *n));
    tensor.int(2, FLOAT).text(8, name).bytes(9, &raw)
}

fn node(kind: &str, inputs: &[&str], output: &str, whole_numbers: &[(&str, &[i64])]) -> Message {
    let node = inputs.iter().fold(Message::default(), |m, i| m.text(1, i));
    let node = node.text(2, output).text(3, output).text(4, kind);
    whole_numbers.iter().fold(node, |m, (name, numbers)| {
        let attribute = numbers.iter().fold(Message::default().text(1, name), |m, n| m.int(8, *n));
        m.message(5, &attribute.int(20, 7))
    })
}

fn model(nodes: &[Message], constants: &[Message], input: &[Axis], outputs: &[(&str, Vec<Axis>)]) -> Vec<u8> {
    let outputs: Vec<Message> = outputs.iter().map(|(name, axes)| value(name, axes)).collect();
    let graph = Message::default()
        .all(1, nodes)
        .text(2, "tiny")
        .all(5, constants)
        .message(11, &value("picture", input))
        .all(12, &outputs);
    let version = Message::default().int(2, 13);
    Message::default().int(1, 8).message(7, &graph).message(8, &version).0
}

fn square(channels: i64, side: i64) -> Vec<Axis> {
    vec![Axis::Of(1), Axis::Of(channels), Axis::Of(side), Axis::Of(side)]
}

/// The operator after the weighted sum of a segmenter's channels.
#[derive(Clone, Copy, PartialEq)]
pub enum Ending {
    Logits,
    Sigmoid,
    /// NaN where the sum is negative.
    Root,
    /// Another output, which must be ignored, precedes the last.
    Second,
}

/// A segmenter for pictures of `side` × `side`: its last output is `sum(weights[c] · c) + bias` of the channels R, G,
/// B between 0 and 1, which it restores from the normalisation by ImageNet's mean and deviation.
pub fn segmenter(side: i64, weights: [f32; 3], bias: f32, ending: Ending) -> Vec<u8> {
    let (mean, deviation) = ([0.485_f32, 0.456, 0.406], [0.229_f32, 0.224, 0.225]);
    let scaled: Vec<f32> = weights.iter().zip(deviation).map(|(w, d)| w * d).collect();
    let moved = bias + weights.iter().zip(mean).map(|(w, m)| w * m).sum::<f32>();
    let constants = [constant("weights", &[1, 3, 1, 1], &scaled), constant("bias", &[1], &[moved])];
    let sum = |output| node("Conv", &["picture", "weights", "bias"], output, &[("kernel_shape", &[1, 1])]);
    let mask = ("mask", square(1, side));
    let nodes = match ending {
        Ending::Logits | Ending::Second => vec![sum("mask")],
        Ending::Sigmoid => vec![sum("sum"), node("Sigmoid", &["sum"], "mask", &[])],
        Ending::Root => vec![sum("sum"), node("Sqrt", &["sum"], "mask", &[])],
    };
    let (nodes, outputs) = if ending == Ending::Second {
        let coarse = node("Neg", &["mask"], "coarse", &[]);
        ([nodes, vec![coarse]].concat(), vec![("coarse", square(1, side)), mask])
    } else {
        (nodes, vec![mask])
    };
    model(&nodes, &constants, &square(3, side), &outputs)
}

/// Red is foreground; white, green and blue are not.
pub fn red(side: i64) -> Vec<u8> {
    segmenter(side, [40.0, -40.0, 0.0], -20.0, Ending::Logits)
}

/// An enlarger that repeats each pixel `scale` × `scale` times, each channel `c` as `factor · c + add[c]`.
pub fn enlarger(scale: i64, factor: f32, add: [f32; 3], height: Axis, width: Axis) -> Vec<u8> {
    let area = (scale * scale) as usize;
    let mut weights = vec![0.0; 9 * area];
    for c in 0..3 {
        weights[(c * 3 + c) * area..][..area].fill(factor);
    }
    let constants = [constant("weights", &[3, 3, scale, scale], &weights), constant("add", &[3], &add)];
    let sizes: [(&str, &[i64]); 2] = [("kernel_shape", &[scale, scale]), ("strides", &[scale, scale])];
    let nodes = [node("ConvTranspose", &["picture", "weights", "add"], "large", &sizes)];
    let any = [Axis::Of(1), Axis::Of(3), Axis::Any("high"), Axis::Any("wide")];
    model(&nodes, &constants, &[Axis::Of(1), Axis::Of(3), height, width], &[("large", any.to_vec())])
}

/// The negative, enlarged.
pub fn negative(scale: i64) -> Vec<u8> {
    enlarger(scale, -1.0, [1.0; 3], Axis::Any("height"), Axis::Any("width"))
}

/// Blue everywhere, enlarged.
pub fn blue(scale: i64) -> Vec<u8> {
    enlarger(scale, 0.0, [0.0, 0.0, 1.0], Axis::Any("height"), Axis::Any("width"))
}
