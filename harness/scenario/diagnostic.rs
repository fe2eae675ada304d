//! What is wrong with a file: each error with its place, all of them at once.

use std::{fmt, ops::Range};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Bytes of the text.
    pub span: Range<usize>,
}

impl Diagnostic {
    pub(super) fn new(text: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        let before = &text[..span.start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            message: message.into(),
            help: None,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            span,
        }
    }

    pub(super) fn with_help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }
}

/// Everything that is wrong with a file, in the order of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Diagnostics {
    /// The file's name, as the caller gave it.
    pub name: String,
    /// Its text.
    pub text: String,
    /// The errors; never empty.
    pub errors: Vec<Diagnostic>,
}

impl Diagnostics {
    pub(super) fn new(name: &str, text: &str, mut errors: Vec<Diagnostic>) -> Self {
        errors.sort_by_key(|error| (error.span.start, error.span.end));
        errors.dedup();
        Self { name: name.to_owned(), text: text.to_owned(), errors }
    }

    /// Every error with file, line, column, the line itself and a caret below, for a person.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for error in &self.errors {
            let span = caret(&self.text, &error.span);
            let snippet = Snippet::source(&*self.text).path(&*self.name).annotation(AnnotationKind::Primary.span(span));
            let group = Level::ERROR.primary_title(&*error.message).element(snippet);
            let group = match &error.help {
                Some(help) => group.element(Level::HELP.message(&**help)),
                None => group,
            };
            out.push_str(&renderer.render(&[group]));
            out.push_str("\n\n");
        }
        let count = self.errors.len();
        let plural = if count == 1 { "" } else { "s" };
        out.push_str(&format!("{}: {count} error{plural}\n", self.name));
        out
    }
}

/// A span as it can be underlined: within one line, and at least one character long where the text has one.
fn caret(text: &str, span: &Range<usize>) -> Range<usize> {
    let rest = &text[span.start..];
    let line_end = span.start + rest.find('\n').unwrap_or(rest.len());
    let one = span.start + rest.chars().next().map_or(0, char::len_utf8);
    span.start..span.end.min(line_end).max(one.min(line_end))
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, error) in self.errors.iter().enumerate() {
            let end = if place == 0 { "" } else { "\n" };
            write!(f, "{end}{}:{}:{}: {}", self.name, error.line, error.column, error.message)?;
        }
        Ok(())
    }
}
