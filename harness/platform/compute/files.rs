//! S3 traffic: HTTP/1.1 requests, passed as they are signed, bodies streamed both ways. What the store acknowledged as
//! written is in the running account before the client hears of it.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, Limited};
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
    account::{self, Account, Kind},
    door,
    gate::{Gated, Pass},
    holder::Holder,
    own::closing,
    reports,
    request::{self, Refusal},
};
use crate::{
    api::{EnvironmentId, route::DoorStore},
    clients::s3,
    platform::actor::{
        connection::{accept, dial},
        lease,
    },
};

/// How long the store may take to accept a connection.
const STORE_WITHIN: Duration = Duration::from_secs(2);

/// The longest request to delete many, and the longest answer to one: S3's bound of a thousand keys.
const DELETE_MANY_BYTES_MAX: usize = 4 << 20;

/// How long the store may take to answer a write that was cut: it may have been done, and belongs in the account then.
const CUT_ANSWER_WITHIN: Duration = Duration::from_secs(1);

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
const SOURCE_PROXY: HeaderName = HeaderName::from_static(s3::SOURCE_PROXY);

type Body = Either<Incoming, Full<Bytes>>;
type Store = SendRequest<Body>;

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
    let connection = std::pin::pin!(
        hyper::server::conn::http1::Builder::new()
            .auto_date_header(false)
            .serve_connection(TokioIo::new(client), service)
    );
    hold(connection, &session).await;
}

/// Drives a connection until it ends, its permit does, or the environment's stop. Dropped after its permit or its cut, it
/// is reset by its gate.
async fn hold<S>(
    mut connection: std::pin::Pin<&mut hyper::server::conn::http1::Connection<TokioIo<Gated>, S>>,
    session: &Session,
) where
    S: hyper::service::HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (pass, environment) = (&session.pass, &session.environment);
    let mut draining = false;
    loop {
        tokio::select! {
            biased;
            denied = lease::ended(pass.terms.clone(), pass.epoch, pass.door) => {
                return tracing::debug!(%environment, %denied, "connection cut");
            }
            () = pass.inside.cut() => {
                pass.inside.note_cut();
                return tracing::info!(%environment, "connection cut in the middle of something: the environment is stopped");
            }
            () = pass.inside.draining(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::trace!(%environment, %error, "connection ended");
                }
                return;
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
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> io::Result<Response<Body>> {
        let is_head = request.method() == Method::HEAD;
        if let Some(response) = self.report(&request).await {
            drain(request).await;
            return Ok(own(response));
        }
        let checked = if self.pass.inside.is_draining() {
            Err(request::SWITCHING)
        } else if request::asks_to_unpack(request.headers()) {
            Err(request::UNPACKED)
        } else {
            self.check(&request).await
        };
        if let Err(refusal) = checked {
            drain(request).await;
            return Ok(refused(refusal, is_head));
        }
        let target = request::target(request.uri());
        let query = request.uri().query().unwrap_or_default();
        let kind = target.as_ref().and_then(|target| account::kind(request.method(), target, query));
        let (Some(kind), Some(target)) = (kind, target) else {
            return match self.ask(request.map(Either::Left)).await? {
                Ok(response) => Ok(response.map(Either::Left)),
                Err(refusal) => Ok(refused(refusal, is_head)),
            };
        };
        // Where the data-loss guard slows writes.
        let pace = self.pass.pace();
        if !pace.is_zero() {
            tokio::time::sleep(pace).await;
        }
        // A task of its own: what the store acknowledges belongs in the account, whether or not the client still listens.
        let writing = tokio::spawn(async move {
            tokio::select! {
                biased;
                done = self.write(request, &kind, target.key) => done,
                () = async {
                    self.pass.inside.cut().await;
                    tokio::time::sleep(CUT_ANSWER_WITHIN).await;
                } => Err(io::Error::other("the store has not answered a write that was cut")),
            }
        });
        writing.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// Sends a request to the store. Refused if the store cannot be reached; an error leaves the request in doubt, and the
    /// client's connection is closed without an answer.
    async fn ask(&self, request: Request<Body>) -> io::Result<Result<Response<Incoming>, Refusal>> {
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
                    if let Either::Left(body) = request.into_body() {
                        drain_body(body).await;
                    }
                    return Ok(Err(request::NO_STORE));
                }
            },
        };
        let response = store.send_request(forwarded(request)).await.map_err(io::Error::other)?;
        *slot = Some(store);
        Ok(Ok(returned(response)))
    }

    /// Carries out a request that writes: the store's acknowledgement is in the account before it is passed on.
    async fn write(&self, request: Request<Incoming>, kind: &Kind, key: String) -> io::Result<Response<Body>> {
        let account = match self.holder.accounts.of(&self.environment) {
            Ok(account) => account,
            Err(error) => {
                tracing::error!(environment = %self.environment, %error, "no account");
                drain(request).await;
                return Ok(refused(request::NO_ACCOUNT, false));
            }
        };
        if *kind == Kind::DeleteMany {
            return self.delete_many(request, &account).await;
        }
        let response = match self.ask(request.map(Either::Left)).await? {
            Ok(response) => response,
            Err(refusal) => return Ok(refused(refusal, false)),
        };
        if !response.status().is_success() {
            return Ok(response.map(Either::Left));
        }
        let Some(written) = account::written_by(kind, &key, response.headers()) else {
            tracing::error!(environment = %self.environment, key, ?kind, "the store has not named the version");
            return Ok(refused(request::NOT_ACCOUNTED, false));
        };
        match self.note(&account, vec![written]).await {
            Ok(()) => Ok(response.map(Either::Left)),
            Err(refusal) => Ok(refused(refusal, false)),
        }
    }

    async fn delete_many(&self, request: Request<Incoming>, account: &Account) -> io::Result<Response<Body>> {
        let (parts, body) = request.into_parts();
        let Ok(body) = Limited::new(body, DELETE_MANY_BYTES_MAX).collect().await else {
            return Ok(refused(request::TOO_LONG, false));
        };
        let body = body.to_bytes();
        if account::asks_for_quiet(&String::from_utf8_lossy(&body)) {
            return Ok(refused(request::QUIET, false));
        }
        let response = match self.ask(Request::from_parts(parts, Either::Right(Full::new(body)))).await? {
            Ok(response) => response,
            Err(refusal) => return Ok(refused(refusal, false)),
        };
        if !response.status().is_success() {
            return Ok(response.map(Either::Left));
        }
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, DELETE_MANY_BYTES_MAX).collect().await.map_err(io::Error::other)?.to_bytes();
        let written = account::written_by_many(&String::from_utf8_lossy(&body));
        match self.note(account, written).await {
            Ok(()) => Ok(Response::from_parts(parts, Either::Right(Full::new(body)))),
            Err(refusal) => Ok(refused(refusal, false)),
        }
    }

    /// Puts into the account what was written; refused, it leaves the client in doubt.
    async fn note(&self, account: &Account, written: Vec<account::Written>) -> Result<(), Refusal> {
        if written.is_empty() {
            return Ok(());
        }
        account.append(self.pass.epoch, written).await.map_err(|error| {
            tracing::error!(environment = %self.environment, %error, "written, and not in the account");
            request::NOT_ACCOUNTED
        })
    }

    /// The answer to a question for reports; `None`: it is none.
    async fn report(&self, request: &Request<Incoming>) -> Option<Response<Bytes>> {
        let name = reports::asked_for(request.uri()).filter(|_| !self.pass.inside.is_draining())?;
        let question = (request.method(), name, request.headers());
        Some(reports::respond(&self.holder, &self.environment, self.pass.epoch, question).await)
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
        let stream = dial(&self.holder.config.files, STORE_WITHIN).await?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// The request as the store gets it: method, path, query and signed headers untouched.
fn forwarded(request: Request<Body>) -> Request<Body> {
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

fn returned(mut response: Response<Incoming>) -> Response<Incoming> {
    strip_hop_by_hop(response.headers_mut());
    response
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
    drain_body(request.into_body()).await;
}

async fn drain_body(mut body: Incoming) {
    let read = async {
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

/// A refusal as S3 writes it.
fn refused(refusal: Refusal, is_head: bool) -> Response<Body> {
    let Refusal { status, code, message } = refusal;
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    let body = if is_head { Bytes::new() } else { Bytes::from(xml) };
    own(closing(status, "application/xml", body))
}

fn own(answer: Response<Bytes>) -> Response<Body> {
    answer.map(|body| Either::Right(Full::new(body)))
}
