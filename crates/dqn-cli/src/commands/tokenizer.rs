//! `tokenizer train|encode|decode`.

use dqn_text::tokenizer::{ChineseWords, TextTokenizer, TokenizerConfig};
use dqn_text::{TokenId, Tokenizer as _};

use crate::args::{Tokenizer, TokenizerKind, TokenizerTrain, TokenizerUse};
use crate::console::Console;
use crate::failure::BadRequest;
use crate::input;

pub(crate) fn run(command: &Tokenizer, console: Console) -> anyhow::Result<()> {
    match command {
        Tokenizer::Train(args) => train(args, console),
        Tokenizer::Encode(args) => encode(args, console),
        Tokenizer::Decode(args) => decode(args, console),
    }
}

fn train(args: &TokenizerTrain, console: Console) -> anyhow::Result<()> {
    if args.lowercase && args.kind != TokenizerKind::Word {
        return Err(BadRequest("--lowercase is for --kind word".to_owned()).into());
    }
    let (max_tokens, min_count) = (args.max_tokens, args.min_count.unwrap_or(1));
    let config = match args.kind {
        TokenizerKind::Char => TokenizerConfig::Char { max_tokens, min_count },
        TokenizerKind::Word => {
            let (lowercase, chinese) = (args.lowercase, ChineseWords::default());
            TokenizerConfig::Word { max_tokens, min_count, lowercase, chinese }
        }
        TokenizerKind::Line => TokenizerConfig::Line { max_tokens, min_count: args.min_count.unwrap_or(1) },
        TokenizerKind::Bpe => TokenizerConfig::Bpe { max_tokens, min_count: args.min_count.unwrap_or(2) },
    };
    let lines = input::sequences(&args.corpus)?;
    let tokenizer = config.train(&lines.iter().map(String::as_str).collect::<Vec<_>>())?;
    tokenizer.save(&args.output)?;
    console.note(&format!("{}: {} with {} tokens", args.output.display(), tokenizer.kind(), tokenizer.vocab().len()));
    Ok(())
}

fn encode(args: &TokenizerUse, console: Console) -> anyhow::Result<()> {
    let tokenizer = TextTokenizer::load(&args.tokenizer)?;
    for line in input::text(args.input.as_deref())?.lines() {
        let ids: Vec<String> = tokenizer.encode(line)?.iter().map(|id| id.0.to_string()).collect();
        console.result(&ids.join(" "))?;
    }
    Ok(())
}

fn decode(args: &TokenizerUse, console: Console) -> anyhow::Result<()> {
    let tokenizer = TextTokenizer::load(&args.tokenizer)?;
    let n_tokens = tokenizer.vocab().len();
    for (line, number) in input::text(args.input.as_deref())?.lines().zip(1..) {
        let id = |word: &str| {
            let id = word.parse().ok().filter(|&id: &u32| (id as usize) < n_tokens).map(TokenId);
            id.ok_or_else(|| {
                BadRequest(format!("line {number}: {word:?} is no token id; ids go from 0 to {}", n_tokens - 1))
            })
        };
        let ids: Vec<TokenId> = line.split_whitespace().map(id).collect::<Result<_, _>>()?;
        console.result(&tokenizer.decode(&ids))?;
    }
    Ok(())
}
