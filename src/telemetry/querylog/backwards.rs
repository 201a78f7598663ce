//! Owns the reading of a file by its lines from the last one back, a block at a time: what is looked for is mostly near the end. Never looks into a line.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;

/// Bytes that are read at once.
const BLOCK: usize = 256 << 10;

/// Calls `take` for each line of the first `length` bytes, with its end and where it begins, from the last back, until it breaks off. What stands behind the last
/// end is being written, and left out. A line that is longer than `longest` is left out too.
pub(super) fn lines_back(
    file: &File,
    length: u64,
    longest: usize,
    take: &mut impl FnMut(u64, &[u8]) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    // What was read and is not handed over: the beginning of a line may lie before it.
    let mut rest: Vec<u8> = Vec::new();
    let mut at = length;
    let (mut is_ended, mut is_too_long) = (false, false);
    while at > 0 {
        let size = at.min(BLOCK as u64);
        at -= size;
        let mut block = vec![0; size as usize];
        file.read_exact_at(&mut block, at)?;
        // A line ends at `end`; the one before it is looked for below `below`.
        let (mut end, mut below) = (block.len(), block.len());
        while let Some(before) =
            block.get(..below).and_then(|bytes| bytes.iter().rposition(|byte| *byte == b'\n'))
        {
            let line = block.get(before + 1..end).unwrap_or_default();
            let begin = at + before as u64 + 1;
            if is_ended && !is_too_long && line.len() + rest.len() <= longest {
                let taken =
                    if rest.is_empty() { take(begin, line) } else { take(begin, &[line, &rest].concat()) };
                if taken.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            (is_ended, is_too_long) = (true, false);
            rest.clear();
            (end, below) = (before + 1, before);
        }
        block.truncate(end);
        is_too_long |= block.len() + rest.len() > longest;
        if is_too_long {
            rest.clear();
        } else {
            block.append(&mut rest);
            rest = block;
        }
    }
    if is_ended && !is_too_long {
        return Ok(take(0, &rest));
    }
    Ok(ControlFlow::Continue(()))
}

/// Where, of the first `length` bytes, all lines begin to be later than what is wanted: only those before are to be read. Of lines in the order of their times
/// it takes a look at some of them; where it cannot tell, nothing is left out.
pub(super) fn end_of_wanted(
    file: &File,
    length: u64,
    longest: usize,
    is_later: impl Fn(&[u8]) -> bool,
) -> io::Result<u64> {
    let mut window = vec![0; 2 * longest];
    let (mut begin, mut end) = (0, length);
    while end - begin > BLOCK as u64 {
        let middle = begin + (end - begin) / 2;
        let read = file.read_at(&mut window, middle)?;
        // The first that is there from its beginning to its end.
        let mut lines = window.get(..read).unwrap_or_default().split_inclusive(|byte| *byte == b'\n').skip(1);
        match lines.next().filter(|line| line.ends_with(b"\n")) {
            Some(line) if is_later(line) => end = middle,
            _ => begin = middle,
        }
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(bytes: &[u8], longest: usize) -> Vec<(u64, String)> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let mut lines = Vec::new();
        let whole = lines_back(&file, bytes.len() as u64, longest, &mut |at, line| {
            lines.push((at, String::from_utf8(line.to_vec()).unwrap()));
            ControlFlow::Continue(())
        });
        assert!(whole.unwrap().is_continue());
        lines.reverse();
        lines
    }

    #[test]
    fn lines_are_those_that_are_read_forwards_wherever_blocks_end() {
        for lengths in [&[1][..], &[0, 0, 3], &[BLOCK - 1, 5], &[BLOCK, 1], &[BLOCK - 2, 0, 2 * BLOCK + 7, 1]]
        {
            let text: String = lengths
                .iter()
                .enumerate()
                .map(|(place, length)| {
                    let letter = char::from(b'a' + place as u8);
                    format!("{}\n", String::from(letter).repeat(*length))
                })
                .collect();
            let mut at = 0;
            let forwards: Vec<(u64, String)> = text
                .split_inclusive('\n')
                .map(|line| {
                    at += line.len() as u64;
                    (at - line.len() as u64, line.to_owned())
                })
                .collect();
            assert_eq!(read(text.as_bytes(), 4 * BLOCK), forwards, "{lengths:?}");
            let begun = format!("{text}being writ");
            assert_eq!(read(begun.as_bytes(), 4 * BLOCK), forwards, "{lengths:?}");
        }
        assert!(read(b"", 10).is_empty() && read(b"no end", 10).is_empty());
    }

    #[test]
    fn a_line_without_end_takes_no_memory_without_end_and_hides_no_other() {
        let long = "x".repeat(3 * BLOCK + 11);
        let text = format!("first\n{long}\nlast\n");
        let expected = [(0, "first\n".to_owned()), (text.len() as u64 - 5, "last\n".to_owned())];
        assert_eq!(read(text.as_bytes(), BLOCK), expected);
        assert_eq!(read(format!("{long}\nlast\n").as_bytes(), 100).len(), 1);
    }

    #[test]
    fn what_is_later_is_left_out_and_nothing_else() {
        let text: String = (0..200_000).map(|number| format!("{number:06}\n")).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        for wanted in [0, 1, 77_777, 199_999, 300_000] {
            let is_later =
                |line: &[u8]| String::from_utf8_lossy(line).trim().parse::<u64>().unwrap() > wanted;
            let end = end_of_wanted(&file, text.len() as u64, 1000, is_later).unwrap();
            let needed = 7 * (wanted + 1).min(200_000);
            assert!(end >= needed && end <= needed + 2 * BLOCK as u64, "{wanted}: {end}");
        }
        assert_eq!(end_of_wanted(&file, text.len() as u64, 1000, |_| false).unwrap(), text.len() as u64);
        // No line where one is looked for.
        assert_eq!(end_of_wanted(&file, text.len() as u64, 2, |_| true).unwrap(), text.len() as u64);
    }

    #[test]
    fn who_has_enough_reads_no_more() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"a\nb\nc\n").unwrap();
        let mut seen = Vec::new();
        let broken = lines_back(&file, 6, 10, &mut |at, _| {
            seen.push(at);
            if at == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(broken.unwrap().is_break());
        assert_eq!(seen, [4, 2]);
    }
}
