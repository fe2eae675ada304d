//! What an S3 request asks for, and whether it may pass: pure.

use hyper::{HeaderMap, Method, StatusCode, Uri, header::AUTHORIZATION};

use crate::api::route::Door;

/// What a request names.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// First part of the path, decoded.
    pub bucket: String,
    /// The rest of the path, decoded; empty for the bucket itself.
    pub key: String,
    /// `versionId`, decoded.
    pub version: Option<String>,
}

/// A refusal, as S3 words it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: StatusCode,
    /// S3 error code.
    pub code: &'static str,
    /// Sentence.
    pub message: &'static str,
}

/// The answer for a row whose object did not cross before its region was lost.
pub const DANGLING: Refusal = Refusal {
    status: StatusCode::CONFLICT,
    code: "ReferenceDangling",
    message: "the object was lost in a failover: the row that refers to it is marked as dangling",
};

/// The answer when the marks could not be learnt in time.
pub const MARKS_UNKNOWN: Refusal = Refusal {
    status: StatusCode::SERVICE_UNAVAILABLE,
    code: "ServiceUnavailable",
    message: "the marked references are not known yet",
};

/// The answer when the store cannot be reached; nothing was sent to it.
pub const NO_STORE: Refusal = Refusal {
    status: StatusCode::SERVICE_UNAVAILABLE,
    code: "ServiceUnavailable",
    message: "the store cannot be reached",
};

/// The answer to a request that comes while the environment is stopped; nothing was sent to the store.
pub const SWITCHING: Refusal = Refusal {
    status: StatusCode::SERVICE_UNAVAILABLE,
    code: "ServiceUnavailable",
    message: "the environment is being switched: try again on a new connection",
};

/// The answer to a write while the running account cannot be kept; nothing was sent to the store.
pub const NO_ACCOUNT: Refusal = Refusal {
    status: StatusCode::SERVICE_UNAVAILABLE,
    code: "ServiceUnavailable",
    message: "the running account of versions cannot be kept",
};

/// The answer to a write that the store did, and that is not in the running account: in doubt.
pub const NOT_ACCOUNTED: Refusal = Refusal {
    status: StatusCode::INTERNAL_SERVER_ERROR,
    code: "InternalError",
    message: "the write could not be noted in the running account: it may or may not stand",
};

/// The answer to a request to delete many that is longer than S3 allows; nothing was sent to the store.
pub const TOO_LONG: Refusal = Refusal {
    status: StatusCode::BAD_REQUEST,
    code: "MalformedXML",
    message: "the request to delete objects is too long or broke off",
};

/// The answer to a request to delete many without being told of each; nothing was sent to the store.
pub const QUIET: Refusal = Refusal {
    status: StatusCode::BAD_REQUEST,
    code: "InvalidRequest",
    message: "quiet deletes are not served: the running account needs each version; leave Quiet out",
};

/// The answer to an archive that the store would unpack into objects of its own naming; nothing was sent to the store.
pub const UNPACKED: Refusal = Refusal {
    status: StatusCode::BAD_REQUEST,
    code: "InvalidRequest",
    message: "archives to be unpacked are not served: the running account needs each version; put the objects one by one",
};

/// Whether the store is asked to unpack an archive: its answer would not name the versions.
pub fn asks_to_unpack(headers: &HeaderMap) -> bool {
    headers.contains_key("x-amz-meta-snowball-auto-extract")
}

/// Reads a path-style request's target; anything that cannot be decoded names nothing.
pub fn target(uri: &Uri) -> Option<Target> {
    let path = uri.path().strip_prefix('/')?;
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let mut version = None;
    for pair in uri.query().unwrap_or_default().split('&') {
        if let Some(("versionId", value)) = pair.split_once('=') {
            version = Some(decode(value)?);
        }
    }
    Some(Target { bucket: decode(bucket)?, key: decode(key)?, version })
}

/// Whether a request may pass: the door, the bucket and the key pair it was signed with.
///
/// # Errors
/// The refusal to answer with.
pub fn check(
    method: &Method,
    target: Option<&Target>,
    signed_by: Option<&str>,
    door: Door,
    bucket: &str,
    access_key: &str,
) -> Result<(), Refusal> {
    if door == Door::Ro && !is_read(method) {
        let message = "this endpoint is for reading: GET, HEAD and LIST alone";
        return Err(Refusal { status: StatusCode::METHOD_NOT_ALLOWED, code: "MethodNotAllowed", message });
    }
    let denied = |message| Refusal { status: StatusCode::FORBIDDEN, code: "AccessDenied", message };
    if target.is_none_or(|target| target.bucket != bucket) {
        return Err(denied("this endpoint leads to one bucket, and the request names another"));
    }
    if signed_by != Some(access_key) {
        return Err(denied("the request is not signed with the environment's key"));
    }
    Ok(())
}

/// Whether a method only reads.
pub fn is_read(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}

/// The access key a request was signed with, in its header or (presigned) in its query. That the signature is right is
/// the store's to check.
pub fn signed_by(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    if let Some(header) = headers.get(AUTHORIZATION) {
        let credential = header.to_str().ok()?.split("Credential=").nth(1)?;
        return credential.split('/').next().map(str::to_owned);
    }
    let credential = uri.query()?.split('&').find_map(|pair| pair.strip_prefix("X-Amz-Credential="))?;
    decode(credential)?.split('/').next().map(str::to_owned)
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            let digits = tail.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(uri: &str) -> Option<(String, String, Option<String>)> {
        target(&uri.parse().unwrap()).map(|target| (target.bucket, target.key, target.version))
    }

    #[test]
    fn targets_are_read_from_paths() {
        let some = |bucket: &str, key: &str, version: Option<&str>| {
            Some((bucket.to_owned(), key.to_owned(), version.map(str::to_owned)))
        };
        for (uri, expected) in [
            ("/sales/a/b%20c?versionId=v%2D1&x=1", some("sales", "a/b c", Some("v-1"))),
            ("/sales", some("sales", "", None)),
            ("/sales/?list-type=2&prefix=p", some("sales", "", None)),
            ("/", some("", "", None)),
            ("/sales/%zz", None),
            ("/sales/%+1", None),
        ] {
            assert_eq!(named(uri), expected, "{uri}");
        }
    }

    #[test]
    fn the_signer_is_read_from_header_or_query() {
        let mut headers = HeaderMap::new();
        let presigned = "/b/k?X-Amz-Credential=key%2F20260101%2Fus-east-1&y=1".parse().unwrap();
        assert_eq!(signed_by(&headers, &presigned).as_deref(), Some("key"));
        assert_eq!(signed_by(&headers, &"/b/k".parse().unwrap()), None);
        let value = "AWS4-HMAC-SHA256 Credential=app/20260101/us-east-1/s3/aws4_request, SignedHeaders=host";
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        assert_eq!(signed_by(&headers, &"/b/k".parse().unwrap()).as_deref(), Some("app"));
    }

    #[test]
    fn only_the_environments_own_requests_pass_and_only_reads_by_the_reading_door() {
        let ask = |method: Method, uri: &str, key: Option<&str>, door| {
            let target = target(&uri.parse().unwrap());
            check(&method, target.as_ref(), key, door, "sales", "app").map_err(|refusal| refusal.status.as_u16())
        };
        for (method, uri, key, door, expected) in [
            (Method::PUT, "/sales/k", Some("app"), Door::Rw, Ok(())),
            (Method::GET, "/sales/k", Some("app"), Door::Ro, Ok(())),
            (Method::HEAD, "/sales", Some("app"), Door::Ro, Ok(())),
            (Method::PUT, "/sales/k", Some("app"), Door::Ro, Err(405)),
            (Method::POST, "/sales?delete", Some("app"), Door::Ro, Err(405)),
            (Method::GET, "/books/k", Some("app"), Door::Rw, Err(403)),
            (Method::GET, "/", Some("app"), Door::Rw, Err(403)),
            (Method::GET, "/sales/k", Some("other"), Door::Rw, Err(403)),
            (Method::GET, "/sales/k", None, Door::Rw, Err(403)),
        ] {
            assert_eq!(ask(method.clone(), uri, key, door), expected, "{method} {uri} {key:?} {door:?}");
        }
    }
}
