//! Everything out of a file, and into one.

use async_trait::async_trait;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, ToSql, params, params_from_iter};
use uuid::Uuid;

use super::{SqliteStore, columns};
use crate::StoreError;
use crate::moving::{Begun, Cell, CellType, Counters, Kind, Moving, Place, Reached, Row, Rows};

/// Tables that are not moved: what they hold is of this file, or for a moment.
#[cfg(test)]
pub(super) const STAYING: &[&str] = &[
    "store",
    "moves",
    "device_counts",
    "nodes",
    "duties",
    "console",
    "trail",
    "sqlite_sequence",
];

/// How a kind of row stands in this schema.
struct Layout {
    /// What the rows are ordered by.
    key: &'static [&'static str],
    /// Where the instance of a row stands that has no such column itself: in the row `o` of this join.
    instance_from: Option<&'static str>,
    /// A column that has another name here.
    renamed: Option<(&'static str, &'static str)>,
    /// Rows that are not moved.
    except: &'static str,
}

fn layout(kind: Kind) -> Layout {
    const BY_PUBLISH: Option<&str> = Some("CROSS JOIN publishes o ON o.publish = t.publish");
    let (key, instance_from): (&[&str], _) = match kind {
        Kind::Instances => (&["instance"], None),
        Kind::SecretKeys => (&["secret_key"], None),
        Kind::Credentials => (&["instance", "platform"], None),
        Kind::Users => (&["user_number"], None),
        Kind::Devices => (&["device"], None),
        Kind::Interests => (&["interest"], None),
        Kind::Subscriptions => (
            &["interest", "device"],
            Some("CROSS JOIN interests o ON o.interest = t.interest"),
        ),
        Kind::Publishes => (&["publish"], None),
        Kind::Payloads | Kind::Scheduled | Kind::Emptied | Kind::PublishWebhooks => {
            (&["publish"], BY_PUBLISH)
        }
        Kind::Webhooks => (&["webhook"], None),
        Kind::WebhookRequests => (&["request"], None),
        Kind::Jobs => (&["job"], BY_PUBLISH),
        Kind::Retries => (&["retry"], BY_PUBLISH),
        Kind::Tallies => (&["publish", "platform", "outcome", "reason"], BY_PUBLISH),
        Kind::UserTallies => (&["publish", "user_number"], BY_PUBLISH),
        Kind::Failures => (&["publish", "device"], BY_PUBLISH),
        Kind::Events => (&["publish", "kind", "device"], BY_PUBLISH),
        Kind::EventHours => (&["instance", "hour", "platform", "kind"], None),
        Kind::EventDays => (&["instance", "day", "platform", "kind"], None),
        Kind::RequestKeys => (&["instance", "key"], None),
        Kind::Lists => (&["list"], None),
        Kind::Listed => (&["list", "place"], None),
        Kind::ProviderTokens => (&["name"], None),
        Kind::AdminTokens => (&["token"], None),
        Kind::Audit => (&["entry"], None),
    };
    Layout {
        key,
        instance_from,
        renamed: match kind {
            Kind::Failures | Kind::Listed | Kind::Audit => Some(("user_id", "user")),
            _ => None,
        },
        except: match kind {
            Kind::Instances => "t.deleted = 0",
            _ => "TRUE",
        },
    }
}

impl Layout {
    /// What a column is called here.
    fn own<'a>(&self, column: &'a str) -> &'a str {
        match self.renamed {
            Some((name, own)) if name == column => own,
            _ => column,
        }
    }

    /// Whether the column stands in the table itself.
    fn has(&self, column: &str) -> bool {
        self.instance_from.is_none() || column != "instance"
    }
}

#[async_trait]
impl Moving for SqliteStore {
    async fn identity(&self) -> Result<Uuid, StoreError> {
        self.readers.run(identity).await
    }

    async fn count_rows(&self, kind: Kind) -> Result<u64, StoreError> {
        self.readers
            .run(move |c| {
                let layout = layout(kind);
                let sql = format!(
                    "SELECT count(*) FROM {} t WHERE {}",
                    kind.as_str(),
                    layout.except
                );
                columns::count(c.query_row(&sql, [], |row| row.get(0))?)
            })
            .await
    }

    async fn read_rows(
        &self,
        kind: Kind,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Rows, StoreError> {
        self.readers
            .run(move |c| read(c, kind, after.as_ref(), limit))
            .await
    }

    async fn begin_move(&self, from: Uuid) -> Result<Begun, StoreError> {
        self.writer.run(move |c| begin(c, from)).await
    }

    async fn write_rows(&self, rows: Vec<Row>, reached: Reached) -> Result<(), StoreError> {
        self.writer.run(move |c| write(c, &rows, &reached)).await
    }

    async fn counters(&self) -> Result<Counters, StoreError> {
        self.readers.run(counters).await
    }

    async fn end_move(&self, counters: Counters) -> Result<(), StoreError> {
        self.writer.run(move |c| end(c, &counters)).await
    }
}

fn identity(connection: &Connection) -> Result<Uuid, StoreError> {
    let bytes: [u8; 16] = connection
        .prepare_cached("SELECT identity FROM store WHERE only = 1")?
        .query_row([], |row| row.get(0))?;
    Ok(Uuid::from_bytes(bytes))
}

/// Which database this one is being filled from.
fn filled_from(connection: &Connection) -> Result<Option<Uuid>, StoreError> {
    let bytes: Option<[u8; 16]> = connection
        .prepare_cached("SELECT filled_from FROM store WHERE only = 1")?
        .query_row([], |row| row.get(0))?;
    Ok(bytes.map(Uuid::from_bytes))
}

pub(super) fn is_being_filled(connection: &Connection) -> Result<bool, StoreError> {
    Ok(filled_from(connection)?.is_some())
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(Value::Null),
            Self::Int(number) => ToSqlOutput::Owned(Value::Integer(*number)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}

fn cell(value: ValueRef<'_>, wanted: CellType) -> Result<Cell, StoreError> {
    Ok(match (value, wanted) {
        (ValueRef::Null, _) => Cell::Null,
        (ValueRef::Integer(number), CellType::Int) => Cell::Int(number),
        (ValueRef::Text(_), CellType::Text) => Cell::Text(value.as_str()?.to_owned()),
        (ValueRef::Blob(bytes), CellType::Bytes | CellType::Uuid) => Cell::Bytes(bytes.to_vec()),
        (other, _) => {
            return Err(StoreError::Corrupt(format!(
                "a {} where there should be none",
                other.data_type()
            )));
        }
    })
}

/// In the order of the table's key: costs the limit, wherever it is.
pub(super) fn reading(kind: Kind, is_first: bool) -> String {
    let layout = layout(kind);
    let columns: Vec<_> = kind
        .columns()
        .iter()
        .map(|(column, _)| {
            if layout.has(column) {
                format!("t.{}", layout.own(column))
            } else {
                format!("o.{column}")
            }
        })
        .collect();
    let key: Vec<_> = layout
        .key
        .iter()
        .map(|column| format!("t.{column}"))
        .collect();
    let behind = if is_first {
        String::new()
    } else {
        let places: Vec<_> = (0..key.len())
            .map(|place| format!("?{}", place + 2))
            .collect();
        format!("AND ({}) > ({})", key.join(", "), places.join(", "))
    };
    format!(
        "SELECT {} FROM {} t {} WHERE {} {behind} ORDER BY {} LIMIT ?1",
        columns.join(", "),
        kind.as_str(),
        layout.instance_from.unwrap_or_default(),
        layout.except,
        key.join(", ")
    )
}

fn read(
    connection: &Connection,
    kind: Kind,
    after: Option<&Place>,
    limit: usize,
) -> Result<Rows, StoreError> {
    let layout = layout(kind);
    let mut given = vec![Cell::Int(columns::limit(limit))];
    given.extend(after.into_iter().flat_map(|place| place.0.clone()));
    let mut statement = connection.prepare_cached(&reading(kind, after.is_none()))?;
    let mut found = statement.query(params_from_iter(given))?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let cells = kind.columns().iter().enumerate();
        let cells: Result<Row, StoreError> = cells
            .map(|(place, (_, wanted))| cell(row.get_ref(place)?, *wanted))
            .collect();
        rows.push(cells?);
    }
    let last = rows.last().filter(|_| rows.len() == limit);
    let next = last.map(|row| {
        let key = layout.key.iter();
        Place(key.filter_map(|column| at(kind, row, column)).collect())
    });
    Ok(Rows { rows, next })
}

/// What stands in a column of a row.
fn at(kind: Kind, row: &Row, column: &str) -> Option<Cell> {
    let place = kind
        .columns()
        .iter()
        .position(|(name, _)| *name == column)?;
    row.get(place).cloned()
}

fn begin(connection: &Connection, from: Uuid) -> Result<Begun, StoreError> {
    match filled_from(connection)? {
        Some(before) if before != from => return Ok(Begun::FromAnother),
        Some(_) => return reached(connection).map(Begun::Yes),
        None => {}
    }
    let is_empty: bool =
        connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM instances)", [], |row| {
            row.get(0)
        })?;
    if !is_empty {
        return Ok(Begun::NotEmpty);
    }
    connection.execute("DELETE FROM moves", [])?;
    connection.execute("DELETE FROM provider_tokens", [])?;
    connection.execute(
        "UPDATE store SET filled_from = ?1 WHERE only = 1",
        [from.as_bytes()],
    )?;
    Ok(Begun::Yes(Vec::new()))
}

fn reached(connection: &Connection) -> Result<Vec<Reached>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT kind, place, rows FROM moves")?;
    let mut found = statement.query([])?;
    let mut reached = Vec::new();
    while let Some(row) = found.next()? {
        let (kind, place): (String, Option<String>) = (row.get(0)?, row.get(1)?);
        reached.push(Reached::read(&kind, place.as_deref(), row.get(2)?)?);
    }
    Ok(reached)
}

fn write(connection: &Connection, rows: &[Row], reached: &Reached) -> Result<(), StoreError> {
    let kind = reached.kind;
    let layout = layout(kind);
    let own = || {
        let columns = kind.columns().iter().enumerate();
        columns.filter(|(_, (column, _))| layout.has(column))
    };
    let names: Vec<_> = own().map(|(_, (column, _))| layout.own(column)).collect();
    let places: Vec<_> = (1..=names.len()).map(|place| format!("?{place}")).collect();
    let mut statement = connection.prepare_cached(&format!(
        "INSERT OR IGNORE INTO {} ({}) VALUES ({})",
        kind.as_str(),
        names.join(", "),
        places.join(", ")
    ))?;
    for row in rows {
        statement.execute(params_from_iter(own().map(|(place, _)| row.get(place))))?;
    }
    connection
        .prepare_cached("INSERT OR REPLACE INTO moves (kind, place, rows) VALUES (?1, ?2, ?3)")?
        .execute(params![
            kind.as_str(),
            reached.place_text()?,
            i64::try_from(reached.rows).unwrap_or(i64::MAX)
        ])?;
    Ok(())
}

fn counters(connection: &Connection) -> Result<Counters, StoreError> {
    let mut statement = connection.prepare("SELECT seq FROM sqlite_sequence WHERE name = ?1")?;
    let mut numbers = Vec::new();
    for kind in Kind::ALL.iter().filter(|kind| kind.number().is_some()) {
        let highest: Option<i64> = statement
            .query_row([kind.as_str()], |row| row.get(0))
            .optional()?;
        numbers.push((*kind, highest.unwrap_or(0)));
    }
    Ok(Counters {
        configuration_version: super::instances::configuration_version(connection)?,
        numbers,
    })
}

fn end(connection: &Connection, counters: &Counters) -> Result<(), StoreError> {
    for (kind, highest) in &counters.numbers {
        // The table has a row here only once something was inserted.
        let moved = connection.execute(
            "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1",
            params![kind.as_str(), highest],
        )?;
        if moved == 0 {
            connection.execute(
                "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)",
                params![kind.as_str(), highest],
            )?;
        }
    }
    connection.execute(
        "INSERT OR REPLACE INTO device_counts (instance, count) SELECT instance, count(*) FROM devices GROUP BY instance",
        [],
    )?;
    connection.execute(
        "UPDATE store SET configuration_version = max(configuration_version, ?1) + 1, filled_from = NULL",
        [counters.configuration_version],
    )?;
    connection.execute("DELETE FROM moves", [])?;
    Ok(())
}
