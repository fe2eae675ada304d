//! The collecting decoder: every mistake is told to a [`Sink`] and decoding goes on, so that a file's errors come out all
//! at once. A function that decodes answers `None` only after it has told why.

use std::ops::Range;

use super::{
    diagnostic::Diagnostic,
    tree::{Node, Value},
};

/// Takes every mistake found in one text.
pub(super) struct Sink<'a> {
    text: &'a str,
    pub errors: Vec<Diagnostic>,
}

impl<'a> Sink<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, errors: Vec::new() }
    }

    /// A mistake at these bytes.
    pub fn error(&mut self, span: &Range<usize>, message: impl Into<String>) {
        self.error_with(span, message, None);
    }

    /// A mistake, and what to do about it.
    pub fn error_with(&mut self, span: &Range<usize>, message: impl Into<String>, help: Option<String>) {
        self.errors.push(Diagnostic::new(self.text, span.clone(), message).with_help(help));
    }

    /// A value of the wrong type.
    pub fn wrong_type(&mut self, node: &Node, wanted: &str) {
        self.error(&node.span, format!("expected {wanted}, found {}", node.value.kind()));
    }

    /// A name out of a known set that is not in it.
    pub fn unknown<'n>(&mut self, span: &Range<usize>, what: &str, found: &str, known: impl Iterator<Item = &'n str>) {
        let known: Vec<&str> = known.collect();
        self.error_with(span, format!("unknown {what} `{found}`"), suggest(found, &known));
    }
}

/// "did you mean", or the whole list if it is short, or nothing.
pub(super) fn suggest(found: &str, known: &[&str]) -> Option<String> {
    const LISTED_MAX: usize = 12;
    match nearest(found, known) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if known.is_empty() || known.len() > LISTED_MAX => None,
        None => Some(format!("known: {}", known.join(", "))),
    }
}

/// The known name that is nearest to what was found, if any is near: at most a third of its letters differ, or one.
pub(super) fn nearest<'k>(found: &str, known: &[&'k str]) -> Option<&'k str> {
    let near = known.iter().filter(|name| {
        let longest = found.len().max(name.len());
        let distance = strsim::damerau_levenshtein(found, name);
        distance < longest && distance <= 1.max(longest / 3)
    });
    let alike = |name: &&&str| strsim::jaro_winkler(found, name);
    near.max_by(|a, b| alike(a).total_cmp(&alike(b))).copied()
}

/// The entries of one map, each known, none twice.
pub(super) struct Fields<'n> {
    span: Range<usize>,
    what: &'static str,
    entries: Vec<(&'n str, &'n Node, &'n Node)>,
}

impl<'n> Fields<'n> {
    /// Opens a map that may hold these fields and no others. `what` names it in messages: `a step`.
    pub fn open(node: &'n Node, what: &'static str, known: &[&str], sink: &mut Sink<'_>) -> Option<Self> {
        let Value::Map(all) = &node.value else {
            sink.wrong_type(node, &format!("{what} (a map)"));
            return None;
        };
        let mut entries: Vec<(&str, &Node, &Node)> = Vec::new();
        for (key, value) in all {
            let Value::Text(name) = &key.value else {
                sink.wrong_type(key, "the name of a field");
                continue;
            };
            if !known.contains(&name.as_str()) {
                sink.error_with(&key.span, format!("unknown field `{name}` of {what}"), suggest(name, known));
            } else if entries.iter().any(|(earlier, ..)| earlier == name) {
                sink.error(&key.span, format!("`{name}` is given twice"));
            } else {
                entries.push((name, key, value));
            }
        }
        Some(Self { span: node.span.clone(), what, entries })
    }

    /// Where the map begins.
    pub fn span(&self) -> &Range<usize> {
        &self.span
    }

    /// A field that may be left out. One that is there but empty counts as left out only if it is `null`, which is told.
    pub fn get(&self, name: &str, sink: &mut Sink<'_>) -> Option<&'n Node> {
        let (_, key, value) = self.entries.iter().find(|(found, ..)| *found == name)?;
        if value.value == Value::Null {
            sink.error(&key.span, format!("`{name}` has no value"));
            return None;
        }
        Some(value)
    }

    /// A field that must be there.
    pub fn require(&self, name: &str, sink: &mut Sink<'_>) -> Option<&'n Node> {
        if !self.has(name) {
            sink.error(&self.span, format!("{} needs the field `{name}`", self.what));
        }
        self.get(name, sink)
    }

    /// Whether a field is there.
    pub fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(found, ..)| *found == name)
    }

    /// Where a field's name stands.
    pub fn key(&self, name: &str) -> Option<&'n Range<usize>> {
        self.entries.iter().find(|(found, ..)| *found == name).map(|(_, key, _)| &key.span)
    }

    /// Exactly one of these fields: its name, key and value.
    pub fn one_of(&self, names: &[&'static str], sink: &mut Sink<'_>) -> Option<(&'n str, &'n Node, &'n Node)> {
        let mut given = self.entries.iter().filter(|(name, ..)| names.contains(name));
        let Some((name, key, value)) = given.next().copied() else {
            sink.error(&self.span, format!("{} needs one of {}", self.what, listed(names)));
            return None;
        };
        for (other, other_key, _) in given {
            sink.error_with(
                &other_key.span,
                format!("`{other}` stands beside `{name}`: {} has exactly one of {}", self.what, listed(names)),
                None,
            );
        }
        if value.value == Value::Null {
            sink.error(&key.span, format!("`{name}` has no value"));
            return None;
        }
        Some((name, key, value))
    }
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The one entry of a map such as `{ region.outage: {…} }`: its name, key and value.
pub(super) fn single<'n>(
    node: &'n Node,
    what: &str,
    known: &[&str],
    sink: &mut Sink<'_>,
) -> Option<(&'n str, &'n Node, &'n Node)> {
    let Value::Map(entries) = &node.value else {
        sink.wrong_type(
            node,
            &format!("{what} with its fields, such as `{}: {{…}}`", known.first().unwrap_or(&"name")),
        );
        return None;
    };
    let Some((key, value)) = entries.first() else {
        sink.error(&node.span, format!("expected {what}, found an empty map"));
        return None;
    };
    for (extra, _) in &entries[1..] {
        sink.error(&extra.span, format!("something beside {what}: only one can stand here"));
    }
    let Value::Text(name) = &key.value else {
        sink.wrong_type(key, &format!("the name of {what}"));
        return None;
    };
    Some((name, key, value))
}
