//! S3 traffic: HTTP/1.1 requests, passed as they are signed, bodies streamed both ways.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::{
    HeaderMap, Method, Request, Response, Uri,
    body::Incoming,
    client::conn::http1::SendRequest,
    header::{self, HeaderName, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Mutex,
};

use super::{
    door,
    gate::Pass,
    holder::Holder,
    request::{self, Refusal},
};
use crate::{
    api::{EnvironmentId, route::DoorStore},
    platform::actor::{
        connection::{accept, dial},
        lease,
    },
};

/// How long the store may take to accept a connection.
const STORE_WITHIN: Duration = Duration::from_secs(2);

/// How much of a refused request's body is read.
const DRAIN_BYTES_MAX: usize = 64 << 20;

/// Headers that belong to one connection and not to the message.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Tells the store not to fetch a missing object from the other region: what this region lacks would otherwise be
/// answered as if it had it, and a region's reads would depend on the other.
const SOURCE_PROXY: HeaderName = HeaderName::from_static("x-minio-source-proxy-request");

type Body = Either<Incoming, Full<Bytes>>;
type Store = SendRequest<Incoming>;

/// Serves the files port for ever.
pub async fn serve(holder: Arc<Holder>, listener: TcpListener) {
    loop {
        let stream = accept(&listener).await;
        tokio::spawn(carry(Arc::clone(&holder), stream));
    }
}

async fn carry(holder: Arc<Holder>, stream: TcpStream) {
    let Some(visitor) = door::admit(&holder, stream, DoorStore::Files).await else { return };
    let environment = visitor.environment.clone();
    let pass = visitor.pass().clone();
    let Some(client) = visitor.welcome().await else { return };
    let session = Arc::new(Session { holder, environment, pass, store: Mutex::new(None) });
    let service = service_fn(|request| {
        let session = Arc::clone(&session);
        async move { session.answer(request).await }
    });
    let mut connection = std::pin::pin!(
        hyper::server::conn::http1::Builder::new()
            .auto_date_header(false)
            .serve_connection(TokioIo::new(client), service)
    );
    let pass = session.pass.clone();
    tokio::select! {
        biased;
        denied = lease::ended(pass.terms, pass.epoch, pass.door) => {
            tracing::debug!(environment = %session.environment, %denied, "connection cut");
        }
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                tracing::trace!(environment = %session.environment, %error, "connection ended");
            }
        }
    }
}

/// One client connection, and the connection to the store that goes with it.
struct Session {
    holder: Arc<Holder>,
    environment: EnvironmentId,
    pass: Pass,
    store: Mutex<Option<Store>>,
}

impl Session {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
        let is_head = request.method() == Method::HEAD;
        if let Err(refusal) = self.check(&request).await {
            drain(request).await;
            return Ok(refused(refusal, is_head));
        }
        let mut slot = self.store.lock().await;
        // Nothing of the request is sent before this: a store that is gone is a plain refusal.
        let kept = match slot.take() {
            Some(mut kept) => kept.ready().await.is_ok().then_some(kept),
            None => None,
        };
        let mut store = match kept {
            Some(kept) => kept,
            None => match self.connect().await {
                Ok(fresh) => fresh,
                Err(error) => {
                    tracing::debug!(environment = %self.environment, %error, "no store");
                    drain(request).await;
                    return Ok(refused(request::NO_STORE, is_head));
                }
            },
        };
        // An error from here on leaves the request in doubt, and the client's connection is closed without an answer.
        let response = store.send_request(forwarded(request)).await?;
        *slot = Some(store);
        Ok(returned(response))
    }

    async fn check(&self, request: &Request<Incoming>) -> Result<(), Refusal> {
        let terms = self.pass.terms.borrow().clone();
        let target = request::target(request.uri());
        let signer = request::signed_by(request.headers(), request.uri());
        request::check(
            request.method(),
            target.as_ref(),
            signer.as_deref(),
            self.pass.door,
            &terms.bucket,
            &terms.s3_access_key,
        )?;
        let Some(target) = target.filter(|target| request::is_read(request.method()) && !target.key.is_empty()) else {
            return Ok(());
        };
        let marks = self.holder.marks(&self.environment, terms.marks_revision).await;
        match marks.ok_or(request::MARKS_UNKNOWN)?.covers(&target.key, target.version.as_deref()) {
            true => Err(request::DANGLING),
            false => Ok(()),
        }
    }

    async fn connect(&self) -> io::Result<Store> {
        let stream = dial(self.holder.config.files, STORE_WITHIN).await?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// The request as the store gets it: method, path, query and signed headers untouched.
fn forwarded(request: Request<Incoming>) -> Request<Incoming> {
    let (mut parts, body) = request.into_parts();
    strip_hop_by_hop(&mut parts.headers);
    if request::is_read(&parts.method) {
        parts.headers.insert(SOURCE_PROXY, HeaderValue::from_static("false"));
    }
    if let Some(path) = parts.uri.path_and_query().cloned() {
        parts.uri = Uri::from(path);
    }
    Request::from_parts(parts, body)
}

fn returned(response: Response<Incoming>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    strip_hop_by_hop(&mut parts.headers);
    Response::from_parts(parts, Either::Left(body))
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

/// Reads the rest of a request that is refused: a client that is still sending when the connection is closed sees a reset
/// in place of the answer, and would have to count a plain refusal as doubtful. One that waits for leave to send does not
/// get it.
async fn drain(request: Request<Incoming>) {
    if request.headers().contains_key(header::EXPECT) {
        return;
    }
    let read = async {
        let mut body = request.into_body();
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > DRAIN_BYTES_MAX {
                break;
            }
        }
    };
    // Late or large: the answer may then be lost to the reset.
    let _ = tokio::time::timeout(STORE_WITHIN, read).await;
}

/// A refusal as S3 writes it. The connection is closed with it, since the request may not have been read to its end.
fn refused(refusal: Refusal, is_head: bool) -> Response<Body> {
    let Refusal { status, code, message } = refusal;
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    let body = if is_head { Bytes::new() } else { Bytes::from(xml) };
    let mut response = Response::new(Either::Right(Full::new(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
