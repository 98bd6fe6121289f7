//! Puts the sources of settings on top of each other, as TOML, and finds keys that do not exist and values of the wrong
//! type. It knows the shape of the default file and nothing of what a setting means.

use std::path::Path;

use toml::{Table, Value};

use super::{ConfigError, DEFAULTS, Overrides};

const FILE_LENGTH_MAX: u64 = 1024 * 1024;
/// How much is shown of a key that does not exist, in characters.
const SHOWN_KEY_LENGTH_MAX: usize = 80;

/// The defaults with the file, the environment and the flags on top.
pub(super) fn merge(
    file: Option<&Path>,
    env: &dyn Fn(&str) -> Option<String>,
    overrides: Overrides,
) -> Result<Table, ConfigError> {
    let mut merged: Table = DEFAULTS
        .parse()
        .map_err(|error: toml::de::Error| ConfigError::Defaults(one_line(DEFAULTS, &error)))?;
    if let Some(path) = file {
        let origin = path.display().to_string();
        lay_table(&mut merged, read(path)?, "", &origin)?;
    }
    lay_others(merged, env, overrides)
}

/// [`merge`] with the text of a file instead of the file.
#[cfg(feature = "fuzzing")]
pub(super) fn merge_text(
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
    overrides: Overrides,
) -> Result<Table, ConfigError> {
    let mut merged: Table = DEFAULTS
        .parse()
        .map_err(|error: toml::de::Error| ConfigError::Defaults(one_line(DEFAULTS, &error)))?;
    lay_table(&mut merged, parse(Path::new("text"), text)?, "", "text")?;
    lay_others(merged, env, overrides)
}

/// The environment and the flags on top of what there is.
fn lay_others(
    mut merged: Table,
    env: &dyn Fn(&str) -> Option<String>,
    overrides: Overrides,
) -> Result<Table, ConfigError> {
    lay_environment(&mut merged, "", env)?;
    let Overrides {
        listen,
        database,
        public_url,
        roles,
        log_filter,
        others,
    } = overrides;
    let named = [
        ("listen", listen),
        ("database", database),
        ("public_url", public_url),
        ("roles", roles),
        ("log.filter", log_filter),
    ];
    let named = named
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    for (key, text) in named.chain(others) {
        lay_text(&mut merged, &key, &text)?;
    }
    Ok(merged)
}

fn read(path: &Path) -> Result<Table, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        what: "the configuration file",
        path: path.to_owned(),
        source,
    };
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > FILE_LENGTH_MAX {
        return Err(unreadable(std::io::Error::other("it is over 1 MiB")));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Table, ConfigError> {
    text.parse()
        .map_err(|error: toml::de::Error| ConfigError::Syntax {
            path: path.to_owned(),
            message: one_line(text, &error),
        })
}

/// Where in the text, and what. The library would show the line, and a password may stand in it.
fn one_line(text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    let what = in_one_line(error.message());
    format!("line {line}, column {column}: {what}")
}

/// What a library says, which may be several lines.
pub(super) fn in_one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace(char::is_control, "")
}

/// A key that does not exist, as far as it belongs into one line: whoever wrote it may have put anything between quotes.
fn unknown(origin: &str, key: &str) -> ConfigError {
    let mut shown: String = key
        .chars()
        .take(SHOWN_KEY_LENGTH_MAX)
        .flat_map(char::escape_debug)
        .collect();
    if key.chars().nth(SHOWN_KEY_LENGTH_MAX).is_some() {
        shown.push('…');
    }
    ConfigError::UnknownKey {
        origin: origin.to_owned(),
        key: shown,
    }
}

fn lay_table(onto: &mut Table, from: Table, prefix: &str, origin: &str) -> Result<(), ConfigError> {
    for (name, value) in from {
        let key = format!("{prefix}{name}");
        match (onto.get_mut(&name), value) {
            (None, _) => {
                return Err(unknown(origin, &key));
            }
            (Some(Value::Table(inner)), Value::Table(value)) => {
                lay_table(inner, value, &format!("{key}."), origin)?;
            }
            (Some(present), value) if fits(present, &value) => *present = value,
            (Some(present), _) => {
                return Err(ConfigError::WrongType {
                    origin: origin.to_owned(),
                    key,
                    wanted: wanted(present),
                });
            }
        }
    }
    Ok(())
}

/// Whether a value may stand in place of the present one. All lists are lists of texts.
fn fits(present: &Value, value: &Value) -> bool {
    let texts = value
        .as_array()
        .is_none_or(|entries| entries.iter().all(Value::is_str));
    let is_number = present.is_float() && value.is_integer();
    (present.same_type(value) || is_number) && texts
}

fn lay_environment(
    onto: &mut Table,
    prefix: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(), ConfigError> {
    for (name, present) in onto.iter_mut() {
        let key = format!("{prefix}{name}");
        if let Value::Table(inner) = present {
            lay_environment(inner, &format!("{key}."), env)?;
            continue;
        }
        let variable = variable(&key);
        if let Some(text) = env(&variable).filter(|text| !text.is_empty()) {
            *present = from_text(present, &text).ok_or(ConfigError::WrongType {
                origin: variable,
                key,
                wanted: wanted(present),
            })?;
        }
    }
    Ok(())
}

/// The environment variable of a setting.
fn variable(key: &str) -> String {
    format!("HELIOSTAT_{}", key.replace('.', "_").to_uppercase())
}

fn lay_text(onto: &mut Table, key: &str, text: &str) -> Result<(), ConfigError> {
    let origin = "the command line";
    let unknown = || unknown(origin, key);
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let table = if section.is_empty() {
        onto
    } else {
        onto.get_mut(section)
            .and_then(Value::as_table_mut)
            .ok_or_else(unknown)?
    };
    let present = table.get_mut(name).ok_or_else(unknown)?;
    *present = from_text(present, text).ok_or_else(|| ConfigError::WrongType {
        origin: origin.to_owned(),
        key: key.to_owned(),
        wanted: wanted(present),
    })?;
    Ok(())
}

/// Reads text as a value of the same type as `like`.
fn from_text(like: &Value, text: &str) -> Option<Value> {
    match like {
        Value::String(_) => Some(Value::String(text.to_owned())),
        Value::Integer(_) => text.trim().parse().ok().map(Value::Integer),
        Value::Boolean(_) => text.trim().parse().ok().map(Value::Boolean),
        Value::Array(_) => {
            let entries = text
                .split(',')
                .map(str::trim)
                .filter(|entry| !entry.is_empty());
            Some(Value::Array(
                entries
                    .map(|entry| Value::String(entry.to_owned()))
                    .collect(),
            ))
        }
        Value::Float(_) => text.trim().parse().ok().map(Value::Float),
        Value::Datetime(_) | Value::Table(_) => None,
    }
}

fn wanted(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Boolean(_) => "true or false",
        Value::Array(_) => "a list of texts",
        Value::Table(_) => "a section",
        Value::Float(_) => "a number",
        Value::Datetime(_) => "of another type",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_one_line_without_the_text_of_the_file() {
        let refused = |text: &str| {
            let mut merged = DEFAULTS.parse().unwrap();
            let parsed = parse(Path::new("x.toml"), text);
            let error = parsed.and_then(|table| lay_table(&mut merged, table, "", "x.toml"));
            error.unwrap_err().to_string()
        };
        for (text, wanted) in [
            (
                "\"a\\nb\" = 1",
                r"x.toml: there is no setting `a\nb`".to_owned(),
            ),
            (
                "[limits]\n\"\u{2028}\\u001b\" = 1",
                r"x.toml: there is no setting `limits.\u{2028}\u{1b}`".to_owned(),
            ),
            (
                &format!("{} = 1", "k".repeat(5000)),
                format!("x.toml: there is no setting `{}…`", "k".repeat(80)),
            ),
        ] {
            assert_eq!(refused(text), wanted);
        }
        let open = "listen = \"\"\ndatabase = \"postgres://app:5ec2e7@db/push\n";
        let why = refused(open);
        assert!(
            why.starts_with("x.toml is no TOML: line 2, column "),
            "{why}"
        );
        assert!(!why.contains("5ec2e7") && !why.contains('\n'), "{why}");
        assert!(
            lay_text(&mut DEFAULTS.parse().unwrap(), "a\nb", "1")
                .is_err_and(|error| !error.to_string().contains('\n'))
        );
    }

    #[test]
    fn every_variable_has_one_setting() {
        fn walk(table: &Table, prefix: &str, seen: &mut Vec<String>) {
            for (name, value) in table {
                let key = format!("{prefix}{name}");
                match value {
                    Value::Table(inner) => walk(inner, &format!("{key}."), seen),
                    _ => seen.push(variable(&key)),
                }
            }
        }
        let mut seen = Vec::new();
        walk(&DEFAULTS.parse().unwrap(), "", &mut seen);
        let all = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), all);
        for fixed in [
            "HELIOSTAT_LISTEN",
            "HELIOSTAT_DATABASE",
            "HELIOSTAT_WORKER_THREADS",
            "HELIOSTAT_APNS_URL",
            "HELIOSTAT_APNS_SANDBOX_URL",
            "HELIOSTAT_FCM_URL",
            "HELIOSTAT_PUBLIC_URL",
            "HELIOSTAT_OUTBOUND_CA_FILE",
            "HELIOSTAT_OUTBOUND_ALLOW",
        ] {
            assert!(seen.iter().any(|name| name == fixed), "{fixed}");
        }
    }
}
