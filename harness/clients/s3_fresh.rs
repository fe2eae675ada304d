//! One S3 request over a TCP connection of its own, opened for it and closed after it.
//!
//! The SDK signs the request ([`PresignedRequest`]), and nothing of its connection handling is used: making a client for
//! each request would cost more than the request, and a shared one would reuse a connection.

use std::time::Duration;

use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{error::chain, postgres::Failure, s3::classify_status};

/// How long a signature stays good: far longer than any deadline.
const SIGNATURE_LIFETIME: Duration = Duration::from_secs(300);

/// What the store answered, with a status of success.
#[derive(Debug, Clone)]
pub struct Answer {
    /// `x-amz-version-id`, if the answer has one.
    pub version_id: Option<String>,
    /// The body.
    pub body: Bytes,
}

/// The configuration to presign with.
///
/// # Errors
/// [`Failure::NoEffect`], if the SDK does not accept the lifetime.
pub fn presigning() -> Result<PresigningConfig, Failure> {
    PresigningConfig::expires_in(SIGNATURE_LIFETIME).map_err(|error| Failure::NoEffect(format!("not sent: {error}")))
}

/// Sends a signed request to `127.0.0.1:port`, once, and reads the whole answer.
///
/// # Errors
/// [`Failure::NoEffect`] if no connection came about or the store refused; else [`Failure::InDoubt`].
pub async fn send(port: u16, signed: &PresignedRequest, body: Bytes, until: Instant) -> Result<Answer, Failure> {
    let stream = match timeout_at(until, TcpStream::connect(("127.0.0.1", port))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(Failure::NoEffect(format!("connect: {error}"))),
        Err(_) => return Err(Failure::NoEffect("connect: deadline".to_owned())),
    };
    send_over(stream, port, signed, body, until).await
}

/// As [`send`], over a connection that is there; `port` is the one that the request was signed for.
///
/// # Errors
/// As there.
pub async fn send_over(
    stream: TcpStream,
    port: u16,
    signed: &PresignedRequest,
    body: Bytes,
    until: Instant,
) -> Result<Answer, Failure> {
    let request = request(port, signed, body).map_err(|why| Failure::NoEffect(format!("not sent: {why}")))?;
    timeout_at(until, exchange(stream, request)).await.unwrap_or_else(|_| Err(Failure::InDoubt("deadline".to_owned())))
}

fn request(port: u16, signed: &PresignedRequest, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
    let uri: hyper::Uri = signed.uri().parse().map_err(|error| format!("{error}"))?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut builder = Request::builder()
        .method(signed.method())
        .uri(path)
        .header(hyper::header::HOST, format!("127.0.0.1:{port}"))
        .header(hyper::header::CONNECTION, "close");
    for (name, value) in signed.headers().filter(|(name, _)| !name.eq_ignore_ascii_case("host")) {
        builder = builder.header(name, value);
    }
    builder.body(Full::new(body)).map_err(|error| error.to_string())
}

async fn exchange(stream: TcpStream, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
    let in_doubt = |error: hyper::Error| Failure::InDoubt(chain(&error));
    // Head and body are written apart: without this the body would wait for the head's acknowledgement.
    stream.set_nodelay(true).map_err(|error| Failure::NoEffect(format!("connect: {error}")))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(in_doubt)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(in_doubt)?;
        let status = response.status();
        let version_id =
            response.headers().get("x-amz-version-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = response.into_body().collect().await.map_err(in_doubt)?.to_bytes();
        match status.is_success() {
            true => Ok(Answer { version_id, body }),
            false => Err(classify_status(status.as_u16(), "")),
        }
    };
    tokio::pin!(exchange, connection);
    // The connection moves only while it is polled; once it has ended, the exchange has what there is to have.
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        _ = &mut connection => exchange.await,
    }
}
