//! The object that goes with a token: its key, hash and body follow from the token alone.

use sha2::{Digest, Sha256};

use crate::model::{Token, operation::FileIntent};

/// SHA-256, lower-case hexadecimal.
pub fn sha256(body: &[u8]) -> Box<str> {
    hex::encode(Sha256::digest(body)).into()
}

/// The object that operation `token` writes, `bytes` long (at least the token's text), and its body. The UUID in its key
/// is made of the token, so a key is never written twice and needs no random number.
pub fn object(token: &Token, bytes: u32) -> (FileIntent, Vec<u8>) {
    let body = token.body(bytes as usize);
    let sha256 = sha256(&body);
    let mut seed = [0; 16];
    seed.copy_from_slice(&Sha256::digest(token.to_string())[..16]);
    let uuid = uuid::Builder::from_random_bytes(seed).into_uuid();
    let bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
    (FileIntent { object_key: format!("{uuid}/{sha256}").into(), sha256, bytes }, body)
}
