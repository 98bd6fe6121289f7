//! One connection while a piece of work uses it. Statements are prepared once for each connection.

use deadpool_postgres::Object;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};

use super::fault::{Fault, corrupt};

/// What a statement is given.
pub(super) type Params<'a> = [&'a (dyn ToSql + Sync)];

/// A connection out of the pool.
pub(super) struct Session {
    client: Object,
}

impl Session {
    pub(super) const fn new(client: Object) -> Self {
        Self { client }
    }

    /// All rows of a statement.
    pub(super) async fn rows(&self, sql: &str, params: &Params<'_>) -> Result<Vec<Row>, Fault> {
        let statement = self.client.prepare_cached(sql).await?;
        Ok(self.client.query(&statement, params).await?)
    }

    /// The only row of a statement, if it has one.
    pub(super) async fn row(&self, sql: &str, params: &Params<'_>) -> Result<Option<Row>, Fault> {
        let statement = self.client.prepare_cached(sql).await?;
        Ok(self.client.query_opt(&statement, params).await?)
    }

    /// The first column of the only row of a statement, if it has one.
    pub(super) async fn value<T>(&self, sql: &str, params: &Params<'_>) -> Result<Option<T>, Fault>
    where
        T: for<'a> FromSql<'a>,
    {
        self.row(sql, params)
            .await?
            .map(|row| row.at(0))
            .transpose()
    }

    /// The same of a statement that always has a row.
    pub(super) async fn known<T>(&self, sql: &str, params: &Params<'_>) -> Result<T, Fault>
    where
        T: for<'a> FromSql<'a>,
    {
        let found = self.value(sql, params).await?;
        found.ok_or_else(|| corrupt("a statement without an answer"))
    }

    /// The first column of all rows of a statement.
    pub(super) async fn values<T>(&self, sql: &str, params: &Params<'_>) -> Result<Vec<T>, Fault>
    where
        T: for<'a> FromSql<'a>,
    {
        let rows = self.rows(sql, params).await?;
        rows.iter().map(|row| row.at(0)).collect()
    }

    /// Writes; how many rows it was.
    pub(super) async fn execute(&self, sql: &str, params: &Params<'_>) -> Result<u64, Fault> {
        let statement = self.client.prepare_cached(sql).await?;
        Ok(self.client.execute(&statement, params).await?)
    }

    /// Sends statements without values or answers.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), Fault> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// Lets go of a connection that nobody may use again.
    pub(super) fn discard(self) {
        drop(Object::take(self.client));
    }
}

/// Columns by place; what does not read back is damage.
pub(super) trait Columns {
    /// The column `index`.
    fn at<'a, T: FromSql<'a>>(&'a self, index: usize) -> Result<T, Fault>;
}

impl Columns for Row {
    fn at<'a, T: FromSql<'a>>(&'a self, index: usize) -> Result<T, Fault> {
        self.try_get(index)
            .map_err(|error| corrupt(error.to_string()))
    }
}
