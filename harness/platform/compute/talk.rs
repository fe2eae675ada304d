//! Whether a Postgres connection is idle, read from the framing of its messages alone: pure.
//!
//! It is idle when every message that is answered with `ReadyForQuery` (the first packet, `Query`, `Sync`, `FunctionCall`)
//! has been, the last answer said that no transaction is open, and nothing has come from the client since. A client that
//! has not said anything yet is idle too.

/// Code of the packet that asks for TLS.
const SSL_REQUEST: u32 = 80_877_103;
/// Code of the packet that asks for GSSAPI encryption.
const GSSENC_REQUEST: u32 = 80_877_104;
/// Version 3 of the protocol, in the upper half of the code.
const PROTOCOL_3: u32 = 3;
/// State in `ReadyForQuery`: no transaction is open.
const NO_TRANSACTION: u8 = b'I';

/// One direction's place in its current message.
#[derive(Debug, Default)]
struct Frames {
    /// The beginning of a message, as far as it has come.
    head: Vec<u8>,
    /// Bytes of it still to come.
    rest: usize,
}

impl Frames {
    fn is_between(&self) -> bool {
        self.head.is_empty() && self.rest == 0
    }

    /// Takes bytes until a head of `length` bytes is whole; `None` when the bytes are used up.
    fn head(&mut self, bytes: &mut &[u8], length: impl Fn(&[u8]) -> usize) -> Option<Vec<u8>> {
        loop {
            if self.rest > 0 {
                let skipped = self.rest.min(bytes.len());
                *bytes = &bytes[skipped..];
                self.rest -= skipped;
            }
            if self.head.len() >= length(&self.head) && !self.head.is_empty() {
                return Some(std::mem::take(&mut self.head));
            }
            let (first, tail) = bytes.split_first()?;
            self.head.push(*first);
            *bytes = tail;
        }
    }
}

/// What is said on a connection.
#[derive(Debug, Default)]
pub struct Talk {
    client: Frames,
    server: Frames,
    /// The client has sent its first packet proper.
    begun: bool,
    /// Requests for encryption that are not answered yet, with one byte each.
    encryption_asked: u32,
    /// Answers `ReadyForQuery` that are owed.
    owed: u64,
    /// Messages of the extended protocol have come since the last `Sync`.
    unsynced: bool,
    /// State told with the last `ReadyForQuery`.
    state: u8,
    /// It cannot be read: encrypted, ending, or not Postgres's protocol.
    opaque: bool,
}

impl Talk {
    /// Takes what the client sent.
    pub fn client_says(&mut self, mut bytes: &[u8]) {
        while !self.opaque {
            let length = if self.begun { 5 } else { 8 };
            let Some(head) = self.client.head(&mut bytes, |_| length) else { return };
            let (kind, sized) = if self.begun { (head[0], &head[1..5]) } else { (0, &head[..4]) };
            let size = size(sized);
            let read = if self.begun { 4 } else { 8 };
            let Some(rest) = size.checked_sub(read) else { return self.opaque = true };
            self.client.rest = rest;
            if !self.begun {
                match u32::from_be_bytes([head[4], head[5], head[6], head[7]]) {
                    SSL_REQUEST | GSSENC_REQUEST => self.encryption_asked += 1,
                    code if code >> 16 == PROTOCOL_3 => (self.begun, self.owed) = (true, 1),
                    _ => self.opaque = true,
                }
                continue;
            }
            match kind {
                b'Q' | b'S' | b'F' => {
                    self.owed += 1;
                    self.unsynced = false;
                }
                b'P' | b'B' | b'D' | b'E' | b'C' | b'H' => self.unsynced = true,
                b'X' => self.opaque = true,
                _ => {}
            }
        }
    }

    /// Takes what the server sent.
    pub fn server_says(&mut self, mut bytes: &[u8]) {
        while !self.opaque {
            if self.encryption_asked > 0 && self.server.is_between() {
                let Some((answer, tail)) = bytes.split_first() else { return };
                if *answer == b'N' {
                    self.encryption_asked -= 1;
                    bytes = tail;
                } else {
                    self.opaque = true;
                }
                continue;
            }
            let ready = |head: &[u8]| if head.first() == Some(&b'Z') { 6 } else { 5 };
            let Some(head) = self.server.head(&mut bytes, ready) else { return };
            let Some(rest) = size(&head[1..5]).checked_sub(head.len() - 1) else { return self.opaque = true };
            self.server.rest = rest;
            if head[0] == b'Z' {
                self.owed = self.owed.saturating_sub(1);
                self.state = head[5];
            }
        }
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        let between = !self.opaque && self.client.is_between() && self.server.is_between();
        let settled = self.owed == 0 && !self.unsynced && self.state == NO_TRANSACTION;
        between && if self.begun { settled } else { self.encryption_asked == 0 }
    }
}

fn size(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |size, byte| size << 8 | usize::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len() + 4).unwrap();
        [&[kind][..], &length.to_be_bytes(), payload].concat()
    }

    fn startup() -> Vec<u8> {
        let parameters = b"user\0app\0\0";
        let length = u32::try_from(parameters.len() + 8).unwrap();
        [&length.to_be_bytes()[..], &[0, 3, 0, 0], parameters].concat()
    }

    fn ready(state: u8) -> Vec<u8> {
        message(b'Z', &[state])
    }

    /// `C` from the client, `S` from the server; the bytes are given whole and one by one.
    fn idle_after(said: &[(char, Vec<u8>)]) -> bool {
        let mut outcomes = [1, usize::MAX].map(|piece| {
            let mut talk = Talk::default();
            for (who, bytes) in said {
                for piece in bytes.chunks(piece.min(bytes.len().max(1))) {
                    if *who == 'C' { talk.client_says(piece) } else { talk.server_says(piece) }
                }
            }
            talk.is_idle()
        });
        assert_eq!(outcomes[0], outcomes[1], "{said:?}");
        std::mem::take(&mut outcomes[0])
    }

    #[test]
    fn a_connection_is_idle_between_an_answer_and_the_next_request() {
        let ssl = [&8_u32.to_be_bytes()[..], &SSL_REQUEST.to_be_bytes()].concat();
        let login = [
            ('C', ssl.clone()),
            ('S', b"N".to_vec()),
            ('C', startup()),
            ('S', message(b'R', &[0, 0, 0, 10])),
            ('C', message(b'p', b"secret")),
            ('S', [message(b'R', &[0; 4]), message(b'S', b"a\0b\0"), ready(b'I')].concat()),
        ];
        let query = || ('C', message(b'Q', b"SELECT 1\0"));
        let done = |state| ('S', [message(b'C', b"SELECT 1\0"), ready(state)].concat());
        let check = |what: &str, more: &[(char, Vec<u8>)], expected: bool| {
            assert_eq!(idle_after(&[&login[..], more].concat()), expected, "{what}");
        };
        assert!(idle_after(&[]), "nothing was said");
        assert!(!idle_after(&login[..1]) && idle_after(&login[..2]), "encryption is asked for");
        assert!(!idle_after(&login[..5]), "logging in");
        assert!(!idle_after(&[('C', ssl), ('S', b"S".to_vec())]), "encrypted");
        check("logged in", &[], true);
        check("asked", &[query()], false);
        check("answered", &[query(), done(b'I')], true);
        check("in a transaction", &[query(), done(b'T')], false);
        check("in a failed transaction", &[query(), done(b'E')], false);
        check("two at once, one answered", &[query(), query(), done(b'I')], false);
        check("two at once, both answered", &[query(), query(), done(b'I'), done(b'I')], true);
        check("half a request", &[('C', b"Q\0\0".to_vec())], false);
        check("half an answer", &[query(), done(b'I'), ('S', b"N\0\0\0\x09a".to_vec())], false);
        check("a notice between", &[query(), done(b'I'), ('S', message(b'N', b"text"))], true);
        check("parsed, not synced", &[('C', message(b'P', b"\0\0\0"))], false);
        check("synced", &[('C', [message(b'P', b""), message(b'S', b"")].concat())], false);
        check("synced and answered", &[('C', [message(b'P', b""), message(b'S', b"")].concat()), done(b'I')], true);
        let copy = [query(), ('S', message(b'G', b"\0")), ('C', message(b'd', b"1\n"))];
        check("copying", &copy, false);
        check("copied", &[&copy[..], &[('C', message(b'c', b"")), done(b'I')]].concat(), true);
        check("leaving", &[('C', message(b'X', b""))], false);
        let cancel = [&16_u32.to_be_bytes()[..], &80_877_102_u32.to_be_bytes(), &[0; 8]].concat();
        assert!(!idle_after(&[('C', cancel)]), "cancelling");
        assert!(!idle_after(&[('C', b"GET / HTTP/1.1\r\n\r\n".to_vec())]), "not Postgres");
    }
}
