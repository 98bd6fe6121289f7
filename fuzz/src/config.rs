//! A file of settings, the environment, and flags: either one clear line of what is wrong, or settings within their bounds.

use server::config::{Config, Overrides};

const SECRET: &str = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=";

/// Checks the text of a file, and behind a NUL the environment as lines of `NAME=value`.
///
/// # Panics
/// If an invariant does not hold.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (file, environment) = text.split_once('\0').unwrap_or((text, ""));
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
        others: vec![("outbound.ca_file".into(), String::new())],
        ..Overrides::default()
    };
    match Config::of_text(file, &env, overrides()) {
        Err(error) => {
            let line = error.to_string();
            assert!(!line.is_empty() && !line.contains(SECRET), "{line}");
        }
        Ok(config) => {
            let shown = format!("{config:?}");
            assert!(!shown.contains(SECRET) && !shown.contains("secretsecret"));
            assert!(config.limits.connections_max >= 1);
            assert!(config.limits.header_bytes_max >= 8192);
            assert!(!config.limits.request_timeout.is_zero());
            assert!(!config.outbound.connect_timeout.is_zero());
            assert!(config.delivery.page_length >= 1);
            let again = Config::of_text(file, &env, overrides()).expect("the same again");
            assert_eq!(shown, format!("{again:?}"));
        }
    }
}
