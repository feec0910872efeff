//! Reading what the Unix program `compress` writes (files named `.Z`), because one source comes in that form.
//!
//! Source: T. Welch, "A Technique for High-Performance Data Compression", 1984, with the variable code width, the
//! clear code 256 and the padding of `compress` 4.

use anyhow::{Result, bail};

const MAGIC: [u8; 2] = [0x1f, 0x9d];
const CLEAR: usize = 256;
const MIN_WIDTH: usize = 9;

/// The bytes that were compressed.
pub(super) fn decompress(input: &[u8]) -> Result<Vec<u8>> {
    let [first, second, settings, codes @ ..] = input else {
        bail!("compressed data of {} bytes is too short for its header of 3", input.len());
    };
    if [*first, *second] != MAGIC {
        bail!("compressed data begins with {first:02x} {second:02x}; expected 1f 9d");
    }
    let max_width = usize::from(settings & 0x1f);
    if !(MIN_WIDTH..=16).contains(&max_width) || settings & 0x80 == 0 {
        bail!("compressed data has the settings {settings:#04x}; expected block mode and a width of 9 to 16 bits");
    }
    let mut reader = Codes { bytes: codes, bit: 0, group_start: 0, width: MIN_WIDTH };
    // The entry of a code is the entry of its prefix followed by one byte; the first 256 stand for themselves and the
    // entry of the clear code is never read.
    let mut prefixes: Vec<usize> = vec![0; CLEAR + 1];
    let mut suffixes: Vec<u8> = (0..=u8::MAX).chain([0]).collect();
    let mut output = Vec::new();
    let mut previous: Option<usize> = None;
    let mut entry = Vec::new();
    while let Some(code) = reader.next() {
        if code == CLEAR && previous.is_some() {
            prefixes.truncate(CLEAR + 1);
            suffixes.truncate(CLEAR + 1);
            reader.set_width(MIN_WIDTH);
            previous = None;
            continue;
        }
        // A code may name the entry that this very step is about to add; it then begins and ends with the first byte
        // of the previous entry.
        let known = if code < suffixes.len() { code } else { previous.unwrap_or(code) };
        if known >= suffixes.len() || code > suffixes.len() || known == CLEAR {
            bail!("compressed data names the code {code} where {} are known", suffixes.len());
        }
        entry.clear();
        let mut at = known;
        while at > CLEAR {
            entry.push(suffixes[at]);
            at = prefixes[at];
        }
        entry.push(suffixes[at]);
        let first_byte = suffixes[at];
        output.extend(entry.iter().rev());
        if code == suffixes.len() {
            output.push(first_byte);
        }
        if let Some(previous) = previous
            && suffixes.len() < 1 << max_width
        {
            prefixes.push(previous);
            suffixes.push(first_byte);
            // The writer widens its codes one entry before the reader knows as many as a code can name.
            if suffixes.len() == 1 << reader.width && reader.width < max_width {
                reader.set_width(reader.width + 1);
            }
        }
        previous = Some(code);
    }
    Ok(output)
}

/// Codes of varying width, lowest bit first.
struct Codes<'a> {
    bytes: &'a [u8],
    bit: usize,
    group_start: usize,
    width: usize,
}

impl Codes<'_> {
    /// The next whole code.
    fn next(&mut self) -> Option<usize> {
        if self.bit + self.width > self.bytes.len() * 8 {
            return None;
        }
        let first = self.bit / 8;
        let window = (0..3).fold(0_usize, |window, offset| {
            window | usize::from(self.bytes.get(first + offset).copied().unwrap_or(0)) << (8 * offset)
        });
        let code = (window >> (self.bit % 8)) & ((1 << self.width) - 1);
        self.bit += self.width;
        Some(code)
    }

    /// Changes the width. Codes are written in groups of eight, and a group cut short by a new width is padded.
    fn set_width(&mut self, width: usize) {
        let group = self.width * 8;
        let n_groups = (self.bit - self.group_start).div_ceil(group);
        self.group_start += n_groups * group;
        self.bit = self.group_start;
        self.width = width;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nine-bit codes, lowest bit first, as `compress` packs them.
    fn pack(codes: &[usize]) -> Vec<u8> {
        let mut bytes = vec![0x1f, 0x9d, 0x90];
        let mut bits: Vec<bool> = codes.iter().flat_map(|code| (0..9).map(move |bit| code >> bit & 1 == 1)).collect();
        bits.resize(bits.len().div_ceil(8) * 8, false);
        bytes.extend(bits.chunks(8).map(|byte| byte.iter().rev().fold(0_u8, |value, &bit| value << 1 | u8::from(bit))));
        bytes
    }

    #[test]
    fn codes_stand_for_what_was_seen() {
        let (a, b) = (usize::from(b'a'), usize::from(b'b'));
        let table: [(&[usize], &str); 4] = [
            (&[], ""),
            (&[a, b], "ab"),
            // 257 is "ab", 258 is "ba".
            (&[a, b, 257, 258], "ababba"),
            // 257 is named in the step that adds it, 258 likewise.
            (&[a, 257, 258], "aaaaaa"),
        ];
        for (codes, expected) in table {
            assert_eq!(decompress(&pack(codes)).unwrap(), expected.as_bytes(), "{codes:?}");
        }
    }

    #[test]
    fn the_clear_code_forgets_all_and_pads_its_group() {
        let (a, b) = (usize::from(b'a'), usize::from(b'b'));
        // After the clear code the group of eight is filled up; 257 is then "ba", no longer "ab".
        let codes = [a, b, 257, CLEAR, 0, 0, 0, 0, b, a, 257];
        assert_eq!(decompress(&pack(&codes)).unwrap(), b"ababbaba");
    }

    #[test]
    fn damage_is_reported() {
        let a = usize::from(b'a');
        for (input, complaint) in [
            (vec![0x1f], "too short"),
            (b"PK\x03\x04".to_vec(), "begins with 50 4b"),
            (vec![0x1f, 0x9d, 0x08], "settings 0x08"),
            (pack(&[a, 300]), "the code 300"),
            (pack(&[300]), "the code 300"),
        ] {
            let fault = decompress(&input).unwrap_err().to_string();
            assert!(fault.contains(complaint), "{fault}");
        }
    }
}
