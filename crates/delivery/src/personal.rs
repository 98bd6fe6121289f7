//! Payloads that differ from user to user: the places of a publish's template, filled with the values of each device's user.
//!
//! Values are read for a page at once. What cannot be filled, or not be sent once filled, rejects the deliveries to that user
//! alone.

use std::collections::HashMap;
use std::sync::Arc;

use domain::device::{DeviceOrdinal, Recipient};
use domain::outcome::Reason;
use domain::payload::{Origin, Rendered, Template, Values};
use domain::publish::Publish;
use store::Store;
use tokio_util::sync::CancellationToken;

use crate::persist::{STORE_RETRY, STORE_TRIES};
use crate::sender::Due;

/// What the deliveries of one page of such a publish need.
#[derive(Debug)]
pub(crate) struct Personal<'a> {
    template: &'a Template,
    values: HashMap<DeviceOrdinal, Values>,
}

impl<'a> Personal<'a> {
    /// Reads the values for a page; a store that fails is asked again. `None` if it fails for too long, or the node stops.
    pub(crate) async fn read(
        store: &Arc<dyn Store>,
        publish: &Publish,
        template: &'a Template,
        due: &[Due<'_>],
        stopping: &CancellationToken,
    ) -> Option<Self> {
        let devices: Vec<DeviceOrdinal> = due.iter().map(|due| due.recipient.device).collect();
        for _ in 0..STORE_TRIES {
            match store.user_values(publish.id, devices.clone()).await {
                Ok(values) => {
                    let values = values.into_iter().collect();
                    return Some(Self { template, values });
                }
                Err(error) => {
                    tracing::warn!(publish = %publish.id, %error, "users' values could not be read, trying again");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(STORE_RETRY) => {}
                () = stopping.cancelled() => return None,
            }
        }
        None
    }

    /// The payload for a device, or why there is none.
    pub(crate) fn render(
        &self,
        recipient: &Recipient,
        origin: &Origin,
    ) -> Result<Rendered, Reason> {
        let none = Values::default();
        let values = self.values.get(&recipient.device).unwrap_or(&none);
        let payloads = self.template.fill(values)?;
        let rendered = payloads.render(recipient.token.platform(), origin);
        rendered.ok_or(Reason::Borrowed("no_payload"))
    }
}
