//! The lines of a file, numbered, in a buffer of bounded length: one that is too long is passed over without being kept.

use std::io::{self, BufRead};

/// The longest line, in bytes: a device with all the interests it may have is under half of that.
pub(super) const LINE_LENGTH_MAX: usize = 2 * 1024 * 1024;

/// Reads lines.
#[derive(Debug)]
pub(super) struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
    number: u64,
    bytes: u64,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A line without its end.
    Text(&'a [u8]),
    /// A line that is longer than any can be.
    TooLong,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            number: 0,
            bytes: 0,
        }
    }

    /// The number of the line that was read last, from one.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// How many bytes were read.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.buffer.clear();
        let mut kept = 0;
        let mut ended = false;
        let mut any = false;
        while !ended {
            let ready = match self.source.fill_buf() {
                Ok(ready) => ready,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if ready.is_empty() {
                break;
            }
            any = true;
            let end = ready.iter().position(|byte| *byte == b'\n');
            ended = end.is_some();
            let text = &ready[..end.unwrap_or(ready.len())];
            kept += text.len();
            if kept <= LINE_LENGTH_MAX {
                self.buffer.extend_from_slice(text);
            }
            let used = text.len() + usize::from(ended);
            self.bytes += used as u64;
            self.source.consume(used);
        }
        if !any {
            return Ok(None);
        }
        self.number += 1;
        if kept > LINE_LENGTH_MAX {
            return Ok(Some(Line::TooLong));
        }
        Ok(Some(Line::Text(&self.buffer)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn lines_of_any_length_and_a_last_one_without_end() {
        let long = vec![b'x'; LINE_LENGTH_MAX + 1];
        let longest = vec![b'y'; LINE_LENGTH_MAX];
        let mut text = b"a\n\n".to_vec();
        text.extend_from_slice(&long);
        text.push(b'\n');
        text.extend_from_slice(&longest);
        text.extend_from_slice(b"\nb");
        let length = text.len() as u64;
        for capacity in [1000, 1 << 22] {
            let mut lines = Lines::new(BufReader::with_capacity(capacity, &text[..]));
            assert_eq!(lines.next().unwrap(), Some(Line::Text(b"a")));
            assert_eq!(lines.next().unwrap(), Some(Line::Text(b"")));
            assert_eq!(lines.next().unwrap(), Some(Line::TooLong));
            assert_eq!(lines.number(), 3);
            assert_eq!(lines.next().unwrap(), Some(Line::Text(&longest)));
            assert_eq!(lines.next().unwrap(), Some(Line::Text(b"b")));
            assert_eq!(lines.next().unwrap(), None);
            assert_eq!((lines.number(), lines.bytes()), (5, length));
        }
    }
}
