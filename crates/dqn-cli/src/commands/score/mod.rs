//! `score`: texts scored line by line.

pub(crate) mod lines;

use std::ops::AddAssign;

use dqn_mdp::Seed;
use dqn_score::{
    Bleu, BleuConfig, Chrf, ChrfConfig, ConfidenceInterval, CorpusMetric, MeanOverSystems, NgramIndex, Rouge,
    RougeTokenizer, Smoothing, Ter, TerConfig, bootstrap_interval, bootstrap_resamples, distinct_n, paired_bootstrap,
    paired_randomization, random_swaps, self_bleu,
};
use serde::Serialize;

use crate::args::{Metric, PairedTest, Score, SmoothingMethod};
use crate::console::Console;
use crate::failure::BadRequest;
use crate::input;

/// What `score --json` tells of a metric.
#[derive(Serialize)]
struct Scored {
    metric: String,
    /// BLEU, chrF and TER from 0 to 100 (TER and error rates may exceed that), the others from 0 to 1.
    score: f64,
    /// The score of each file, where there are several; `score` is their mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Vec<f64>>,
    /// 95 % interval from resampled lines, for scores of lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<[f64; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<Compared>,
    /// What must be known to repeat it.
    signature: String,
    /// Number of hypotheses.
    n: usize,
}

/// How another system does, and whether the difference could be chance.
#[derive(Serialize)]
struct Compared {
    score: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Vec<f64>>,
    /// The score less that of the other system.
    difference: f64,
    p_value: f64,
    test: PairedTest,
}

pub(crate) fn run(args: &Score, console: Console) -> anyhow::Result<()> {
    refuse_unread_options(args)?;
    let texts = Texts::read(args)?;
    let [hypotheses, against, files] = [&texts.hypotheses, &texts.against, &texts.references]
        .map(|texts| -> Vec<Vec<&str>> { texts.iter().map(|text| text.lines().collect()).collect() });
    let n_lines = hypotheses[0].len();
    let references: Vec<Vec<&str>> = match files.is_empty() {
        true => vec![vec![""]; n_lines],
        false => (0..n_lines).map(|line| files.iter().map(|file| file[line]).collect()).collect(),
    };
    let scorer = Scorer { args, hypotheses: &hypotheses, against: &against, references: &references };
    for metric in &args.metrics {
        let scored = scorer.scored(metric, texts.training.as_deref())?;
        match args.json {
            true => console.json(&scored)?,
            false => console.result(&in_words(&scored))?,
        }
    }
    Ok(())
}

fn in_words(Scored { metric, score, files, interval, against, signature, n }: &Scored) -> String {
    let each = |files: &Option<Vec<f64>>| match files {
        Some(scores) => {
            let scores: Vec<String> = scores.iter().map(|score| format!("{score:.4}")).collect();
            format!(" (mean of {})", scores.join(", "))
        }
        None => String::new(),
    };
    let interval = interval.map_or_else(String::new, |[low, high]| format!(" [{low:.4}, {high:.4}]"));
    let against = against.as_ref().map_or_else(String::new, |Compared { score, files, difference, p_value, test }| {
        format!(", the other {score:.4}{}, difference {difference:+.4}, p = {p_value:.4} ({test})", each(files))
    });
    format!("{metric} {score:.4}{}{interval} over {n} lines{against} ({signature})", each(files))
}

/// The files of the command line.
struct Texts {
    hypotheses: Vec<String>,
    against: Vec<String>,
    references: Vec<String>,
    training: Option<String>,
}

impl Texts {
    fn read(args: &Score) -> anyhow::Result<Self> {
        // Each file is read once: it may be a pipe.
        let first = args.hypotheses[0].display();
        let first_text = input::text(Some(&args.hypotheses[0]))?;
        let n_hypotheses = first_text.lines().count();
        if n_hypotheses == 0 {
            return Err(BadRequest(format!("{first} holds no line to score")).into());
        }
        let as_long = |path: &std::path::PathBuf| -> anyhow::Result<String> {
            let text = input::text(Some(path))?;
            match text.lines().count() {
                n_lines if n_lines == n_hypotheses => Ok(text),
                n_lines => Err(BadRequest(format!(
                    "{} has {n_lines} lines, {first} has {n_hypotheses}; they are compared line by line",
                    path.display(),
                ))
                .into()),
            }
        };
        let all_as_long =
            |paths: &[std::path::PathBuf]| paths.iter().map(as_long).collect::<anyhow::Result<Vec<String>>>();
        let mut hypotheses = vec![first_text];
        hypotheses.extend(all_as_long(&args.hypotheses[1..])?);
        Ok(Self {
            hypotheses,
            against: all_as_long(&args.against)?,
            references: all_as_long(&args.references)?,
            training: args.training.as_ref().map(|path| input::text(Some(path))).transpose()?,
        })
    }
}

/// Options that would change nothing are not accepted, and files that are needed are asked for.
fn refuse_unread_options(args: &Score) -> Result<(), BadRequest> {
    let reads = |reads: fn(&Metric) -> bool| args.metrics.iter().any(reads);
    let is_bleu = |metric: &Metric| matches!(metric, Metric::Bleu);
    let is_rouge = |metric: &Metric| matches!(metric, Metric::Rouge(_));
    let is_ter = |metric: &Metric| matches!(metric, Metric::Ter);
    let is_novelty = |metric: &Metric| matches!(metric, Metric::Novelty(_));
    let given = [
        ("--references", !args.references.is_empty(), reads(Metric::has_references), "metrics that compare with them"),
        ("--smoothing", args.smoothing.is_some(), reads(is_bleu), "the metric bleu"),
        ("--rouge-tokenizer", args.rouge_tokenizer.is_some(), reads(is_rouge), "ROUGE"),
        ("--case-sensitive", args.case_sensitive, reads(is_ter), "the metric ter"),
        ("--training", args.training.is_some(), reads(is_novelty), "the metric novelty-N"),
        ("--against", !args.against.is_empty(), reads(Metric::is_of_lines), "scores of lines, which can be paired"),
        (
            "--paired",
            args.paired.is_some(),
            !args.against.is_empty(),
            "a comparison: name the other system by --against",
        ),
    ];
    if let Some((option, .., what)) = given.into_iter().find(|(_, is_given, is_read, _)| *is_given && !is_read) {
        return Err(BadRequest(format!("{option} is for {what}")));
    }
    let (n_files, n_against) = (args.hypotheses.len(), args.against.len());
    if n_against > 0 && n_against != n_files {
        return Err(BadRequest(format!(
            "--hypotheses names {n_files} files and --against {n_against}: a system is as many files as the other"
        )));
    }
    if let Some(metric) = args.metrics.iter().find(|metric| n_files > 1 && !metric.is_of_lines()) {
        return Err(BadRequest(format!("several files are for scores of lines, which {metric} is not")));
    }
    let lacks = |metric: &&Metric| match metric {
        Metric::Novelty(_) => args.training.is_none(),
        metric => metric.has_references() && args.references.is_empty(),
    };
    match args.metrics.iter().find(lacks) {
        Some(metric @ Metric::Novelty(_)) => {
            Err(BadRequest(format!("{metric} looks n-grams up in another text; name it with --training FILE")))
        }
        Some(metric) => Err(BadRequest(format!("{metric} compares with references; name them with --references FILE"))),
        None => Ok(()),
    }
}

struct Scorer<'a> {
    args: &'a Score,
    /// The lines of each file.
    hypotheses: &'a [Vec<&'a str>],
    against: &'a [Vec<&'a str>],
    references: &'a [Vec<&'a str>],
}

impl Scorer<'_> {
    fn scored(&self, metric: &Metric, training: Option<&str>) -> anyhow::Result<Scored> {
        let args = self.args;
        let n_references = args.references.len();
        match *metric {
            Metric::Bleu => {
                let bleu = Bleu::new(BleuConfig {
                    tokenize: args.tokenize,
                    smoothing: smoothing(args)?,
                    lowercase: args.lowercase,
                    ..BleuConfig::default()
                });
                self.of_lines(metric, &bleu, bleu.signature(n_references))
            }
            Metric::Chrf { word_order } => {
                let config = ChrfConfig { word_order, lowercase: args.lowercase, ..ChrfConfig::default() };
                let chrf = Chrf::new(config)?;
                self.of_lines(metric, &chrf, chrf.signature(n_references))
            }
            Metric::Ter => {
                let ter = Ter::new(TerConfig { case_sensitive: args.case_sensitive, ..TerConfig::default() });
                self.of_lines(metric, &ter, ter.signature(n_references))
            }
            Metric::Rouge(kind) => {
                let tokenizer = args.rouge_tokenizer.map_or(RougeTokenizer::default(), Into::into);
                let signature = format!("nrefs:{n_references}|tok:{tokenizer:?}").to_lowercase();
                self.of_lines(metric, &lines::rouge(Rouge::new(kind, tokenizer), kind.name()), versioned(&signature))
            }
            Metric::ErrorRate(rate) => {
                let signature = format!("nrefs:{n_references}|unit:{:?}", rate.unit()).to_lowercase();
                self.of_lines(metric, &rate, versioned(&signature))
            }
            Metric::Repetition => {
                self.of_lines(metric, &lines::repetition(|line| self.tokens(line)), self.token_signature())
            }
            Metric::Distinct(n) => Ok(self.of_corpus(metric, |texts| distinct_n(texts, n))),
            Metric::SelfBleu => Ok(self.of_corpus(metric, |texts| self_bleu(texts, 4))),
            Metric::Novelty(n) => {
                let training: Vec<Vec<String>> =
                    training.unwrap_or_default().lines().map(|line| self.tokens(line)).collect();
                let known: Vec<&[String]> = training.iter().map(Vec::as_slice).collect();
                let index = NgramIndex::new(n, &known, &[]);
                Ok(self.of_corpus(metric, |texts| index.novel_fraction(texts)))
            }
        }
    }

    /// A score that is made of those of lines, with its interval and the comparison that is asked for.
    fn of_lines<M: CorpusMetric>(&self, metric: &Metric, scorer: &M, signature: String) -> anyhow::Result<Scored> {
        let Score { seed, resamples, paired, .. } = *self.args;
        let scorer = &MeanOverSystems(scorer);
        let own = scorer.segments_of(self.hypotheses, self.references)?;
        let n_lines = own.len();
        let total = total_of(&own);
        let interval = match resamples {
            Some(0) => None,
            resamples => {
                let mut rng = Seed(seed).stream("bootstrap");
                let draws = bootstrap_resamples(n_lines, resamples.unwrap_or(1_000), &mut rng);
                let ConfidenceInterval { mean, half_width } = bootstrap_interval(scorer, &own, draws)?;
                Some([mean - half_width, mean + half_width])
            }
        };
        let score = scorer.corpus_score(&total);
        let several = |scores: Vec<f64>| Some(scores).filter(|scores| scores.len() > 1);
        let compare = |other: &[Vec<&str>]| -> anyhow::Result<Compared> {
            let other = scorer.segments_of(other, self.references)?;
            let other_total = total_of(&other);
            let test = paired.unwrap_or(PairedTest::Bootstrap);
            let mut rng = Seed(seed).stream("paired");
            let (other, p_value) = match test {
                PairedTest::Bootstrap => {
                    let draws = bootstrap_resamples(n_lines, resamples.unwrap_or(1_000).max(1), &mut rng);
                    let found = paired_bootstrap(scorer, &other, &own, draws)?;
                    (found.baseline, found.p_value)
                }
                PairedTest::Randomization => {
                    let swaps = random_swaps(n_lines, resamples.unwrap_or(10_000).max(1), &mut rng);
                    let found = paired_randomization(scorer, &other, &own, swaps)?;
                    (found.baseline, found.p_value)
                }
            };
            Ok(Compared {
                score: other,
                files: several(scorer.scores(&other_total)),
                difference: score - other,
                p_value,
                test,
            })
        };
        let against = Some(self.against).filter(|files| !files.is_empty()).map(compare).transpose()?;
        let (metric, files) = (metric.to_string(), several(scorer.scores(&total)));
        Ok(Scored { metric, score, files, interval, against, signature, n: n_lines })
    }

    /// A score of all texts together.
    fn of_corpus(&self, metric: &Metric, score: impl Fn(&[&[String]]) -> f64) -> Scored {
        let tokens: Vec<Vec<String>> = self.hypotheses[0].iter().map(|line| self.tokens(line)).collect();
        let texts: Vec<&[String]> = tokens.iter().map(Vec::as_slice).collect();
        Scored {
            metric: metric.to_string(),
            score: score(&texts),
            files: None,
            interval: None,
            against: None,
            signature: self.token_signature(),
            n: texts.len(),
        }
    }

    fn tokens(&self, line: &str) -> Vec<String> {
        match self.args.lowercase {
            true => self.args.tokenize.tokenize(&line.to_lowercase()),
            false => self.args.tokenize.tokenize(line),
        }
    }

    fn token_signature(&self) -> String {
        let case = if self.args.lowercase { "lc" } else { "mixed" };
        versioned(&format!("case:{case}|tok:{}", self.args.tokenize))
    }
}

fn versioned(signature: &str) -> String {
    format!("{signature}|version:dqn-{}", env!("CARGO_PKG_VERSION"))
}

fn smoothing(args: &Score) -> Result<Smoothing, BadRequest> {
    Ok(match (args.smoothing, args.smoothing_value) {
        (None | Some(SmoothingMethod::Exp), None) => Smoothing::Exp,
        (Some(SmoothingMethod::None), None) => Smoothing::None,
        (Some(SmoothingMethod::Floor), value) => Smoothing::Floor { value: value.unwrap_or(0.1) },
        (Some(SmoothingMethod::AddK), value) => Smoothing::AddK { value: value.unwrap_or(1.0) },
        (_, Some(_)) => {
            return Err(BadRequest("--smoothing-value is for --smoothing floor and add-k".to_owned()));
        }
    })
}

/// What the statistics of lines come to together.
fn total_of<S: Clone + for<'a> AddAssign<&'a S>>(segments: &[S]) -> S {
    let mut total = segments[0].clone();
    segments[1..].iter().for_each(|segment| total += segment);
    total
}
