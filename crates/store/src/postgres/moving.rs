//! Everything out of a database, and into one.

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use tokio_postgres::Row as Found;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::fault::{Fault, corrupt};
use super::session::{Columns as _, Session};
use super::{PostgresStore, columns, instances};
use crate::StoreError;
use crate::moving::{Begun, Cell, CellType, Counters, Kind, Moving, Place, Reached, Row, Rows};

/// What a row's value is given as.
type Given = Box<dyn ToSql + Sync + Send>;

/// What the rows of a kind are ordered by: the key of the table, since an order that no index has costs the whole table.
const fn key(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Instances => &["instance"],
        Kind::SecretKeys => &["instance", "secret_key"],
        Kind::Credentials => &["instance", "platform"],
        Kind::Users => &["instance", "user_number"],
        Kind::Devices => &["instance", "device"],
        Kind::Interests => &["instance", "interest"],
        Kind::Subscriptions => &["instance", "interest", "device"],
        Kind::Publishes
        | Kind::Payloads
        | Kind::Scheduled
        | Kind::Emptied
        | Kind::PublishWebhooks => &["instance", "publish"],
        Kind::Webhooks => &["webhook"],
        Kind::WebhookRequests => &["request"],
        Kind::Jobs => &["job"],
        Kind::Retries => &["retry"],
        Kind::Tallies => &["instance", "publish", "platform", "outcome", "reason"],
        Kind::UserTallies => &["instance", "publish", "user_number"],
        Kind::Failures => &["instance", "publish", "device"],
        Kind::Events => &["instance", "publish", "kind", "device"],
        Kind::EventHours => &["instance", "hour", "platform", "kind"],
        Kind::EventDays => &["instance", "day", "platform", "kind"],
        Kind::RequestKeys => &["instance", "key"],
        Kind::Lists => &["list"],
        Kind::Listed => &["list", "place"],
        Kind::ProviderTokens => &["name"],
        Kind::AdminTokens => &["token"],
        Kind::Audit => &["entry"],
    }
}

/// The rows of a kind that are moved. A publish may be noted several times as emptied.
const fn rows_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Instances => "(SELECT * FROM instances WHERE deleted_by IS NULL)",
        Kind::Emptied => "(SELECT DISTINCT instance, publish FROM emptied)",
        _ => kind.as_str(),
    }
}

#[async_trait]
impl Moving for PostgresStore {
    async fn identity(&self) -> Result<Uuid, StoreError> {
        self.sessions
            .read((), |s, ()| {
                Box::pin(s.known("SELECT identity FROM store", &[]))
            })
            .await
    }

    async fn count_rows(&self, kind: Kind) -> Result<u64, StoreError> {
        self.sessions
            .read(kind, |s, kind| Box::pin(count(s, *kind)))
            .await
    }

    async fn read_rows(
        &self,
        kind: Kind,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Rows, StoreError> {
        self.sessions
            .read((kind, after, limit), |s, (kind, after, limit)| {
                Box::pin(read(s, *kind, after.as_ref(), *limit))
            })
            .await
    }

    async fn begin_move(&self, from: Uuid) -> Result<Begun, StoreError> {
        self.sessions
            .write(from, |s, from| Box::pin(begin(s, *from)))
            .await
    }

    async fn write_rows(&self, rows: Vec<Row>, reached: Reached) -> Result<(), StoreError> {
        self.sessions
            .write((rows, reached), |s, (rows, reached)| {
                Box::pin(write(s, rows, reached))
            })
            .await
    }

    async fn counters(&self) -> Result<Counters, StoreError> {
        self.sessions.read((), |s, ()| Box::pin(counters(s))).await
    }

    async fn end_move(&self, counters: Counters) -> Result<(), StoreError> {
        self.sessions
            .write(counters, |s, counters| Box::pin(end(s, counters)))
            .await
    }
}

pub(super) async fn is_being_filled(session: &Session) -> Result<bool, Fault> {
    let sql = "SELECT filled_from IS NOT NULL FROM store";
    session.known(sql, &[]).await
}

async fn count(session: &Session, kind: Kind) -> Result<u64, Fault> {
    let sql = format!("SELECT count(*) FROM {} t", rows_of(kind));
    columns::count(session.known(&sql, &[]).await?)
}

/// In the order of the table's key: costs the limit, wherever it is.
pub(super) fn reading(kind: Kind, is_first: bool) -> String {
    let columns: Vec<_> = kind.columns().iter().map(|(column, _)| *column).collect();
    let key = key(kind);
    let behind = if is_first {
        String::new()
    } else {
        let places: Vec<_> = (0..key.len())
            .map(|place| format!("${}", place + 2))
            .collect();
        format!("WHERE ({}) > ({})", key.join(", "), places.join(", "))
    };
    format!(
        "SELECT {} FROM {} t {behind} ORDER BY {} LIMIT $1",
        columns.join(", "),
        rows_of(kind),
        key.join(", ")
    )
}

async fn read(
    session: &Session,
    kind: Kind,
    after: Option<&Place>,
    limit: usize,
) -> Result<Rows, Fault> {
    let mut given: Vec<Given> = vec![Box::new(i64::try_from(limit).unwrap_or(i64::MAX))];
    for cell in after.into_iter().flat_map(|place| &place.0) {
        given.push(match cell {
            Cell::Int(number) => Box::new(*number),
            Cell::Text(text) => Box::new(text.clone()),
            Cell::Null | Cell::Bytes(_) => return Err(corrupt("a place that is none")),
        });
    }
    let given: Vec<_> = given.iter().map(|given| &**given as _).collect();
    let found = session
        .rows(&reading(kind, after.is_none()), &given)
        .await?;
    let mut rows = Vec::with_capacity(found.len());
    for row in &found {
        let cells = kind.columns().iter().enumerate();
        let cells: Result<Row, Fault> = cells
            .map(|(place, (_, wanted))| cell(row, place, *wanted))
            .collect();
        rows.push(cells?);
    }
    let last = rows.last().filter(|_| rows.len() == limit);
    let next = last.map(|row| {
        let key = key(kind).iter();
        Place(key.filter_map(|column| at(kind, row, column)).collect())
    });
    Ok(Rows { rows, next })
}

fn cell(row: &Found, place: usize, wanted: CellType) -> Result<Cell, Fault> {
    let read = match wanted {
        CellType::Int => row.at::<Option<i64>>(place)?.map(Cell::Int),
        CellType::Text => row.at::<Option<String>>(place)?.map(Cell::Text),
        CellType::Bytes => row.at::<Option<Vec<u8>>>(place)?.map(Cell::Bytes),
        CellType::Uuid => {
            let id = row.at::<Option<Uuid>>(place)?;
            id.map(|id| Cell::Bytes(id.as_bytes().to_vec()))
        }
    };
    Ok(read.unwrap_or(Cell::Null))
}

/// What stands in a column of a row.
fn at(kind: Kind, row: &Row, column: &str) -> Option<Cell> {
    let place = kind
        .columns()
        .iter()
        .position(|(name, _)| *name == column)?;
    row.get(place).cloned()
}

async fn begin(session: &Session, from: Uuid) -> Result<Begun, Fault> {
    let sql = "SELECT filled_from FROM store FOR UPDATE";
    let before: Option<Uuid> = session.known(sql, &[]).await?;
    match before {
        Some(before) if before != from => return Ok(Begun::FromAnother),
        Some(_) => return reached(session).await.map(Begun::Yes),
        None => {}
    }
    let is_empty = "SELECT NOT EXISTS (SELECT 1 FROM instances WHERE deleted_by IS NULL)";
    if !session.known::<bool>(is_empty, &[]).await? {
        return Ok(Begun::NotEmpty);
    }
    session
        .batch("DELETE FROM moves; DELETE FROM provider_tokens")
        .await?;
    let sql = "UPDATE store SET filled_from = $1";
    session.execute(sql, &[&from]).await?;
    Ok(Begun::Yes(Vec::new()))
}

async fn reached(session: &Session) -> Result<Vec<Reached>, Fault> {
    let found = session
        .rows("SELECT kind, place, rows FROM moves", &[])
        .await?;
    let mut reached = Vec::new();
    for row in &found {
        let (kind, place): (String, Option<String>) = (row.at(0)?, row.at(1)?);
        reached.push(Reached::read(&kind, place.as_deref(), row.at(2)?)?);
    }
    Ok(reached)
}

/// The values of a column, all rows of it at once.
fn column(rows: &[Row], place: usize, cell_type: CellType) -> Result<Given, Fault> {
    let misplaced = || corrupt("a value of another type than its column");
    let cells = || rows.iter().map(|row| row.get(place).unwrap_or(&Cell::Null));
    Ok(match cell_type {
        CellType::Int => Box::new(collect(cells().map(|cell| match cell {
            Cell::Null => Ok(None),
            Cell::Int(number) => Ok(Some(*number)),
            _ => Err(misplaced()),
        }))?),
        CellType::Text => Box::new(collect(cells().map(|cell| match cell {
            Cell::Null => Ok(None),
            Cell::Text(text) => Ok(Some(text.clone())),
            _ => Err(misplaced()),
        }))?),
        CellType::Bytes => Box::new(collect(cells().map(|cell| match cell {
            Cell::Null => Ok(None),
            Cell::Bytes(bytes) => Ok(Some(bytes.clone())),
            _ => Err(misplaced()),
        }))?),
        CellType::Uuid => Box::new(collect(cells().map(|cell| match cell {
            Cell::Null => Ok(None),
            Cell::Bytes(bytes) => Uuid::from_slice(bytes).map(Some).map_err(|_| misplaced()),
            _ => Err(misplaced()),
        }))?),
    })
}

fn collect<T>(
    values: impl Iterator<Item = Result<Option<T>, Fault>>,
) -> Result<Vec<Option<T>>, Fault> {
    values.collect()
}

/// The digests that this schema has of gateway tokens; see `columns::digest`.
fn digests(rows: &[Row]) -> Result<Given, Fault> {
    let mut digests = Vec::with_capacity(rows.len());
    for row in rows {
        let part = |column| at(Kind::Devices, row, column);
        let (Some(Cell::Text(platform)), Some(Cell::Text(identity))) =
            (part("platform"), part("identity"))
        else {
            return Err(corrupt("a device without a gateway token"));
        };
        let both = format!("{platform}:{identity}");
        digests.push(digest(&SHA256, both.as_bytes()).as_ref().to_vec());
    }
    Ok(Box::new(digests))
}

const fn array(cell_type: CellType) -> &'static str {
    match cell_type {
        CellType::Int => "bigint[]",
        CellType::Text => "text[]",
        CellType::Bytes => "bytea[]",
        CellType::Uuid => "uuid[]",
    }
}

async fn write(session: &Session, rows: &[Row], reached: &Reached) -> Result<(), Fault> {
    let kind = reached.kind;
    let (mut names, mut arrays, mut given) = (Vec::new(), Vec::new(), Vec::new());
    for (place, (name, cell_type)) in kind.columns().iter().enumerate() {
        names.push(*name);
        arrays.push(array(*cell_type));
        given.push(column(rows, place, *cell_type)?);
    }
    if kind == Kind::Devices {
        names.push("digest");
        arrays.push("bytea[]");
        given.push(digests(rows)?);
    }
    let places: Vec<_> = arrays
        .iter()
        .enumerate()
        .map(|(place, array)| format!("${}::{array}", place + 1))
        .collect();
    let sql = format!(
        "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT * FROM unnest({}) ON CONFLICT DO NOTHING",
        kind.as_str(),
        names.join(", "),
        places.join(", ")
    );
    let given: Vec<_> = given.iter().map(|given| &**given as _).collect();
    session.execute(&sql, &given).await?;
    session
        .execute(
            "INSERT INTO moves (kind, place, rows) VALUES ($1, $2, $3)
             ON CONFLICT (kind) DO UPDATE SET place = excluded.place, rows = excluded.rows",
            &[
                &kind.as_str(),
                &reached.place_text()?,
                &columns::number(reached.rows),
            ],
        )
        .await?;
    Ok(())
}

async fn counters(session: &Session) -> Result<Counters, Fault> {
    let mut numbers = Vec::new();
    for kind in Kind::ALL {
        let Some(number) = kind.number() else {
            continue;
        };
        let highest: Option<i64> = session
            .known(
                "SELECT pg_sequence_last_value(pg_get_serial_sequence($1, $2)::regclass)",
                &[&kind.as_str(), &number],
            )
            .await?;
        numbers.push((*kind, highest.unwrap_or(0)));
    }
    Ok(Counters {
        configuration_version: instances::configuration_version(session).await?,
        numbers,
    })
}

async fn end(session: &Session, counters: &Counters) -> Result<(), Fault> {
    for (kind, highest) in &counters.numbers {
        let Some(number) = kind.number() else {
            continue;
        };
        session
            .execute(
                "SELECT setval(s, greatest($3::bigint, pg_sequence_last_value(s), 1))
                   FROM (SELECT pg_get_serial_sequence($1, $2)::regclass AS s) x",
                &[&kind.as_str(), &number, highest],
            )
            .await?;
    }
    session
        .execute(
            "UPDATE store SET configuration_version = greatest(configuration_version, $1) + 1, filled_from = NULL",
            &[&counters.configuration_version],
        )
        .await?;
    session.batch("DELETE FROM moves").await
}
