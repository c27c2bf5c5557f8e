//! `cargo xtask model SHAPE FOLDER`: a model of a real shape whose weights are noise.
//!
//! It says nothing that makes sense, and takes as long to say it as the real one: what it takes to
//! measure speed where no real model is, or can be fetched.

mod shape;
mod weights;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use shape::NAMES;

use crate::assets;

/// Writes the model to a folder that is not there yet, with the tokenizer of another folder.
pub(crate) fn write(shape: &str, folder: &Path, tokenizer: Option<&Path>) -> Result<()> {
    let shape = shape::find(shape)
        .with_context(|| format!("{shape} is no known shape; hint: {}", NAMES.join(", ")))?;
    if folder.exists() {
        bail!("{} exists; hint: name another folder", folder.display());
    }
    let fetched = Path::new(assets::FOLDER).join("tokenizers/qwen3");
    let tokenizer = tokenizer.unwrap_or(&fetched);
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        let from = tokenizer.join(name);
        fs::copy(&from, folder.join(name)).with_context(|| {
            let hint = "hint: `cargo xtask assets tokenizers` fetches it";
            format!("copying {}; {hint}", from.display())
        })?;
    }
    let config = serde_json::to_string_pretty(&shape.config())?;
    fs::write(folder.join("config.json"), config)?;
    let path = folder.join("model.safetensors");
    let bytes = weights::write(&path, &shape.tensors())
        .with_context(|| format!("writing {}", path.display()))?;
    println!("model: {} MB in {}", bytes / 1_000_000, folder.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_a_whole_model() {
        let dir = tempfile::tempdir().expect("a folder");
        let (tokenizer, model) = (dir.path().join("t"), dir.path().join("m"));
        fs::create_dir(&tokenizer).expect("a folder");
        let error = write("tiny", &model, Some(&tokenizer)).expect_err("no tokenizer");
        assert!(format!("{error:#}").contains("xtask assets"), "{error:#}");
        fs::remove_dir(&model).expect("what was begun");
        for name in ["tokenizer.json", "tokenizer_config.json"] {
            fs::write(tokenizer.join(name), name).expect("a file");
        }
        write("tiny", &model, Some(&tokenizer)).expect("a model");
        let read = |name: &str| fs::read(model.join(name)).expect("a file");
        assert_eq!(read("tokenizer.json"), b"tokenizer.json");
        let config: serde_json::Value = serde_json::from_slice(&read("config.json")).expect("JSON");
        assert_eq!(config["model_type"], "qwen3");
        assert!(
            write("tiny", &model, Some(&tokenizer)).is_err(),
            "it exists"
        );
        assert!(write("huge", &dir.path().join("h"), None).is_err());

        let weights = read("model.safetensors");
        let (len, rest) = weights.split_first_chunk::<8>().expect("a length");
        let (header, data) = rest.split_at(u64::from_le_bytes(*len) as usize);
        let header: serde_json::Value = serde_json::from_slice(header).expect("JSON");
        let end = |name: &str| header[name]["data_offsets"][1].as_u64().expect("a number");
        assert_eq!(end("model.norm.weight") as usize, data.len());
        assert_eq!(
            header["model.layers.1.mlp.down_proj.weight"]["shape"][1],
            768
        );
        // Norms do nothing; everything else is noise of the right size.
        let norm = &data[data.len() - 512..];
        assert!(
            norm.chunks(2).all(|one| one == [0x80, 0x3f]),
            "1 in bfloat16"
        );
        let values = data[..1 << 20].chunks_exact(2);
        let values =
            values.map(|two| f32::from_bits(u32::from(u16::from_le_bytes([two[0], two[1]])) << 16));
        let squares: f32 = values.map(|value| value * value).sum();
        let mean = squares / (1 << 19) as f32;
        assert!((0.9..1.1).contains(&(256.0 * mean)), "{mean}");
    }
}
