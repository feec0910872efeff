//! The line of 10,000 words of long_line.py, made by the same rule.

/// Words drawn by a linear congruential generator.
pub(crate) fn long_line(n_words: usize, n_different: u64) -> Vec<String> {
    let mut state: u64 = 1;
    let mut next = || {
        state = (state * 1_103_515_245 + 12_345) % (1 << 31);
        format!("w{}", (state >> 16) % n_different)
    };
    (0..n_words).map(|_| next()).collect()
}

/// The words with one in 250 replaced, one in 400 left out, and three in `moved_every`, which is above 111, nine words
/// later.
pub(crate) fn edited(words: &[String], moved_every: usize) -> Vec<String> {
    let (mut changed, mut held) = (Vec::new(), Vec::new());
    for (i, word) in words.iter().enumerate() {
        if (100..=102).contains(&(i % moved_every)) {
            held.push(word.clone());
        } else if i % 250 == 7 {
            changed.push("other".to_owned());
        } else if i % 400 != 13 {
            changed.push(word.clone());
        }
        if i % moved_every == 111 {
            changed.append(&mut held);
        }
    }
    changed.append(&mut held);
    changed
}
