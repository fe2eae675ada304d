//! A user of MinIO as an archive that `mc admin cluster iam import` takes. Making it by `mc admin user add` and
//! `mc admin policy attach` takes more than a second (each call is encrypted with a key stretched by Argon2, on both
//! sides); importing it takes 70 ms, and the secret stands in a private file instead of in arguments.

use serde_json::json;

use crate::api::environment::Login;

/// An archive with one enabled user that has one policy.
pub(super) fn archive(user: &Login, policy: &str) -> Vec<u8> {
    let name = user.user.as_str();
    let users = json!({ name: { "secretKey": user.secret, "status": "enabled" } });
    let mappings = json!({ name: { "version": 1, "policy": policy, "updatedAt": "2026-01-01T00:00:00Z" } });
    zip(&[("iam-assets/users.json", users.to_string()), ("iam-assets/user_mappings.json", mappings.to_string())])
}

/// A ZIP file whose entries are stored as they are.
fn zip(entries: &[(&str, String)]) -> Vec<u8> {
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let offset = length(file.len());
        // Version 2.0, no flags, method 0 (stored), 1980-01-01 00:00.
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        common.extend(crc32fast::hash(content.as_bytes()).to_le_bytes());
        common.extend(length(content.len()));
        common.extend(length(content.len()));
        common.extend(&length(name.len())[..2]);
        common.extend([0, 0]);
        file.extend(b"PK\x03\x04");
        file.extend(&common);
        file.extend(name.as_bytes());
        file.extend(content.as_bytes());
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&common);
        // No comment, first disk, no attributes.
        directory.extend([0; 10]);
        directory.extend(offset);
        directory.extend(name.as_bytes());
    }
    let count = &length(entries.len())[..2];
    let (size, offset) = (length(directory.len()), length(file.len()));
    file.extend(directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend(count);
    file.extend(count);
    file.extend(size);
    file.extend(offset);
    file.extend([0, 0]);
    file
}
