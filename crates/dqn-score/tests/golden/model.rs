//! The small model of the ARPA fixture, for the example that writes it and the tests that read it.

use std::collections::BTreeMap;

use dqn_score::{NgramConfig, NgramLm};
use dqn_text::{Special, TokenId, Vocab};

/// One sentence a line, with one space between tokens. Some tokens need an escape in ARPA files: the ideographic
/// space, the backslash, and those that look like ARPA's own.
const TEXT: &str = "\
the old boat lies on the river
the old man sits in the boat
a boat drifts down the river
a man walks along the river
the man looks at the moon
the moon looks at the man
the moon stands over the river
a bird sings over the river
a bird sits on the old boat
the bird looks at the old man
the old man looks at the bird
in the night the moon stands over the boat
in the night the river sings
in the night the old man sings
in the morning the bird sings
in the morning the boat drifts down the river
in the morning a man sits in the boat
the man sits on the boat and sings
the bird sits on the boat and sings
the river sings and the moon looks down
the old moon looks down on the old boat
the river drifts down and the night drifts down
a man and a bird look at the moon
a man and a boat and a river
山 上 月 明 ， 水 上 风 清 。
山 上 风 清 ， 水 上 月 明 。
月 上 山 ， 风 上 水 。
月 明 \u{3000} 风 清 \u{3000} 山 上
水 上 \u{3000} 山 上 \u{3000} 月 明
月 \\ 风 \\ 水
风 \\ 月 \\ 山 \\ 水
the tag <s> opens
the tag </s> closes
the tag <UNK> opens
the tag <s> opens and the tag </s> closes
the tag <UNK> closes
the lantern
the harbour sleeps";

/// The vocabulary: every token that occurs at least twice, and one that never does.
pub(crate) fn vocab() -> Vocab {
    let mut counts = BTreeMap::new();
    for token in TEXT.split(['\n', ' ']) {
        *counts.entry(token).or_insert(0) += 1;
    }
    let frequent = counts.into_iter().filter(|(_, count)| *count >= 2).map(|(token, _)| token.to_owned());
    Vocab::new(frequent.chain(["unseen".to_owned()])).expect("the tokens are distinct")
}

/// The tokens of a sentence; what is not in the vocabulary is `<unk>`.
pub(crate) fn tokens<'a>(words: impl IntoIterator<Item = &'a str>, vocab: &Vocab) -> Vec<TokenId> {
    words.into_iter().map(|word| vocab.id(word).unwrap_or(Special::Unk.id())).collect()
}

/// The model of the fixture.
pub(crate) fn model(vocab: &Vocab) -> NgramLm {
    let sequences: Vec<_> = TEXT.lines().map(|line| tokens(line.split(' '), vocab)).collect();
    NgramLm::train(&NgramConfig { order: 4 }, vocab, &sequences).expect("the text can be trained on")
}
