//! Bodies of requests and answers, with flow control.

use crate::failure::{Code, Failure, Outcome};
use crate::frame::{self, Decoder, Frame};
use bytes::{Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use serde::Serialize;
use std::future::poll_fn;

/// The host has cancelled the stream, or is gone.
pub struct Gone;

fn broken(_: h2::Error) -> Failure {
    Failure::new(Code::BadRequest, "the request broke off")
}

/// The whole body, at most `max_bytes`.
pub async fn read_all(mut body: RecvStream, max_bytes: usize) -> Outcome<BytesMut> {
    let mut all = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(broken)?;
        if all.len() + chunk.len() > max_bytes {
            return Err(Failure::bad(format!("the request is longer than {max_bytes} bytes")));
        }
        body.flow_control().release_capacity(chunk.len()).map_err(broken)?;
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

/// Frames of a request. A chunk is acknowledged when the next one is asked for, so that input waits for its reader.
pub struct Frames {
    body: RecvStream,
    decoder: Decoder,
    unreleased: usize,
}

impl Frames {
    pub fn new(body: RecvStream) -> Frames {
        Frames { body, decoder: Decoder::default(), unreleased: 0 }
    }

    /// None at the end of the body.
    pub async fn next(&mut self) -> Outcome<Option<Frame>> {
        loop {
            if let Some(frame) = self.decoder.next().map_err(|_| Failure::bad("a frame is longer than 64 KiB"))? {
                return Ok(Some(frame));
            }
            self.body.flow_control().release_capacity(std::mem::take(&mut self.unreleased)).map_err(broken)?;
            match self.body.data().await {
                None => return Ok(None),
                Some(chunk) => {
                    let chunk = chunk.map_err(broken)?;
                    self.unreleased = chunk.len();
                    self.decoder.push(&chunk);
                }
            }
        }
    }
}

/// A streamed answer.
pub struct Body {
    stream: SendStream<Bytes>,
}

impl Body {
    pub fn new(stream: SendStream<Bytes>) -> Body {
        Body { stream }
    }

    /// Returns when flow control has let all of it go.
    pub async fn send(&mut self, mut data: Bytes) -> Result<(), Gone> {
        while !data.is_empty() {
            self.stream.reserve_capacity(data.len());
            let granted = match poll_fn(|context| self.stream.poll_capacity(context)).await {
                Some(Ok(granted)) => granted,
                _ => return Err(Gone),
            };
            let now = data.split_to(granted.min(data.len()));
            self.stream.send_data(now, false).map_err(|_| Gone)?;
        }
        Ok(())
    }

    pub async fn send_frame(&mut self, kind: u8, payload: Bytes) -> Result<(), Gone> {
        self.send(Bytes::copy_from_slice(&frame::header(kind, payload.len()))).await?;
        self.send(payload).await
    }

    pub async fn send_json<T: Serialize>(&mut self, kind: u8, value: &T) -> Result<(), Gone> {
        let text = serde_json::to_vec(value).map_err(|_| Gone)?;
        self.send(frame::encode(kind, &text)).await
    }

    /// Waits until the host cancels the stream or is gone.
    pub async fn cancelled(&mut self) {
        let _ = poll_fn(|context| self.stream.poll_reset(context)).await;
    }

    pub fn finish(mut self) {
        // Only fails when the host has cancelled the stream.
        let _ = self.stream.send_data(Bytes::new(), true);
    }
}
