//! Owns the code in which listed names are kept: a canonical Huffman code over this policy's own names, so that a name
//! takes half the bytes of its wire form. Equal names have equal codes and no others, so names are compared without being
//! decoded. Never knows where a code is stored.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use super::hash::HashKey;
use super::rules::{Listed, Rules};

/// A code made for one set of names. A name is coded as its parent, how many labels stand in front of it, and those
/// labels from left to right, each its length and its bytes. A *parent* is one of the suffixes that many names share
/// (`com`, `co.uk`), or the root.
#[derive(Debug)]
pub(super) struct Code {
    words: Box<[Word]>,
    pub(super) parents: Box<[Box<[u8]>]>,
    numbers: HashMap<Box<[u8]>, usize, BuildHasherDefault<Suffixes>>,
    /// Symbols by length of their words, then by number, and for each length where its run begins: what decoding walks.
    by_word: Box<[usize]>,
    runs: [Run; LONGEST as usize + 1],
}

/// The words of one length: the first of them, how many there are, and where their symbols begin.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    first: u32,
    count: u32,
    start: u32,
}

/// The code word of a symbol; no bits for a symbol that no name holds.
#[derive(Clone, Copy, Debug, Default)]
struct Word {
    bits: u32,
    length: u32,
}

/// Hashes parents as names are hashed. Which parents there are is fixed by the lists, so nobody can prepare others that
/// share a place.
#[derive(Debug)]
struct Suffixes(u64);

impl Default for Suffixes {
    fn default() -> Self {
        Self(HashKey::FIXED.root())
    }
}

impl Hasher for Suffixes {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.0 = HashKey::FIXED.prepend(self.0, bytes);
    }

    #[inline]
    fn write_usize(&mut self, _length: usize) {
        // A slice's length, which `write` counts in.
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The bytes of labels are the first 256 symbols.
const BYTES: usize = 256;
/// Then the lengths of labels, 1 to 63; length 0 ends a name whose number of labels its parent's symbol does not say.
const END: usize = BYTES;
/// Then, for each parent, 0, 1, 2, and "more" labels in front of it.
const PARENTS: usize = BYTES + 64;
const MORE: usize = 3;

/// Most parents: those of nearly all names, while the table of words stays within the first-level cache's reach.
const MOST_PARENTS: usize = 1024;
/// Names looked at to find parents.
const SAMPLE: usize = 100_000;
/// A suffix is a parent when this many of the names looked at end in it: fewer save less than the parent itself takes.
const SHARED_BY: usize = 8;
/// Longest code word in bits, so that two words fit the writer's 64-bit register beside a byte.
const LONGEST: u32 = 24;

/// A name cut into what is coded.
struct Parts<'n> {
    parent: usize,
    labels: &'n [u8],
    count: usize,
}

/// What of a code is not decoded yet.
struct Bits<'b> {
    rest: std::slice::Iter<'b, u8>,
    /// The next bits, from the highest on; zeros behind the last.
    window: u64,
    /// How many of them there are.
    held: u32,
}

impl Bits<'_> {
    /// Makes at least [`LONGEST`] bits ready where there are as many.
    fn fill(&mut self) {
        while self.held <= LONGEST {
            let Some(byte) = self.rest.next() else { return };
            self.held += 8;
            self.window |= u64::from(*byte) << (64 - self.held);
        }
    }

    /// The next `length` bits, at least one.
    fn first(&self, length: u32) -> u32 {
        (self.window >> (64 - length)) as u32
    }

    fn take(&mut self, length: u32) -> Option<()> {
        self.held = self.held.checked_sub(length)?;
        self.window <<= length;
        Some(())
    }
}

/// Where the labels of a name in wire form stand.
struct Labels {
    count: usize,
    /// Where the root is.
    end: usize,
    /// Where the last label but one and the last begin.
    last_two: [Option<usize>; 2],
}

impl Labels {
    #[inline]
    fn of(name: &[u8]) -> Option<Self> {
        let mut labels = Self { count: 0, end: 0, last_two: [None, None] };
        loop {
            match usize::from(*name.get(labels.end)?) {
                0 => return Some(labels),
                length => {
                    labels.last_two = [labels.last_two[1], Some(labels.end)];
                    labels.count += 1;
                    labels.end += 1 + length;
                }
            }
        }
    }
}

impl Code {
    /// Makes a code for the names of `rules`. The same names in the same order make the same code.
    pub(super) fn for_names(rules: &(impl Rules + ?Sized)) -> Self {
        let mut code = Self::with_parents(parents(rules));
        let mut counts = vec![0u64; code.words.len()];
        let mut room = Vec::new();
        for at in 0..rules.count() {
            if let Some(Listed { name, .. }) = rules.rule(at, &mut room) {
                code.symbols(name, |symbol| counts.get_mut(symbol).map(|count| *count += 1));
            }
        }
        code.assign(&mut counts);
        code
    }

    /// A code of which only the parents are known yet.
    fn with_parents(parents: Vec<Box<[u8]>>) -> Self {
        let numbers = parents.iter().cloned().zip(0..).collect();
        let words = vec![Word::default(); PARENTS + parents.len() * (MORE + 1)].into();
        Self { words, parents: parents.into(), numbers, by_word: Box::default(), runs: Default::default() }
    }

    /// The code of these parents and these lengths of its words, one for each symbol. `None` unless it is a code at all: the
    /// root and at most [`MOST_PARENTS`] others, and words that can be told apart.
    pub(super) fn of(parents: Vec<Box<[u8]>>, lengths: &[u8]) -> Option<Self> {
        let root = parents.first().is_some_and(|root| **root == [0]);
        if !root || parents.len() > MOST_PARENTS + 1 {
            return None;
        }
        let mut code = Self::with_parents(parents);
        let lengths: Vec<u32> = lengths.iter().map(|length| u32::from(*length)).collect();
        let used = lengths.iter().filter(|length| **length > 0);
        // Kraft's inequality; the sum of at most five thousand words cannot overflow.
        let sum: u64 = used.map(|length| 1u64 << LONGEST >> length.min(&LONGEST)).sum();
        let tellable = sum <= 1 << LONGEST && lengths.iter().all(|length| *length <= LONGEST);
        if !tellable || lengths.len() != code.words.len() {
            return None;
        }
        code.give_words(&lengths);
        Some(code)
    }

    /// The lengths of the words, one for each symbol: what [`Self::of`] needs beside the parents.
    pub(super) fn lengths(&self) -> impl Iterator<Item = u8> {
        self.words.iter().map(|word| word.length as u8)
    }

    /// Appends the code of `name`, one of the names the code was made for.
    pub(super) fn write(&self, name: &[u8], out: &mut Vec<u8>) {
        self.encode(name, |byte| {
            out.push(byte);
            Some(())
        });
    }

    /// True when `stored` is the code of `name`, any name in wire form.
    #[inline]
    pub(super) fn is(&self, stored: &[u8], name: &[u8]) -> bool {
        let mut rest = stored.iter();
        let same = self.encode(name, |byte| rest.next().filter(|stored| **stored == byte).map(|_| ()));
        same.is_some() && rest.next().is_none()
    }

    /// The name whose code `stored` is, in wire form; empty if it is none.
    pub(super) fn read(&self, stored: &[u8]) -> Vec<u8> {
        let mut name = Vec::new();
        self.read_into(stored, &mut name);
        name
    }

    /// The same, in place of what `name` held.
    pub(super) fn read_into(&self, stored: &[u8], name: &mut Vec<u8>) {
        name.clear();
        if self.decode(&mut Bits { rest: stored.iter(), window: 0, held: 0 }, name).is_none() {
            name.clear();
        }
    }

    /// Bytes this code holds.
    pub(super) fn memory(&self) -> usize {
        let parents: usize = self.parents.iter().map(|parent| 2 * parent.len() + 64).sum();
        self.words.len() * (size_of::<Word>() + size_of::<usize>()) + parents
    }

    fn cut<'n>(&self, name: &'n [u8]) -> Option<Parts<'n>> {
        let Labels { count, end, last_two: [second, last] } = Labels::of(name)?;
        for (start, labels) in [(second, 2), (last, 1)] {
            let found = start.and_then(|start| Some((start, *self.numbers.get(name.get(start..=end)?)?)));
            if let Some((start, parent)) = found {
                return Some(Parts { parent, labels: name.get(..start)?, count: count - labels });
            }
        }
        Some(Parts { parent: 0, labels: name.get(..end)?, count })
    }

    /// Hands out the symbols of `name` until `take` returns `None`.
    #[inline]
    fn symbols(&self, name: &[u8], mut take: impl FnMut(usize) -> Option<()>) -> Option<()> {
        let Parts { parent, labels, count } = self.cut(name)?;
        take(PARENTS + parent * (MORE + 1) + count.min(MORE))?;
        let mut left = 0;
        for byte in labels.iter().map(|byte| usize::from(*byte)) {
            if left == 0 {
                left = byte;
                take(END + byte)?;
            } else {
                left -= 1;
                take(byte)?;
            }
        }
        if count >= MORE { take(END) } else { Some(()) }
    }

    #[inline]
    fn encode(&self, name: &[u8], mut emit: impl FnMut(u8) -> Option<()>) -> Option<()> {
        let (mut register, mut held) = (0u64, 0);
        self.symbols(name, |symbol| {
            let word = self.words.get(symbol).filter(|word| word.length > 0)?;
            register = register << word.length | u64::from(word.bits);
            held += word.length;
            while held >= 8 {
                held -= 8;
                emit((register >> held) as u8)?;
            }
            Some(())
        })?;
        if held > 0 { emit((register << (8 - held)) as u8) } else { Some(()) }
    }

    fn decode(&self, bits: &mut Bits<'_>, name: &mut Vec<u8>) -> Option<()> {
        let (parent, count) = {
            let symbol = self.symbol(bits)?.checked_sub(PARENTS)?;
            (self.parents.get(symbol / (MORE + 1))?, symbol % (MORE + 1))
        };
        let mut labels = 0;
        while count == MORE || labels < count {
            let length = self.symbol(bits)?.checked_sub(END)?;
            if length == 0 {
                break;
            }
            name.push(u8::try_from(length).ok()?);
            for _ in 0..length {
                name.push(u8::try_from(self.symbol(bits)?).ok()?);
            }
            labels += 1;
        }
        name.extend_from_slice(parent);
        Some(())
    }

    fn symbol(&self, bits: &mut Bits<'_>) -> Option<usize> {
        bits.fill();
        for (length, run) in (1..).zip(self.runs.iter().skip(1)) {
            let at = bits.first(length).wrapping_sub(run.first);
            if at < run.count {
                bits.take(length)?;
                return self.by_word.get((run.start + at) as usize).copied();
            }
        }
        None
    }

    /// Gives every symbol that occurs its word; canonical, so that lengths alone decide.
    fn assign(&mut self, counts: &mut [u64]) {
        let lengths = loop {
            let lengths = lengths(counts);
            if lengths.iter().all(|length| *length <= LONGEST) {
                break lengths;
            }
            // Flatter counts make the longest words shorter and cost nearly nothing.
            counts.iter_mut().filter(|count| **count > 0).for_each(|count| *count = *count / 8 + 1);
        };
        self.give_words(&lengths);
    }

    /// Gives each symbol the word that the lengths of all say.
    fn give_words(&mut self, lengths: &[u32]) {
        let mut order: Vec<usize> =
            (0..lengths.len()).filter(|symbol| lengths.get(*symbol) != Some(&0)).collect();
        order.sort_by_key(|symbol| lengths.get(*symbol).copied());
        let (mut next, mut last) = (0u32, 0);
        self.runs = Default::default();
        for (start, symbol) in (0..).zip(&order) {
            let length = lengths.get(*symbol).copied().unwrap_or(0);
            next <<= length - last;
            if let Some(run) = self.runs.get_mut(length as usize) {
                if run.count == 0 {
                    *run = Run { first: next, count: 0, start };
                }
                run.count += 1;
            }
            if let Some(word) = self.words.get_mut(*symbol) {
                *word = Word { bits: next, length };
            }
            (next, last) = (next + 1, length);
        }
        self.by_word = order.into();
    }
}

/// The root, and the suffixes of one and two labels that many names of `rules` end in.
fn parents(rules: &(impl Rules + ?Sized)) -> Vec<Box<[u8]>> {
    let mut shared: BTreeMap<Box<[u8]>, usize> = BTreeMap::new();
    let mut room = Vec::new();
    for at in (0..rules.count()).step_by(rules.count() / SAMPLE + 1) {
        let Some(Listed { name, .. }) = rules.rule(at, &mut room) else { continue };
        // A name is no parent of its own.
        let starts = Labels::of(name).map(|labels| labels.last_two).unwrap_or_default();
        for start in starts.into_iter().flatten().filter(|start| *start > 0) {
            let Some(suffix) = name.get(start..) else { continue };
            match shared.get_mut(suffix) {
                Some(count) => *count += 1,
                None => drop(shared.insert(suffix.into(), 1)),
            }
        }
    }
    let mut found: Vec<(Box<[u8]>, usize)> =
        shared.into_iter().filter(|(_, count)| *count >= SHARED_BY).collect();
    found.sort_by_key(|(suffix, count)| Reverse(count * suffix.len()));
    found.truncate(MOST_PARENTS);
    std::iter::once(Box::from([0])).chain(found.into_iter().map(|(suffix, _)| suffix)).collect()
}

/// Lengths in bits of an optimal code's words for symbols that occur `counts` times.
fn lengths(counts: &[u64]) -> Vec<u32> {
    let mut lengths = vec![0; counts.len()];
    // Leaves are numbered as symbols; what joins two nodes is numbered after them.
    let mut heap: BinaryHeap<Reverse<(u64, usize)>> = counts
        .iter()
        .zip(0..)
        .filter(|(count, _)| **count > 0)
        .map(|(count, node)| Reverse((*count, node)))
        .collect();
    if let (1, Some(Reverse((_, only)))) = (heap.len(), heap.peek()) {
        if let Some(length) = lengths.get_mut(*only) {
            *length = 1;
        }
        return lengths;
    }
    let mut joins: Vec<[usize; 2]> = Vec::new();
    while let (Some(Reverse((few, one))), Some(Reverse((more, other)))) = (heap.pop(), heap.pop()) {
        heap.push(Reverse((few + more, counts.len() + joins.len())));
        joins.push([one, other]);
        if heap.len() == 1 {
            break;
        }
    }
    let mut depths = vec![0; joins.len()];
    for at in (0..joins.len()).rev() {
        let depth = depths.get(at).copied().unwrap_or(0) + 1;
        for node in joins.get(at).copied().unwrap_or_default() {
            let slot = match node.checked_sub(counts.len()) {
                Some(join) => depths.get_mut(join),
                None => lengths.get_mut(node),
            };
            if let Some(slot) = slot {
                *slot = depth;
            }
        }
    }
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Name;
    use proptest::prelude::*;

    fn wires(names: &[String]) -> Vec<Vec<u8>> {
        names.iter().map(|name| name.parse::<Name>().unwrap().as_wire().to_vec()).collect()
    }

    fn code(wires: &[Vec<u8>]) -> Code {
        let listed = |wire| Listed { name: wire, kind: 0, line: 0 };
        let listed: Vec<Listed<'_>> = wires.iter().map(Vec::as_slice).map(listed).collect();
        Code::for_names(listed.as_slice())
    }

    #[test]
    fn a_name_is_read_back_and_equals_only_itself() {
        let names: Vec<String> = (0..500)
            .map(|i| format!("{}n{i}.zone{}.{}", "a.b.".repeat(i % 4), i % 7, ["com", "co.uk", "org"][i % 3]))
            .chain(["com".to_owned(), ".".to_owned(), "x".repeat(63)])
            .collect();
        let wires = wires(&names);
        let code = code(&wires);
        let mut stored = Vec::new();
        for wire in &wires {
            stored.clear();
            code.write(wire, &mut stored);
            assert_eq!(code.read(&stored), *wire);
            assert_eq!(wires.iter().filter(|other| code.is(&stored, other)).count(), 1);
        }
    }

    #[test]
    fn bytes_that_no_listed_name_holds_equal_nothing() {
        let wires = wires(&["aa.com".to_owned(), "ab.com".to_owned()]);
        let code = code(&wires);
        let mut stored = Vec::new();
        code.write(&wires[0], &mut stored);
        for other in
            [&b"\x02a\xFF\x03com\0"[..], b"\x02aA\x03com\0", b"\x03aaa\x03com\0", b"\0", b"", b"\x02a"]
        {
            assert!(!code.is(&stored, other), "{other:?}");
        }
    }

    #[test]
    fn real_looking_names_take_half_their_wire_form() {
        let names: Vec<String> =
            (0..2000).map(|i: u64| format!("{}tracker{i}.com", (i * 7919) % 1000)).collect();
        let wires = wires(&names);
        let code = code(&wires);
        let mut stored = Vec::new();
        wires.iter().for_each(|wire| code.write(wire, &mut stored));
        let plain: usize = wires.iter().map(Vec::len).sum();
        assert!(stored.len() * 2 < plain, "{} of {plain}", stored.len());
    }

    #[test]
    fn counts_that_make_words_too_long_are_flattened() {
        // Fibonacci counts make the longest possible words.
        let mut counts: Vec<u64> = vec![1, 1];
        while counts.len() < 60 {
            counts.push(counts[counts.len() - 1] + counts[counts.len() - 2]);
        }
        let mut code = code(&[]);
        code.words = vec![Word::default(); counts.len()].into();
        code.assign(&mut counts);
        let kraft: f64 = code.words.iter().map(|word| 0.5f64.powi(word.length as i32)).sum();
        assert!(code.words.iter().all(|word| (1..=LONGEST).contains(&word.length)));
        assert!((kraft - 1.0).abs() < 1e-9, "a whole prefix code: {kraft}");
    }

    proptest! {
        #[test]
        fn any_names_survive(labels in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..6), 1..40)) {
            let wires: Vec<Vec<u8>> = labels
                .iter()
                .map(|name| {
                    let mut wire: Vec<u8> = name.iter().flat_map(|label| std::iter::once(label.len() as u8).chain(label.iter().copied())).collect();
                    wire.push(0);
                    wire
                })
                .collect();
            let code = code(&wires);
            let stored: Vec<Vec<u8>> = wires.iter().map(|wire| { let mut out = Vec::new(); code.write(wire, &mut out); out }).collect();
            for (wire, own) in wires.iter().zip(&stored) {
                prop_assert_eq!(&code.read(own), wire);
                for (other, theirs) in wires.iter().zip(&stored) {
                    prop_assert_eq!(code.is(theirs, wire), wire == other);
                }
            }
        }
    }
}
