use std::{io, net::SocketAddr};

use axum::{Router, body::Body, middleware, response::Response};
use futures_util::stream;
use tokio::{net::TcpListener, task::JoinHandle};

use super::ANSWER_LOST;

/// The simulator on a loopback port. It stops when this is dropped.
#[derive(Debug)]
pub struct Server {
    /// `http://127.0.0.1:{port}`.
    pub base_url: String,
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    pub(super) async fn start(router: Router, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        let router = router.layer(middleware::map_response(close_if_lost));
        let task = tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self {
            base_url: format!("http://{address}"),
            address,
            task,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A body that fails before its first byte makes the HTTP server give the connection up.
async fn close_if_lost(response: Response) -> Response {
    if !response.headers().contains_key(ANSWER_LOST) {
        return response;
    }
    let broken: io::Result<bytes::Bytes> = Err(io::ErrorKind::ConnectionReset.into());
    Response::new(Body::from_stream(stream::iter([broken])))
}
