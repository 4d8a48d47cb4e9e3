//! Lines of a stream that arrives in pieces.

/// Longest part of a head line that is kept: the relevant names and values are short.
const LINE_LIMIT: usize = 1024;

/// Cuts a byte stream into lines, keeping only a line that is split over two slices.
#[derive(Debug, Default)]
pub(super) struct Lines {
    carry: Vec<u8>,
    /// A line has begun and has not ended.
    pub(super) started: bool,
}

impl Lines {
    /// Takes the next line off `input` and calls `f` with it, without its line end. `None`: the line is not complete, and
    /// all of `input` was consumed.
    pub(super) fn next<R>(&mut self, input: &mut &[u8], f: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let Some(end) = line_feed(input) else {
            self.keep(input);
            *input = &[];
            return None;
        };
        let (head, rest) = input.split_at(end);
        *input = &rest[1..];
        if !self.started {
            return Some(f(head.strip_suffix(b"\r").unwrap_or(head)));
        }
        self.keep(head);
        let result = f(self.carry.strip_suffix(b"\r").unwrap_or(&self.carry));
        self.carry.clear();
        self.started = false;
        Some(result)
    }

    /// Calls `f` for line after line until it returns `true` for the last one. `false`: all of `input` was consumed before
    /// that. One loop for all lines of a head is measurably faster than one call for each.
    #[inline]
    pub(super) fn until(&mut self, input: &mut &[u8], mut f: impl FnMut(&[u8]) -> bool) -> bool {
        loop {
            match self.next(input, &mut f) {
                Some(false) => {}
                Some(true) => return true,
                None => return false,
            }
        }
    }

    #[cold]
    fn keep(&mut self, part: &[u8]) {
        if part.is_empty() {
            return;
        }
        self.started = true;
        let room = LINE_LIMIT - self.carry.len();
        self.carry.extend_from_slice(&part[..part.len().min(room)]);
    }
}

/// The position of the first line feed. The lines of a head are short: eight bytes at a time are faster than the call of a
/// vectorised search. The test for a zero byte in a word is from H. S. Warren, "Hacker's Delight", 6-1.
#[inline]
fn line_feed(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 0xFF;
    let (words, rest) = bytes.as_chunks::<8>();
    for (n, word) in words.iter().enumerate() {
        let differs = u64::from_le_bytes(*word) ^ (ONES * u64::from(b'\n'));
        let zero = differs.wrapping_sub(ONES) & !differs & (ONES << 7);
        if zero != 0 {
            return Some(n * 8 + zero.trailing_zeros() as usize / 8);
        }
    }
    rest.iter().position(|byte| *byte == b'\n').map(|n| words.len() * 8 + n)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::line_feed;

    proptest! {
        /// Bytes next to the value of a line feed are where the search by words could go wrong.
        #[test]
        fn the_first_line_feed_is_found(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), 9_u8..12, 0x8A_u8..0x8C, any::<u8>()], 0..40)
        ) {
            prop_assert_eq!(line_feed(&bytes), bytes.iter().position(|byte| *byte == b'\n'));
        }
    }
}
