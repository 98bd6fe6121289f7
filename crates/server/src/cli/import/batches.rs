//! Reads and checks lines on a thread of its own, so that the next batch is ready when the store has written one.

use std::io::{BufRead, BufReader, Read};
use std::thread;

use store::transfer::DeviceImport;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::OnError;
use super::lines::{LINE_LENGTH_MAX, Line, Lines};
use crate::cli::device_line;
use crate::cli::failure::Failure;

/// Lines that one transaction takes. A server on the same database waits for it to end: some hundredths of a second.
const BATCH_LINES: usize = 4000;
/// Bytes of lines after which a batch ends however few they are.
const BATCH_BYTES: u64 = 8 * 1024 * 1024;
/// Batches that may wait for the store.
const BATCHES_WAITING: usize = 2;
const READ_BUFFER_LENGTH: usize = 256 * 1024;

/// Some lines.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Devices that can be imported, in the order of their lines.
    pub(super) devices: Vec<DeviceImport>,
    /// The numbers of their lines.
    pub(super) numbers: Vec<u64>,
    /// Lines that cannot, by number, and why.
    pub(super) bad: Vec<(u64, String)>,
    /// How many bytes of the file are read.
    pub(super) bytes: u64,
    /// How many lines of the file are read.
    pub(super) lines: u64,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.devices.is_empty() && self.bad.is_empty()
    }
}

/// What comes from the thread: batches, and at last why it could not go on, if it could not.
pub(super) type Reading = Result<Batch, std::io::Error>;

/// Starts to read. The thread ends with the source or when nobody wants more batches.
pub(super) fn start(
    source: impl Read + Send + 'static,
    on_error: OnError,
) -> Result<Receiver<Reading>, Failure> {
    let (sender, receiver) = channel(BATCHES_WAITING);
    thread::Builder::new()
        .name("import-lines".into())
        .spawn(move || {
            let mut lines = Lines::new(BufReader::with_capacity(READ_BUFFER_LENGTH, source));
            if let Err(error) = read(&mut lines, on_error, &sender) {
                // Nobody who would want to know if the channel is closed.
                let _ = sender.blocking_send(Err(error));
            }
        })
        .map_err(|error| Failure::new(format!("cannot start a thread: {error}")))?;
    Ok(receiver)
}

fn read(
    lines: &mut Lines<impl BufRead>,
    on_error: OnError,
    sender: &Sender<Reading>,
) -> std::io::Result<()> {
    let mut batch = Batch::default();
    let mut begun_at = 0;
    loop {
        let parsed = match lines.next()? {
            None => break,
            // Lines that are left empty, as the last one often is.
            Some(Line::Text(text)) if text.trim_ascii().is_empty() => continue,
            Some(Line::Text(text)) => device_line::parse(text),
            Some(Line::TooLong) => Err(format!("it has over {LINE_LENGTH_MAX} bytes")),
        };
        let number = lines.number();
        let mut ends = false;
        match parsed {
            Ok(device) => {
                batch.devices.push(device);
                batch.numbers.push(number);
            }
            Err(why) => {
                batch.bad.push((number, why));
                ends = on_error == OnError::Stop;
            }
        }
        let is_full = batch.devices.len() + batch.bad.len() >= BATCH_LINES
            || lines.bytes() - begun_at >= BATCH_BYTES;
        if is_full || ends {
            let full = finished(std::mem::take(&mut batch), lines);
            begun_at = lines.bytes();
            if sender.blocking_send(Ok(full)).is_err() || ends {
                return Ok(());
            }
        }
    }
    if !batch.is_empty() {
        let _ = sender.blocking_send(Ok(finished(batch, lines)));
    }
    Ok(())
}

fn finished<R: BufRead>(batch: Batch, lines: &Lines<R>) -> Batch {
    Batch {
        bytes: lines.bytes(),
        lines: lines.number(),
        ..batch
    }
}
