//! S3: path style, exactly one attempt a call, no checksums that a proxy would have to rewrite.

use std::time::Duration;

use aws_sdk_s3::{
    Client,
    config::{
        BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
        http::HttpRequest, retry::RetryConfig, timeout::TimeoutConfig,
    },
    error::{ProvideErrorMetadata, SdkError},
};

use super::{error::chain, postgres::Failure};
use crate::api::{Address, environment::Login};

/// A client of a store; a port alone is one of 127.0.0.1. `deadline` bounds every call from beginning to end.
pub fn client(at: impl Into<Address>, login: &Login, deadline: Duration) -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(format!("http://{}", at.into()))
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new(&login.user, &login.secret, None, None, "geodrill"))
        .force_path_style(true)
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().operation_timeout(deadline).connect_timeout(deadline).build())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .build();
    Client::from_conf(config)
}

/// Tells MinIO not to answer with the other region's object where its own is missing.
pub const SOURCE_PROXY: &str = "x-minio-source-proxy-request";

/// Asks a store for what it has itself.
pub fn unproxied(request: &mut HttpRequest) {
    request.headers_mut().insert(SOURCE_PROXY, "false");
}

/// Puts a call's own parameters in place of the SDK's, for what MinIO offers beside S3 and has signed in the same way.
pub fn ask(request: &mut HttpRequest, parameters: &[(&str, &str)]) {
    let Ok(mut url) = reqwest::Url::parse(request.uri()) else { return };
    url.query_pairs_mut().clear().extend_pairs(parameters);
    // It was an address before.
    let _ = request.set_uri(url.as_str());
}

/// What a failed call proves: 4xx except 408 and 499 is proven without effect, and so is a refused connection.
pub fn classify<E: ProvideErrorMetadata + std::error::Error + 'static>(
    error: &SdkError<E, aws_sdk_s3::config::http::HttpResponse>,
) -> Failure {
    match error {
        SdkError::ServiceError(service) => {
            classify_status(service.raw().status().as_u16(), service.err().code().unwrap_or("no code"))
        }
        SdkError::ConstructionFailure(_) => Failure::NoEffect("not sent".to_owned()),
        SdkError::DispatchFailure(dispatch) if dispatch.as_connector_error().is_some_and(|error| refused(error)) => {
            Failure::NoEffect("connection refused".to_owned())
        }
        SdkError::TimeoutError(_) => Failure::InDoubt("deadline".to_owned()),
        other => Failure::InDoubt(chain(other)),
    }
}

/// What an answer with this status, not one of success, proves.
pub fn classify_status(status: u16, code: &str) -> Failure {
    let text = format!("{status} {code}").trim_end().to_owned();
    if (400..500).contains(&status) && status != 408 && status != 499 {
        Failure::NoEffect(text)
    } else {
        Failure::InDoubt(text)
    }
}

fn refused(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}
