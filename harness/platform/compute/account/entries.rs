//! Which S3 requests write object versions, and what the store's answer says was written: pure.

use hyper::{HeaderMap, Method};

use crate::{api::compute::AccountOperation, platform::compute::request::Target};

/// Parts of an object, or things about it, that are written through its key without a version of it coming about.
const ABOUT_OBJECTS: [&str; 8] =
    ["uploadId", "tagging", "acl", "retention", "legal-hold", "torrent", "restore", "attributes"];

/// What a request writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A version: put, copied, or completed out of parts.
    Put,
    /// A delete marker.
    Mark,
    /// Nothing: it removes this version.
    Purge(String),
    /// Many keys at once; the answer's body says what became of each.
    DeleteMany,
}

/// One version that the store acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Object key.
    pub object_key: String,
    /// Version id.
    pub version_id: String,
    /// What was done.
    pub operation: AccountOperation,
}

/// What a request writes; `None`: no version.
pub fn kind(method: &Method, target: &Target, query: &str) -> Option<Kind> {
    let names: Vec<&str> = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name)).collect();
    let about = names.iter().any(|name| ABOUT_OBJECTS.contains(name));
    match (target.key.is_empty(), method.as_str()) {
        (true, "POST") if names.contains(&"delete") => Some(Kind::DeleteMany),
        (true, _) => None,
        (false, "PUT") if !about => Some(Kind::Put),
        (false, "POST") if names.contains(&"uploadId") => Some(Kind::Put),
        (false, "DELETE") if !about => match &target.version {
            Some(version) => Some(Kind::Purge(version.clone())),
            None => Some(Kind::Mark),
        },
        _ => None,
    }
}

/// What a successful answer to a request on one key says was written; `None`: it does not name the version.
pub fn written_by(kind: &Kind, key: &str, headers: &HeaderMap) -> Option<Written> {
    let told = || headers.get("x-amz-version-id")?.to_str().ok().map(str::to_owned);
    let (operation, version_id) = match kind {
        Kind::Put => (AccountOperation::Put, told()?),
        Kind::Mark => (AccountOperation::Mark, told()?),
        Kind::Purge(version) => (AccountOperation::Purge, version.clone()),
        Kind::DeleteMany => return None,
    };
    Some(Written { object_key: key.to_owned(), version_id, operation })
}

/// Whether a request to delete many asks for an answer that does not say what was deleted.
pub fn asks_for_quiet(body: &str) -> bool {
    elements(body, "Quiet").any(|quiet| quiet.trim().eq_ignore_ascii_case("true"))
}

/// What the answer to a request to delete many says was written.
pub fn written_by_many(body: &str) -> Vec<Written> {
    let deleted = elements(body, "Deleted").filter_map(|deleted| {
        let text = |name| elements(deleted, name).next().map(unescaped);
        let (version_id, operation) = match text("VersionId") {
            Some(version) => (version, AccountOperation::Purge),
            None => (text("DeleteMarkerVersionId")?, AccountOperation::Mark),
        };
        Some(Written { object_key: text("Key")?, version_id, operation })
    });
    deleted.collect()
}

/// The content of every element of this name, none of which holds another of the same name.
fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let from = rest.find(&open)? + open.len();
        let until = from + rest[from..].find(&close)?;
        let content = &rest[from..until];
        rest = &rest[until + close.len()..];
        Some(content)
    })
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let Some((name, after)) = after.split_once(';') else {
            rest = after;
            break;
        };
        let code = match name.strip_prefix("#x") {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => name.strip_prefix('#').and_then(|digits| digits.parse().ok()),
        };
        match name {
            "amp" => out.push('&'),
            "lt" => out.push('<'),
            "gt" => out.push('>'),
            "quot" => out.push('"'),
            "apos" => out.push('\''),
            _ => out.extend(code.and_then(char::from_u32)),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::compute::request::target;

    #[test]
    fn requests_that_write_versions_are_told_from_all_others() {
        let of = |method: Method, uri: &str| {
            let uri: hyper::Uri = uri.parse().unwrap();
            kind(&method, &target(&uri).unwrap(), uri.query().unwrap_or_default())
        };
        for (method, uri, expected) in [
            (Method::PUT, "/sales/k?x-id=PutObject", Some(Kind::Put)),
            (Method::PUT, "/sales/k?partNumber=1&uploadId=u", None),
            (Method::PUT, "/sales/k?tagging", None),
            (Method::PUT, "/sales?versioning", None),
            (Method::POST, "/sales/k?uploadId=u", Some(Kind::Put)),
            (Method::POST, "/sales/k?uploads", None),
            (Method::POST, "/sales?delete=", Some(Kind::DeleteMany)),
            (Method::POST, "/sales/?delete", Some(Kind::DeleteMany)),
            (Method::DELETE, "/sales/k", Some(Kind::Mark)),
            (Method::DELETE, "/sales/k?versionId=v%2D1", Some(Kind::Purge("v-1".to_owned()))),
            (Method::DELETE, "/sales/k?uploadId=u", None),
            (Method::DELETE, "/sales/k?tagging", None),
            (Method::GET, "/sales/k", None),
        ] {
            assert_eq!(of(method.clone(), uri), expected, "{method} {uri}");
        }
    }

    #[test]
    fn a_purge_is_of_the_version_asked_for_and_all_else_of_the_one_answered() {
        let mut headers = HeaderMap::new();
        assert_eq!(written_by(&Kind::Put, "k", &headers), None);
        headers.insert("x-amz-version-id", "v".parse().unwrap());
        for (kind, version_id, operation) in [
            (Kind::Put, "v", AccountOperation::Put),
            (Kind::Mark, "v", AccountOperation::Mark),
            (Kind::Purge("w".to_owned()), "w", AccountOperation::Purge),
        ] {
            let expected = Written { object_key: "k".to_owned(), version_id: version_id.to_owned(), operation };
            assert_eq!(written_by(&kind, "k", &headers), Some(expected));
        }
    }

    #[test]
    fn each_result_of_a_delete_of_many_is_read() {
        let body = "<?xml version=\"1.0\"?><DeleteResult xmlns=\"x\">\
            <Deleted><DeleteMarker>true</DeleteMarker><DeleteMarkerVersionId>m1</DeleteMarkerVersionId><Key>a&amp;b&#xE4;</Key></Deleted>\
            <Deleted><Key>c</Key><VersionId>v2</VersionId></Deleted>\
            <Deleted><DeleteMarker>true</DeleteMarker><DeleteMarkerVersionId>m3</DeleteMarkerVersionId><Key>d</Key><VersionId>m3</VersionId></Deleted>\
            <Error><Key>e</Key><VersionId>v4</VersionId></Error></DeleteResult>";
        let written: Vec<_> =
            written_by_many(body).into_iter().map(|one| (one.object_key, one.version_id, one.operation)).collect();
        let expected = [
            ("a&bä", "m1", AccountOperation::Mark),
            ("c", "v2", AccountOperation::Purge),
            ("d", "m3", AccountOperation::Purge),
        ];
        assert_eq!(written, expected.map(|(key, version, done)| (key.to_owned(), version.to_owned(), done)));
        assert!(asks_for_quiet("<Delete><Quiet>true</Quiet></Delete>"));
        assert!(!asks_for_quiet("<Delete><Quiet>false</Quiet></Delete>") && !asks_for_quiet("<Delete></Delete>"));
    }
}
