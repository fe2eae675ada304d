//! What a server keeps of a role's secret: a SCRAM verifier, made here, so that the secret itself never reaches it.
//!
//! RFC 5802 stretches a password by thousands of rounds, since people choose guessable ones; every new connection pays for
//! them. A secret of 160 random bits gains nothing by it, so there is one round.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac, digest::InvalidLength};
use sha2::{Digest, Sha256};

/// Rounds of stretching.
const ITERATIONS: u32 = 1;

/// Bytes of salt, as Postgres itself takes.
const SALT_BYTES: usize = 16;

/// The verifier of `secret`, with a salt of its own, as `PASSWORD '…'` takes it.
///
/// # Errors
/// None in fact: HMAC takes keys of any length.
pub fn verifier(secret: &str) -> Result<String, InvalidLength> {
    of(secret, &rand::random::<[u8; SALT_BYTES]>())
}

fn of(secret: &str, salt: &[u8]) -> Result<String, InvalidLength> {
    // The first round of RFC 5802's Hi(), which is all of it.
    let salted = keyed(secret.as_bytes(), &[salt, &1u32.to_be_bytes()].concat())?;
    let stored = Sha256::digest(keyed(&salted, b"Client Key")?);
    let server = keyed(&salted, b"Server Key")?;
    let [salt, stored, server] = [salt, &stored, &server].map(|bytes| BASE64_STANDARD.encode(bytes));
    Ok(format!("SCRAM-SHA-256${ITERATIONS}:{salt}${stored}:{server}"))
}

fn keyed(key: &[u8], text: &[u8]) -> Result<[u8; 32], InvalidLength> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)?;
    mac.update(text);
    Ok(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_is_the_documented_formula_and_shows_no_secret() {
        // Computed with Python's hashlib and hmac.
        assert_eq!(
            of("s3cret", &[7; 16]).unwrap(),
            "SCRAM-SHA-256$1:BwcHBwcHBwcHBwcHBwcHBw==$kLMz/R1EvQR1OP/HHZ16C4CTRMCFJw7DNxktvwSU2q0=:0mP43i1j4JsEoLi5gljOUweZhnOhyPNGWX7dxmSa6U0="
        );
        assert_ne!(verifier("s3cret").unwrap(), verifier("s3cret").unwrap(), "each has a salt of its own");
    }
}
