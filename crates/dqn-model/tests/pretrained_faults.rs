//! Folders that are no sound model are refused with one error that says what is wrong where.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use dqn_model::pretrained::{ModelConfig, PretrainedFiles, read_header};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pretrained").join(name)
}

/// What is said of a copy of a model after a change.
fn fault(name: &str, change: impl FnOnce(&Path)) -> String {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("model");
    fs::create_dir(&folder).unwrap();
    for entry in fs::read_dir(golden(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    change(&folder);
    let error = PretrainedFiles::open(&folder).expect_err("a fault must be found").to_string();
    assert!(error.contains("model"), "no file is named: {error}");
    error
}

fn check(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

/// A file with this header and so many bytes of numbers.
fn file(header: &str, n_numbers: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; n_numbers]].concat()
}

fn header_fault(bytes: &[u8]) -> String {
    read_header(Path::new("x.safetensors"), bytes, bytes.len() as u64).unwrap_err().to_string()
}

#[test]
fn the_golden_folders_are_sound() {
    for name in ["llama", "llama-tied-bf16", "mistral", "qwen2-sharded", "gpt2", "gpt2-bare-f16"] {
        let files = PretrainedFiles::open(&golden(name)).unwrap();
        let n_numbers: u64 = match files.summary().kinds[..] {
            ["F32"] => 4,
            _ => 2,
        };
        // The count of parameters is that of the numbers in the files, but for their headers.
        let n_bytes = files.config().n_parameters() as u64 * n_numbers;
        let n_headers = files.summary().n_bytes - n_bytes;
        assert!(n_headers > 0 && n_headers < 4_000 * files.summary().n_files as u64, "{name}: {n_headers}");
        assert!(files.summary().ignored.is_empty());
    }
}

#[test]
fn what_is_no_folder_of_a_model_is_told_apart() {
    let error = |path: &Path| PretrainedFiles::open(path).unwrap_err().to_string();
    let place = tempfile::tempdir().unwrap();
    check(&error(&place.path().join("nowhere")), &["nowhere is not a folder; name the folder that holds config.json"]);
    let file = place.path().join("file");
    fs::write(&file, "x").unwrap();
    check(&error(&file), &["file is not a folder"]);
    fs::remove_file(&file).unwrap();
    check(&error(place.path()), &["cannot read", "config.json"]);
    check(
        &fault("llama", |folder| fs::write(folder.join("config.json"), "{").unwrap()),
        &["config.json: EOF while parsing"],
    );
    check(
        &fault("llama", |folder| fs::remove_file(folder.join("model.safetensors")).unwrap()),
        &[
            "holds neither model.safetensors nor model.safetensors.index.json; it holds config.json, generation_config.json",
        ],
    );
    let pickled =
        |folder: &Path| fs::rename(folder.join("model.safetensors"), folder.join("pytorch_model.bin")).unwrap();
    check(&fault("llama", pickled), &["only as pytorch_model.bin", "can run any code", "save it as safetensors"]);
}

#[test]
fn headers_that_lie_are_refused() {
    let tensor =
        |shape: &str, offsets: &str| format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#);
    let two = |second: &str| {
        format!(
            r#"{{"a":{{"dtype":"F32","shape":[2],"data_offsets":[0,8]}},"b":{{"dtype":"F32","shape":[2],"data_offsets":{second}}}}}"#
        )
    };
    let table: Vec<(Vec<u8>, &str)> = vec![
        (vec![1, 2, 3], "it has 3 bytes, and the length of its header alone takes 8"),
        (
            u64::MAX.to_le_bytes().to_vec(),
            "its header is said to have 18446744073709551615 bytes; 0 follow in the file",
        ),
        (file("{}", 0)[..9].to_vec(), "its header is said to have 2 bytes; 1 follow"),
        (file("[]", 0), "its header cannot be read: invalid type: sequence, expected an object of tensors"),
        (file("{\"a\":1}", 0), "the tensor \"a\" cannot be read: invalid type"),
        (file(&tensor("[2]", "[0,8]"), 4), "the tensor \"a\" ends at 8, but the file has 4 bytes of numbers"),
        (file(&tensor("[2]", "[0,8]"), 12), "the file has 12 bytes of numbers, but its tensors end at 8"),
        (file(&tensor("[3]", "[0,8]"), 8), "has the shape [3] of F32, which takes 12 bytes, but lies from 0 to 8"),
        (file(&tensor("[2]", "[8,0]"), 8), "takes 8 bytes, but lies from 8 to 0"),
        (
            file(&tensor("[9223372036854775807,9223372036854775807]", "[0,8]"), 8),
            "takes more bytes than can be counted, but lies from 0 to 8",
        ),
        (file(&tensor("[-1]", "[0,8]"), 8), "the tensor \"a\" cannot be read: invalid value"),
        (file(&tensor("[1,1,1,1,1,1,1,1,2]", "[0,8]"), 8), "has 9 dimensions; at most 8 are allowed"),
        (file(&tensor("[2]", "[0,8]").replace("F32", "F33"), 8), "is of \"F33\"; there are F32, F16, BF16"),
        (file(&tensor("[2]", "[0,8],\"more\":1"), 8), "unknown field `more`"),
        (file(&two("[4,12]"), 16), "the tensor \"b\" begins at 4, within the one before it, which ends at 8"),
        (file(&two("[12,20]"), 20), "nothing is said about the bytes 8 to 12, before the tensor \"b\""),
        (file(&two("[8,16]").replace("\"b\"", "\"a\""), 16), "the tensor \"a\" is described twice"),
    ];
    for (bytes, expected) in table {
        let error = header_fault(&bytes);
        check(&error, &["x.safetensors is no sound safetensors file: ", expected]);
    }
    let sound = file(r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[],"data_offsets":[0,2]}}"#, 2);
    let tensors = read_header(Path::new("x"), &sound[..], sound.len() as u64).unwrap();
    assert_eq!((tensors.len(), tensors[0].start, tensors[0].n_bytes), (1, sound.len() as u64 - 2, 2));
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = fs::read(golden("llama").join("model.safetensors")).unwrap();
    for length in [0, 7, 8, 100, 2_000, whole.len() - 1] {
        let error = fault("llama", |folder| fs::write(folder.join("model.safetensors"), &whole[..length]).unwrap());
        check(&error, &["model.safetensors is no sound safetensors file"]);
    }
}

/// Writes a model's file anew with its tensors changed: name, kind and shape.
fn change_tensors(folder: &Path, change: impl Fn(&mut Vec<(String, String, Vec<usize>)>)) {
    let path = folder.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let tensors = read_header(&path, &bytes[..], bytes.len() as u64).unwrap();
    let mut tensors: Vec<_> =
        tensors.into_iter().map(|tensor| (tensor.name, tensor.kind.name().to_owned(), tensor.shape)).collect();
    change(&mut tensors);
    let (mut header, mut end) = (Map::new(), 0);
    for (name, kind, shape) in tensors {
        let size = if kind == "F32" { 4 } else { 8 };
        let start = end;
        end += size * shape.iter().product::<usize>();
        header.insert(name, json!({"dtype": kind, "shape": shape, "data_offsets": [start, end]}));
    }
    fs::write(path, file(&Value::Object(header).to_string(), end)).unwrap();
}

#[test]
fn tensors_that_do_not_fit_are_all_listed() {
    let error = fault("llama", |folder| {
        change_tensors(folder, |tensors| {
            for (name, kind, shape) in tensors.iter_mut() {
                match name.as_str() {
                    "model.norm.weight" => "model.norm.scale".clone_into(name),
                    "lm_head.weight" => shape[0] -= 1,
                    "model.layers.1.mlp.up_proj.weight" => "I64".clone_into(kind),
                    _ => {}
                }
            }
            tensors.push(("model.layers.0.self_attn.rotary_emb.inv_freq".to_owned(), "F32".to_owned(), vec![2]));
        });
    });
    check(
        &error,
        &[
            "the tensors in",
            "model.norm.weight [16] is missing",
            "lm_head.weight has the shape [55, 16], expected [56, 16]",
            "model.layers.1.mlp.up_proj.weight is of I64; F32, F16 and BF16 are read",
            "model.norm.scale [16] has no place in it",
        ],
    );
    assert!(!error.contains("inv_freq"), "what says nothing is ignored: {error}");
    assert_eq!(error.lines().count(), 5);
    // Many faults are counted after the first twenty.
    let error = fault("llama", |folder| change_tensors(folder, Vec::clear));
    check(&error, &["and 1 more"]);
}

#[test]
fn buffers_and_tied_outputs_are_ignored_and_said_to_be() {
    let place = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden("gpt2")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), place.path().join(entry.file_name())).unwrap();
    }
    change_tensors(place.path(), |tensors| {
        tensors.push(("transformer.h.0.attn.bias".to_owned(), "F32".to_owned(), vec![1, 1, 32, 32]));
        tensors.push(("transformer.h.1.attn.masked_bias".to_owned(), "F32".to_owned(), vec![]));
        tensors.push(("lm_head.weight".to_owned(), "F32".to_owned(), vec![56, 16]));
    });
    let files = PretrainedFiles::open(place.path()).unwrap();
    let ignored: Vec<&str> = files.summary().ignored.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(ignored, ["lm_head.weight", "transformer.h.0.attn.bias", "transformer.h.1.attn.masked_bias"]);
    change_tensors(place.path(), |tensors| {
        tensors.push(("wte.weight".to_owned(), "F32".to_owned(), vec![56, 16]));
    });
    let error = PretrainedFiles::open(place.path()).unwrap_err().to_string();
    check(&error, &["wte.weight is there with and without the prefix \"transformer.\""]);
}

#[test]
fn an_index_and_its_files_must_agree() {
    let shard = "model-00002-of-00004.safetensors";
    let change = |change: &dyn Fn(&mut Map<String, Value>)| {
        fault("qwen2-sharded", |folder| {
            let path = folder.join("model.safetensors.index.json");
            let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            change(index["weight_map"].as_object_mut().unwrap());
            fs::write(path, index.to_string()).unwrap();
        })
    };
    let missing = fault("qwen2-sharded", |folder| fs::remove_file(folder.join(shard)).unwrap());
    check(&missing, &["model.safetensors.index.json", "the file \"model-00002-of-00004.safetensors\"", "is missing"]);
    let norm = "model.norm.weight";
    check(&change(&|map| drop(map.insert(norm.to_owned(), json!("../x.safetensors")))), &["in the same folder"]);
    check(&change(&|map| drop(map.insert(norm.to_owned(), json!("x.bin")))), &["it must be NAME.safetensors"]);
    check(&change(&|map| drop(map.remove(norm))), &["does not list the tensor \"model.norm.weight\""]);
    check(&change(&|map| drop(map.insert("more".to_owned(), json!(shard)))), &["the tensor \"more\" is not in"]);
    check(&change(&|map| drop(map.insert(norm.to_owned(), json!(shard)))), &["model.norm.weight\" is in", "not in"]);
    check(&change(&Map::clear), &["weight_map lists no tensors"]);
    let twice = fault("qwen2-sharded", |folder| {
        let first = "model-00001-of-00004.safetensors";
        fs::copy(folder.join(first), folder.join(shard)).unwrap();
    });
    check(&twice, &["model-00002-of-00004.safetensors is no sound", "is also in", "model-00001-of-00004.safetensors"]);
    let index = |folder: &Path| fs::write(folder.join("model.safetensors.index.json"), "{}").unwrap();
    check(&fault("qwen2-sharded", index), &["missing field `weight_map`"]);
}

fn config_fault(name: &str, changes: &[(&str, Value)]) -> String {
    let text = fs::read(golden(name).join("config.json")).unwrap();
    let mut map: Map<String, Value> = serde_json::from_slice(&text).unwrap();
    for (key, value) in changes {
        map.insert((*key).to_owned(), value.clone());
    }
    let error = ModelConfig::from_json(Path::new("m/config.json"), &map).unwrap_err().to_string();
    error.strip_prefix("m/config.json: ").unwrap_or_else(|| panic!("{error}")).to_owned()
}

#[test]
fn settings_are_named_with_what_is_allowed() {
    let huge = json!(u64::MAX);
    let table = [
        (
            "llama",
            "model_type",
            json!("bert"),
            "model_type is \"bert\"; supported: \"llama\", \"mistral\", \"qwen2\", \"gpt2\"",
        ),
        ("llama", "hidden_size", json!(0), "hidden_size is 0; it must be a whole number from 1 to 1048576"),
        ("llama", "hidden_size", huge.clone(), "hidden_size is 18446744073709551615; it must be a whole number"),
        ("llama", "vocab_size", huge, "vocab_size is 18446744073709551615"),
        (
            "llama",
            "num_hidden_layers",
            json!(4097),
            "num_hidden_layers is 4097; it must be a whole number from 1 to 4096",
        ),
        ("llama", "num_hidden_layers", json!(2.5), "num_hidden_layers is 2.5; it must be a whole number"),
        (
            "llama",
            "num_attention_heads",
            json!(null),
            "num_attention_heads is null; it must be a whole number from 1 to 16",
        ),
        (
            "llama",
            "num_key_value_heads",
            json!(3),
            "num_key_value_heads is 3; it must divide num_attention_heads, which is 4",
        ),
        ("llama", "head_dim", json!(5), "head_dim is 5; the width of a head, 5 here, must be even"),
        (
            "llama",
            "head_dim",
            json!(524_288),
            "head_dim is 524288; the width of a head, 524288 here, must be even, and all",
        ),
        ("qwen2-sharded", "num_attention_heads", json!(6), "num_attention_heads is 6"),
        ("llama", "hidden_act", json!("gelu"), "hidden_act is \"gelu\"; supported: \"silu\", \"swish\""),
        ("llama", "rms_norm_eps", json!("x"), "rms_norm_eps is \"x\"; it must be a number from 0 to 1"),
        (
            "llama",
            "rope_parameters",
            json!({"rope_type": "yarn"}),
            "rope_parameters.rope_type is \"yarn\"; supported: \"default\"",
        ),
        (
            "llama",
            "rope_parameters",
            json!({"type": "linear"}),
            "rope_parameters.factor is missing; it must be a number",
        ),
        ("llama", "rope_parameters", json!(3), "rope_parameters is 3; it must be an object"),
        (
            "llama-tied-bf16",
            "rope_parameters",
            json!({"rope_type": "llama3", "factor": 2, "low_freq_factor": 4, "high_freq_factor": 4}),
            "rope_parameters.high_freq_factor is 4; it must be above low_freq_factor",
        ),
        ("llama", "partial_rotary_factor", json!(0.5), "partial_rotary_factor is 0.5; whole heads are turned here"),
        ("mistral", "sliding_window", json!(4096), "sliding_window is 4096; only attention to all that came before"),
        ("qwen2-sharded", "use_sliding_window", json!(true), "use_sliding_window is true; only attention to all"),
        ("qwen2-sharded", "layer_types", json!(["sliding_attention"]), "layer_types is [\"sliding_attention\"]; only"),
        ("llama", "quantization_config", json!({"bits": 4}), "quantization_config is {\"bits\":4}; quantised"),
        ("llama", "tie_word_embeddings", json!(1), "tie_word_embeddings is 1; it must be true or false"),
        ("llama", "eos_token_id", json!([2, 56]), "eos_token_id is [2,56]; tokens are whole numbers below 56"),
        ("gpt2", "n_head", json!(3), "n_head is 3; it must divide n_embd, which is 16"),
        ("gpt2", "activation_function", json!("relu"), "activation_function is \"relu\"; supported: \"gelu_new\""),
        (
            "gpt2",
            "scale_attn_by_inverse_layer_idx",
            json!(true),
            "scale_attn_by_inverse_layer_idx is true; scores do not",
        ),
        ("gpt2", "scale_attn_weights", json!(false), "scale_attn_weights is false; scores are divided"),
        ("gpt2", "add_cross_attention", json!(true), "add_cross_attention is true; only models that read one text"),
        ("gpt2", "n_positions", json!(0), "n_positions is 0; it must be a whole number"),
    ];
    for (name, key, value, expected) in table {
        let error = config_fault(name, &[(key, value)]);
        assert!(error.starts_with(expected), "{error}\n  does not begin with\n{expected}");
    }
    let long = Value::String("x".repeat(500));
    assert!(config_fault("llama", &[("hidden_act", long)]).len() < 200);
    let no_head_dim = [("head_dim", json!(null)), ("num_attention_heads", json!(3)), ("num_key_value_heads", json!(3))];
    assert_eq!(
        config_fault("llama", &no_head_dim),
        "num_attention_heads is 3; it must divide hidden_size, which is 16"
    );
}

#[test]
fn a_configuration_of_other_sizes_disagrees_with_its_tensors() {
    let error = fault("llama", |folder| {
        let path = folder.join("config.json");
        let text =
            fs::read_to_string(&path).unwrap().replace("\"intermediate_size\": 20", "\"intermediate_size\": 1000000");
        fs::write(path, text).unwrap();
    });
    check(&error, &["model.layers.0.mlp.gate_proj.weight has the shape [20, 16], expected [1000000, 16]"]);
    let error = fault("llama", |folder| {
        let path = folder.join("generation_config.json");
        fs::write(path, "{\"eos_token_id\": 99}").unwrap();
    });
    check(&error, &["generation_config.json: eos_token_id is 99; tokens are whole numbers below 56"]);
}

proptest! {
    #[test]
    fn any_bytes_are_a_header_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_header(Path::new("x"), &bytes[..], bytes.len() as u64);
        let mut framed = file("{}", bytes.len());
        framed.truncate(10);
        framed.extend(&bytes);
        let _ = read_header(Path::new("x"), &framed[..], framed.len() as u64);
    }

    #[test]
    fn a_changed_byte_of_a_file_is_no_panic(place in 0_usize..2_200, byte: u8) {
        let mut bytes = fs::read(golden("llama").join("model.safetensors")).unwrap();
        bytes[place] = byte;
        if let Ok(tensors) = read_header(Path::new("x"), &bytes[..], bytes.len() as u64) {
            prop_assert!(tensors.iter().all(|tensor| tensor.start + tensor.n_bytes <= bytes.len() as u64));
        }
    }
}
