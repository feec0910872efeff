//! What the recurrent layers share.

/// Sizes of a pass over sequences.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) batch: usize,
    pub(super) time: usize,
    pub(super) n_inputs: usize,
    pub(super) width: usize,
}

impl Shape {
    pub(super) fn n_places(self) -> usize {
        self.batch * self.time
    }

    /// Multiplications that one sequence takes through `n_gates` gates.
    pub(super) fn cost(self, n_gates: usize) -> usize {
        self.time * n_gates * self.width * (self.n_inputs + self.width)
    }

    /// The hidden state before a place, nothing before the first one of a sequence.
    pub(super) fn before(self, hidden: &[f32], place: usize) -> Option<&[f32]> {
        (!place.is_multiple_of(self.time)).then(|| &hidden[(place - 1) * self.width..][..self.width])
    }
}

/// The weights, as they lie in the network's layer.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a> {
    /// `[inputs, gates * width]`
    pub(super) input: &'a [f32],
    /// `[width, gates * width]`
    pub(super) hidden: &'a [f32],
}

/// Four parts of `width` each; the slices have exactly that length, so that loops over them need no checks.
#[inline(always)]
pub(super) fn quarters(values: &mut [f32], width: usize) -> [&mut [f32]; 4] {
    let (first, rest) = values.split_at_mut(width);
    let (second, rest) = rest.split_at_mut(width);
    let (third, rest) = rest.split_at_mut(width);
    [first, second, third, &mut rest[..width]]
}
