//! Tokens: the name of one write, found again in rows, in object bodies and in the ledger.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// One operation's name. Text form `RRRRRRRR-SSSSSS-QQQQQQQQ-EE`, hexadecimal: run, stream, sequence, epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Token {
    /// The run, drawn at its start, so that another run's rows are foreign.
    pub run: u32,
    /// The stream: operations of one stream are sent one after another. At most 24 bits.
    pub stream: u32,
    /// Place in the stream, from 0.
    pub sequence: u32,
    /// Switches that the examiner had itself observed when it sent the operation. At most 8 bits.
    pub epoch: u32,
}

/// A text that is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a token")]
pub struct NotAToken(pub String);

impl Token {
    /// Length of the text form, in bytes.
    pub const TEXT_BYTES: usize = 8 + 1 + 6 + 1 + 8 + 1 + 2;

    /// The value that a row written by this operation must hold: 32 hexadecimal digits that depend on every part of the
    /// token, so that a row with another's value is seen.
    pub fn value(&self) -> String {
        let (high, low) = self.mix();
        format!("{high:016x}{low:016x}")
    }

    /// Whether `text` is this token's [`Token::value`]; tells it without making one.
    pub fn has_value(&self, text: &str) -> bool {
        let (high, low) = self.mix();
        let text = text.as_bytes();
        text.len() == 32 && hexadecimal(&text[..16]) == Some(high) && hexadecimal(&text[16..]) == Some(low)
    }

    /// The body of an object written by this operation, `bytes` long (at least the token's own text and a line feed):
    /// the token's text, a line feed, filler that depends on the token.
    pub fn body(&self, bytes: usize) -> Vec<u8> {
        let mut body = format!("{self}\n").into_bytes();
        let (mut state, _) = self.mix();
        while body.len() < bytes {
            state = splitmix(state);
            body.extend_from_slice(&state.to_le_bytes());
        }
        body.truncate(bytes.max(Self::TEXT_BYTES + 1));
        body
    }

    /// The token at the beginning of an object's body, if there is one.
    pub fn from_body(body: &[u8]) -> Option<Token> {
        let head = body.get(..Self::TEXT_BYTES)?;
        std::str::from_utf8(head).ok()?.parse().ok()
    }

    fn mix(&self) -> (u64, u64) {
        let high = splitmix(u64::from(self.run) << 32 | u64::from(self.stream));
        let low = splitmix(high ^ (u64::from(self.sequence) << 32 | u64::from(self.epoch)));
        (splitmix(high ^ low), low)
    }
}

/// The number that at most 16 lower-case hexadecimal digits write.
fn hexadecimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| match digit {
        b'0'..=b'9' => Some(number << 4 | u64::from(digit - b'0')),
        b'a'..=b'f' => Some(number << 4 | u64::from(digit - b'a' + 10)),
        _ => None,
    })
}

/// One step of SplitMix64 (Steele, Lea, Flood 2014): a fast mixing of 64 bits, not a cryptographic one.
fn splitmix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:06x}-{:08x}-{:02x}", self.run, self.stream, self.sequence, self.epoch)
    }
}

impl FromStr for Token {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let refuse = || NotAToken(text.chars().take(80).collect());
        let bytes = text.as_bytes();
        let shaped = bytes.len() == Self::TEXT_BYTES
            && bytes.iter().enumerate().all(|(place, byte)| match place {
                8 | 15 | 24 => *byte == b'-',
                _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            });
        if !shaped {
            return Err(refuse());
        }
        let part = |range: std::ops::Range<usize>| u32::from_str_radix(&text[range], 16).map_err(|_| refuse());
        Ok(Self { run: part(0..8)?, stream: part(9..15)?, sequence: part(16..24)?, epoch: part(25..27)? })
    }
}

/// A token as it was found: one of ours in form, or a text that nobody here would issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Seen<S = Box<str>> {
    /// It has the form of a token; whether anybody issued it, the ledger knows.
    Token(Token),
    /// Any other text.
    Foreign(S),
}

impl Seen {
    /// The same, its text borrowed.
    pub fn borrowed(&self) -> Seen<&str> {
        match self {
            Self::Token(token) => Seen::Token(*token),
            Self::Foreign(text) => Seen::Foreign(text),
        }
    }
}

impl From<&str> for Seen {
    fn from(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Foreign(text.into()), Self::Token)
    }
}

impl<S: fmt::Display> fmt::Display for Seen<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(token) => token.fmt(f),
            Self::Foreign(text) => text.fmt(f),
        }
    }
}
