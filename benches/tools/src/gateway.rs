//! A gateway over TLS and HTTP/2 that takes everything, and tells each request to whoever runs it.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// How many requests at once on a connection.
const STREAMS_MAX: u32 = 1000;
/// What may be unread on a connection, in bytes.
const WINDOW: u32 = 16 * 1024 * 1024;

/// Where a gateway listens.
#[derive(Debug, clap::Args)]
pub(crate) struct Listen {
    /// Address and port.
    #[arg(long)]
    listen: String,
    /// Certificate chain, PEM.
    #[arg(long)]
    certificate: PathBuf,
    /// Private key, PEM.
    #[arg(long)]
    key: PathBuf,
}

impl Listen {
    /// Listens; `arrived` is called with the head of each request when it comes, `read` with its body.
    pub(crate) async fn start(
        &self,
        arrived: impl Fn(&http::request::Parts) + 'static,
        read: impl Fn(&http::request::Parts, Bytes) + 'static,
    ) -> Result<()> {
        let chain: Vec<_> =
            CertificateDer::pem_file_iter(&self.certificate)?.collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&self.key)?;
        let mut config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(&self.listen)
            .await
            .context("cannot listen")?;
        let handlers: Rc<Handlers> = Rc::new((Box::new(arrived), Box::new(read)));
        tokio::task::spawn_local(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, handlers) = (acceptor.clone(), Rc::clone(&handlers));
                tokio::task::spawn_local(async move {
                    if let Err(error) = serve(socket, acceptor, handlers).await {
                        eprintln!("a connection ended: {error:#}");
                    }
                });
            }
        });
        Ok(())
    }
}

type Arrived = Box<dyn Fn(&http::request::Parts)>;
type Read = Box<dyn Fn(&http::request::Parts, Bytes)>;
type Handlers = (Arrived, Read);

async fn serve(socket: TcpStream, acceptor: TlsAcceptor, handlers: Rc<Handlers>) -> Result<()> {
    socket.set_nodelay(true)?;
    let mut connection = h2::server::Builder::new()
        .max_concurrent_streams(STREAMS_MAX)
        .initial_connection_window_size(WINDOW)
        .handshake::<_, Bytes>(acceptor.accept(socket).await?)
        .await?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        let (head, body) = request.into_parts();
        handlers.0(&head);
        let handlers = Rc::clone(&handlers);
        tokio::task::spawn_local(async move {
            // A connection that breaks tells so above.
            let _ = answer(Request::from_parts(head, body), respond, &handlers.1).await;
        });
    }
    Ok(())
}

async fn answer(
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    read: &Read,
) -> Result<()> {
    let (head, mut body) = request.into_parts();
    let mut all = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        all.extend_from_slice(&chunk);
    }
    let path = head.uri.path();
    let (status, body): (StatusCode, &'static [u8]) = match path {
        "/token" => (
            StatusCode::OK,
            br#"{"access_token":"ya29.bench","expires_in":3599,"token_type":"Bearer"}"#,
        ),
        path if path.starts_with("/v1/projects/") => (
            StatusCode::OK,
            br#"{"name":"projects/bench/messages/0:1%1"}"#,
        ),
        path if path.starts_with("/wpush/") => (StatusCode::CREATED, b""),
        _ => (StatusCode::OK, b""),
    };
    let mut response = Response::new(());
    *response.status_mut() = status;
    let mut stream = respond.send_response(response, body.is_empty())?;
    if !body.is_empty() {
        stream.send_data(Bytes::from_static(body), true)?;
    }
    read(&head, all.freeze());
    Ok(())
}
