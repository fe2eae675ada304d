//! The first packet of a Postgres connection: who logs in. The door for reading lets the reader in and nobody else; that a
//! client asks for nothing but reads would otherwise be its own word.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

/// How long a client may take to say who it is.
const STARTUP_WITHIN: Duration = Duration::from_secs(10);
/// The longest first packet that Postgres itself accepts (`MAX_STARTUP_PACKET_LENGTH`).
const PACKET_BYTES_MAX: usize = 10_000;
/// Version 3 of the protocol, in the upper half of the code.
const PROTOCOL_3: u32 = 3;
/// Code of the packet that asks for TLS.
const SSL_REQUEST: u32 = 80_877_103;
/// Code of the packet that asks for GSSAPI encryption.
const GSSENC_REQUEST: u32 = 80_877_104;
/// How often a client may ask for encryption of one kind or the other.
const REQUESTS_MAX: usize = 2;

/// Why a connection did not come through the door for reading.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    /// Not a first packet, or none in time.
    #[error("no first packet of Postgres's protocol")]
    None,
    /// Another role than the reader's.
    #[error("this door is for reading: log in as `{reader}`, not as `{user}`")]
    Role {
        /// Who is let in.
        reader: String,
        /// Who asked.
        user: String,
    },
}

/// Reads the first packet (requests for encryption are declined, as the stores here do) and gives it back whole, to be
/// passed on, if it is the reader's.
///
/// # Errors
/// [`StartupError`]; the client has been told in its own protocol.
pub async fn reader_alone(
    client: &mut (impl AsyncRead + AsyncWrite + Unpin),
    reader: &str,
) -> Result<Vec<u8>, StartupError> {
    let packet = timeout(STARTUP_WITHIN, first_packet(client)).await.ok().flatten().ok_or(StartupError::None)?;
    let user = user(&packet).unwrap_or_default();
    if user == reader {
        return Ok(packet);
    }
    let refused = StartupError::Role { reader: reader.to_owned(), user };
    // It is refused all the same if it does not listen.
    client.write_all(&error_response("28000", &refused.to_string())).await.unwrap_or_default();
    client.shutdown().await.unwrap_or_default();
    Err(refused)
}

async fn first_packet(client: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Option<Vec<u8>> {
    for _ in 0..=REQUESTS_MAX {
        let length = client.read_u32().await.ok()?;
        let bytes = usize::try_from(length).ok().filter(|bytes| (8..=PACKET_BYTES_MAX).contains(bytes))?;
        let mut packet = length.to_be_bytes().to_vec();
        packet.resize(bytes, 0);
        client.read_exact(&mut packet[4..]).await.ok()?;
        match u32::from_be_bytes(packet[4..8].try_into().ok()?) {
            SSL_REQUEST | GSSENC_REQUEST => client.write_all(b"N").await.ok()?,
            code if code >> 16 == PROTOCOL_3 => return Some(packet),
            // A request to cancel changes nothing, but it names no role; it is not needed for reading.
            _ => return None,
        }
    }
    None
}

/// The parameter `user` of a first packet: names and values by turns, each ended by a zero byte.
fn user(packet: &[u8]) -> Option<String> {
    let mut parts = packet.get(8..)?.split(|byte| *byte == 0);
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        if name == b"user" {
            return String::from_utf8(value.to_vec()).ok();
        }
    }
    None
}

/// An `ErrorResponse`: fatal, with an SQLSTATE (28000: invalid authorization specification).
pub fn error_response(sqlstate: &str, why: &str) -> Vec<u8> {
    let fields = format!("SFATAL\0VFATAL\0C{sqlstate}\0M{why}\0\0");
    let length = u32::try_from(fields.len() + 4).unwrap_or(u32::MAX);
    [&b"E"[..], &length.to_be_bytes(), fields.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::reader_alone;

    fn packet(user: &str) -> Vec<u8> {
        let parameters = format!("database\0sales\0user\0{user}\0\0");
        let length = u32::try_from(parameters.len() + 8).expect("short");
        [&length.to_be_bytes()[..], &[0, 3, 0, 0], parameters.as_bytes()].concat()
    }

    async fn knock(bytes: &[u8]) -> (bool, Vec<u8>) {
        let (mut client, mut door) = duplex(4096);
        client.write_all(bytes).await.expect("room");
        client.shutdown().await.expect("open");
        let passed = reader_alone(&mut door, "reader").await;
        let passed = passed.is_ok_and(|given| given == packet("reader"));
        drop(door);
        let mut told = Vec::new();
        client.read_to_end(&mut told).await.expect("readable");
        (passed, told)
    }

    #[tokio::test]
    async fn the_reader_comes_in_and_nobody_else() {
        assert_eq!(knock(&packet("reader")).await, (true, Vec::new()));
        let (passed, told) = knock(&packet("app")).await;
        let told = String::from_utf8_lossy(&told).into_owned();
        assert!(!passed && told.starts_with('E') && told.contains("C28000") && told.contains("`reader`"), "{told}");
        assert!(!knock(&packet("reader2")).await.0);
    }

    #[tokio::test]
    async fn encryption_is_declined_and_rubbish_is_not_understood() {
        let tls = [&8_u32.to_be_bytes()[..], &80_877_103_u32.to_be_bytes(), &packet("reader")].concat();
        assert_eq!(knock(&tls).await, (true, b"N".to_vec()));
        for rubbish in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0, 0, 0, 8, 0, 3, 0, 0], &[0, 0, 0], &[]] {
            assert!(!knock(rubbish).await.0, "{rubbish:?}");
        }
    }
}
