//! Everything that runs during the demo: the emulators and the server, on loopback, in a directory that goes away.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use domain::admin_token::{AdminTokenName, Scope};
use domain::clock::SystemClock;
use domain::credential::Credential;
use domain::instance::{InstanceId, InstanceName, SecretKey};
use domain::seal::MasterKey;
use emulator::{Emulators, Gateway};
use server::admin::actor::Actor;
use server::admin::credentials;
use server::admin::error::AdminError;
use server::admin::instances::{self, New};
use server::admin::links;
use server::admin::tokens;
use server::app::App;
use server::config::{Config, MASTER_KEY_VARIABLE, Overrides};

use super::place::Place;
use super::screen::Screen;
use super::watcher::Watcher;
use crate::cli::credential;
use crate::cli::failure::Failure;

/// Where the server listens if it can: what it would do if it were served.
const USUAL_PORT: u16 = 8080;

/// The running parts.
pub(super) struct Stage {
    pub(super) emulators: Emulators,
    pub(super) instance: Made,
    /// What signs a browser in to the dashboard, once.
    pub(super) link: String,
    /// What the dashboard is signed in to with later.
    pub(super) admin_token: String,
    app: App,
    // Dropped last.
    _place: Place,
}

impl Stage {
    /// Starts everything, and makes an instance with its credentials.
    pub(super) async fn set(listen: Option<SocketAddr>, screen: &Screen) -> Result<Self, Failure> {
        screen.step("The gateways, emulated on this machine, and the server")?;
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            Failure::new(format!("the demo's {what}: {error}"))
        };
        let place = Place::new().map_err(|error| failed("directory cannot be made", &error))?;
        let emulators =
            emulator::start(emulator::Config::local(place.path()), Arc::new(SystemClock))
                .await
                .map_err(|error| failed("gateways cannot start", &error))?;
        screen.fact("APNs", emulators.url(Gateway::Apns))?;
        screen.fact("FCM", emulators.url(Gateway::Fcm))?;
        screen.fact("Web Push", emulators.url(Gateway::WebPush))?;

        let config = config(&place, &emulators, listen.unwrap_or_else(usual_or_free))
            .map_err(|error| failed("configuration cannot be used", &error))?;
        server::telemetry::init(&config.log)
            .map_err(|error| failed("log cannot be set up", &error))?;
        let app = App::start(config)
            .await
            .map_err(|error| failed("server cannot start", &error))?;
        screen.fact("Heliostat", app.url())?;

        screen.step("An instance, with what its gateways want to see")?;
        let instance = make_instance(&app, &emulators, screen).await?;
        let (link, admin_token) = make_ways_in(&app).await?;
        Ok(Self {
            emulators,
            instance,
            link,
            admin_token,
            app,
            _place: place,
        })
    }

    /// The server's address.
    pub(super) fn server(&self) -> SocketAddr {
        self.app.local_addr()
    }

    /// The server's URL.
    pub(super) fn url(&self) -> String {
        self.app.url().to_owned()
    }

    /// Everything that arrives at the gateways from now on.
    pub(super) fn watch(&self) -> Watcher {
        Watcher::new(
            self.emulators.subscribe(),
            Arc::clone(self.app.store()),
            self.instance.id,
        )
    }

    /// Stops the server gracefully, then the gateways, and removes what was written.
    pub(super) async fn clear(self) {
        self.app.stop().await;
        self.emulators.stop().await;
    }
}

/// The configuration: nothing of this machine's environment, everything in the demo's own place.
fn config(
    place: &Place,
    emulators: &Emulators,
    listen: SocketAddr,
) -> Result<Config, server::config::ConfigError> {
    let master_key = MasterKey::random().to_base64();
    let environment = |name: &str| match name {
        MASTER_KEY_VARIABLE => Some(master_key.to_string()),
        // The demo shows itself what happens; the log is for what goes wrong.
        "HELIOSTAT_LOG_FILTER" => Some("warn".to_owned()),
        name => emulators.env_value(name).map(str::to_owned),
    };
    let overrides = Overrides {
        listen: Some(listen.to_string()),
        database: Some(format!(
            "sqlite:{}",
            place.path().join("heliostat.db").display()
        )),
        ..Overrides::default()
    };
    Config::load(None, &environment, overrides)
}

/// The usual port, so that what is printed looks as in the documentation; a free one if it is taken.
fn usual_or_free() -> SocketAddr {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, USUAL_PORT));
    match TcpListener::bind(usual) {
        Ok(_) => usual,
        Err(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    }
}

/// A link that signs a browser in, and the admin token for later.
async fn make_ways_in(app: &App) -> Result<(String, String), Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(format!("nobody can sign in to the demo: {error}"))
    };
    let (admin, actor) = (app.admin(), Actor::CommandLine);
    let name = AdminTokenName::parse("demo").map_err(|error| failed(&error))?;
    let link = links::create(admin, &actor, app.url(), name.clone(), Scope::FULL).await;
    let new = tokens::New {
        name,
        scope: Scope::FULL,
        expires_at: None,
    };
    let token = tokens::create(admin, &actor, new).await;
    match (link, token) {
        (Ok(link), Ok(created)) => Ok((link.url, created.token.to_string())),
        (Err(error), _) | (_, Err(error)) => Err(failed(&error)),
    }
}

/// The instance of the demo.
pub(super) struct Made {
    pub(super) id: InstanceId,
    pub(super) secret_key: SecretKey,
}

async fn make_instance(app: &App, emulators: &Emulators, screen: &Screen) -> Result<Made, Failure> {
    let name = InstanceName::parse("demo").map_err(|error| Failure::new(error.to_string()))?;
    let failed = |error: AdminError| Failure::new(error.to_string());
    let created = Made {
        id: InstanceId::random(),
        secret_key: SecretKey::random(),
    };
    let new = New {
        id: created.id,
        name,
        secret_key: created.secret_key.clone(),
    };
    instances::create(app.admin(), &Actor::CommandLine, new)
        .await
        .map_err(failed)?;
    screen.fact("instance", created.id)?;
    screen.fact("secret key", created.secret_key.reveal())?;

    let apple_id = |name| emulators.env_value(name).unwrap_or_default();
    let (key_id, team_id) = (apple_id("APNS_KEY_ID"), apple_id("APNS_TEAM_ID"));
    let credentials: [Credential; 2] = [
        credential::read_apns(emulators.apns_key_file(), key_id, team_id)?,
        credential::read_fcm(emulators.service_account_file())?,
    ];
    for credential in &credentials {
        credentials::set(app.admin(), &Actor::CommandLine, created.id, credential)
            .await
            .map_err(failed)?;
        screen.fact(
            &format!("{} credential", credential.platform()),
            credential.summary(),
        )?;
    }
    screen.fact(
        "web credential",
        "a VAPID key of its own, made with the instance",
    )?;
    Ok(created)
}
