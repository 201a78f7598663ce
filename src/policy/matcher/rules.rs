//! Owns how a table is told its rules: one by one, and several times over, so that nobody needs all their names in memory at once.

/// A rule to be kept: the name it is listed under in wire form, the number of its kind, and its line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed<'n> {
    pub name: &'n [u8],
    pub kind: u32,
    pub line: u32,
}

/// The rules of a table that is to be made.
pub(crate) trait Rules {
    /// How many there are.
    fn count(&self) -> usize;

    /// The rule at a place below that; always the same one. `room` is for its name, where that lies nowhere as it is.
    fn rule<'r>(&'r self, at: usize, room: &'r mut Vec<u8>) -> Option<Listed<'r>>;
}

impl Rules for [Listed<'_>] {
    fn count(&self) -> usize {
        self.len()
    }

    fn rule<'r>(&'r self, at: usize, _room: &'r mut Vec<u8>) -> Option<Listed<'r>> {
        self.get(at).copied()
    }
}
