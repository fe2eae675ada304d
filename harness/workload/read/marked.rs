//! Which of the objects that rows miss the platform owns up to.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{
    api::{control::FileReference, environment::Endpoints},
    clients::{error::chain, s3},
    model::observation::ObjectReference,
};

/// Questions asked at once.
const ASKERS: usize = 8;

/// Bound on one question.
const REQUEST_WITHIN: Duration = Duration::from_secs(5);

/// Asks the customer's door for reading files for each of `references` (those of rows whose version was not found), and
/// keeps those answered 409 that the platform's list has too.
///
/// # Errors
/// Why the door could not be asked within `within`. That it answers otherwise, or refuses, is no error: then the reference
/// is not marked.
pub async fn marked(
    references: &[ObjectReference],
    endpoints: &Endpoints,
    listed: &[FileReference],
    within: Duration,
) -> Result<Vec<ObjectReference>, String> {
    let listed: BTreeSet<_> = listed.iter().map(|listed| (&*listed.object_key, &*listed.version_id)).collect();
    let asked: Vec<_> = references
        .iter()
        .filter(|reference| listed.contains(&(&*reference.object_key, &*reference.version_id)))
        .cloned()
        .collect();
    let client = s3::client(endpoints.files_ro_port, &endpoints.s3, within.min(REQUEST_WITHIN));
    let asking = stream::iter(asked)
        .map(|reference| async {
            let get = client.get_object().bucket(&endpoints.bucket).key(&*reference.object_key);
            let status = match get.version_id(&*reference.version_id).send().await {
                Ok(_) => None,
                Err(error) => match error.raw_response() {
                    Some(answer) => Some(answer.status().as_u16()),
                    None => return Err(format!("ask for {}: {}", reference.object_key, chain(&error))),
                },
            };
            Ok((status == Some(409)).then_some(reference))
        })
        .buffer_unordered(ASKERS)
        .try_filter_map(|reference| async { Ok(reference) })
        .try_collect();
    tokio::time::timeout(within, asking).await.unwrap_or_else(|_| Err(format!("not answered within {within:?}")))
}
