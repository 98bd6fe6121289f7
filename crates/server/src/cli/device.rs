//! `heliostat device`: look devices up, test one, take one from its user, delete one.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use heliostat_client::{AdminClient, Method};
use serde_json::{Value, json};

use super::database::InstanceOption;
use super::failure::Failure;
use super::output::Output;
use super::place::{IfMissing, Paging, PlaceOptions, list, more, text};
use super::publish::read_payload;
use super::table::Table;

/// List, show, test, unbind and delete devices.
#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// List devices: all, a user's, or an interest's.
    List(List),
    /// Show a device with its interests.
    Show(Device),
    /// Send a device a test notification, and say what its gateway answers.
    Test(Test),
    /// Take a device from its user. It stays, and may be bound again.
    Unbind(Device),
    /// Delete a device.
    Delete(Device),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    instance: InstanceOption,
    /// Whose devices.
    #[arg(long, value_name = "USER_ID", conflicts_with = "interest")]
    user: Option<String>,
    /// Devices that are subscribed to this interest.
    #[arg(long, value_name = "NAME")]
    interest: Option<String>,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Device {
    #[command(flatten)]
    instance: InstanceOption,
    /// The device's id.
    #[arg(value_name = "DEVICE")]
    device: String,
    #[command(flatten)]
    place: PlaceOptions,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Test {
    #[command(flatten)]
    device: Device,
    /// A file with a payload as for a publish; `-` is standard input. A greeting without.
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,
}

impl DeviceCommand {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run().await,
            Self::Show(device) => device.show().await,
            Self::Test(test) => test.run().await,
            Self::Unbind(device) => device.unbind().await,
            Self::Delete(device) => device.delete().await,
        }
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let filter = [
            ("user", self.user.as_deref()),
            ("interest", self.interest.as_deref()),
        ];
        let path = format!("/instances/{}/devices", self.instance.id);
        let path = self.paging.path(&path, &filter);
        self.place
            .with(IfMissing::Refuse, async |place| {
                let answer = place.get(&path).await?;
                let table = device_table(list(&answer, "devices"));
                let said = format!("{table}{}", more(&answer));
                self.output.show(&answer, said)
            })
            .await
    }
}

/// Devices as a table.
pub(crate) fn device_table(devices: &[Value]) -> Table<5> {
    let mut table = Table::new(["DEVICE", "USER", "BOUND SINCE", "REGISTERED", "FIRST SEEN"]);
    for device in devices {
        let of = |key| text(device, key);
        table.row([
            of("id"),
            of("user"),
            of("boundAt"),
            of("registeredAt"),
            of("createdAt"),
        ]);
    }
    table
}

impl Device {
    fn path(&self) -> String {
        let device = AdminClient::escape(&self.device);
        format!("/instances/{}/devices/{device}", self.instance.id)
    }

    async fn show(self) -> Result<(), Failure> {
        self.place
            .with(IfMissing::Refuse, async |place| {
                let device = place.get(&self.path()).await?;
                let names: Vec<&str> = list(&device, "interests")
                    .iter()
                    .filter_map(Value::as_str)
                    .collect();
                let of = |key| text(&device, key);
                let said = format!(
                    "Device      {}\nUser        {}\nRegistered  {}\nFirst seen  {}\nMetadata    {}\nInterests   {}",
                    of("id"),
                    of("user"),
                    of("registeredAt"),
                    of("createdAt"),
                    of("metadata"),
                    names.join(" "),
                );
                self.output.show(&device, said)
            })
            .await
    }

    async fn unbind(self) -> Result<(), Failure> {
        self.place
            .with(IfMissing::Refuse, async |place| {
                let path = format!("{}/user", self.path());
                let done = place.call(Method::DELETE, &path, None).await?;
                let said = match done["unboundFrom"].as_str() {
                    Some(user) => format!("{} is not {user}'s any more.", self.device),
                    None => format!("{} was nobody's already.", self.device),
                };
                self.output.show(&done, said)
            })
            .await
    }

    async fn delete(self) -> Result<(), Failure> {
        self.place
            .with(IfMissing::Refuse, async |place| {
                let done = place.call(Method::DELETE, &self.path(), None).await?;
                self.output.show(&done, format!("Deleted {}.", self.device))
            })
            .await
    }
}

impl Test {
    async fn run(self) -> Result<(), Failure> {
        let mut body = json!({});
        if let Some(file) = &self.payload {
            let payload = read_payload(file)?;
            body["payload"] = serde_json::from_str(payload.get())
                .map_err(|error| Failure::new(format!("the payload is no JSON: {error}")))?;
        }
        let device = self.device;
        device
            .place
            .with(IfMissing::Refuse, async |place| {
                let path = format!("{}/test", device.path());
                let told = place.call(Method::POST, &path, Some(&body)).await?;
                let said = match told["reason"].as_str() {
                    None => text(&told, "outcome"),
                    Some(reason) => format!("{}: {reason}", text(&told, "outcome")),
                };
                device.output.show(&told, said)
            })
            .await
    }
}
