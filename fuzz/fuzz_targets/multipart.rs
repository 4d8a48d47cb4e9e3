#![no_main]
//! The multipart form of the binding. The first byte is the length of the pieces in which the rest arrives.

#[path = "../../crates/wholeplate/src/binding/multipart.rs"]
mod multipart;

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use multipart::{FormError, FormInput, FormSink, Upload};

#[derive(Default)]
struct Sink {
    texts: usize,
}

struct Image(Vec<u8>);

impl FormSink for Sink {
    type Error = FormError;
    type Image = Vec<u8>;
    type Upload = Image;

    fn image(&mut self) -> Result<Image, FormError> {
        Ok(Image(Vec::new()))
    }

    fn text(&mut self, bytes: usize) -> Result<(), FormError> {
        self.texts += bytes;
        Ok(())
    }
}

impl Upload for Image {
    type Error = FormError;
    type Image = Vec<u8>;

    async fn push(&mut self, chunk: Bytes) -> Result<(), FormError> {
        self.0.extend_from_slice(&chunk);
        Ok(())
    }

    async fn finish(self) -> Result<Vec<u8>, FormError> {
        Ok(self.0)
    }
}

/// The bytes of all parts, if the form is whole.
fn read(body: &[u8], piece: usize) -> Option<usize> {
    let chunks: Vec<_> =
        body.chunks(piece).map(|chunk| Ok::<_, Infallible>(Bytes::copy_from_slice(chunk))).collect();
    let most = chunks.len();
    let mut sink = Sink::default();
    let form = {
        let mut form =
            pin!(multipart::read(&mut sink, "b".to_owned(), futures_util::stream::iter(chunks), |pending| {
                assert!(pending <= (4 << 20) + (64 << 10), "{pending} bytes are pending");
                Ok(())
            },));
        let mut context = Context::from_waker(Waker::noop());
        // The parser may ask to be woken again at once, about once for each chunk.
        let ready = (0..16 + 4 * most).find_map(|_| match form.as_mut().poll(&mut context) {
            Poll::Ready(form) => Some(form),
            Poll::Pending => None,
        });
        ready.expect("the parser ends when its input has ended")
    };
    let Ok(parts) = form else { return None };
    assert!(!parts.inputs.is_empty(), "a form without a canvas was accepted");
    let input = |input: &FormInput<Vec<u8>>| match input {
        FormInput::Image(image) => image.len(),
        FormInput::Text(text) => text.len(),
    };
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let texts =
        [&parts.transforms, &parts.output_format, &parts.output_quality, &parts.background, &parts.anim];
    let total = parts.inputs.iter().map(input).sum::<usize>() + texts.map(text).iter().sum::<usize>();
    assert!(total <= body.len(), "parts are longer than the form");
    Some(total)
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((piece, body)) = input.split_first() else { return };
    let whole = fuzz::measured("a form in one piece", || read(body, body.len().max(1)));
    let pieces = fuzz::measured("a form in pieces", || read(body, usize::from(*piece).max(1)));
    assert_eq!(whole, pieces, "the result depends on the pieces");
});
