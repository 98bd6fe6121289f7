//! The move itself, on two stores of whatever backend.

use std::sync::Arc;

use domain::clock::Timestamp;

use super::{Begun, Counters, Kind, Moving, Place, Reached, Sum};
use crate::StoreError;

/// Why nothing is moved, or what was moved must not be used. Each reads as one line.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Somebody works on one of the stores.
    #[error(
        "{count} servers run on the {which}, or ran less than 15 seconds ago and did not stop in order: stop them first"
    )]
    InUse {
        /// Which of the two.
        which: &'static str,
        /// How many there are.
        count: u64,
    },
    /// The source is itself half filled.
    #[error("the source is being filled by another move, which has not ended")]
    SourceUnfinished,
    /// There is something in the target.
    #[error(
        "the target is not empty, and was not being filled from this source: nothing was changed"
    )]
    NotEmpty,
    /// The target is half filled from elsewhere.
    #[error("the target is being filled from another source: nothing was changed")]
    FromAnother,
    /// Both are one.
    #[error("source and target are the same database")]
    Same,
    /// A kind came out different.
    #[error(
        "the {kind} differ: {source_rows} rows with the sum {source_sum} in the source, {target_rows} with {target_sum} in \
         the target; something wrote to one of them meanwhile. Empty the target and begin anew"
    )]
    Differs {
        /// Which kind.
        kind: &'static str,
        /// In the source.
        source_rows: u64,
        /// In the source.
        source_sum: Sum,
        /// In the target.
        target_rows: u64,
        /// In the target.
        target_sum: Sum,
    },
    /// A store failed.
    #[error("the {which} failed: {error}")]
    Store {
        /// Which of the two.
        which: &'static str,
        /// How.
        #[source]
        error: StoreError,
    },
}

const SOURCE: &str = "source";
const TARGET: &str = "target";

fn of(which: &'static str) -> impl FnOnce(StoreError) -> Refusal {
    move |error| Refusal::Store { which, error }
}

/// What is being done, for who watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many rows are to be moved and to be compared, altogether.
    Total(u64),
    /// Rows of this kind were moved, now or by an earlier run.
    Moved(Kind, u64),
    /// Rows of this kind were read again, on both sides.
    Compared(Kind, u64),
}

/// What was moved, by kind.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Each kind with its sum, the same on both sides.
    pub kinds: Vec<(Kind, Sum)>,
    /// How many rows an earlier run had moved already.
    pub resumed: u64,
}

/// Moves everything.
pub struct Mover<'a> {
    /// Where everything is.
    pub source: Arc<dyn Moving>,
    /// Where it goes.
    pub target: Arc<dyn Moving>,
    /// Who is told how far it is.
    pub watch: &'a (dyn Fn(Progress) + Sync),
}

impl std::fmt::Debug for Mover<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mover({:?} -> {:?})", self.source, self.target)
    }
}

impl Mover<'_> {
    /// Moves everything and compares it. What was begun before and cut short goes on.
    ///
    /// # Errors
    /// Why not. The source is as it was; the target cannot be worked on before a move has ended well.
    pub async fn run(&self, now: Timestamp) -> Result<Summary, Refusal> {
        self.check_unused(now).await?;
        let mut total = 0;
        for kind in Kind::ALL {
            let counted = self.source.count_rows(*kind).await;
            total += counted.map_err(of(SOURCE))?;
        }
        (self.watch)(Progress::Total(2 * total));
        let reached = self.begin().await?;
        let resumed = reached.iter().map(|reached| reached.rows).sum();
        for kind in Kind::ALL {
            let before = reached.iter().find(|reached| reached.kind == *kind);
            self.move_kind(*kind, before).await?;
        }
        let mut summary = Summary {
            resumed,
            ..Summary::default()
        };
        for kind in Kind::ALL {
            summary.kinds.push((*kind, self.compare(*kind).await?));
        }
        let counters: Counters = self.source.counters().await.map_err(of(SOURCE))?;
        // Whoever began meanwhile wrote more than was seen.
        self.check_unused(now).await?;
        self.target.end_move(counters).await.map_err(of(TARGET))?;
        Ok(summary)
    }

    async fn check_unused(&self, now: Timestamp) -> Result<(), Refusal> {
        for (which, store) in [(SOURCE, &self.source), (TARGET, &self.target)] {
            let count = store.population(now).await.map_err(of(which))?.nodes;
            if count > 0 {
                return Err(Refusal::InUse { which, count });
            }
        }
        Ok(())
    }

    async fn begin(&self) -> Result<Vec<Reached>, Refusal> {
        if self.source.is_being_filled().await.map_err(of(SOURCE))? {
            return Err(Refusal::SourceUnfinished);
        }
        // What is left of deleted instances does not move.
        let nothing = Timestamp::from_millis(i64::MIN);
        let tidied = self.source.prune_publishes(nothing, 1).await;
        tidied.map_err(of(SOURCE))?;
        let identity = self.source.identity().await.map_err(of(SOURCE))?;
        if identity == self.target.identity().await.map_err(of(TARGET))? {
            return Err(Refusal::Same);
        }
        match self.target.begin_move(identity).await.map_err(of(TARGET))? {
            Begun::Yes(reached) => Ok(reached),
            Begun::NotEmpty => Err(Refusal::NotEmpty),
            Begun::FromAnother => Err(Refusal::FromAnother),
        }
    }

    async fn move_kind(&self, kind: Kind, before: Option<&Reached>) -> Result<(), Refusal> {
        let mut moved = before.map_or(0, |reached| reached.rows);
        (self.watch)(Progress::Moved(kind, moved));
        let mut place: Option<Place> = match before {
            Some(Reached { place: None, .. }) => return Ok(()),
            Some(Reached { place, .. }) => place.clone(),
            None => None,
        };
        loop {
            let page = self.source.read_rows(kind, place, kind.page_length()).await;
            let page = page.map_err(of(SOURCE))?;
            let count = page.rows.len() as u64;
            moved += count;
            let reached = Reached {
                kind,
                place: page.next.clone(),
                rows: moved,
            };
            let written = self.target.write_rows(page.rows, reached).await;
            written.map_err(of(TARGET))?;
            (self.watch)(Progress::Moved(kind, count));
            place = page.next;
            if place.is_none() {
                return Ok(());
            }
        }
    }

    async fn compare(&self, kind: Kind) -> Result<Sum, Refusal> {
        let source = self.sum(&self.source, SOURCE, kind).await?;
        let target = self.sum(&self.target, TARGET, kind).await?;
        (self.watch)(Progress::Compared(kind, source.rows()));
        if source == target {
            return Ok(source);
        }
        Err(Refusal::Differs {
            kind: kind.as_str(),
            source_rows: source.rows(),
            source_sum: source,
            target_rows: target.rows(),
            target_sum: target,
        })
    }

    async fn sum(
        &self,
        store: &Arc<dyn Moving>,
        which: &'static str,
        kind: Kind,
    ) -> Result<Sum, Refusal> {
        let mut sum = Sum::default();
        let mut place = None;
        loop {
            let page = store.read_rows(kind, place, kind.page_length()).await;
            let page = page.map_err(of(which))?;
            page.rows.iter().for_each(|row| sum.add(row));
            match page.next {
                Some(next) => place = Some(next),
                None => return Ok(sum),
            }
        }
    }
}
