//! A pretrained language model with its tokenizer, from a folder.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use dqn_model::pretrained::{ActingLm, CausalLm, ModelConfig, PretrainedFiles, WeightSummary};
use dqn_text::TokenId;
use dqn_text::tokenizer::PretrainedTokenizer;
use serde::Serialize;
use serde_json::Value;

use crate::TrainError;
use crate::memory::MemoryEstimate;

/// The files of a model and its tokenizer, which belong together.
#[derive(Debug)]
pub struct LanguageModelFiles {
    /// Where they lie.
    pub folder: PathBuf,
    /// The files.
    pub files: PretrainedFiles,
    /// The tokenizer.
    pub tokenizer: PretrainedTokenizer,
}

/// A pretrained language model to read and write with.
#[derive(Clone, Debug)]
pub struct LanguageModel {
    /// The model.
    pub lm: ActingLm,
    /// Its tokenizer.
    pub tokenizer: PretrainedTokenizer,
    /// The token that begins texts, where there is one.
    pub bos: Option<TokenId>,
    /// The tokens that end texts.
    pub eos: Vec<TokenId>,
}

/// What a folder holds, as `model inspect` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// Sizes and settings.
    pub config: ModelConfig,
    /// Numbers that the model learned.
    pub n_parameters: usize,
    /// Files and their tensors.
    pub weights: WeightSummary,
    /// Bytes of the parameters as 32-bit floats.
    pub memory_bytes: usize,
    /// Bytes that the keys and values of one token of a text take.
    pub cache_bytes_per_token: usize,
    /// Kind of the tokenizer.
    pub tokenizer: &'static str,
    /// Its tokens.
    pub n_tokens: usize,
    /// The token that begins texts.
    pub bos: Option<NamedToken>,
    /// The tokens that end texts.
    pub eos: Vec<NamedToken>,
}

/// A token and how it is written in the vocabulary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedToken {
    /// Its id.
    pub id: u32,
    /// Its name; none where the tokenizer does not know it.
    pub name: Option<String>,
}

impl LanguageModelFiles {
    /// Opens the files in `folder` and holds them against each other; no parameters are read yet.
    ///
    /// # Errors
    /// [`TrainError::Pretrained`], [`TrainError::Text`] where there is no tokenizer that can be read, and
    /// [`TrainError::OtherTokenizer`] when it has tokens that the model does not know.
    pub fn open(folder: &Path) -> Result<Self, TrainError> {
        let files = PretrainedFiles::open(folder)?;
        let tokenizer = PretrainedTokenizer::load(folder)?;
        let (n_tokens, vocab_size) = (tokenizer.n_tokens(), files.config().vocab_size);
        match n_tokens > vocab_size {
            true => Err(TrainError::OtherTokenizer { folder: folder.to_owned(), n_tokens, vocab_size }),
            false => Ok(Self { folder: folder.to_owned(), files, tokenizer }),
        }
    }

    /// Reads the parameters onto a device, to read and write with.
    ///
    /// # Errors
    /// [`TrainError::DoesNotFit`], and [`TrainError::Pretrained`] when they cannot be read.
    pub fn load(self, device: &Device) -> Result<LanguageModel, TrainError> {
        MemoryEstimate::of_writing(self.files.config()).check(&self.folder)?;
        let lm = self.files.load(device)?;
        Ok(self.with(lm))
    }

    /// The model `lm`, which came from these files, with their tokenizer.
    pub fn with(self, lm: CausalLm) -> LanguageModel {
        let (bos, eos) = (self.bos(), self.eos());
        LanguageModel { lm: lm.for_acting(), tokenizer: self.tokenizer, bos, eos }
    }

    /// The token that begins texts: the configuration's, else the tokenizer's.
    pub fn bos(&self) -> Option<TokenId> {
        self.files.config().bos_token.map(TokenId).or(self.tokenizer.bos())
    }

    /// The tokens that end texts: the configuration's, else the tokenizer's.
    pub fn eos(&self) -> Vec<TokenId> {
        let eos: Vec<TokenId> = self.files.config().eos_tokens.iter().copied().map(TokenId).collect();
        if eos.is_empty() { self.tokenizer.eos().into_iter().collect() } else { eos }
    }

    /// What the folder holds.
    pub fn inspection(&self) -> Inspection {
        let config = self.files.config().clone();
        let named = |token: TokenId| NamedToken { id: token.0, name: self.tokenizer.token(token) };
        Inspection {
            n_parameters: config.n_parameters(),
            memory_bytes: config.n_parameters() * size_of::<f32>(),
            cache_bytes_per_token: config.cache_bytes_per_token(),
            weights: self.files.summary().clone(),
            tokenizer: self.tokenizer.kind(),
            n_tokens: self.tokenizer.n_tokens(),
            bos: self.bos().map(named),
            eos: self.eos().into_iter().map(named).collect(),
            config,
        }
    }
}

impl LanguageModel {
    /// Reads the model in `folder` onto a device.
    ///
    /// # Errors
    /// Those of [`LanguageModelFiles::open`] and [`LanguageModelFiles::load`].
    pub fn load(folder: &Path, device: &Device) -> Result<Self, TrainError> {
        LanguageModelFiles::open(folder)?.load(device)
    }

    /// The tokens of a text to go on from: as the tokenizer frames it, and the token that begins texts where that is none.
    ///
    /// # Errors
    /// [`TrainError::Text`] when the tokenizer fails, and [`TrainError::Pretrained`] for an empty text where no token begins
    /// texts.
    pub fn prompt(&self, text: &str) -> Result<Vec<TokenId>, TrainError> {
        let mut tokens = self.tokenizer.encode(text)?;
        if tokens.is_empty() {
            tokens.extend(self.bos);
        }
        if tokens.is_empty() {
            return Err(dqn_model::pretrained::PretrainedError::NoTokens.into());
        }
        Ok(tokens)
    }
}

/// The Jinja template that makes a text of a conversation, where a folder has one: `chat_template.jinja`, or `chat_template`
/// in `tokenizer_config.json`, of several there the one that is called `default`.
///
/// # Errors
/// [`TrainError::ChatTemplate`] when a file cannot be read or holds something else.
pub fn chat_template(folder: &Path) -> Result<Option<String>, TrainError> {
    let (file, settings) = (folder.join("chat_template.jinja"), folder.join("tokenizer_config.json"));
    let fault = |path: &Path, message: String| TrainError::ChatTemplate { path: path.to_owned(), message };
    if file.is_file() {
        return fs::read_to_string(&file).map(Some).map_err(|error| fault(&file, error.to_string()));
    }
    if !settings.is_file() {
        return Ok(None);
    }
    let text = fs::read_to_string(&settings).map_err(|error| fault(&settings, error.to_string()))?;
    let found: Value = serde_json::from_str(&text).map_err(|error| fault(&settings, error.to_string()))?;
    match &found["chat_template"] {
        Value::Null => Ok(None),
        Value::String(template) => Ok(Some(template.clone())),
        Value::Array(named) => {
            let usual = named.iter().find(|template| template["name"] == "default");
            let usual = usual.and_then(|template| template["template"].as_str());
            let missing = || fault(&settings, "none of its chat templates is called default".to_owned());
            usual.map(|template| Some(template.to_owned())).ok_or_else(missing)
        }
        other => Err(fault(&settings, format!("chat_template is {other}; it must be a text or a list of named ones"))),
    }
}
