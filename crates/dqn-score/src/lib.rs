//! Scores over tokens and strings: BLEU, diversity, and the n-gram language model
