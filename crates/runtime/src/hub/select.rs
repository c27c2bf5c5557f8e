//! Which files of a repository are needed to run its model.

use std::collections::BTreeMap;

use super::{FileSpec, HubError, RepoId};

/// What is to be downloaded, or looked for in the cache.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Selection {
    /// One GGUF: its parts in order, of which there is mostly one.
    Gguf(Vec<String>),
    /// A folder in Hugging Face layout.
    Folder {
        /// Configuration, tokenizer and templates.
        small: Vec<String>,
        /// Safetensors.
        weights: Weights,
    },
}

/// The safetensors of a folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Weights {
    /// This index (one of the small files) names them.
    Index(String),
    /// These.
    Files(Vec<String>),
}

/// What tokenizers, configurations and templates are called. Other formats of the weights
/// (`.bin`, `.pth`, `onnx/`, `original/`) are never taken.
const SMALL_FILES: [&str; 11] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
];

const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";

/// Chooses among the file names of a repository (or of a snapshot of it).
pub(super) fn select(
    repo: &RepoId,
    names: &[String],
    file: Option<&FileSpec>,
) -> Result<Selection, HubError> {
    if file.is_none()
        && let Some(folder) = folder(names)
    {
        return Ok(folder);
    }
    gguf(repo, names, file).map(Selection::Gguf)
}

fn folder(names: &[String]) -> Option<Selection> {
    let has = |name: &str| names.iter().any(|present| present == name);
    if !has("config.json") {
        return None;
    }
    let weights = if has(INDEX) {
        Weights::Index(INDEX.to_owned())
    } else if has(SINGLE) {
        Weights::Files(vec![SINGLE.to_owned()])
    } else {
        let files: Vec<String> = names
            .iter()
            .filter(|name| is_model_safetensors(name))
            .cloned()
            .collect();
        if files.is_empty() {
            return None;
        }
        Weights::Files(files)
    };
    let mut small: Vec<String> = SMALL_FILES
        .iter()
        .filter(|name| has(name))
        .map(|&name| name.to_owned())
        .collect();
    small.extend(names.iter().filter(|name| is_extra_template(name)).cloned());
    if let Weights::Index(index) = &weights {
        small.push(index.clone());
    }
    Some(Selection::Folder { small, weights })
}

/// Files at the top that are neither an adapter nor the vendor's own (second) format.
fn is_model_safetensors(name: &str) -> bool {
    let foreign = ["adapter", "consolidated"]
        .iter()
        .any(|start| name.starts_with(start));
    name.ends_with(".safetensors") && !name.contains('/') && !foreign
}

fn is_extra_template(name: &str) -> bool {
    name.strip_prefix("additional_chat_templates/")
        .is_some_and(|rest| rest.ends_with(".jinja") && !rest.contains('/'))
}

/// One model in GGUF: its file, or the files that it is split into.
struct Gguf {
    /// Those of the `total` parts that the repository has, by their number from 1.
    parts: BTreeMap<usize, String>,
    total: usize,
    /// Path without the part number and `.gguf`.
    stem: String,
}

impl Gguf {
    fn first(&self) -> String {
        self.parts.values().next().cloned().unwrap_or_default()
    }

    /// The part of the path after the last slash.
    fn base(&self) -> &str {
        self.stem.rsplit('/').next().unwrap_or(&self.stem)
    }
}

fn gguf(repo: &RepoId, names: &[String], file: Option<&FileSpec>) -> Result<Vec<String>, HubError> {
    let all = group(names);
    if all.is_empty() {
        return Err(match file {
            None => HubError::NoWeights {
                repo: repo.to_string(),
            },
            Some(file) => HubError::FileNotFound {
                repo: repo.to_string(),
                wanted: file.to_string(),
                available: names
                    .iter()
                    .filter(|name| name.ends_with(".safetensors"))
                    .cloned()
                    .collect(),
            },
        });
    }
    let fits: Vec<&Gguf> = match file {
        None => all.iter().collect(),
        Some(FileSpec::Name(name)) => named(&all, name),
        Some(FileSpec::Tag(tag)) => all
            .iter()
            .filter(|gguf| has_tag(gguf.base(), tag))
            .collect(),
    };
    let wanted = || file.map_or_else(|| repo.to_string(), FileSpec::to_string);
    let firsts = |list: &mut dyn Iterator<Item = &Gguf>| list.map(Gguf::first).collect();
    match fits.as_slice() {
        [] => Err(HubError::FileNotFound {
            repo: repo.to_string(),
            wanted: wanted(),
            available: firsts(&mut all.iter()),
        }),
        [one] => whole(repo, one),
        many => Err(HubError::Ambiguous {
            repo: repo.to_string(),
            wanted: wanted(),
            available: firsts(&mut many.iter().copied()),
        }),
    }
}

/// By the path inside the repository; else by the file name alone.
fn named<'a>(all: &'a [Gguf], name: &str) -> Vec<&'a Gguf> {
    let by = |fits: &dyn Fn(&str) -> bool| -> Vec<&'a Gguf> {
        all.iter()
            .filter(|gguf| gguf.parts.values().any(|part| fits(part)))
            .collect()
    };
    let exact = by(&|part| part == name);
    if exact.is_empty() {
        by(&|part| part.rsplit('/').next() == Some(name))
    } else {
        exact
    }
}

fn whole(repo: &RepoId, gguf: &Gguf) -> Result<Vec<String>, HubError> {
    let found: Vec<String> = gguf.parts.values().cloned().collect();
    if found.len() == gguf.total {
        return Ok(found);
    }
    Err(HubError::IncompleteShards {
        repo: repo.to_string(),
        file: gguf.first(),
        found: found.len(),
        total: gguf.total,
    })
}

/// The GGUF models among the names; vision projectors and importance matrices are none.
fn group(names: &[String]) -> Vec<Gguf> {
    let mut models: Vec<Gguf> = Vec::new();
    for name in names {
        let Some(stem) = strip_gguf(name) else {
            continue;
        };
        let lower = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
        if lower.contains("mmproj") || lower.contains("imatrix") {
            continue;
        }
        let (stem, part, total) = split_part(stem).unwrap_or((stem, 1, 1));
        let same = |gguf: &Gguf| total > 1 && gguf.stem == stem && gguf.total == total;
        let at = models.iter().position(same).unwrap_or_else(|| {
            models.push(Gguf {
                parts: BTreeMap::new(),
                total,
                stem: stem.to_owned(),
            });
            models.len() - 1
        });
        models[at].parts.insert(part, name.clone());
    }
    models
}

fn strip_gguf(name: &str) -> Option<&str> {
    let at = name.len().checked_sub(5)?;
    name.get(at..)
        .filter(|end| end.eq_ignore_ascii_case(".gguf"))
        .map(|_| &name[..at])
}

/// Splits `stem-00002-of-00005` into `(stem, 2, 5)`.
fn split_part(stem: &str) -> Option<(&str, usize, usize)> {
    let (rest, total) = stem.rsplit_once("-of-")?;
    let (rest, part) = rest.rsplit_once('-')?;
    let five_digits = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
    if !five_digits(part) || !five_digits(total) {
        return None;
    }
    let (part, total) = (part.parse().ok()?, total.parse().ok()?);
    (1..=total).contains(&part).then_some((rest, part, total))
}

/// Whether the file name has the quantization tag as a word of its own: `Q4_K` is not in
/// `x-Q4_K_M`, and `Q4_XS` is not in `x-IQ4_XS`.
fn has_tag(base: &str, tag: &str) -> bool {
    let (base, tag) = (base.to_ascii_lowercase(), tag.to_ascii_lowercase());
    let is_word = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    base.match_indices(&tag).any(|(start, _)| {
        let bytes = base.as_bytes();
        let before = start.checked_sub(1).and_then(|at| bytes.get(at));
        !is_word(before) && !is_word(bytes.get(start + tag.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(names: &[&str], file: Option<&str>) -> Result<Selection, HubError> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let file = file.map(|file| FileSpec::parse(file).unwrap());
        select(&RepoId::parse("o/n").unwrap(), &names, file.as_ref())
    }

    fn one(names: &[&str], file: &str) -> String {
        match choose(names, Some(file)) {
            Ok(Selection::Gguf(parts)) if parts.len() == 1 => parts[0].clone(),
            other => panic!("{file}: {other:?}"),
        }
    }

    const QUANTS: [&str; 7] = [
        "m-Q4_K_M.gguf",
        "m-Q4_K_S.gguf",
        "m-IQ4_XS.gguf",
        "m.f16.gguf",
        "m-BF16.gguf",
        "m-UD-Q4_K_XL.gguf",
        "mmproj-F16.gguf",
    ];

    #[test]
    fn tags_are_whole_words_in_any_case() {
        for (tag, file) in [
            ("q4_k_m", "m-Q4_K_M.gguf"),
            ("IQ4_XS", "m-IQ4_XS.gguf"),
            ("F16", "m.f16.gguf"),
            ("bf16", "m-BF16.gguf"),
            ("Q4_K_XL", "m-UD-Q4_K_XL.gguf"),
            ("UD-Q4_K_XL", "m-UD-Q4_K_XL.gguf"),
        ] {
            assert_eq!(one(&QUANTS, tag), file);
        }
        for tag in ["Q4_K", "Q4_XS", "K_M", "Q8_0"] {
            let Err(HubError::FileNotFound { available, .. }) = choose(&QUANTS, Some(tag)) else {
                panic!("{tag}")
            };
            assert_eq!(available.len(), 6, "the projector is no model");
        }
    }

    #[test]
    fn without_a_file_one_gguf_is_taken_and_several_are_listed() {
        assert_eq!(
            choose(&["README.md", "a.gguf"], None).unwrap(),
            Selection::Gguf(vec!["a.gguf".into()])
        );
        let Err(HubError::Ambiguous { available, .. }) = choose(&QUANTS, None) else {
            panic!()
        };
        assert_eq!(available.len(), 6);
        assert!(matches!(
            choose(&["pytorch_model.bin"], None),
            Err(HubError::NoWeights { .. })
        ));
    }

    #[test]
    fn all_parts_of_a_split_file_are_taken_in_order() {
        let parts = [
            "Q8_0/m-Q8_0-00002-of-00002.gguf",
            "Q8_0/m-Q8_0-00001-of-00002.gguf",
            "m-Q4_0.gguf",
        ];
        let want = Selection::Gguf(vec![parts[1].into(), parts[0].into()]);
        assert_eq!(choose(&parts, Some("q8_0")).unwrap(), want);
        assert_eq!(
            choose(&parts, Some("m-Q8_0-00001-of-00002.gguf")).unwrap(),
            want
        );
        let Err(HubError::IncompleteShards {
            found: 1, total: 2, ..
        }) = choose(&parts[..1], Some("q8_0"))
        else {
            panic!()
        };
    }

    #[test]
    fn a_folder_takes_what_is_needed_and_no_other_format() {
        let names = [
            "config.json",
            "tokenizer.json",
            "chat_template.jinja",
            "additional_chat_templates/rag.jinja",
            "model.safetensors",
            "consolidated.safetensors",
            "pytorch_model.bin",
            "onnx/model.onnx",
            "original/consolidated.00.pth",
            "README.md",
        ];
        let want = Selection::Folder {
            small: [
                "config.json",
                "tokenizer.json",
                "chat_template.jinja",
                "additional_chat_templates/rag.jinja",
            ]
            .map(str::to_owned)
            .to_vec(),
            weights: Weights::Files(vec!["model.safetensors".into()]),
        };
        assert_eq!(choose(&names, None).unwrap(), want);
        let sharded = [
            "config.json",
            "model.safetensors.index.json",
            "model-00001-of-00002.safetensors",
        ];
        let Selection::Folder { small, weights } = choose(&sharded, None).unwrap() else {
            panic!()
        };
        assert_eq!(weights, Weights::Index(INDEX.into()));
        assert!(small.contains(&INDEX.to_owned()));
    }

    #[test]
    fn odd_part_numbers_are_plain_names() {
        for name in [
            "m-00000-of-00002.gguf",
            "m-00003-of-00002.gguf",
            "m-1-of-2.gguf",
            "m-of-00002.gguf",
        ] {
            assert_eq!(
                choose(&[name], None).unwrap(),
                Selection::Gguf(vec![name.into()])
            );
        }
    }
}
