//! The lines of a request's body, as they come. No more is held than one line and what came with it.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use domain::idempotency::{Fingerprint, Fingerprinting};
use http_body_util::BodyExt as _;

use super::error::ApiError;
use super::extract::DRAINED_LENGTH_MAX;

/// Reads lines.
pub(crate) struct BodyLines {
    body: Body,
    /// What is read and not yet given out.
    ahead: BytesMut,
    /// Up to where `ahead` is known to have no end of a line.
    searched: usize,
    fingerprint: Fingerprinting,
    number: u64,
    read: usize,
    read_max: usize,
    ended: bool,
}

impl BodyLines {
    /// Of a body that may have `read_max` bytes, all of which go into the fingerprint.
    pub(crate) fn new(body: Body, read_max: usize, fingerprint: Fingerprinting) -> Self {
        Self {
            body,
            ahead: BytesMut::new(),
            searched: 0,
            fingerprint,
            number: 0,
            read: 0,
            read_max,
            ended: false,
        }
    }

    /// The number of the line that was given out last, from one.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// The next line that is not empty; `None` at the end.
    pub(crate) async fn next(&mut self, length_max: usize) -> Result<Option<Bytes>, ApiError> {
        loop {
            let Some(line) = self.line(length_max).await? else {
                return Ok(None);
            };
            self.number += 1;
            if !line.trim_ascii().is_empty() {
                return Ok(Some(line));
            }
        }
    }

    async fn line(&mut self, length_max: usize) -> Result<Option<Bytes>, ApiError> {
        loop {
            let found = self.ahead[self.searched..]
                .iter()
                .position(|byte| *byte == b'\n');
            let length = found.map_or(self.ahead.len(), |at| self.searched + at);
            if length > length_max {
                let why = format!("it has more than {length_max} bytes");
                return Err(ApiError::line(self.number + 1, why));
            }
            if found.is_some() {
                let mut line = self.ahead.split_to(length + 1);
                line.truncate(length);
                self.searched = 0;
                return Ok(Some(line.freeze()));
            }
            self.searched = length;
            if !self.fill().await? {
                self.searched = 0;
                let rest = self.ahead.split().freeze();
                return Ok((!rest.is_empty()).then_some(rest));
            }
        }
    }

    /// Reads on; `false` at the end.
    async fn fill(&mut self) -> Result<bool, ApiError> {
        while let Some(frame) = self.body.frame().await {
            let Ok(data) = frame.map_err(|_| ApiError::BodyBroken)?.into_data() else {
                continue;
            };
            self.read += data.len();
            if self.read > self.read_max {
                return Err(ApiError::BodyTooLarge { max: self.read_max });
            }
            self.fingerprint.update(&data);
            self.ahead.extend_from_slice(&data);
            return Ok(true);
        }
        self.ended = true;
        Ok(false)
    }

    /// Throws away some of what is left, so that the caller reads a refusal instead of finding the connection cut.
    pub(crate) async fn drain(mut self) {
        let mut drained = 0;
        while !self.ended && drained < DRAINED_LENGTH_MAX {
            match self.body.frame().await {
                Some(Ok(frame)) => drained += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(_)) | None => return,
            }
        }
    }

    /// What the whole body was, once it is read.
    pub(crate) fn fingerprint(self) -> Fingerprint {
        self.fingerprint.finish()
    }
}
