//! The files that hold the parameters of a model: one, or several with an index.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use serde::Deserialize;

use super::error::PretrainedError;
use super::header::{NumberKind, TensorEntry, read_header};

/// The one file of a model that is not divided.
pub(super) const SINGLE: &str = "model.safetensors";
/// The index of one that is.
pub(super) const INDEX: &str = "model.safetensors.index.json";
/// Longest index: one name takes some 100 bytes.
pub(super) const MAX_JSON_BYTES: u64 = 64 << 20;
/// Ends of the names of files that hold parameters as pickled objects.
const PICKLED: [&str; 5] = ["bin", "pt", "pth", "ckpt", "pkl"];

/// All tensors of a folder, none of them read yet.
#[derive(Debug)]
pub struct WeightFiles {
    files: Vec<PathBuf>,
    /// By name, the file of each and what it is.
    tensors: BTreeMap<String, (usize, TensorEntry)>,
    n_bytes: u64,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl WeightFiles {
    /// Reads the headers of the files in a folder.
    ///
    /// # Errors
    /// [`PretrainedError::NotAFolder`], [`PretrainedError::NoWeights`], [`PretrainedError::Pickled`] where nothing else is
    /// there, [`PretrainedError::Index`] when an index and its files disagree, and those of [`read_header`].
    pub fn open(folder: &Path) -> Result<Self, PretrainedError> {
        let names = names_in(folder)?;
        let has = |name: &str| names.iter().any(|found| found == name);
        if has(SINGLE) {
            return Self::of_files(vec![folder.join(SINGLE)]);
        }
        if has(INDEX) {
            return Self::by_index(folder);
        }
        let path = folder.to_owned();
        let is_pickled = |name: &&String| {
            let end = Path::new(name.as_str()).extension().and_then(|end| end.to_str());
            end.is_some_and(|end| PICKLED.contains(&end))
        };
        let files: Vec<String> = names.iter().filter(is_pickled).cloned().collect();
        match files.is_empty() {
            false => Err(PretrainedError::Pickled { path, files }),
            true => Err(PretrainedError::NoWeights { path, found: names }),
        }
    }

    fn by_index(folder: &Path) -> Result<Self, PretrainedError> {
        let path = folder.join(INDEX);
        let fault = |message: String| PretrainedError::Index { path: path.clone(), message };
        let Index { weight_map } = read_json(&path)?;
        let mut names: Vec<&String> = weight_map.values().collect();
        names.sort();
        names.dedup();
        if names.is_empty() {
            return Err(fault("weight_map lists no tensors".to_owned()));
        }
        for name in &names {
            let is_plain = Path::new(name.as_str()).file_name().is_some_and(|file| file == name.as_str());
            if !is_plain || !name.ends_with(".safetensors") {
                return Err(fault(format!(
                    "weight_map names the file {name:?}; it must be NAME.safetensors in the same folder"
                )));
            }
            if !folder.join(name).is_file() {
                return Err(fault(format!("the file {name:?} that weight_map names is missing")));
            }
        }
        let files: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
        let found = Self::of_files(files)?;
        for (name, file) in &weight_map {
            match found.tensors.get(name) {
                None => return Err(fault(format!("the tensor {name:?} is not in {file}, where weight_map has it"))),
                Some(&(index, _)) if names[index] != file => {
                    return Err(fault(format!(
                        "the tensor {name:?} is in {}, not in {file}, where weight_map has it",
                        names[index]
                    )));
                }
                Some(_) => {}
            }
        }
        match found.tensors.keys().find(|name| !weight_map.contains_key(*name)) {
            Some(name) => Err(fault(format!("weight_map does not list the tensor {name:?}, which the files hold"))),
            None => Ok(found),
        }
    }

    fn of_files(files: Vec<PathBuf>) -> Result<Self, PretrainedError> {
        let (mut tensors, mut n_bytes) = (BTreeMap::new(), 0);
        for (index, path) in files.iter().enumerate() {
            let unread = |source| PretrainedError::Read { path: path.clone(), source };
            let file = File::open(path).map_err(unread)?;
            let metadata = file.metadata().map_err(unread)?;
            n_bytes += metadata.len();
            for tensor in read_header(path, file, metadata.len())? {
                let name = tensor.name.clone();
                if let Some((other, _)) = tensors.insert(name.clone(), (index, tensor)) {
                    let other: &PathBuf = &files[other];
                    let message = format!("the tensor {name:?} is also in {}", other.display());
                    return Err(PretrainedError::SafeTensors { path: path.clone(), message });
                }
            }
        }
        Ok(Self { files, tensors, n_bytes })
    }

    /// Bytes of all files.
    pub fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// How many files there are.
    pub fn n_files(&self) -> usize {
        self.files.len()
    }

    /// All tensors, in the order of their names.
    pub fn tensors(&self) -> impl Iterator<Item = &TensorEntry> {
        self.tensors.values().map(|(_, tensor)| tensor)
    }

    /// The tensor called `name`.
    pub fn tensor(&self, name: &str) -> Option<&TensorEntry> {
        self.tensors.get(name).map(|(_, tensor)| tensor)
    }

    /// The numbers of the tensor called `name` as 32-bit floats, in the order of the file.
    ///
    /// # Errors
    /// [`PretrainedError::Read`] when the file cannot be read (any more), and [`PretrainedError::SafeTensors`] when there is
    /// no such tensor or its numbers are of a kind that is not read.
    pub fn read(&self, name: &str) -> Result<Vec<f32>, PretrainedError> {
        let Some((index, tensor)) = self.tensors.get(name) else {
            let (path, message) = (self.files[0].clone(), format!("there is no tensor {name:?}"));
            return Err(PretrainedError::SafeTensors { path, message });
        };
        let path = &self.files[*index];
        let unread = |source| PretrainedError::Read { path: path.clone(), source };
        let mut file = File::open(path).map_err(unread)?;
        file.seek(SeekFrom::Start(tensor.start)).map_err(unread)?;
        // The header was held against the size of the file, so that what is allocated is there to be read.
        let mut bytes = vec![0; tensor.n_bytes as usize];
        file.read_exact(&mut bytes).map_err(unread)?;
        match tensor.kind {
            NumberKind::F32 => Ok(bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()),
            NumberKind::F16 => {
                Ok(bytes.as_chunks().0.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f32()).collect())
            }
            NumberKind::Bf16 => {
                Ok(bytes.as_chunks().0.iter().map(|&bytes| bf16::from_le_bytes(bytes).to_f32()).collect())
            }
            NumberKind::Other(kind, _) => {
                let message = format!("the tensor {name:?} is of {kind}; F32, F16 and BF16 are read");
                Err(PretrainedError::SafeTensors { path: path.clone(), message })
            }
        }
    }
}

/// The names of what a folder holds, in order.
fn names_in(folder: &Path) -> Result<Vec<String>, PretrainedError> {
    if !folder.is_dir() {
        return Err(PretrainedError::NotAFolder { path: folder.to_owned() });
    }
    let unread = |source| PretrainedError::Read { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unread)? {
        names.push(entry.map_err(unread)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Reads a JSON file that is not too long to be one.
pub(super) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, PretrainedError> {
    let unread = |source| PretrainedError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unread)?;
    file.take(MAX_JSON_BYTES + 1).read_to_end(&mut bytes).map_err(unread)?;
    if bytes.len() as u64 > MAX_JSON_BYTES {
        let message = format!("it has more than {MAX_JSON_BYTES} bytes");
        return Err(PretrainedError::Json { path: path.to_owned(), message });
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| PretrainedError::Json { path: path.to_owned(), message: error.to_string() })
}
