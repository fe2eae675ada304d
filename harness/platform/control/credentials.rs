//! What a new environment is given: users and secrets made at random.

use std::collections::BTreeMap;

use crate::api::{Region, environment::Login, permit::Credentials};

/// Random bytes of a secret; MinIO takes secrets of 40 characters at most.
const SECRET_BYTES: usize = 20;
/// Random bytes of an access key; MinIO takes keys of 20 characters at most.
const KEY_BYTES: usize = 9;

/// Fresh credentials for one environment.
pub(super) fn make(regions: &[Region]) -> Credentials {
    let files_replication: BTreeMap<Region, Login> =
        regions.iter().map(|region| (region.clone(), key_pair("r"))).collect();
    Credentials {
        app: sql("app"),
        reader: sql("reader"),
        s3: key_pair("c"),
        sql_replication: sql("replicator"),
        files_replication,
    }
}

fn sql(user: &str) -> Login {
    Login { user: user.to_owned(), secret: hex::encode(rand::random::<[u8; SECRET_BYTES]>()) }
}

/// Access keys share one name space with those of all other environments in a store, so they are random too.
fn key_pair(prefix: &str) -> Login {
    let key = hex::encode(rand::random::<[u8; KEY_BYTES]>());
    Login { user: format!("{prefix}{key}"), secret: hex::encode(rand::random::<[u8; SECRET_BYTES]>()) }
}
