//! Text → a tree in which every key and every value knows where it stands. Duplicate keys are kept, so that the decoder
//! can point at them; of YAML syntax only the first error is known.

use std::{fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Location, Spanned, options::DuplicateKeyPolicy, options::MergeKeyPolicy};

use super::diagnostic::Diagnostic;

/// A value and the bytes of the text it was written in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// Bytes of the text. Of a list or a map only the beginning.
    pub span: Range<usize>,
    /// The value.
    pub value: Value,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Nothing, or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the text, duplicates included.
    Map(Vec<(Node, Node)>),
}

impl Value {
    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Int(_) => "a number",
            Self::Float(_) => "a fraction",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// Reads a text, YAML or JSON (which is YAML too).
pub(super) fn read(text: &str) -> Result<Node, Diagnostic> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        strict_booleans: true,
        with_snippet: false,
    };
    let raw: Spanned<Raw> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let span = error.location().map_or(0..0, |location| span_of(text, location));
        let message = error.without_snippet().to_string();
        Diagnostic::new(text, span, format!("this is not YAML: {}", without_place(&message)))
    })?;
    Ok(place(text, raw))
}

/// The parser ends (or begins) its messages with a place of its own; ours is shown by the caret.
fn without_place(message: &str) -> &str {
    let message = message.split_once("error: ").map_or(message, |(_, rest)| rest);
    let line = message.lines().next().unwrap_or(message);
    // Nor is its advice to programmers of use here.
    [" at line ", "; use "].iter().fold(line, |line, end| line.split(end).next().unwrap_or(line)).trim()
}

fn place(text: &str, raw: Spanned<Raw>) -> Node {
    let span = span_of(text, raw.referenced);
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Bool(value) => Value::Bool(value),
        Raw::Int(value) => Value::Int(value),
        Raw::Float(value) => Value::Float(value),
        Raw::Text(value) => Value::Text(value),
        Raw::List(items) => Value::List(items.into_iter().map(|item| place(text, item)).collect()),
        Raw::Map(entries) => {
            Value::Map(entries.into_iter().map(|(key, value)| (place(text, key), place(text, value))).collect())
        }
    };
    Node { span, value }
}

fn span_of(text: &str, location: Location) -> Range<usize> {
    let span = location.span();
    let bytes = span.byte_offset().zip(span.byte_len()).map(|(start, len)| {
        let start = usize::try_from(start).unwrap_or(0);
        start..start.saturating_add(usize::try_from(len).unwrap_or(0))
    });
    let span = bytes.unwrap_or_else(|| {
        let start = byte_at(text, location.line(), location.column());
        start..start
    });
    let end = text.len();
    let start = floor(text, span.start.min(end));
    start..floor(text, span.end.clamp(start, end))
}

/// Byte of a line and column, both counted from 1.
fn byte_at(text: &str, line: u64, column: u64) -> usize {
    let [line, column] = [line, column].map(|count| usize::try_from(count.saturating_sub(1)).unwrap_or(0));
    let before: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    before + text[before..].chars().take(column).map(char::len_utf8).sum::<usize>()
}

fn floor(text: &str, mut byte: usize) -> usize {
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}

/// A value as the parser hands it over.
enum Raw {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Int(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Int(value.into()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Int(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Vec<String> {
        fn walk(text: &str, node: &Node, out: &mut Vec<String>) {
            match &node.value {
                Value::List(items) => items.iter().for_each(|item| walk(text, item, out)),
                Value::Map(entries) => entries.iter().for_each(|(key, value)| {
                    walk(text, key, out);
                    walk(text, value, out);
                }),
                _ => out.push(text[node.span.clone()].to_owned()),
            }
        }
        let mut out = Vec::new();
        walk(text, &read(text).unwrap(), &mut out);
        out
    }

    #[test]
    fn every_scalar_knows_its_own_bytes() {
        assert_eq!(written("a: 1\nb: [two, \"drei é\", 4]\n"), ["a", "1", "b", "two", "\"drei é\"", "4"]);
        assert_eq!(written("é: { a: 5s, a: no }"), ["é", "a", "5s", "a", "no"]);
        assert_eq!(written("{\"a\": [1, true],\n \"b\": \"x\"}"), ["\"a\"", "1", "true", "\"b\"", "\"x\""]);
    }

    #[test]
    fn broken_yaml_is_one_diagnostic_with_a_place() {
        let error = read("a: 1\nb: [2\nc: 3\n").unwrap_err();
        assert!(error.line >= 2, "{error:?}");
    }
}
