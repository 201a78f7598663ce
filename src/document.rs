//! Owns reading an operator's TOML file so that *every* problem is found in one pass, each with its line and a hint.
//! Never knows which keys exist: the room that asks for a key owns its meaning, its default and its reason.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::Range;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::problem::{Place, Problem};

/// One table of a file. Asking for a key marks it known; keys nobody asked for are reported when it is dropped.
#[derive(Debug)]
pub struct Section<'a> {
    reader: &'a Reader<'a>,
    table: Option<&'a DeTable<'a>>,
    path: String,
    /// Whether it is written as one of several: `[[path]]`.
    repeated: bool,
    span: Range<usize>,
    asked: Vec<&'static str>,
}

/// A value with the place it was written at.
#[derive(Clone, Debug)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub place: Place,
}

/// A member of an array that may hold plain strings and tables side by side.
#[derive(Debug)]
pub enum Item<'a> {
    /// A table.
    Section(Section<'a>),
    /// A plain string.
    Text(Located<String>),
}

#[derive(Debug)]
struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    problems: RefCell<Vec<Problem>>,
}

/// Reads `text` as TOML and hands the top table to `read`. Returns what `read` made of it with all problems found,
/// sorted by place: syntax errors, wrong types, unknown keys, and whatever `read` itself reported.
pub fn read<T>(file: &str, text: &str, read: impl FnOnce(&mut Section<'_>) -> T) -> (T, Vec<Problem>) {
    let reader = Reader { file, text, problems: RefCell::default() };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let place = reader.place(error.span().unwrap_or(0..0));
        let message = error.message().lines().next().unwrap_or("invalid TOML").to_owned();
        reader.report(Problem::error(place, message, "the file must be valid TOML 1.0; see toml.io"));
    }
    let value = {
        let mut top = Section {
            reader: &reader,
            table: Some(table.get_ref()),
            path: String::new(),
            repeated: false,
            span: 0..0,
            asked: Vec::new(),
        };
        read(&mut top)
    };
    let mut problems = reader.problems.into_inner();
    problems.sort();
    problems.dedup();
    (value, problems)
}

impl<'a> Reader<'a> {
    fn place(&self, span: Range<usize>) -> Place {
        Place::offset(self.file, self.text, span.start)
    }

    fn report(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }
}

impl<'a> Section<'a> {
    /// A string.
    pub fn string(&mut self, key: &'static str) -> Option<Located<String>> {
        let value = self.value(key)?;
        let place = self.reader.place(value.span());
        match value.get_ref().as_str() {
            Some(text) => Some(Located { value: text.to_owned(), place }),
            None => self.wrong_type(key, value, "a string"),
        }
    }

    /// A string that must be there and not be empty.
    pub fn required(&mut self, key: &'static str) -> Option<Located<String>> {
        if self.table.is_some_and(|table| !table.contains_key(key)) {
            self.asked.push(key);
            self.problem(
                self.place(),
                format!("{} has no `{key}`", self.title()),
                format!("add `{key} = \"…\"`"),
            );
            return None;
        }
        let found = self.string(key)?;
        if found.value.trim().is_empty() {
            self.problem(found.place, format!("`{key}` is empty"), String::new());
            return None;
        }
        Some(found)
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        value.get_ref().as_bool().or_else(|| self.wrong_type(key, value, "true or false"))
    }

    /// A whole number within `range`.
    pub fn integer(&mut self, key: &'static str, range: Range<u64>) -> Option<u64> {
        let value = self.value(key)?;
        let Some(integer) = value.get_ref().as_integer() else {
            return self.wrong_type(key, value, "a whole number");
        };
        match u64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()) {
            Ok(number) if range.contains(&number) => Some(number),
            _ => {
                self.problem(
                    self.reader.place(value.span()),
                    format!("`{key}` is {}", integer.as_str()),
                    format!("use a whole number from {} to {}", range.start, range.end - 1),
                );
                None
            }
        }
    }

    /// A string read by the type's own `FromStr`; its error text becomes the problem, `hint` the hint.
    pub fn parsed<T>(&mut self, key: &'static str, hint: &str) -> Option<Located<T>>
    where
        T: FromStr,
        T::Err: Display,
    {
        let found = self.string(key)?;
        self.interpret(key, &found, hint)
    }

    /// An array of strings, each read by the type's own `FromStr`. Members that fail are reported and left out.
    pub fn parsed_list<T>(&mut self, key: &'static str, hint: &str) -> Option<Vec<Located<T>>>
    where
        T: FromStr,
        T::Err: Display,
    {
        let found = self.strings(key)?;
        Some(found.iter().filter_map(|text| self.interpret(key, text, hint)).collect())
    }

    /// An array of strings.
    pub fn strings(&mut self, key: &'static str) -> Option<Vec<Located<String>>> {
        let mut texts = Vec::new();
        for item in self.items(key)? {
            match item {
                Item::Text(text) => texts.push(text),
                Item::Section(mut section) => {
                    section.table = None;
                    self.problem(section.place(), format!("`{key}` holds a table"), "write a string here");
                }
            }
        }
        Some(texts)
    }

    /// An array whose members are strings or tables.
    pub fn items(&mut self, key: &'static str) -> Option<Vec<Item<'a>>> {
        let value = self.value(key)?;
        let Some(array) = value.get_ref().as_array() else {
            return self.wrong_type(key, value, "an array");
        };
        let mut items = Vec::with_capacity(array.len());
        for member in array.iter() {
            match member.get_ref() {
                DeValue::String(text) => items.push(Item::Text(Located {
                    value: text.to_string(),
                    place: self.reader.place(member.span()),
                })),
                DeValue::Table(table) => {
                    let mut section = self.child(key, table, member.span());
                    section.repeated = true;
                    items.push(Item::Section(section));
                }
                other => self.problem(
                    self.reader.place(member.span()),
                    format!("`{key}` holds {}", with_article(other.type_str())),
                    "write a string here",
                ),
            }
        }
        Some(items)
    }

    /// A table below this one; an absent one reads as empty.
    pub fn section(&mut self, key: &'static str) -> Self {
        if let Some(value) = self.value(key) {
            if let Some(table) = value.get_ref().as_table() {
                return self.child(key, table, value.span());
            }
            self.wrong_type::<()>(key, value, "a table");
        }
        Section {
            reader: self.reader,
            table: None,
            path: self.path_of(key),
            repeated: false,
            span: self.span.clone(),
            asked: Vec::new(),
        }
    }

    /// An array of tables (`[[key]]`); an absent one reads as empty.
    pub fn sections(&mut self, key: &'static str) -> Vec<Self> {
        let mut sections = Vec::new();
        for item in self.items(key).unwrap_or_default() {
            match item {
                Item::Section(section) => sections.push(section),
                Item::Text(text) => {
                    self.problem(text.place, format!("`{key}` holds a string"), format!("write `[[{key}]]`"));
                }
            }
        }
        sections
    }

    /// A string in a table below this one, read without marking anything known or reporting anything.
    pub fn peek(&self, table: &str, key: &str) -> Option<&'a str> {
        self.table?.get(table)?.get_ref().as_table()?.get(key)?.get_ref().as_str()
    }

    /// True when the table is written in the file.
    pub fn is_present(&self) -> bool {
        self.table.is_some()
    }

    /// True when `key` is written in this table, whatever its type.
    pub fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Where this table begins.
    pub fn place(&self) -> Place {
        self.reader.place(self.span.clone())
    }

    /// Reports a problem that refuses the file.
    pub fn problem(&self, place: Place, what: impl Into<String>, hint: impl Into<String>) {
        self.reader.report(Problem::error(place, what, hint));
    }

    /// Reports a problem that lets the file pass.
    pub fn warning(&self, place: Place, what: impl Into<String>, hint: impl Into<String>) {
        self.reader.report(Problem::warning(place, what, hint));
    }

    fn value(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.table?.get(key)
    }

    fn interpret<T>(&self, key: &str, text: &Located<String>, hint: &str) -> Option<Located<T>>
    where
        T: FromStr,
        T::Err: Display,
    {
        match text.value.parse() {
            Ok(value) => Some(Located { value, place: text.place.clone() }),
            Err(error) => {
                self.problem(text.place.clone(), format!("`{key}` is \"{}\": {error}", text.value), hint);
                None
            }
        }
    }

    fn child(&self, key: &str, table: &'a DeTable<'a>, span: Range<usize>) -> Self {
        let path = self.path_of(key);
        Section { reader: self.reader, table: Some(table), path, repeated: false, span, asked: Vec::new() }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn title(&self) -> String {
        match (self.path.as_str(), self.repeated) {
            ("", _) => "the file".to_owned(),
            (path, false) => format!("[{path}]"),
            (path, true) => format!("[[{path}]]"),
        }
    }

    fn wrong_type<T>(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) -> Option<T> {
        let found = with_article(value.get_ref().type_str());
        self.problem(
            self.reader.place(value.span()),
            format!("`{key}` is {found}"),
            format!("write {wanted} here"),
        );
        None
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        let Some(table) = self.table else { return };
        for key in table.keys() {
            let name: &str = key.get_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let hint = match nearest(name, &self.asked) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("known here: {}", self.asked.join(", ")),
            };
            self.problem(
                self.reader.place(key.span()),
                format!(
                    "{} has no key `{name}`",
                    if self.path.is_empty() { "the file".into() } else { self.title() }
                ),
                hint,
            );
        }
    }
}

/// The word of `known` that `word` most likely meant: at most a third of its letters differ.
pub fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|&candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= (word.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance in characters.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = i;
        let mut previous = i + 1;
        for (j, b) in right.iter().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or(usize::MAX);
            let cost = (diagonal + usize::from(a != *b)).min(above + 1).min(previous + 1);
            diagonal = above;
            if let Some(cell) = row.get_mut(j) {
                *cell = previous;
            }
            previous = cost;
        }
        if let Some(cell) = row.last_mut() {
            *cell = previous;
        }
    }
    row.last().copied().unwrap_or(0)
}

fn with_article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
    format!("{article} {kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_of_a_file_is_found_in_one_pass() {
        let text = "[policy]\ntttl = \"60s\"\naction = 7\nttl = \"x\"\n[polcy]\n";
        let ((), problems) = read("a.toml", text, |top| {
            let mut policy = top.section("policy");
            policy.string("action");
            policy.parsed::<u32>("ttl", "a number");
        });
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "a.toml:2:1: error: [policy] has no key `tttl`\n  hint: did you mean `ttl`?",
                "a.toml:3:10: error: `action` is an integer\n  hint: write a string here",
                "a.toml:4:7: error: `ttl` is \"x\": invalid digit found in string\n  hint: a number",
                "a.toml:5:2: error: the file has no key `polcy`\n  hint: did you mean `policy`?",
            ]
        );
    }

    #[test]
    fn syntax_errors_have_a_place() {
        let ((), problems) = read("a.toml", "a = \nb = 1\n", |top| {
            top.integer("a", 0..9);
            top.integer("b", 0..9);
        });
        assert_eq!(problems.first().map(|p| p.place.line), Some(1));
    }

    #[test]
    fn the_nearest_word_is_suggested_only_when_near() {
        assert_eq!(nearest("listner", &["listener", "server"]), Some("listener"));
        assert_eq!(nearest("zebra", &["listener", "server"]), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
