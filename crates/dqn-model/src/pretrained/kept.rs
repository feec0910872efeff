//! Hidden states of texts that are read again and again, kept in a file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::{Mutex, PoisonError};

use burn::tensor::{Device, Tensor, TensorData};
use dqn_mdp::TokenId;

/// What a frozen model made of whole texts, in a temporary file that ends with the process.
///
/// A text is found by the blake3 of its tokens, which takes 40 bytes of memory; its states take 4 bytes of the file for each
/// feature of each token. What is read here is bit for bit what was put here.
#[derive(Debug)]
pub(super) struct KeptStates {
    width: usize,
    most_bytes: u64,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    file: File,
    /// Where the states of a text begin.
    places: HashMap<[u8; 32], u64>,
    n_bytes: u64,
    /// Whether nothing more is put here.
    is_closed: bool,
}

impl KeptStates {
    /// An empty file of at most `most_bytes` for states of `width` features, in the system's folder for temporary files.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn new(width: usize, most_bytes: u64) -> io::Result<Self> {
        let kept = Kept { file: tempfile::tempfile()?, places: HashMap::new(), n_bytes: 0, is_closed: false };
        Ok(Self { width, most_bytes, kept: Mutex::new(kept) })
    }

    /// Hidden states of all tokens of texts, one text after the other: `[tokens, width]`. Those that are not here come from
    /// `read` and are kept.
    pub(super) fn hidden(
        &self,
        texts: &[&[TokenId]],
        device: &Device,
        read: impl FnOnce(&[&[TokenId]]) -> Tensor<2>,
    ) -> Tensor<2> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let keys: Vec<[u8; 32]> = texts.iter().map(|text| key(text)).collect();
        let n_tokens: usize = texts.iter().map(|text| text.len()).sum();
        let mut all = vec![0.0; n_tokens * self.width];
        let mut missing = Vec::new();
        let mut rest = all.as_mut_slice();
        for (text, key) in texts.iter().zip(&keys) {
            let (states, others) = rest.split_at_mut(text.len() * self.width);
            rest = others;
            if !kept.take(key, states) {
                missing.push((*text, *key, states));
            }
        }
        if !missing.is_empty() {
            let texts: Vec<&[TokenId]> = missing.iter().map(|(text, ..)| *text).collect();
            let found = read(&texts).try_into_vec_as::<f32>().expect("hidden states are 32-bit floats");
            let mut found = found.as_slice();
            for (_, key, states) in missing {
                let (of_text, others) = found.split_at(states.len());
                found = others;
                states.copy_from_slice(of_text);
                kept.put(key, of_text, self.most_bytes);
            }
        }
        drop(kept);
        Tensor::from_data(TensorData::new(all, [n_tokens, self.width]), device)
    }
}

fn key(text: &[TokenId]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    text.iter().for_each(|token| {
        hasher.update(&token.0.to_le_bytes());
    });
    *hasher.finalize().as_bytes()
}

impl Kept {
    /// Reads the states of a text, where they are here.
    fn take(&mut self, key: &[u8; 32], states: &mut [f32]) -> bool {
        let Some(&place) = self.places.get(key) else { return false };
        let read = self.file.seek(SeekFrom::Start(place)).and_then(|_| {
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(states);
            self.file.read_exact(bytes)
        });
        if let Err(error) = &read {
            tracing::warn!("kept hidden states cannot be read, and are computed again: {error}");
            self.places.remove(key);
        }
        read.is_ok()
    }

    /// Keeps the states of a text, where there is room.
    fn put(&mut self, key: [u8; 32], states: &[f32], most_bytes: u64) {
        let bytes: &[u8] = bytemuck::cast_slice(states);
        let end = self.n_bytes + bytes.len() as u64;
        if self.is_closed || self.places.contains_key(&key) {
            return;
        }
        if end > most_bytes {
            tracing::info!("{most_bytes} bytes of hidden states are kept; texts beyond them are read every time");
            self.is_closed = true;
            return;
        }
        match self.file.seek(SeekFrom::Start(self.n_bytes)).and_then(|_| self.file.write_all(bytes)) {
            Ok(()) => {
                self.places.insert(key, self.n_bytes);
                self.n_bytes = end;
            }
            Err(error) => {
                tracing::warn!("no more hidden states are kept after {} bytes: {error}", self.n_bytes);
                self.is_closed = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 2;

    /// The states of a text say which token stands where, and the texts that were asked for are written down.
    fn ask(kept: &KeptStates, texts: &[&[u32]]) -> (Vec<f32>, Vec<Vec<u32>>) {
        let texts: Vec<Vec<TokenId>> = texts.iter().map(|text| text.iter().copied().map(TokenId).collect()).collect();
        let texts: Vec<&[TokenId]> = texts.iter().map(Vec::as_slice).collect();
        let mut asked = Vec::new();
        let found = kept.hidden(&texts, &Device::flex(), |missing| {
            asked = missing.iter().map(|text| text.iter().map(|token| token.0).collect()).collect();
            let states: Vec<f32> = missing
                .iter()
                .flat_map(|text| text.iter().enumerate().flat_map(|(place, token)| [place as f32, token.0 as f32]))
                .collect();
            let n_tokens = states.len() / WIDTH;
            Tensor::from_data(TensorData::new(states, [n_tokens, WIDTH]), &Device::flex())
        });
        (found.try_into_vec_as().unwrap(), asked)
    }

    #[test]
    fn what_was_read_once_is_not_read_again() {
        let kept = KeptStates::new(WIDTH, 1_000).unwrap();
        let expected = [0.0, 7.0, 1.0, 8.0, 0.0, 9.0];
        assert_eq!(ask(&kept, &[&[7, 8], &[9]]), (expected.to_vec(), vec![vec![7, 8], vec![9]]));
        let (found, asked) = ask(&kept, &[&[9], &[7], &[7, 8]]);
        assert_eq!(found, [0.0, 9.0, 0.0, 7.0, 0.0, 7.0, 1.0, 8.0]);
        assert_eq!(asked, [vec![7]], "the beginning of a text is another text");
        assert_eq!(ask(&kept, &[&[9], &[7], &[7, 8]]).1, Vec::<Vec<u32>>::new());
        // Twice in a batch, and kept once.
        assert_eq!(ask(&kept, &[&[5], &[5]]).0, [0.0, 5.0, 0.0, 5.0]);
        assert_eq!(kept.kept.lock().unwrap().n_bytes, 5 * 4 * WIDTH as u64);
    }

    #[test]
    fn a_full_file_takes_nothing_more_and_keeps_what_it_has() {
        let kept = KeptStates::new(WIDTH, 20).unwrap();
        ask(&kept, &[&[1, 2], &[3], &[4]]);
        assert_eq!(ask(&kept, &[&[1, 2], &[3]]), (vec![0.0, 1.0, 1.0, 2.0, 0.0, 3.0], vec![vec![3]]));
    }
}
