//! Owns `Problem`: a located complaint about an operator's input, with where, what and a hint.
//! Never prints and never decides what follows from a complaint; the edges do.

use std::fmt;

use serde::Serialize;

/// One complaint about one place of an operator's input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// Where it is.
    #[serde(rename = "where")]
    pub place: Place,
    /// Whether it stops the input from being used.
    pub severity: Severity,
    /// What is wrong, in one line, quoting the offending text.
    pub what: String,
    /// What to do about it; empty when there is nothing useful to add.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

/// A place in an input: a file, and a line and column where they are known (both count from 1; 0 is unknown).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// Path of the file, or the name of a source or setting.
    pub file: String,
    /// Line, from 1; 0 when the complaint is about the whole file.
    pub line: u32,
    /// Column in characters, from 1; 0 when the complaint is about the whole line.
    pub column: u32,
}

/// Whether a problem stops the input from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The input is refused.
    Error,
    /// The input is used; a person should look.
    Warning,
}

impl Problem {
    /// A complaint that refuses the input.
    pub fn error(place: Place, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { place, severity: Severity::Error, what: what.into(), hint: hint.into() }
    }

    /// A complaint that lets the input pass.
    pub fn warning(place: Place, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { place, severity: Severity::Warning, what: what.into(), hint: hint.into() }
    }

    /// True when the input must not be used.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl Place {
    /// A whole file, or a thing named like one.
    pub fn file(file: impl Into<String>) -> Self {
        Self { file: file.into(), line: 0, column: 0 }
    }

    /// A line of a file, counted from 1.
    pub fn line(file: impl Into<String>, line: u32) -> Self {
        Self { file: file.into(), line, column: 0 }
    }

    /// The place of the byte at `offset` in `text`.
    pub fn offset(file: impl Into<String>, text: &str, offset: usize) -> Self {
        let before = text.get(..offset.min(text.len())).unwrap_or(text);
        let line = before.matches('\n').count() as u32 + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() as u32 + 1;
        Self { file: file.into(), line, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
            if self.column > 0 {
                write!(f, ":{}", self.column)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}: {severity}: {}", self.place, self.what)?;
        if !self.hint.is_empty() {
            write!(f, "\n  hint: {}", self.hint)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        let text = "a = 1\né = oops\n";
        let offset = text.find("oops").unwrap();
        assert_eq!(Place::offset("x.toml", text, offset).to_string(), "x.toml:2:5");
    }

    #[test]
    fn a_problem_reads_where_what_hint() {
        let problem = Problem::error(Place::line("x.toml", 3), "no such key `ttk`", "did you mean `ttl`?");
        assert_eq!(problem.to_string(), "x.toml:3: error: no such key `ttk`\n  hint: did you mean `ttl`?");
    }
}
