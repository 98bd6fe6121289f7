//! A schema for each test, removed when the test is over.

use std::str::FromStr;

use tokio_postgres::NoTls;

/// Where the server is.
const VARIABLE: &str = "HELIOSTAT_TEST_POSTGRES";

pub(crate) struct Schema {
    pub(crate) server: String,
    pub(crate) name: String,
}

impl Schema {
    /// A new one; `None` if no server was named.
    pub(crate) async fn create() -> Option<Self> {
        let Some(server) = std::env::var_os(VARIABLE) else {
            eprintln!("not tested: {VARIABLE} names no PostgreSQL server");
            return None;
        };
        let server = server.into_string().expect("a URL");
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        run(&server, &format!("CREATE SCHEMA {name}")).await;
        Some(Self { server, name })
    }

    /// How to connect to it.
    pub(crate) fn url<T: FromStr>(&self) -> T {
        let joint = if self.server.contains('?') { '&' } else { '?' };
        let url = format!(
            "{}{joint}options=-csearch_path%3D{}",
            self.server, self.name
        );
        let parsed = url.parse().ok();
        parsed.expect("a URL")
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        let removing = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(run(&server, &format!("DROP SCHEMA {name} CASCADE")));
        });
        drop(removing.join());
    }
}

async fn run(server: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(server, NoTls)
        .await
        .expect("the server is there");
    let ((), done) = tokio::join!(
        async {
            connection.await.expect("a connection");
        },
        async move { client.batch_execute(sql).await }
    );
    done.expect("a statement");
}
