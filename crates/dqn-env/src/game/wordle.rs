//! Guessing a word by letters and their places.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use dqn_mdp::{MdpError, Outcome, Start};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Choice, Game, GamePlayer, IN_EPISODE, Play, Turn};
use crate::{EnvError, start};

/// Settings of Wordle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WordleConfig {
    /// The words that may be guessed, each of which may be the one to find. Default `{ builtin = "words-en" }`.
    pub words: WordSource,
    /// Guesses before the game is lost. Default 6, as in the newspaper and in LMRL-Gym.
    #[schemars(range(min = 1))]
    pub tries: usize,
    /// What one action is. Default `whole_action`.
    pub play: Play,
}

impl Default for WordleConfig {
    fn default() -> Self {
        Self { words: WordSource::Builtin(BuiltinWords::WordsEn), tries: 6, play: Play::Whole }
    }
}

/// Where words come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WordSource {
    /// A list that ships with the program: `words-en`.
    Builtin(BuiltinWords),
    /// A file with one word a line, each of five letters from a to z and none twice.
    Path(PathBuf),
}

/// The lists that ship with the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BuiltinWords {
    /// English words of five letters; `data/README.md` says how they were chosen.
    WordsEn,
}

const WORDS_EN: &str = include_str!("../../../../data/words-en.txt");

const N_LETTERS: usize = 5;
/// Answers there can be: three colours for each letter.
const N_PATTERNS: usize = 243;
/// All letters in their place.
const SOLVED: u8 = (N_PATTERNS - 1) as u8;
const HEADER: &str = "Wordle:\n";

/// A word as its letters.
type Word = [u8; N_LETTERS];

/// A word to find by guesses, each answered letter by letter.
///
/// ```text
/// shown    "Wordle:\n"
/// command  a word, "c r a n e\n"
/// answer   for each letter g in the right place, y elsewhere in the word, b not in the word: "b y g b b\n"
/// reward   -1, and 0 for the guess that finds the word: -(k - 1) when found at guess k, -tries when not
/// end      when the word is found and after the last try; both terminate
/// ```
///
/// A letter is y whenever the word has it anywhere, however often it was guessed; the newspaper's game counts it. A
/// text that is no word of the list costs a try and -1 and is answered with an empty line. Start `i` has word `i` of
/// the list to find.
///
/// On the shipped list of 405 words the greatest information returns -1.894 on average over all words, a random
/// consistent word -2.355, and a mixture with skill .33 -4.11.
///
/// Source: Abdulhai et al. 2023, "LMRL Gym", and Snell et al. 2023, "Offline RL for Natural Language Generation with
/// Implicit Language Q Learning", section 5.
#[derive(Clone, Debug)]
pub struct Wordle {
    words: Arc<Vec<Word>>,
    commands: Arc<Vec<String>>,
    indices: Arc<HashMap<String, usize>>,
    tries: usize,
    /// Answers to every guess for every word, made when an expert is first asked and then shared by all clones.
    expertise: Arc<OnceLock<Expertise>>,
    episode: Option<Episode>,
}

#[derive(Clone, Debug)]
struct Episode {
    target: usize,
    n_guesses: usize,
    /// The guesses that were words.
    guesses: Vec<Guess>,
}

#[derive(Clone, Copy, Debug)]
struct Guess {
    word: usize,
    pattern: u8,
}

/// What the expert knows of a list of words.
#[derive(Debug)]
struct Expertise {
    /// The answer to guess `g` when the word is `w`, at `g * n_words + w`.
    patterns: Vec<u8>,
    /// The first guess, the same in every game.
    opening: usize,
}

impl WordleConfig {
    /// The game.
    ///
    /// # Errors
    /// [`EnvError::WordFile`] when the file cannot be read, [`EnvError::WordLine`] for a line that is no word or a word
    /// met before, [`EnvError::NoStarts`] for an empty list, [`EnvError::GameValue`] for no tries.
    pub fn build(&self) -> Result<Box<dyn Game>, EnvError> {
        Ok(Box::new(Wordle::new(self)?))
    }
}

impl Wordle {
    /// The game of these settings.
    ///
    /// # Errors
    /// As [`WordleConfig::build`].
    pub fn new(config: &WordleConfig) -> Result<Self, EnvError> {
        if config.tries == 0 {
            return Err(EnvError::game_value("wordle", "tries", 0, "at least 1"));
        }
        let words = match &config.words {
            WordSource::Builtin(BuiltinWords::WordsEn) => read_words(WORDS_EN, "the list words-en")?,
            WordSource::Path(path) => read_words(&read(path)?, &path.display().to_string())?,
        };
        let commands: Vec<String> = words.iter().map(|word| line(word.iter().copied())).collect();
        let indices = commands.iter().cloned().zip(0..).collect();
        Ok(Self {
            words: Arc::new(words),
            commands: Arc::new(commands),
            indices: Arc::new(indices),
            tries: config.tries,
            expertise: Arc::default(),
            episode: None,
        })
    }

    /// The words that would have drawn every answer so far.
    fn consistent(&self) -> Vec<usize> {
        let guesses = &self.episode.as_ref().expect(IN_EPISODE).guesses;
        let fits = |&word: &usize| {
            guesses.iter().all(|guess| pattern(&self.words[guess.word], &self.words[word]) == guess.pattern)
        };
        (0..self.words.len()).filter(fits).collect()
    }

    /// The guess whose answer tells most of which of the consistent words it is.
    fn most_informative(&self) -> usize {
        let expertise = self.expertise.get_or_init(|| Expertise::new(&self.words));
        if self.episode.as_ref().is_some_and(|episode| episode.guesses.is_empty()) {
            return expertise.opening;
        }
        most_informative(&expertise.patterns, self.words.len(), &self.consistent())
    }
}

impl Expertise {
    fn new(words: &[Word]) -> Self {
        let answers = |guess: &Word| words.iter().map(|target| pattern(guess, target)).collect::<Vec<_>>();
        let patterns: Vec<u8> = words.iter().flat_map(answers).collect();
        let all: Vec<usize> = (0..words.len()).collect();
        Self { opening: most_informative(&patterns, words.len(), &all), patterns }
    }
}

/// The guess of greatest entropy of the answer when the word is any of `consistent` with the same probability.
///
/// ```text
/// H(g) = log n - (1 / n) sum over answers p of n_p log n_p,  n_p consistent words with answer p
/// ```
///
/// Equal entropies are decided for a guess that is itself consistent, then for the lower index.
fn most_informative(patterns: &[u8], n_words: usize, consistent: &[usize]) -> usize {
    // The sum over answers in units of 2^-20: whole numbers, so that equal counts are equal in whatever order they
    // come.
    let spread: Vec<u64> = (0..=consistent.len())
        .map(|n| (n as f64 * (n.max(1) as f64).ln() * f64::from(1 << 20)).round() as u64)
        .collect();
    let mut is_consistent = vec![false; n_words];
    consistent.iter().for_each(|&word| is_consistent[word] = true);
    let uncertainty = |guess: usize| {
        let row = &patterns[guess * n_words..(guess + 1) * n_words];
        let mut counts = [0_usize; N_PATTERNS];
        consistent.iter().for_each(|&word| counts[usize::from(row[word])] += 1);
        counts.iter().map(|&count| spread[count]).sum::<u64>()
    };
    (0..n_words)
        .min_by_key(|&guess| (uncertainty(guess), !is_consistent[guess], guess))
        .expect("a list of words is not empty")
}

/// The answer to `guess` when the word is `target`, as a number in base 3 with the first letter in the highest place: 0
/// for b, 1 for y, 2 for g.
fn pattern(guess: &Word, target: &Word) -> u8 {
    guess.iter().zip(target).fold(0, |pattern, (letter, at_place)| {
        let colour = if letter == at_place { 2 } else { u8::from(target.contains(letter)) };
        pattern * 3 + colour
    })
}

/// The answer in words.
fn feedback(pattern: u8) -> String {
    let place = |place: u32| b"byg"[usize::from(pattern) / 3_usize.pow(place) % 3];
    line((0..N_LETTERS as u32).rev().map(place))
}

/// Letters apart, as a line.
fn line(letters: impl Iterator<Item = u8>) -> String {
    let letters: Vec<String> = letters.map(|letter| char::from(letter).to_string()).collect();
    format!("{}\n", letters.join(" "))
}

fn read(path: &Path) -> Result<String, EnvError> {
    std::fs::read_to_string(path).map_err(|source| EnvError::WordFile { path: path.to_owned(), source })
}

/// The words of a list, in its order.
fn read_words(text: &str, origin: &str) -> Result<Vec<Word>, EnvError> {
    let mut seen = HashSet::new();
    let mut words = Vec::new();
    for (index, found) in text.lines().enumerate() {
        let fault = |allowed: &str| EnvError::WordLine {
            origin: origin.to_owned(),
            line: index + 1,
            found: found.to_owned(),
            allowed: allowed.to_owned(),
        };
        let word = Word::try_from(found.as_bytes()).ok().filter(|word| word.iter().all(u8::is_ascii_lowercase));
        let word = word.ok_or_else(|| fault("one word of five letters from a to z"))?;
        if !seen.insert(word) {
            return Err(fault("a word that no line before it has"));
        }
        words.push(word);
    }
    if words.is_empty() { Err(EnvError::NoStarts { what: "words to guess" }) } else { Ok(words) }
}

impl Game for Wordle {
    fn boxed_clone(&self) -> Box<dyn Game> {
        Box::new(self.clone())
    }

    fn commands(&self) -> &[String] {
        &self.commands
    }

    fn n_starts(&self) -> usize {
        self.words.len()
    }

    fn reset(&mut self, start: Start) -> Result<String, MdpError> {
        let target = start::index(start, self.words.len())?;
        self.episode = Some(Episode { target, n_guesses: 0, guesses: Vec::new() });
        Ok(HEADER.to_owned())
    }

    fn act(&mut self, command: &str) -> Turn {
        let mut episode = self.episode.take().expect(IN_EPISODE);
        episode.n_guesses += 1;
        let answer = self.indices.get(command).map(|&word| {
            let pattern = pattern(&self.words[word], &self.words[episode.target]);
            episode.guesses.push(Guess { word, pattern });
            pattern
        });
        let is_solved = answer == Some(SOLVED);
        let is_over = is_solved || episode.n_guesses == self.tries;
        if !is_over {
            self.episode = Some(episode);
        }
        Turn {
            reward: if is_solved { 0.0 } else { -1.0 },
            text: answer.map_or_else(|| "\n".to_owned(), feedback),
            outcome: if is_over { Outcome::Terminated } else { Outcome::Continues },
        }
    }

    fn suggest(&mut self, player: GamePlayer, rng: &mut ChaCha8Rng) -> usize {
        assert!(self.episode.is_some(), "{IN_EPISODE}");
        match player.choice(rng) {
            Choice::Random => rng.random_range(0..self.words.len()),
            Choice::Skilled => {
                let consistent = self.consistent();
                consistent[rng.random_range(0..consistent.len())]
            }
            Choice::Expert => self.most_informative(),
        }
    }

    fn texts(&self) -> Vec<String> {
        let colours = line(b"byg".iter().copied());
        [HEADER.to_owned(), colours].into_iter().chain(self.commands.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use dqn_mdp::Seed;
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::record;
    use super::*;

    fn of_words(words: &[&str]) -> Wordle {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words.txt");
        std::fs::write(&path, words.join("\n")).unwrap();
        Wordle::new(&WordleConfig { words: WordSource::Path(path), tries: 6, ..WordleConfig::default() }).unwrap()
    }

    fn word(text: &str) -> Word {
        text.as_bytes().try_into().unwrap()
    }

    /// "c r a n e\n" for "crane".
    fn command(text: &str) -> String {
        line(text.bytes())
    }

    #[test]
    fn letters_are_answered_without_counting_them() {
        for (guess, target, expected) in [
            ("crane", "crane", "g g g g g\n"),
            ("crane", "slimy", "b b b b b\n"),
            ("crane", "react", "y y g b y\n"),
            ("trash", "taffy", "g b y b b\n"),
            // The newspaper's game answers b for the second a, e and l; here a letter is y wherever the word has it.
            ("mamma", "taffy", "b g b b y\n"),
            ("eerie", "abide", "y y b y g\n"),
            ("level", "spill", "y b b b g\n"),
            ("aaaab", "caddy", "y g y y b\n"),
        ] {
            assert_eq!(feedback(pattern(&word(guess), &word(target))), expected, "{guess} for {target}");
        }
    }

    #[test]
    fn a_game_reads_like_this() {
        let mut game = of_words(&["trash", "taffy", "crane", "react", "slimy"]);
        assert_eq!(game.commands()[2], "c r a n e\n");
        assert_eq!(game.reset(Start::Indexed(3)).unwrap(), "Wordle:\n");
        let turn = |reward, text: &str, outcome| Turn { reward, text: text.to_owned(), outcome };
        assert_eq!(game.act("c r a n e\n"), turn(-1.0, "y y g b y\n", Outcome::Continues));
        for nonsense in ["crane\n", "c r a n e", "h e l l o\n", ""] {
            assert_eq!(game.act(nonsense), turn(-1.0, "\n", Outcome::Continues), "{nonsense:?}");
        }
        assert_eq!(game.consistent(), [3]);
        assert_eq!(game.act("r e a c t\n"), turn(0.0, "g g g g g\n", Outcome::Terminated));
        // The sixth guess ends the game also when it is not the word.
        game.reset(Start::Indexed(3)).unwrap();
        let turns: Vec<Turn> = (0..6).map(|_| game.act("s l i m y\n")).collect();
        assert_eq!(turns.iter().map(|turn| turn.reward).sum::<f32>(), -6.0);
        assert_eq!(turns[5], turn(-1.0, "b b b b b\n", Outcome::Terminated));
        assert!(turns[..5].iter().all(|turn| turn.outcome == Outcome::Continues));
    }

    #[test]
    fn a_word_is_consistent_when_it_would_have_drawn_the_same_answers() {
        let mut game = of_words(&["trash", "taffy", "crane", "react", "slimy", "grace", "trace"]);
        game.reset(Start::Indexed(6)).unwrap();
        assert_eq!(game.consistent(), [0, 1, 2, 3, 4, 5, 6]);
        // t r a c e for c r a n e is y g g b g: of the others g r a c e draws that too.
        game.act(&command("crane"));
        assert_eq!(game.consistent(), [5, 6]);
        game.act(&command("grace"));
        assert_eq!(game.consistent(), [6]);
    }

    #[test]
    fn ties_of_information_go_to_consistent_words_and_then_to_lower_ones() {
        // Two words are left and any guess that tells them apart tells all: the first of the two is taken, although a
        // lower word that is out of the question tells as much.
        let game = of_words(&["abbbb", "acccc", "accca", "zzzzz"]);
        let expertise = Expertise::new(&game.words);
        assert_eq!(most_informative(&expertise.patterns, 4, &[1, 2]), 1);
        // All tell nothing once one word is left.
        assert_eq!(most_informative(&expertise.patterns, 4, &[3]), 3);
        // Guesses 1 and 2 tell the words 0, 1 and 2 from each other; guess 0 does not tell 1 from 2.
        assert_eq!(most_informative(&expertise.patterns, 4, &[0, 1, 2]), 1);
    }

    proptest! {
        #[test]
        fn the_word_to_find_is_always_consistent(
            target in 0_usize..400, picks in prop::collection::vec(0_usize..400, 5)
        ) {
            let mut game = Wordle::new(&WordleConfig::default()).unwrap();
            game.reset(Start::Indexed(target)).unwrap();
            let mut before: Vec<usize> = game.consistent();
            for pick in picks {
                if game.act(&game.commands()[pick].clone()).outcome.is_end() {
                    break;
                }
                let after = game.consistent();
                prop_assert!(after.contains(&target) && after.iter().all(|word| before.contains(word)));
                before = after;
            }
        }

        #[test]
        fn patterns_and_feedback_are_the_same_in_two_forms(guess in "[a-e]{5}", target in "[a-e]{5}") {
            let colours: Vec<&str> = guess.char_indices().map(|(place, letter)| {
                if target[place..].starts_with(letter) { "g" } else if target.contains(letter) { "y" } else { "b" }
            }).collect();
            prop_assert_eq!(feedback(pattern(&word(&guess), &word(&target))), format!("{}\n", colours.join(" ")));
        }
    }

    /// The mean return over every word of the list, `n_rounds` times.
    fn mean_return(game: &mut Wordle, player: GamePlayer, n_rounds: usize) -> f64 {
        let mut rng = Seed(5).stream("test");
        let n_words = game.n_starts();
        let total: f64 = (0..n_rounds * n_words)
            .map(|index| record(game, player, Start::Indexed(index % n_words), &mut rng).unwrap().episode_return())
            .sum();
        total / (n_rounds * n_words) as f64
    }

    #[test]
    fn returns_on_the_shipped_words_are_known() {
        let mut game = Wordle::new(&WordleConfig::default()).unwrap();
        let expert = mean_return(&mut game, GamePlayer::Expert {}, 1);
        let skilled = mean_return(&mut game, GamePlayer::Skilled {}, 20);
        let behaviour = mean_return(&mut game, GamePlayer::Mixture { skill: 0.33 }, 20);
        assert_eq!(game.n_starts(), 405);
        // The expert is deterministic and plays every word once: 767 guesses too many.
        assert!((expert * 405.0 - -767.0).abs() < 1e-9, "{expert}");
        // Of 8,100 games whose returns deviate by 1.1 and 1.6, four standard errors are .05 and .07.
        assert!((skilled - -2.355).abs() < 0.05, "{skilled}");
        assert!((behaviour - -4.11).abs() < 0.07, "{behaviour}");
    }

    /// Runs where `DQN_WORD_LISTS` names a folder with the lists of the published baselines, which are not ours to
    /// ship.
    #[test]
    fn returns_on_published_lists_are_the_published_ones() {
        let Some(folder) = std::env::var_os("DQN_WORD_LISTS").map(PathBuf::from) else { return };
        for (file, n_words, expert, skilled) in
            [("words-236.txt", 236, -1.741, -2.135), ("words-826.txt", 826, -2.163, -2.628)]
        {
            let config =
                WordleConfig { words: WordSource::Path(folder.join(file)), tries: 6, ..WordleConfig::default() };
            let mut game = Wordle::new(&config).unwrap();
            assert_eq!(game.n_starts(), n_words);
            let found = mean_return(&mut game, GamePlayer::Expert {}, 1);
            assert!((found - expert).abs() < 0.05, "{file}: {found} by information");
            let uniform = mean_return(&mut game, GamePlayer::Skilled {}, 40);
            assert!((uniform - skilled).abs() < 0.02, "{file}: {uniform} by consistency");
        }
    }

    #[test]
    fn lists_that_are_none_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words.txt");
        let message = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let config = WordleConfig { words: WordSource::Path(path.clone()), tries: 6, ..WordleConfig::default() };
            Wordle::new(&config).unwrap_err().to_string().replace(&path.display().to_string(), "FILE")
        };
        let letters = "it must be one word of five letters from a to z";
        for (text, found, line) in [
            ("crane\nCrane\n", "Crane", 2),
            ("four\n", "four", 1),
            ("crane\n\nreact\n", "", 2),
            ("größe\n", "größe", 1),
        ] {
            assert_eq!(message(text), format!("line {line} of FILE is {found:?}; {letters}"));
        }
        assert_eq!(
            message("crane\nreact\ncrane\n"),
            "line 3 of FILE is \"crane\"; it must be a word that no line before it has"
        );
        assert_eq!(message(""), "the environment has no words to guess; at least one is needed");
        let missing = WordleConfig {
            words: WordSource::Path(folder.path().join("none.txt")),
            tries: 6,
            ..WordleConfig::default()
        };
        assert!(Wordle::new(&missing).unwrap_err().to_string().starts_with("cannot read the word list "));
        let no_tries = WordleConfig { tries: 0, ..WordleConfig::default() };
        assert_eq!(Wordle::new(&no_tries).unwrap_err().to_string(), "the wordle has tries = 0; it must be at least 1");
    }

    #[test]
    fn settings_are_read() {
        let read = |value| serde_json::from_value::<WordleConfig>(value);
        assert_eq!(read(json!({})).unwrap(), WordleConfig::default());
        assert_eq!(read(json!({ "words": { "builtin": "words-en" } })).unwrap(), WordleConfig::default());
        let of_file = WordleConfig { words: WordSource::Path("a.txt".into()), tries: 3, ..WordleConfig::default() };
        assert_eq!(read(json!({ "words": { "path": "a.txt" }, "tries": 3 })).unwrap(), of_file);
        assert!(read(json!({ "words": { "builtin": "words-de" } })).is_err());
    }
}
