//! The store's admin API, for what is in customers' way: users are enabled and disabled over a kept connection, where a run
//! of `mc` takes some 0.4 s. Its calls are signed as S3's are, so they are sent as calls on a bucket named `minio`.

use aws_sdk_s3::Client;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Store, StoreError};
use crate::{
    api::{Region, node::Spec},
    clients::s3::{ask, classify},
};

/// The first part of the path of every admin call.
pub(super) const ADMIN: &str = "minio";

impl Store {
    /// Disables the user with which `source` writes into the bucket.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke(&self, spec: &Spec, source: &Region) -> Result<(), StoreError> {
        self.set_user(spec, source, "disabled").await
    }

    /// Enables it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn allow(&self, spec: &Spec, source: &Region) -> Result<(), StoreError> {
        self.set_user(spec, source, "enabled").await
    }

    async fn set_user(&self, spec: &Spec, source: &Region, status: &'static str) -> Result<(), StoreError> {
        let Some(login) = spec.credentials.files_replication.get(source) else {
            return Err(StoreError::Order(format!("there is no key pair of {source} for this bucket")));
        };
        let user = login.user.clone();
        self.own
            .put_object()
            .bucket(ADMIN)
            .key("admin/v3/set-user-status")
            .customize()
            .mutate_request(move |request| ask(request, &[("accessKey", &user), ("status", status)]))
            .send()
            .await
            .map_err(|error| StoreError::Call { what: "set a user's status", why: classify(&error) })?;
        match user_status(&self.own, &login.user).await?.as_deref() {
            Some(shown) if shown == status => Ok(()),
            other => Err(StoreError::Order(format!("the user is {other:?} and not {status}"))),
        }
    }
}

impl Store {
    /// Removes a user; that there is none is no error.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn remove_user(&self, user: &str) -> Result<(), StoreError> {
        self.remove_by_name("remove a user", "admin/v3/remove-user", "accessKey", user).await
    }

    /// Removes a policy that no user has any more; that there is none is no error.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn remove_policy(&self, name: &str) -> Result<(), StoreError> {
        self.remove_by_name("remove a policy", "admin/v3/remove-canned-policy", "name", name).await
    }

    async fn remove_by_name(
        &self,
        what: &'static str,
        call: &str,
        parameter: &'static str,
        name: &str,
    ) -> Result<(), StoreError> {
        let name = name.to_owned();
        let delete = self.own.delete_object().bucket(ADMIN).key(call).customize();
        match delete.mutate_request(move |request| ask(request, &[(parameter, &name)])).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.raw_response().is_some_and(|answer| answer.status().as_u16() == 404) => Ok(()),
            Err(error) => Err(StoreError::Call { what, why: classify(&error) }),
        }
    }
}

async fn user_status(own: &Client, user: &str) -> Result<Option<String>, StoreError> {
    let answer: Value = read(own, "read a user's status", "admin/v3/user-info", &[("accessKey", user)]).await?;
    Ok(answer["status"].as_str().map(str::to_owned))
}

/// What an admin call that changes nothing answers; `what` it is for is said where it fails.
pub(super) async fn read<T: DeserializeOwned>(
    own: &Client,
    what: &'static str,
    path: &str,
    parameters: &[(&'static str, &str)],
) -> Result<T, StoreError> {
    let parameters: Vec<(&str, String)> = parameters.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let got = own
        .get_object()
        .bucket(ADMIN)
        .key(path)
        .customize()
        .mutate_request(move |request| {
            let parameters: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (*name, &**value)).collect();
            ask(request, &parameters);
        })
        .send()
        .await
        .map_err(|error| StoreError::Call { what, why: classify(&error) })?;
    let broke = |error: String| StoreError::Order(format!("{what}: the answer broke off: {error}"));
    let text = got.body.collect().await.map_err(|error| broke(error.to_string()))?.into_bytes();
    serde_json::from_slice(&text).map_err(|error| broke(error.to_string()))
}
