//! The header of a safetensors file: which tensors it holds, of what kind and shape, and where.
//!
//! A file is eight bytes that say how long the header is, the header as JSON, and the numbers of all tensors one after the
//! other. Nothing of it is believed: lengths and offsets are held against the size of the file before anything of their
//! size is allocated, and the tensors must fill the file without overlap or gap, as the format demands.

use std::fmt;
use std::io::Read;
use std::path::Path;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::error::PretrainedError;

/// Longest header, as the format has it.
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// Bytes that say how long the header is.
const N_PREFIX: u64 = 8;
/// Most dimensions of a tensor.
const MAX_RANK: usize = 8;

/// What the numbers of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NumberKind {
    /// 32-bit floats.
    F32,
    /// 16-bit floats of IEEE 754.
    F16,
    /// The upper half of 32-bit floats.
    Bf16,
    /// Another kind, which is not read: its name and bytes.
    Other(&'static str, u64),
}

/// All kinds by their names in the format.
const KINDS: [(&str, NumberKind); 15] = [
    ("F32", NumberKind::F32),
    ("F16", NumberKind::F16),
    ("BF16", NumberKind::Bf16),
    ("F64", NumberKind::Other("F64", 8)),
    ("BOOL", NumberKind::Other("BOOL", 1)),
    ("U8", NumberKind::Other("U8", 1)),
    ("I8", NumberKind::Other("I8", 1)),
    ("I16", NumberKind::Other("I16", 2)),
    ("U16", NumberKind::Other("U16", 2)),
    ("I32", NumberKind::Other("I32", 4)),
    ("U32", NumberKind::Other("U32", 4)),
    ("I64", NumberKind::Other("I64", 8)),
    ("U64", NumberKind::Other("U64", 8)),
    ("F8_E4M3", NumberKind::Other("F8_E4M3", 1)),
    ("F8_E5M2", NumberKind::Other("F8_E5M2", 1)),
];

impl NumberKind {
    /// The name the format gives it.
    pub fn name(self) -> &'static str {
        match self {
            NumberKind::F32 => "F32",
            NumberKind::F16 => "F16",
            NumberKind::Bf16 => "BF16",
            NumberKind::Other(name, _) => name,
        }
    }

    /// Bytes of one number.
    pub fn n_bytes(self) -> u64 {
        match self {
            NumberKind::F32 => 4,
            NumberKind::F16 | NumberKind::Bf16 => 2,
            NumberKind::Other(_, n_bytes) => n_bytes,
        }
    }
}

/// A tensor as a header describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorEntry {
    /// Its name.
    pub name: String,
    /// What its numbers are.
    pub kind: NumberKind,
    /// Its dimensions; none is one number.
    pub shape: Vec<usize>,
    /// Where its numbers begin in the file, in bytes.
    pub start: u64,
    /// How many bytes they take.
    pub n_bytes: u64,
}

/// Reads the header of a file of `n_file_bytes`; `path` names it in errors.
///
/// The tensors come in the order of their numbers in the file. No more memory is taken than the file is long.
///
/// # Errors
/// [`PretrainedError::SafeTensors`] when the header is longer than the file or the format allows, is no JSON of the right
/// form, or describes tensors that are not all there, overlap, or leave something out; [`PretrainedError::Read`].
pub fn read_header(path: &Path, mut file: impl Read, n_file_bytes: u64) -> Result<Vec<TensorEntry>, PretrainedError> {
    let fault = |message: String| PretrainedError::SafeTensors { path: path.to_owned(), message };
    if n_file_bytes < N_PREFIX {
        return Err(fault(format!("it has {n_file_bytes} bytes, and the length of its header alone takes {N_PREFIX}")));
    }
    let unread = |source| PretrainedError::Read { path: path.to_owned(), source };
    let mut prefix = [0; N_PREFIX as usize];
    file.read_exact(&mut prefix).map_err(unread)?;
    let n_header = u64::from_le_bytes(prefix);
    let n_left = n_file_bytes - N_PREFIX;
    if n_header > n_left.min(MAX_HEADER_BYTES) {
        return Err(fault(format!(
            "its header is said to have {n_header} bytes; {n_left} follow in the file, and {MAX_HEADER_BYTES} are allowed"
        )));
    }
    let mut header = vec![0; n_header as usize];
    file.read_exact(&mut header).map_err(unread)?;
    let entries: Entries =
        serde_json::from_slice(&header).map_err(|error| fault(format!("its header cannot be read: {error}")))?;
    let tensors = entries.0.into_iter().filter(|(name, _)| name != "__metadata__");
    let mut tensors =
        tensors.map(|(name, value)| described(name, value)).collect::<Result<Vec<_>, _>>().map_err(fault)?;
    let n_data = n_left - n_header;
    tensors.sort_by_key(|tensor| (tensor.start, tensor.n_bytes));
    check_order(&tensors, n_data).map_err(fault)?;
    tensors.iter_mut().for_each(|tensor| tensor.start += N_PREFIX + n_header);
    Ok(tensors)
}

/// The keys and values of a JSON object in their order, with those that come twice.
struct Entries(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Entries;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Entries(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// A tensor as it is written down.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// A tensor whose size agrees with its offsets; `start` counts from the end of the header.
fn described(name: String, value: Value) -> Result<TensorEntry, String> {
    let Described { dtype, shape, data_offsets: [start, end] } =
        serde_json::from_value(value).map_err(|error| format!("the tensor {name:?} cannot be read: {error}"))?;
    let Some(&(_, kind)) = KINDS.iter().find(|(kind, _)| *kind == dtype) else {
        let known = KINDS.map(|(kind, _)| kind).join(", ");
        return Err(format!("the tensor {name:?} is of {dtype:?}; there are {known}"));
    };
    if shape.len() > MAX_RANK {
        return Err(format!("the tensor {name:?} has {} dimensions; at most {MAX_RANK} are allowed", shape.len()));
    }
    let needed = shape.iter().try_fold(kind.n_bytes(), |product, &size| product.checked_mul(size));
    let found = end.checked_sub(start);
    let (Some(n_bytes), true) = (found, needed.is_some() && needed == found) else {
        let needed =
            needed.map_or_else(|| "more bytes than can be counted".to_owned(), |needed| format!("{needed} bytes"));
        return Err(format!(
            "the tensor {name:?} has the shape {shape:?} of {dtype}, which takes {needed}, but lies from {start} to {end}"
        ));
    };
    let shape = shape.into_iter().map(usize::try_from).collect::<Result<_, _>>();
    let shape = shape.map_err(|_| format!("the tensor {name:?} is larger than this machine can address"))?;
    Ok(TensorEntry { name, kind, shape, start, n_bytes })
}

/// Tensors in the order of their places must fill `n_data` bytes, and none may have the name of another.
fn check_order(tensors: &[TensorEntry], n_data: u64) -> Result<(), String> {
    let mut end = 0;
    for tensor in tensors {
        let (name, start) = (&tensor.name, tensor.start);
        if start < end {
            return Err(format!(
                "the tensor {name:?} begins at {start}, within the one before it, which ends at {end}"
            ));
        }
        if start > end {
            return Err(format!("nothing is said about the bytes {end} to {start}, before the tensor {name:?}"));
        }
        // The size was the difference of two offsets, so that the sum is the second of them.
        end = start + tensor.n_bytes;
        if end > n_data {
            return Err(format!("the tensor {name:?} ends at {end}, but the file has {n_data} bytes of numbers"));
        }
    }
    if end != n_data {
        return Err(format!("the file has {n_data} bytes of numbers, but its tensors end at {end}"));
    }
    let mut names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("the tensor {:?} is described twice", pair[0])),
        None => Ok(()),
    }
}
