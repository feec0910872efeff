//! Keys and values of texts in plain tensors.
//!
//! Texts lie in rows of one length: prompts are filled up on the right, and each further token comes after the longest. A
//! mask says which places hold nothing, and the number of a token in its text is counted apart from its place.

use burn::tensor::{Int, Tensor, TensorData};
use dqn_core::batch::FORBIDDEN;

use super::model::CausalLm;
use super::states::HiddenStates;

/// Keys and values of the tokens read so far.
#[derive(Clone, Debug)]
pub(super) struct KeyValues {
    /// For each block keys, turned already, and values: `[batch, key heads, capacity, head width]` each.
    blocks: Vec<[Tensor<4>; 2]>,
    /// [`FORBIDDEN`] at places that hold nothing of a row, else 0: `[batch, capacity]`.
    mask: Tensor<2>,
    /// Tokens of each row.
    n_tokens: Vec<usize>,
    /// Places in use, holes included: the others are room for what comes.
    n_used: usize,
}

impl KeyValues {
    /// Reads padded prompts, `[batch, time]`, of so many tokens: what is kept, and all hidden states.
    pub(super) fn start(
        lm: &CausalLm,
        prompts: Tensor<2, Int>,
        n_tokens: &[usize],
        n_more: usize,
        states: HiddenStates,
    ) -> (Self, Tensor<3>) {
        let ([batch, time], device) = (prompts.dims(), prompts.device());
        let mut blocks = Vec::new();
        let hidden = lm.hidden_and_memory(prompts, states, |_, heads| {
            blocks.push(heads.clone());
            heads
        });
        let hole = |row: usize, place: usize| if place < n_tokens[row] { 0.0 } else { FORBIDDEN };
        let mask = (0..batch).flat_map(|row| (0..time).map(move |place| hole(row, place)));
        let mask = Tensor::from_data(TensorData::new(mask.collect::<Vec<f32>>(), [batch, time]), &device);
        let mut cache = Self { blocks, mask, n_tokens: n_tokens.to_vec(), n_used: time };
        cache.lengthen(n_more);
        (cache, hidden)
    }

    /// Hidden states after one more token of each row: `[batch, 1]` to `[batch, features]`.
    pub(super) fn step(&mut self, lm: &CausalLm, tokens: Tensor<2, Int>, states: HiddenStates) -> Tensor<2> {
        let ([batch, capacity], device) = (self.mask.dims(), self.mask.device());
        if self.n_used == capacity {
            self.lengthen(capacity);
        }
        let places = self.n_tokens.iter().map(|&n| n as i64).collect::<Vec<i64>>();
        let places = Tensor::from_data(TensorData::new(places, [batch, 1]), &device);
        let (place, end) = (self.n_used, self.n_used + 1);
        let mask = self.mask.clone().narrow(1, 0, end).reshape([batch, 1, 1, end]);
        // Keys and values are handed over and back, so that nobody else holds them while the new ones are written.
        let mut kept = std::mem::take(&mut self.blocks).into_iter();
        let blocks = &mut self.blocks;
        let hidden = lm.read(tokens, places, mask, states, |_, [key, value]| {
            let [keys, values] = kept.next().expect("every block keeps keys and values");
            let added = |kept: Tensor<4>, new: Tensor<4>| {
                let [batch, n_heads, _, head_width] = new.dims();
                kept.slice_assign([0..batch, 0..n_heads, place..end, 0..head_width], new)
            };
            let all = [added(keys, key), added(values, value)];
            blocks.push(all.clone());
            all.map(|kept| kept.narrow(2, 0, end))
        });
        self.n_used = end;
        self.n_tokens.iter_mut().for_each(|n| *n += 1);
        hidden.squeeze_dim(1)
    }

    /// Tokens of each row.
    pub(super) fn lengths(&self) -> &[usize] {
        &self.n_tokens
    }

    /// The rows `rows`, in that order.
    pub(super) fn select(self, rows: &[usize]) -> Self {
        let indices = rows.iter().map(|&row| row as i64).collect::<Vec<i64>>();
        let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [rows.len()]), &self.mask.device());
        let chosen = |tensor: Tensor<4>| tensor.select(0, indices.clone());
        Self {
            blocks: self.blocks.into_iter().map(|block| block.map(chosen)).collect(),
            mask: self.mask.select(0, indices.clone()),
            n_tokens: rows.iter().map(|&row| self.n_tokens[row]).collect(),
            n_used: self.n_used,
        }
    }

    /// The rows of this cache and after them those of `other`, the shorter filled up with places that hold nothing.
    pub(super) fn join(self, other: Self) -> Self {
        let n_used = self.n_used.max(other.n_used);
        let capacity = self.mask.dims()[1].max(other.mask.dims()[1]);
        let (one, other) = (self.filled(n_used, capacity), other.filled(n_used, capacity));
        let pairs = one.blocks.into_iter().zip(other.blocks);
        let both = |[key, value]: [Tensor<4>; 2], [other_key, other_value]: [Tensor<4>; 2]| {
            [Tensor::cat(vec![key, other_key], 0), Tensor::cat(vec![value, other_value], 0)]
        };
        Self {
            blocks: pairs.map(|(one, other)| both(one, other)).collect(),
            mask: Tensor::cat(vec![one.mask, other.mask], 0),
            n_tokens: [one.n_tokens, other.n_tokens].concat(),
            n_used,
        }
    }

    /// The cache with `n_used` places in use of `capacity`; nobody attends to the new ones in use.
    fn filled(mut self, n_used: usize, capacity: usize) -> Self {
        let [batch, own] = self.mask.dims();
        self.lengthen(capacity - own);
        if n_used > self.n_used {
            let nobody = Tensor::full([batch, n_used - self.n_used], FORBIDDEN, &self.mask.device());
            self.mask = self.mask.slice_assign([0..batch, self.n_used..n_used], nobody);
            self.n_used = n_used;
        }
        self
    }

    /// Room for `n_new` more places.
    fn lengthen(&mut self, n_new: usize) {
        if n_new == 0 {
            return;
        }
        let device = self.mask.device();
        let longer = |kept: Tensor<4>| {
            let [batch, n_heads, _, head_width] = kept.dims();
            Tensor::cat(vec![kept, Tensor::zeros([batch, n_heads, n_new, head_width], &device)], 2)
        };
        let blocks = std::mem::take(&mut self.blocks).into_iter();
        self.blocks = blocks.map(|block| block.map(longer)).collect();
        let seen = Tensor::zeros([self.mask.dims()[0], n_new], &device);
        self.mask = Tensor::cat(vec![self.mask.clone(), seen], 1);
    }
}
