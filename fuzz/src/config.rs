//! A file of settings, the environment, and flags: either one clear line of what is wrong, or settings within their bounds; and
//! neither shows a key or a password.

use std::fmt::Debug;

use server::config::{Config, ConfigError, Overrides, Tls};

use crate::verdict::Verdict;

const SECRET: &str = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=";
/// What stands in every password that this target makes, and nowhere else unless an input has it of itself.
const PASSWORD: &str = "Pa55w0rd";

/// Checks the text of a file; behind a NUL the environment as lines of `NAME=value`; and behind another, if there is one, what
/// stands in a database's URL around the password, as lines: the user, how the password begins, and what is behind it.
///
/// # Panics
/// If an invariant does not hold.
pub fn check(data: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(data) else {
        return Verdict::UNREAD;
    };
    let (file, behind) = text.split_once('\0').unwrap_or((text, ""));
    let (environment, around) = match behind.split_once('\0') {
        Some((environment, around)) => (environment, database(around)),
        None => (behind, None),
    };
    let env = |name: &str| {
        // Files that the settings name are not to be read here.
        if name == "HELIOSTAT_MASTER_KEY" {
            return Some(SECRET.to_owned());
        }
        let mut lines = environment.lines();
        lines.find_map(|line| {
            line.strip_prefix(name)?
                .strip_prefix('=')
                .map(str::to_owned)
        })
    };
    let overrides = || Overrides {
        database: around.clone(),
        others: vec![("outbound.ca_file".into(), String::new())],
        ..Overrides::default()
    };
    // An input may have it in a place that is shown, such as the name of a host.
    let is_ours = around.is_some() && !text.contains(PASSWORD);
    match Config::of_text(file, &env, overrides()) {
        Err(error) => {
            refused(
                &error,
                is_ours || matches!(error, ConfigError::Syntax { .. }),
            );
            Verdict::REFUSED
        }
        Ok(config) => {
            let shown = hides(&config, is_ours);
            hides(&config.database.to_string(), is_ours);
            bounded(&config);
            let again = Config::of_text(file, &env, overrides()).expect("the same again");
            assert_eq!(shown, format!("{again:?}"));
            Verdict::TAKEN
        }
    }
}

/// A URL whose password has ours in it, whatever else it is written with. `None` where that would not be its password.
fn database(around: &str) -> Option<String> {
    let mut lines = around.splitn(3, '\n');
    let (user, before, behind) = (lines.next()?, lines.next()?, lines.next()?);
    let is_password = !user.contains(['@', ':']) && !before.contains('@') && behind.contains('@');
    is_password.then(|| format!("postgres://{user}:{before}{PASSWORD}{behind}"))
}

fn refused(error: &ConfigError, hides_password: bool) {
    let line = error.to_string();
    assert!(
        !line.is_empty() && !line.contains(char::is_control),
        "one line: {line:?}"
    );
    assert!(!line.contains(SECRET), "{line}");
    assert!(!hides_password || !line.contains(PASSWORD), "{line}");
    hides(error, hides_password);
}

fn hides(what: &impl Debug, hides_password: bool) -> String {
    let shown = format!("{what:?}");
    assert!(!shown.contains(SECRET) && !shown.contains("secretsecret"));
    assert!(!hides_password || !shown.contains(PASSWORD), "{shown}");
    shown
}

/// The bounds that the program could not run without, and those that the file of defaults names.
fn bounded(config: &Config) {
    assert!(config.limits.connections_max >= 1);
    assert!(config.limits.header_bytes_max >= 8192);
    assert!((8..=120).contains(&config.limits.json_depth_max));
    assert!(config.limits.url_bytes_max >= 2048);
    assert!(!config.limits.request_timeout.is_zero());
    assert!(!config.outbound.connect_timeout.is_zero());
    assert!(!config.outbound.webhook_timeout.is_zero());
    assert!(config.delivery.page_length >= 1);
    assert!(config.delivery.webhooks.waiting_max >= 1);
    assert!(!config.delivery.lease.is_zero());
    let keep = &config.delivery.keep;
    for kept in [keep.publishes, keep.payloads, keep.names, keep.events] {
        assert!(kept.as_secs() >= 24 * 60 * 60);
    }
    assert!(config.postgres.connections_max >= 1 && config.postgres.queue_length >= 1);
    assert!(!config.postgres.statement_timeout.is_zero());
    assert!(config.roles.api || config.roles.worker);
    assert_eq!(config.roles.worker, config.delivery.is_worker);
    if let Some(traces) = &config.traces {
        assert!((0.0..=1.0).contains(&traces.sample_ratio) && traces.queue_max >= 1);
        assert!(traces.endpoint.password().is_none() && traces.endpoint.has_host());
    }
    if let Some(Tls::Acme(acme)) = &config.tls {
        assert!(!acme.names.is_empty() && acme.directory.scheme() == "https");
        for name in &acme.names {
            assert_eq!(*name, name.to_ascii_lowercase());
            assert!(name.contains('.') && !name.contains('*'));
        }
    }
}
