//! Settings: which source wins, what is refused and how it says so, and the master key's file.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use server::config::{
    Config, ConfigError, DEFAULTS, Database, LogFormat, MasterKeySource, Overrides,
};

fn load(
    file: Option<&Path>,
    env: &[(&str, &str)],
    overrides: Overrides,
) -> Result<Config, ConfigError> {
    let env = |name: &str| {
        env.iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    };
    Config::load(file, &env, overrides)
}

/// What is wrong, in one line.
#[track_caller]
fn complaint(env: &[(&str, &str)]) -> String {
    let line = load(None, env, Overrides::default())
        .unwrap_err()
        .to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn the_defaults_are_a_configuration() {
    let config = load(None, &[], Overrides::default()).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(
        config.database,
        Database::Sqlite(PathBuf::from("./heliostat.db"))
    );
    assert!(
        matches!(config.master_key_source, MasterKeySource::File(path) if path == Path::new("./heliostat.db.key"))
    );
    assert_eq!(
        config.outbound.apns_url.as_str(),
        "https://api.push.apple.com/"
    );
    assert_eq!(config.log.format, LogFormat::Auto);
    assert_eq!(
        (config.public_url, config.tls, config.worker_threads),
        (None, None, None)
    );
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file_and_that_over_the_defaults() {
    let file =
        file("listen = \"127.0.0.1:1\"\n[log]\nfilter = \"warn\"\n[limits]\nconnections_max = 7\n");
    let env = [
        ("HELIOSTAT_LISTEN", "127.0.0.1:2"),
        ("HELIOSTAT_LOG_FILTER", "debug"),
        ("HELIOSTAT_DATABASE", ""),
    ];
    let overrides = Overrides {
        listen: Some("127.0.0.1:3".into()),
        others: vec![("limits.http2_streams_max".into(), "9".into())],
        ..Overrides::default()
    };
    let config = load(Some(file.path()), &env, overrides).unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.log.filter, "debug");
    assert_eq!(
        (
            config.limits.connections_max,
            config.limits.http2_streams_max
        ),
        (7, 9)
    );
    assert_eq!(config.limits.request_timeout, Duration::from_secs(30));
}

#[test]
fn the_defaults_of_delivery_and_gateways_are_those_of_their_crates() {
    let config = load(None, &[], Overrides::default()).unwrap();
    let delivery = delivery::runner::Settings {
        // A node alone on its database need not leave others time to come back.
        lease: Duration::from_secs(30),
        ..delivery::runner::Settings::default()
    };
    assert_eq!(format!("{:?}", config.delivery), format!("{delivery:?}"));
    let gateway = gateway::Config::default();
    assert_eq!(config.outbound.request_timeout, gateway.request_timeout);
    assert_eq!(config.outbound.connect_timeout, gateway.connect_timeout);
    assert_eq!(
        config.outbound.connections_per_host_max,
        gateway.connections_per_host_max
    );
    assert_eq!(
        config.outbound.in_flight_per_connection_max,
        gateway.in_flight_per_connection_max
    );
}

#[test]
fn every_default_is_documented_and_can_be_written_to_a_file() {
    let file = file(DEFAULTS);
    load(Some(file.path()), &[], Overrides::default()).unwrap();
    let sections = DEFAULTS.lines().filter(|line| line.starts_with('['));
    assert!(sections.count() > 5);
}

#[test]
fn unknown_keys_and_wrong_types_are_named() {
    for (text, named) in [
        ("listn = \"x\"", "`listn`"),
        ("[limits]\nconections_max = 1", "`limits.conections_max`"),
        ("[delivry]\nx = 1", "`delivry`"),
        ("listen = 7", "`listen` must be a text"),
        (
            "[limits]\nconnections_max = \"many\"",
            "`limits.connections_max` must be a whole number",
        ),
        ("limits = 1", "`limits` must be a section"),
        (
            "[outbound]\nallow = \"x\"",
            "`outbound.allow` must be a list",
        ),
        ("[outbound]\nallow = [1]", "allow"),
        ("listen = ", "no TOML"),
    ] {
        let file = file(text);
        let line = load(Some(file.path()), &[], Overrides::default())
            .unwrap_err()
            .to_string();
        assert!(line.contains(named) && !line.contains('\n'), "{line}");
    }
    let missing = Path::new("/nowhere/heliostat.toml");
    let line = load(Some(missing), &[], Overrides::default())
        .unwrap_err()
        .to_string();
    assert!(line.contains("/nowhere/heliostat.toml"), "{line}");
    let overrides = Overrides {
        others: vec![("limits.nothing".into(), "1".into())],
        ..Overrides::default()
    };
    let line = load(None, &[], overrides).unwrap_err().to_string();
    assert!(line.contains("`limits.nothing`"), "{line}");
}

/// A variable, a value that breaks its rule, and what the complaint names.
const WRONG_VALUES: &[(&str, &str, &str)] = &[
    ("HELIOSTAT_LISTEN", "localhost", "`listen`"),
    ("HELIOSTAT_DATABASE", "heliostat.db", "`database`"),
    ("HELIOSTAT_DATABASE", "postgres://", "`database`"),
    (
        "HELIOSTAT_DATABASE",
        "postgres://u:secret@x/y?sslmode=maybe",
        "sslmode must be",
    ),
    (
        "HELIOSTAT_POSTGRES_CONNECTIONS_MAX",
        "0",
        "`postgres.connections_max`",
    ),
    (
        "HELIOSTAT_POSTGRES_LOCK_TIMEOUT_MS",
        "-1",
        "`postgres.lock_timeout_ms`",
    ),
    ("HELIOSTAT_PUBLIC_URL", "push.example.com", "`public_url`"),
    (
        "HELIOSTAT_PUBLIC_URL",
        "https://u:p@push.example.com",
        "`public_url`",
    ),
    ("HELIOSTAT_APNS_URL", "ftp://x", "`apns.url`"),
    ("HELIOSTAT_FCM_URL", "x", "`fcm.url`"),
    (
        "HELIOSTAT_FCM_DELIVERIES_PER_MINUTE_MAX",
        "-1",
        "`fcm.deliveries_per_minute_max`",
    ),
    ("HELIOSTAT_WORKER_THREADS", "many", "`worker_threads`"),
    ("HELIOSTAT_WORKER_THREADS", "-1", "`worker_threads`"),
    (
        "HELIOSTAT_OUTBOUND_ALLOW",
        "127.0.0.1/8, x",
        "`outbound.allow`",
    ),
    (
        "HELIOSTAT_OUTBOUND_ALLOW_WEBHOOKS",
        "10.0.0.0/33",
        "`outbound.allow_webhooks`",
    ),
    ("HELIOSTAT_OUTBOUND_DENY", "10.0.0.1", "`outbound.deny`"),
    (
        "HELIOSTAT_OUTBOUND_CA_FILE",
        "/nowhere/ca.pem",
        "/nowhere/ca.pem",
    ),
    (
        "HELIOSTAT_WEB_PUSH_CONTACT",
        "me@example.com",
        "`web_push.contact`",
    ),
    (
        "HELIOSTAT_TLS_KEY_FILE",
        "key.pem",
        "`tls.certificate_file`",
    ),
    (
        "HELIOSTAT_TLS_CERTIFICATE_FILE",
        "cert.pem",
        "`tls.key_file`",
    ),
    (
        "HELIOSTAT_PROXIES_TRUSTED",
        "everybody",
        "`proxies.trusted`",
    ),
    ("HELIOSTAT_PROXIES_HEADER", "via", "`proxies.header`"),
    ("HELIOSTAT_METRICS_LISTEN", "9090", "`metrics.listen`"),
    (
        "HELIOSTAT_ACME_NAMES",
        "push.example.com",
        "`acme.terms_agreed`",
    ),
    (
        "HELIOSTAT_LIMITS_CONNECTIONS_MAX",
        "0",
        "`limits.connections_max`",
    ),
    (
        "HELIOSTAT_LIMITS_REQUEST_TIMEOUT_SECS",
        "0",
        "`limits.request_timeout_secs`",
    ),
    (
        "HELIOSTAT_RETENTION_PUBLISHES_DAYS",
        "0",
        "`retention.publishes_days`",
    ),
    (
        "HELIOSTAT_DELIVERY_LEASE_SECS",
        "0",
        "`delivery.lease_secs`",
    ),
    ("HELIOSTAT_LOG_FORMAT", "xml", "`log.format`"),
    ("HELIOSTAT_LOG_FILTER", "a=b=c", "`log.filter`"),
    ("HELIOSTAT_MASTER_KEY", "too short", "HELIOSTAT_MASTER_KEY"),
    (
        "HELIOSTAT_TRACES_ENDPOINT",
        "localhost:4318",
        "`traces.endpoint`",
    ),
    (
        "HELIOSTAT_TRACES_ENDPOINT",
        "https://me:pass@collector/v1/traces",
        "`traces.endpoint`",
    ),
    ("HELIOSTAT_TRACES_HEADERS", "secret", "`traces.headers`"),
    (
        "HELIOSTAT_TRACES_SAMPLE_RATIO",
        "1.5",
        "`traces.sample_ratio`",
    ),
    (
        "HELIOSTAT_TRACES_SAMPLE_RATIO",
        "NaN",
        "`traces.sample_ratio`",
    ),
    ("HELIOSTAT_TRACES_SAMPLE_RATIO", "some", "a number"),
    (
        "HELIOSTAT_TRACES_SERVICE_NAME",
        " ",
        "`traces.service_name`",
    ),
    ("HELIOSTAT_TRACES_QUEUE_MAX", "0", "`traces.queue_max`"),
];

#[test]
fn values_that_break_a_rule_are_named() {
    for (name, value, named) in WRONG_VALUES {
        let line = complaint(&[(name, value)]);
        assert!(line.contains(named), "{name}={value}: {line}");
    }
}

#[test]
fn traces_are_off_until_there_is_somewhere_to_send_them() {
    let header = (
        "HELIOSTAT_TRACES_HEADERS",
        "authorization=Bearer s3cret,x-a=b=c",
    );
    let config = load(None, &[header], Overrides::default()).unwrap();
    assert_eq!(config.traces, None);
    let endpoint = (
        "HELIOSTAT_TRACES_ENDPOINT",
        "http://127.0.0.1:4318/v1/traces",
    );
    let config = load(None, &[header, endpoint], Overrides::default()).unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
    let traces = config.traces.unwrap();
    assert_eq!(traces.headers["authorization"], "Bearer s3cret");
    assert_eq!(traces.headers["x-a"], "b=c");
    // A whole number is a number too.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("heliostat.toml");
    let text = "[traces]\nsample_ratio = 1\nendpoint = \"http://127.0.0.1:4318/v1/traces\"";
    std::fs::write(&file, text).unwrap();
    let config = load(Some(&file), &[], Overrides::default()).unwrap();
    assert!((config.traces.unwrap().sample_ratio - 1.0).abs() < f64::EPSILON);
    let line = complaint(&[("HELIOSTAT_TRACES_HEADERS", "a b=s3cret")]);
    assert!(line.contains("`traces.headers`") && !line.contains("s3cret"));
}

#[test]
fn a_master_key_is_never_shown() {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let config = load(None, &[("HELIOSTAT_MASTER_KEY", key)], Overrides::default()).unwrap();
    let expected = domain::seal::Keyring::from_base64(key).unwrap();
    assert_eq!(config.master_keys().unwrap().ids(), expected.ids());
    assert!(!format!("{config:?}").contains("AAEC"));
    let line = complaint(&[("HELIOSTAT_MASTER_KEY", "c2VjcmV0")]);
    assert!(!line.contains("c2VjcmV0"), "{line}");
}

fn with_database(folder: &Path) -> Config {
    let database = format!("sqlite:{}", folder.join("h.db").display());
    load(
        None,
        &[("HELIOSTAT_DATABASE", &database)],
        Overrides::default(),
    )
    .unwrap()
}

#[test]
fn a_master_key_is_made_once_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let config = with_database(folder.path());
    let keys: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| config.master_keys().unwrap()))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(keys.iter().all(|key| key.ids() == keys[0].ids()));
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["h.db.key"]);
    let mode = std::fs::metadata(folder.path().join("h.db.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_master_key_that_others_can_read_or_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = with_database(folder.path());
    config.master_keys().unwrap();
    let path = folder.path().join("h.db.key");
    for mode in [0o644, 0o604, 0o660, 0o666] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        assert!(
            matches!(config.master_keys(), Err(ConfigError::MasterKeyOpen { .. })),
            "{mode:o}"
        );
    }
    for mode in [0o400, 0o600, 0o640] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        config.master_keys().unwrap();
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, "no key").unwrap();
    assert!(matches!(
        config.master_keys(),
        Err(ConfigError::MasterKey { .. })
    ));
}

#[test]
fn no_new_master_key_is_made_beside_an_old_database() {
    let folder = tempfile::tempdir().unwrap();
    let config = with_database(folder.path());
    std::fs::write(folder.path().join("h.db"), "").unwrap();
    assert!(matches!(
        config.master_keys(),
        Err(ConfigError::MasterKeyLost { .. })
    ));
    assert!(!folder.path().join("h.db.key").exists());
}

#[test]
fn the_key_of_a_shared_database_is_missed_by_who_needs_it() {
    let env = [("HELIOSTAT_DATABASE", "postgres://x/y")];
    let config = load(None, &env, Overrides::default()).unwrap();
    assert!(config.present_master_key().unwrap().is_none());
    let line = config.master_keys().unwrap_err().to_string();
    assert!(
        line.contains("HELIOSTAT_MASTER_KEY") && line.contains("`master_key_file`"),
        "{line}"
    );
}

#[test]
fn a_certificate_is_ordered_for_names_that_can_be_answered_at() {
    let with = |names: &str, more: &[(&str, &str)]| {
        let mut settings = vec![("HELIOSTAT_ACME_NAMES", names)];
        settings.push(("HELIOSTAT_ACME_TERMS_AGREED", "true"));
        settings.extend(more);
        load(None, &settings, Overrides::default())
    };
    assert!(with("push.example.com, Other.Example.COM", &[]).is_ok());
    for name in [
        "*.example.com",
        "localhost",
        "192.0.2.1",
        "a..b",
        "a b.c",
        "https://a.b",
    ] {
        let error = with(name, &[]).unwrap_err().to_string();
        assert!(error.contains("`acme.names`"), "{name}: {error}");
    }
    for (key, value, named) in [
        ("HELIOSTAT_ACME_CONTACT", "me@example.com", "`acme.contact`"),
        (
            "HELIOSTAT_ACME_DIRECTORY_URL",
            "http://ca.example",
            "`acme.directory_url`",
        ),
        ("HELIOSTAT_ACME_FOLDER", " ", "`acme.folder`"),
    ] {
        let error = with("push.example.com", &[(key, value)]).unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
    }
    let files = [
        ("HELIOSTAT_TLS_CERTIFICATE_FILE", "cert.pem"),
        ("HELIOSTAT_TLS_KEY_FILE", "key.pem"),
    ];
    let error = with("push.example.com", &files).unwrap_err();
    assert!(error.to_string().contains("one of the two"), "{error}");
}
