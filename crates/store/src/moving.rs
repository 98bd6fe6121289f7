//! Moving everything from one store to another: all rows as they stand, with their numbers, so that work goes on where it was.
//!
//! Rows leave one store in its own order and enter the other with the place that has been reached, in one transaction, so a
//! move that was cut short goes on. Nobody may work on either store meanwhile; at the end every kind of row is counted and
//! summed up on both sides. What holds for a time only is left behind: leases, duties, who lives.
//!
//! A kind of row has the same columns in every backend, whatever its tables look like. A new table needs a [`Kind`] here, or a
//! line among those that are not moved; a test of each backend sees to that.

mod kinds;
mod mover;

use std::fmt;

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use kinds::{CellType, Column, Kind};
pub use mover::{Mover, Progress, Refusal, Summary};

use crate::{Store, StoreError};

/// A value in a row. Ids are their bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Cell {
    /// None.
    Null,
    /// A number, or a time in milliseconds.
    Int(i64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// A row, in the order of [`Kind::columns`].
pub type Row = Vec<Cell>;

/// How far the rows of a kind have been read: the key of the last one, in the terms of the store it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place(pub Vec<Cell>);

/// Some rows of a kind.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// The rows.
    pub rows: Vec<Row>,
    /// Where to go on; `None` after the last one.
    pub next: Option<Place>,
}

/// How far a move has come with a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// The kind.
    pub kind: Kind,
    /// Up to where its rows were read; `None` once all were.
    pub place: Option<Place>,
    /// How many were written.
    pub rows: u64,
}

impl Reached {
    /// What a backend has written of it. A damaged one is [`StoreError::Corrupt`].
    pub(crate) fn read(kind: &str, place: Option<&str>, rows: i64) -> Result<Self, StoreError> {
        let damaged = || StoreError::Corrupt(format!("how far a move has come with {kind:?}"));
        let place = place.map(serde_json::from_str).transpose();
        Ok(Self {
            kind: Kind::parse(kind).ok_or_else(damaged)?,
            place: place.map_err(|_| damaged())?,
            rows: u64::try_from(rows).map_err(|_| damaged())?,
        })
    }

    /// The place as a backend writes it.
    pub(crate) fn place_text(&self) -> Result<Option<String>, StoreError> {
        let text = self.place.as_ref().map(serde_json::to_string).transpose();
        text.map_err(|error| StoreError::Corrupt(error.to_string()))
    }
}

/// What became of the wish to move something into a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It is to be filled from that store now; what was reached by an earlier run of the same move, if there was one.
    Yes(Vec<Reached>),
    /// There is something in it already.
    NotEmpty,
    /// It is being filled from another store.
    FromAnother,
}

/// What a store counts up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// See [`Configuration::configuration_version`](crate::configuration::Configuration::configuration_version).
    pub configuration_version: i64,
    /// The highest number that was ever given to a thing of a kind: numbers do not repeat, even those of things long gone.
    pub numbers: Vec<(Kind, i64)>,
}

/// What a store that everything can be moved out of, and into, does beside. The contract of [`Store`] holds here too.
#[async_trait]
pub trait Moving: Store {
    /// Tells the store from all others; copies of one are the same.
    async fn identity(&self) -> Result<Uuid, StoreError>;

    /// How many rows of a kind there are.
    async fn count_rows(&self, kind: Kind) -> Result<u64, StoreError>;

    /// Rows of a kind behind `after`, at most `limit`.
    async fn read_rows(
        &self,
        kind: Kind,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Rows, StoreError>;

    /// Marks the store as being filled from the one with this identity, if it is empty or was marked so before.
    async fn begin_move(&self, from: Uuid) -> Result<Begun, StoreError>;

    /// Writes rows, and how far the move has come with that. The same rows again change nothing.
    async fn write_rows(&self, rows: Vec<Row>, reached: Reached) -> Result<(), StoreError>;

    /// What the store counts up.
    async fn counters(&self) -> Result<Counters, StoreError>;

    /// Lets the counters go on from these, and takes the mark off: the store may be worked on.
    async fn end_move(&self, counters: Counters) -> Result<(), StoreError>;
}

/// The sum of some rows, whatever their order. Two sets of rows that differ have different sums for all practical purposes: each
/// row is hashed with SHA-256, and the hashes are added up.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    rows: u64,
    sum: [u64; 4],
}

impl Sum {
    /// Adds a row.
    pub fn add(&mut self, row: &Row) {
        let mut bytes = Vec::new();
        for cell in row {
            let (tag, body): (u8, &[u8]) = match cell {
                Cell::Null => (0, &[]),
                Cell::Int(number) => (1, &number.to_be_bytes()),
                Cell::Text(text) => (2, text.as_bytes()),
                Cell::Bytes(own) => (3, own),
            };
            bytes.push(tag);
            bytes.extend_from_slice(&(body.len() as u64).to_be_bytes());
            bytes.extend_from_slice(body);
        }
        let hash = digest(&SHA256, &bytes);
        let (words, _) = hash.as_ref().as_chunks::<8>();
        for (sum, word) in self.sum.iter_mut().zip(words) {
            *sum = sum.wrapping_add(u64::from_be_bytes(*word));
        }
        self.rows += 1;
    }

    /// How many rows it is of.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sum
            .iter()
            .try_for_each(|word| write!(f, "{word:016x}"))
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sum({} rows, {self})", self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(rows: &[Row]) -> Sum {
        let mut sum = Sum::default();
        rows.iter().for_each(|row| sum.add(row));
        sum
    }

    #[test]
    fn a_sum_is_of_what_rows_hold_and_not_of_their_order() {
        let text = |text: &str| Cell::Text(text.into());
        let (a, b) = (
            vec![Cell::Int(1), text("x")],
            vec![Cell::Int(2), Cell::Null],
        );
        assert_eq!(sum(&[a.clone(), b.clone()]), sum(&[b.clone(), a.clone()]));
        let others = [
            vec![a.clone()],
            vec![a.clone(), a.clone()],
            vec![a.clone(), vec![Cell::Int(2), text("")]],
            vec![a.clone(), vec![Cell::Int(2), Cell::Bytes(Vec::new())]],
            vec![vec![Cell::Int(1), text("xy")], b.clone()],
            vec![
                vec![Cell::Int(2), text("x")],
                vec![Cell::Int(1), Cell::Null],
            ],
        ];
        for other in others {
            assert_ne!(sum(&other), sum(&[a.clone(), b.clone()]), "{other:?}");
        }
    }
}
