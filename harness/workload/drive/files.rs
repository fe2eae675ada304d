//! One attempt at the object store.

use std::{sync::OnceLock, time::Duration};

use aws_sdk_s3::{Client, presigning::PresignedRequest, primitives::ByteStream};
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use crate::{
    api::environment::Login,
    clients::{
        door::Entrance,
        postgres::Failure,
        s3::{self, classify},
        s3_fresh,
    },
    model::operation::Connection,
};

/// One client of one door and one bucket. Used by one operation at a time, its pool holds one connection.
pub(super) struct Files {
    client: OnceLock<Client>,
    port: u16,
    bucket: String,
    login: Login,
    deadline: Duration,
    connection: Connection,
    /// The door it goes in by, past the edge; `None`: it connects to its port. For fresh connections.
    entrance: Option<Entrance>,
}

impl Files {
    /// A client; it is made, and connects, when it first sends: most hands of probes never do.
    pub fn new(port: u16, bucket: &str, login: &Login, deadline: Duration, connection: Connection) -> Self {
        let (bucket, login) = (bucket.to_owned(), login.clone());
        Self { client: OnceLock::new(), port, bucket, login, deadline, connection, entrance: None }
    }

    /// From now on it goes in by this door.
    pub fn enter_by(&mut self, entrance: Entrance) {
        self.entrance = Some(entrance);
    }

    async fn send(&self, signed: &PresignedRequest, body: Bytes, until: Instant) -> Result<s3_fresh::Answer, Failure> {
        match &self.entrance {
            Some(entrance) => s3_fresh::send_over(entrance.open(until).await?, self.port, signed, body, until).await,
            None => s3_fresh::send(self.port, signed, body, until).await,
        }
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| s3::client(self.port, &self.login, self.deadline))
    }

    /// Puts an object; returns its version id.
    ///
    /// # Errors
    /// What the failure proves.
    pub async fn put(&self, object_key: &str, body: Bytes, until: Instant) -> Result<Box<str>, Failure> {
        let put = self.client().put_object().bucket(&self.bucket).key(object_key);
        let version_id = match self.connection {
            Connection::LongLived => {
                let sent = put.body(ByteStream::from(body)).send();
                in_time(until, async { sent.await.map_err(|error| classify(&error)) }).await?.version_id
            }
            Connection::Fresh => {
                let signed = put.presigned(s3_fresh::presigning()?).await.map_err(|error| classify(&error))?;
                self.send(&signed, body, until).await?.version_id
            }
        };
        // An unversioned bucket calls its only version so.
        Ok(version_id.unwrap_or_else(|| "null".to_owned()).into())
    }

    /// Reads an object whole.
    ///
    /// # Errors
    /// What the failure proves.
    pub async fn get(&self, object_key: &str, until: Instant) -> Result<Bytes, Failure> {
        let get = self.client().get_object().bucket(&self.bucket).key(object_key);
        match self.connection {
            Connection::LongLived => {
                let whole = async {
                    let answer = get.send().await.map_err(|error| classify(&error))?;
                    let body = answer.body.collect().await;
                    body.map(|body| body.into_bytes()).map_err(|error| Failure::InDoubt(error.to_string()))
                };
                in_time(until, whole).await
            }
            Connection::Fresh => {
                let signed = get.presigned(s3_fresh::presigning()?).await.map_err(|error| classify(&error))?;
                Ok(self.send(&signed, Bytes::new(), until).await?.body)
            }
        }
    }

    /// Deletes an object: its bucket is versioned, so this writes a delete marker.
    ///
    /// # Errors
    /// What the failure proves.
    pub async fn delete(&self, object_key: &str, until: Instant) -> Result<(), Failure> {
        let delete = self.client().delete_object().bucket(&self.bucket).key(object_key).send();
        in_time(until, async { delete.await.map_err(|error| classify(&error)) }).await.map(drop)
    }
}

/// What is given up had been sent, or may have been: HTTP/1 has no way back, so its connection closes with it.
async fn in_time<T>(until: Instant, answer: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    timeout_at(until, answer).await.unwrap_or_else(|_| Err(Failure::InDoubt("deadline".to_owned())))
}
