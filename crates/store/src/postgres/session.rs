//! One connection while a piece of work uses it. Statements are prepared once for each connection.

use std::time::Duration;

use deadpool_postgres::Object;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};

use super::fault::{Fault, corrupt};

/// What a statement is given.
pub(super) type Params<'a> = [&'a (dyn ToSql + Sync)];

/// A connection out of the pool.
pub(super) struct Session {
    client: Object,
    patience: Duration,
}

impl Session {
    /// A server that has not answered after `patience` counts as gone: it would have given up the statement itself before.
    pub(super) const fn new(client: Object, patience: Duration) -> Self {
        Self { client, patience }
    }

    async fn answer<T>(
        &self,
        statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Fault> {
        match tokio::time::timeout(self.patience, statement).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Fault::Silent),
        }
    }

    /// All rows of a statement.
    pub(super) async fn rows(&self, sql: &str, params: &Params<'_>) -> Result<Vec<Row>, Fault> {
        self.answer(async {
            let statement = self.client.prepare_cached(sql).await?;
            self.client.query(&statement, params).await
        })
        .await
    }

    /// The only row of a statement, if it has one.
    pub(super) async fn row(&self, sql: &str, params: &Params<'_>) -> Result<Option<Row>, Fault> {
        self.answer(async {
            let statement = self.client.prepare_cached(sql).await?;
            self.client.query_opt(&statement, params).await
        })
        .await
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
        self.answer(async {
            let statement = self.client.prepare_cached(sql).await?;
            self.client.execute(&statement, params).await
        })
        .await
    }

    /// Sends statements without values or answers.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), Fault> {
        self.answer(self.client.batch_execute(sql)).await
    }

    /// The same, however long it takes.
    pub(super) async fn patiently(&self, sql: &str) -> Result<(), Fault> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// The plan of a statement, of whatever it tells.
    #[cfg(test)]
    pub(super) async fn plan(&self, sql: &str) -> Result<serde_json::Value, Fault> {
        use tokio_postgres::SimpleQueryMessage;
        let mut json = String::new();
        for message in self.client.simple_query(sql).await? {
            if let SimpleQueryMessage::Row(row) = message {
                json.push_str(row.get(0).unwrap_or_default());
            }
        }
        Ok(serde_json::from_str(&json)?)
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
