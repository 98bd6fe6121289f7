//! `heliostat audit-log`: who did what.

use clap::Args;
use domain::instance::InstanceId;

use super::failure::Failure;
use super::output::Output;
use super::place::{IfMissing, Paging, PlaceOptions, list, more, text};
use super::table::Table;

/// Show who did what, the newest first.
#[derive(Debug, Args)]
pub(crate) struct AuditLog {
    /// Only what was done in this instance.
    #[arg(long, value_name = "ID")]
    instance: Option<InstanceId>,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    output: Output,
}

impl AuditLog {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let path = match self.instance {
            Some(instance) => format!("/instances/{instance}/audit-log"),
            None => "/audit-log".to_owned(),
        };
        let path = self.paging.path(&path, &[]);
        self.place
            .with(IfMissing::Refuse, async |place| {
                let answer = place.get(&path).await?;
                let mut table = Table::new(["AT", "WHO", "DID", "TO", "INSTANCE", "OUTCOME"]);
                for entry in list(&answer, "entries") {
                    let of = |key| text(entry, key);
                    let who = match entry["tokenName"].as_str() {
                        Some(name) => format!("{} ({name})", of("actor")),
                        None => of("actor"),
                    };
                    let to = [of("subject"), of("user")].join(" ");
                    let outcome = [of("outcome"), of("reason")].join(" ");
                    table.row([
                        of("at"),
                        who,
                        of("action"),
                        to.trim().to_owned(),
                        of("instance"),
                        outcome.trim().to_owned(),
                    ]);
                }
                self.output
                    .show(&answer, format!("{table}{}", more(&answer)))
            })
            .await
    }
}
