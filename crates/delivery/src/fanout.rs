//! Runs one claimed job: page after page of devices, sent, then settled.
//!
//! The next page is read while the one before is sent. A page is settled in one transaction with the job's cursor, so a
//! crash repeats at most the page in flight. A node that stops settles its page and gives the job back. A job whose next page
//! is damaged is left, so that it takes no place from others, and looked at again when its lease ends.

use std::pin::pin;
use std::sync::Arc;

use domain::device::DeviceOrdinal;
use store::publishes::{Job, Page, Settled, Settlement};
use store::{Store, StoreError};

use crate::gate::Visit;
use crate::lanes::Permit;
use crate::lease::{Leases, Lost};
use crate::measure;
use crate::persist::{STORE_RETRY, give_back, is_cancelled, settle};
use crate::sender::{Due, Sender};
use crate::spans::{Spans, Work};

/// What every job needs.
#[derive(Debug, Clone)]
pub(crate) struct Fanout {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) sender: Sender,
    pub(crate) leases: Leases,
    pub(crate) page_length: usize,
    /// After how many pages a job leaves the express lane.
    pub(crate) express_pages: u32,
    pub(crate) spans: Spans,
}

/// How a job left this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Its last page is settled.
    Done,
    /// It was given back, another node has it, or it cannot be read.
    Elsewhere,
}

/// What the next page holds is damaged.
#[derive(Debug, Clone, Copy)]
struct Unreadable;

impl Fanout {
    /// Runs a job until it is done, or taken away, or the node stops.
    pub(crate) async fn run(&self, job: &Job, permit: &mut Permit) -> Left {
        match self.pages(job, permit).await {
            Ok(left) => left,
            Err(Lost) => {
                if is_cancelled(&*self.store, &job.publish).await {
                    tracing::info!(job = job.id.0, publish = %job.publish.id, "stopped a job of a cancelled publish");
                } else {
                    tracing::warn!(job = job.id.0, publish = %job.publish.id, "a job's lease was lost");
                }
                Left::Elsewhere
            }
        }
    }

    async fn pages(&self, job: &Job, permit: &mut Permit) -> Result<Left, Lost> {
        let (mut page, mut work) = match &job.first_page {
            Some(page) => (page.clone(), self.spans.page(job)),
            None => {
                let read = pin!(self.read(job, job.cursor));
                match self.leases.hold(&*self.store, job, read).await? {
                    Ok(read) => read,
                    Err(Unreadable) => return Ok(Left::Elsewhere),
                }
            }
        };
        let mut pages = 0;
        loop {
            if self.sender.stopping.is_cancelled() {
                work.failed("the node stops");
                return Ok(self.release(job).await);
            }
            let held = {
                let both = pin!(self.send_and_read_on(job, &page, &work));
                self.leases.hold(&*self.store, job, both).await
            };
            let (settlement, next) = held.inspect_err(|_| work.failed("the lease was lost"))?;
            self.settle(job, &page, settlement, work).await?;
            (page, work) = match next {
                Some(Ok(read)) => read,
                Some(Err(Unreadable)) => return Ok(Left::Elsewhere),
                None => return Ok(Left::Done),
            };
            pages += 1;
            if pages == self.express_pages {
                let place = pin!(permit.leave_express(job.publish.instance));
                self.leases.hold(&*self.store, job, place).await?;
            }
        }
    }

    /// Sends a page while the next one is read, if there is one.
    async fn send_and_read_on(
        &self,
        job: &Job,
        page: &Page,
        work: &Work,
    ) -> (Settlement, Option<Result<(Page, Work), Unreadable>>) {
        if page.last {
            return (self.send(job, page, work).await, None);
        }
        let read_on = self.read(job, page.cursor);
        let (settlement, next) = tokio::join!(self.send(job, page, work), read_on);
        (settlement, Some(next))
    }

    /// Reads the next page, with which the work on it begins; a store that fails is asked again until it answers or the node
    /// stops, but one that is damaged.
    async fn read(&self, job: &Job, after: DeviceOrdinal) -> Result<(Page, Work), Unreadable> {
        let mut work = self.spans.page(job);
        let part = work.part("publish.read");
        let page = self.read_page(job, after).await;
        drop(part);
        match page {
            Ok(page) => Ok((page, work)),
            Err(Unreadable) => {
                work.failed("the audience cannot be read");
                Err(Unreadable)
            }
        }
    }

    async fn read_page(&self, job: &Job, after: DeviceOrdinal) -> Result<Page, Unreadable> {
        loop {
            match self.store.audience_page(job, after, self.page_length).await {
                Ok(page) => return Ok(page),
                Err(error @ StoreError::Corrupt(_)) => {
                    tracing::error!(
                        job = job.id.0, publish = %job.publish.id, %error,
                        "a page of an audience cannot be read, which is tried again when the job's lease ends"
                    );
                    return Err(Unreadable);
                }
                Err(error) => {
                    tracing::warn!(job = job.id.0, %error, "a page of an audience could not be read, trying again");
                    tokio::select! {
                        biased;
                        // Nothing was read, so nothing is settled: the cursor stays where it is.
                        () = self.sender.stopping.cancelled() => {
                            return Ok(Page { cursor: after, ..Page::default() });
                        }
                        () = tokio::time::sleep(STORE_RETRY) => {}
                    }
                }
            }
        }
    }

    async fn send(&self, job: &Job, page: &Page, work: &Work) -> Settlement {
        let _part = work.part("publish.send");
        let due: Vec<_> = page
            .recipients
            .iter()
            .map(|recipient| Due {
                recipient,
                attempts: 0,
            })
            .collect();
        let id = job.publish.instance;
        let instance = self.sender.instance(id, u32::MAX).await.ok().flatten();
        self.sender
            .send(instance.as_deref(), &job.publish, &due, Visit::First)
            .await
    }

    async fn settle(
        &self,
        job: &Job,
        page: &Page,
        settlement: Settlement,
        mut work: Work,
    ) -> Result<(), Lost> {
        let deliveries = page.recipients.len();
        work.deliveries(deliveries);
        work.settled(&settlement);
        let part = work.part("publish.settle");
        let now = self.sender.clock.now();
        let attempt = || {
            let until = self.leases.until();
            self.store
                .settle_page(job, page.cursor, page.last, until, settlement.clone(), now)
        };
        let renew = || self.store.renew_job(job.id, job.fence, self.leases.until());
        let stopping = &self.sender.stopping;
        let settled = settle(self.leases.length, stopping, attempt, renew).await;
        drop(part);
        match settled {
            Some(Settled::Done) => {
                measure::deliveries(&settlement.tallies);
                measure::dead_devices(settlement.dead.len());
                Ok(())
            }
            Some(Settled::LeaseLost) | None => {
                work.failed("the lease was lost");
                Err(Lost)
            }
        }
    }

    async fn release(&self, job: &Job) -> Left {
        give_back(&*self.store, job).await;
        Left::Elsewhere
    }
}
