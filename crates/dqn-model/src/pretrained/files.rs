//! From the files of a folder to a model, and back.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, TensorData};
use safetensors::tensor::{Dtype, View};
use serde::Serialize;
use serde_json::{Map, Value};

use super::config::{CONFIG, ModelConfig};
use super::error::{PretrainedError, TensorFault};
use super::header::NumberKind;
use super::layout::{GPT2_PREFIX, OUTPUT, Slot, Stored, ignorable, layout};
use super::model::CausalLm;
use super::weights::{SINGLE, WeightFiles, read_json};
use crate::init::NumberParameters;

/// Files of a folder that are copied as they are when a model is written.
const COPIED: [&str; 9] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
];

/// What was found in the files of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WeightSummary {
    /// Files that hold parameters.
    pub n_files: usize,
    /// Bytes of them all.
    pub n_bytes: u64,
    /// Kinds of the numbers of the tensors that are read, each once.
    pub kinds: Vec<&'static str>,
    /// Tensors that are not read, each with the reason.
    pub ignored: Vec<(String, &'static str)>,
}

/// The files of a model whose tensors all have a place.
#[derive(Debug)]
pub struct PretrainedFiles {
    config: ModelConfig,
    files: WeightFiles,
    /// What the names in the files begin with.
    prefix: &'static str,
    summary: WeightSummary,
}

impl PretrainedFiles {
    /// Reads the configuration in `folder` and the headers of its files, and holds them against each other.
    ///
    /// # Errors
    /// Those of [`ModelConfig::read`] and [`WeightFiles::open`], and [`PretrainedError::Tensors`] with every tensor that is
    /// missing, unexpected, misshapen, or of a kind that is not read.
    pub fn open(folder: &Path) -> Result<Self, PretrainedError> {
        let config = ModelConfig::read(folder)?;
        let files = WeightFiles::open(folder)?;
        let has_prefix = files.tensors().any(|tensor| tensor.name.starts_with(GPT2_PREFIX));
        let prefix = if config.family.is_gpt2() && has_prefix { GPT2_PREFIX } else { "" };
        let (faults, summary) = compared(&config, &files, prefix);
        match faults.is_empty() {
            true => Ok(Self { config, files, prefix, summary }),
            false => Err(PretrainedError::Tensors { path: folder.to_owned(), faults }),
        }
    }

    /// Sizes and settings of the model.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// What the files hold.
    pub fn summary(&self) -> &WeightSummary {
        &self.summary
    }

    /// Reads the parameters, one tensor at a time, as 32-bit floats onto a device.
    ///
    /// # Errors
    /// [`PretrainedError::Read`] when a file cannot be read (any more).
    pub fn load(&self, device: &Device) -> Result<CausalLm, PretrainedError> {
        let tensors = layout(&self.config);
        let places: HashMap<Slot, (usize, usize)> = tensors
            .iter()
            .enumerate()
            .flat_map(|(index, tensor)| tensor.slots.iter().enumerate().map(move |(part, &slot)| (slot, (index, part))))
            .collect();
        // A tensor that holds several parameters is read once for all of them, which the model asks for one after the other.
        let mut last: Option<(usize, Vec<f32>)> = None;
        let lm = CausalLm::of(self.config.clone(), device, |slot| {
            let (index, part) = places[&slot];
            let tensor = &tensors[index];
            let numbers = match last.take() {
                Some((kept, numbers)) if kept == index => numbers,
                _ => self.files.read(&self.name_of(tensor))?,
            };
            if tensor.slots.len() == 1 {
                return Ok(as_in_model(tensor, numbers));
            }
            let data = columns(tensor, &numbers, part);
            last = Some((index, numbers));
            Ok(data)
        })?;
        // Fresh ids are random; numbered ones make two checkpoints of the same model the same bytes.
        Ok(lm.map(&mut NumberParameters { next: 0 }))
    }

    fn name_of(&self, tensor: &Stored) -> String {
        stored_name(self.prefix, tensor)
    }
}

/// The name of a tensor in files whose names begin with `prefix`.
fn stored_name(prefix: &str, tensor: &Stored) -> String {
    if tensor.name == OUTPUT { tensor.name.clone() } else { format!("{prefix}{}", tensor.name) }
}

/// What is wrong with the tensors of the files, and what is in them.
fn compared(config: &ModelConfig, files: &WeightFiles, prefix: &str) -> (Vec<TensorFault>, WeightSummary) {
    let mut faults = Vec::new();
    let mut kinds = Vec::new();
    let mut expected = HashSet::new();
    for tensor in layout(config) {
        let name = stored_name(prefix, &tensor);
        match files.tensor(&name) {
            None => faults.push(TensorFault::Missing { name: name.clone(), shape: tensor.shape }),
            Some(found) if found.shape != tensor.shape => {
                let (found, expected) = (found.shape.clone(), tensor.shape);
                faults.push(TensorFault::Misshapen { name: name.clone(), found, expected });
            }
            Some(found) => match found.kind {
                NumberKind::Other(kind, _) => faults.push(TensorFault::Kind { name: name.clone(), found: kind }),
                kind => kinds.push(kind.name()),
            },
        }
        expected.insert(name);
    }
    let mut ignored = Vec::new();
    for found in files.tensors().filter(|tensor| !expected.contains(&tensor.name)) {
        let bare = found.name.strip_prefix(prefix).unwrap_or(&found.name);
        match ignorable(config, bare) {
            Some(why) => ignored.push((found.name.clone(), why)),
            None if !prefix.is_empty() && expected.contains(&format!("{prefix}{}", found.name)) => {
                faults.push(TensorFault::Twice { name: found.name.clone() });
            }
            None => faults.push(TensorFault::Unexpected { name: found.name.clone(), shape: found.shape.clone() }),
        }
    }
    kinds.sort_unstable();
    kinds.dedup();
    (faults, WeightSummary { n_files: files.n_files(), n_bytes: files.n_bytes(), kinds, ignored })
}

/// The only parameter of a tensor, in the layout of the model.
fn as_in_model(tensor: &Stored, numbers: Vec<f32>) -> TensorData {
    match tensor.shape[..] {
        [outputs, inputs] if tensor.is_transposed => TensorData::new(transposed(&numbers, inputs), [inputs, outputs]),
        _ => TensorData::new(numbers, tensor.shape.clone()),
    }
}

/// One of several parameters that lie side by side in the last dimension.
fn columns(tensor: &Stored, numbers: &[f32], part: usize) -> TensorData {
    let mut shape = tensor.shape.clone();
    let n_all = shape.pop().expect("parameters lie side by side in a dimension");
    let n_own = n_all / tensor.slots.len();
    let own = numbers.chunks_exact(n_all).flat_map(|row| &row[part * n_own..][..n_own]).copied().collect();
    shape.push(n_own);
    TensorData::new::<f32, _>(own, shape)
}

/// The transpose of a matrix with rows of `n_columns`.
fn transposed(numbers: &[f32], n_columns: usize) -> Vec<f32> {
    /// Rows and columns that are turned together, so that both fit the cache.
    const TILE: usize = 32;
    let n_rows = numbers.len() / n_columns;
    let mut turned = vec![0.0; numbers.len()];
    for first_row in (0..n_rows).step_by(TILE) {
        for first_column in (0..n_columns).step_by(TILE) {
            for row in first_row..n_rows.min(first_row + TILE) {
                for column in first_column..n_columns.min(first_column + TILE) {
                    turned[column * n_rows + row] = numbers[row * n_columns + column];
                }
            }
        }
    }
    turned
}

impl CausalLm {
    /// Reads the model in `folder`: see [`PretrainedFiles`].
    ///
    /// # Errors
    /// Those of [`PretrainedFiles::open`] and [`PretrainedFiles::load`].
    pub fn load(folder: &Path, device: &Device) -> Result<Self, PretrainedError> {
        PretrainedFiles::open(folder)?.load(device)
    }

    /// Writes the model to a new folder that `transformers` can load: the configuration and the tokenizer's files of
    /// `origin`, the folder it was read from, and its parameters as 32-bit floats.
    ///
    /// The parameters are written last and under another name until they are complete.
    ///
    /// # Errors
    /// [`PretrainedError::OutputExists`] when `output` holds anything, [`PretrainedError::Read`], [`PretrainedError::Json`]
    /// and [`PretrainedError::Write`].
    pub fn export(&self, origin: &Path, output: &Path) -> Result<(), PretrainedError> {
        let unwritten = |path: &Path| {
            let path = path.to_owned();
            |source| PretrainedError::Write { path, source }
        };
        let is_free = match std::fs::read_dir(output) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        if !is_free {
            return Err(PretrainedError::OutputExists { path: output.to_owned() });
        }
        let mut config: Map<String, Value> = read_json(&origin.join(CONFIG))?;
        // transformers 5 calls it "dtype", those before "torch_dtype"; each ignores the other.
        for key in ["dtype", "torch_dtype"] {
            if let Some(kind) = config.get_mut(key) {
                *kind = "float32".into();
            }
        }
        let text = serde_json::to_string_pretty(&config).expect("what was read as JSON can be written as JSON") + "\n";
        std::fs::create_dir_all(output).map_err(unwritten(output))?;
        std::fs::write(output.join(CONFIG), text).map_err(unwritten(&output.join(CONFIG)))?;
        for name in COPIED.into_iter().filter(|name| origin.join(name).is_file()) {
            let bytes = std::fs::read(origin.join(name));
            let bytes = bytes.map_err(|source| PretrainedError::Read { path: origin.join(name), source })?;
            std::fs::write(output.join(name), bytes).map_err(unwritten(&output.join(name)))?;
        }
        let (path, partial) = (output.join(SINGLE), output.join(format!("{SINGLE}.partial")));
        self.write_parameters(&partial).map_err(unwritten(&path))?;
        std::fs::rename(&partial, &path).map_err(unwritten(&path))
    }

    fn write_parameters(&self, path: &Path) -> std::io::Result<()> {
        let prefix = if self.config().family.is_gpt2() { GPT2_PREFIX } else { "" };
        let tensors = layout(self.config());
        let views = tensors.iter().map(|tensor| (stored_name(prefix, tensor), Exported { lm: self, tensor }));
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        safetensors::serialize_to_file(views, Some(metadata), path).map_err(std::io::Error::other)
    }
}

/// A tensor that is brought into the layout of its file when it is written.
struct Exported<'a> {
    lm: &'a CausalLm,
    tensor: &'a Stored,
}

impl Exported<'_> {
    fn numbers(&self) -> Vec<f32> {
        let parameters = self.tensor.slots.iter().map(|&slot| {
            let data = self.lm.parameter(slot).convert::<f32>();
            data.try_to_vec::<f32>().expect("parameters were made 32-bit floats")
        });
        let mut parameters: Vec<Vec<f32>> = parameters.collect();
        if parameters.len() == 1 {
            let numbers = parameters.remove(0);
            return match self.tensor.shape[..] {
                [outputs, _] if self.tensor.is_transposed => transposed(&numbers, outputs),
                _ => numbers,
            };
        }
        let n_own = self.tensor.shape.last().copied().unwrap_or(1) / parameters.len();
        let n_rows = parameters[0].len() / n_own;
        let rows = (0..n_rows).flat_map(|row| parameters.iter().map(move |own| &own[row * n_own..][..n_own]));
        rows.flatten().copied().collect()
    }
}

impl View for Exported<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.tensor.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.numbers().iter().flat_map(|number| number.to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        self.tensor.shape.iter().product::<usize>() * size_of::<f32>()
    }
}
