//! One bucket made equal to another of the same store: every version and delete marker with its own id, and none besides.

use std::sync::Arc;

use aws_sdk_s3::Client;

use super::{
    compare::{Comparison, Source},
    copy::{At, bring_marker, bring_purge, bring_version},
    crew::Crew,
    moment::Moment,
};
use crate::platform::node::store::{Listing, StoreError, Version};

struct Buckets {
    client: Client,
    from: String,
    to: String,
}

/// Makes `to`, which nobody may write to meanwhile, equal to `from`, which nobody may write to either unless it is meant as it was at
/// a moment. How many versions and markers were brought or removed.
///
/// # Errors
/// [`StoreError`]; a repeat goes on with what is left.
pub async fn mirror(client: &Client, from: &str, to: &str, moment: Option<&Arc<Moment>>) -> Result<u64, StoreError> {
    let buckets = Arc::new(Buckets { client: client.clone(), from: from.to_owned(), to: to.to_owned() });
    let listing = |bucket: &str| Listing::new(client, bucket);
    let wanted = match moment {
        Some(moment) => Source::Moment(listing(from), Arc::clone(moment)),
        None => Source::Store(listing(from)),
    };
    let mut comparison = Comparison::new(Source::Store(listing(to)), wanted);
    let (mut crew, mut changed) = (Crew::new(), 0);
    while let Some(found) = comparison.next().await? {
        if let Some(unlike) = found.unlike.first() {
            let Version { object_key, version_id, .. } = unlike;
            return Err(StoreError::Order(format!("version {version_id} of {object_key} has another content in {to}")));
        }
        let strays = found.left.into_iter().map(|version| (version, false));
        for (version, is_wanted) in strays.chain(found.right.into_iter().map(|version| (version, true))) {
            changed += 1;
            let buckets = Arc::clone(&buckets);
            crew.begin(async move { buckets.settle(&version, is_wanted).await }).await?;
        }
    }
    while crew.next().await?.is_some() {}
    Ok(changed)
}

impl Buckets {
    async fn settle(&self, version: &Version, is_wanted: bool) -> Result<(), StoreError> {
        let at = |bucket| At { client: &self.client, bucket };
        let (from, to) = (at(&self.from), at(&self.to));
        let Version { object_key: key, version_id: id, delete_marker, .. } = version;
        match (is_wanted, delete_marker) {
            (false, _) => bring_purge(to.client, to.bucket, key, id).await,
            (true, true) => bring_marker(from, to, key, id).await,
            (true, false) => bring_version(from, to, key, id).await,
        }
    }
}
