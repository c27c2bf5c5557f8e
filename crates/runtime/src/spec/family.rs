//! Family files: what no configuration says.

use serde::Deserialize;
use std::{collections::BTreeMap, sync::OnceLock};

use super::{
    Activation, QkNorm, SpecError,
    names::{NameOverride, TensorNames},
};

/// One file of `models/families`. `models/families/README.md` explains every field.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Family {
    /// File name without its ending.
    #[serde(skip)]
    pub name: String,
    /// Values of `model_type` in `config.json`.
    pub model_types: Vec<String>,
    /// Values of `general.architecture` in GGUF.
    #[serde(default)]
    pub gguf_archs: Vec<String>,
    /// The `general.architecture` that GGUF files of the family are written with, where that is
    /// another family's.
    pub gguf_as: Option<String>,
    /// Where norms stand.
    #[serde(default)]
    pub block: BlockStyle,
    /// Activation where the configuration names none.
    #[serde(default = "default_activation")]
    pub activation: Activation,
    /// Norm on queries and keys.
    #[serde(default = "default_qk_norm")]
    pub qk_norm: QkNorm,
    /// Added to norm weights: `offset` in safetensors, GGUF files have it folded in.
    #[serde(default)]
    pub norm_offset: f32,
    /// The embedding is scaled by the square root of the hidden size.
    #[serde(default)]
    pub scaled_embedding: bool,
    /// Whether the multimodal wrapper of the family caps its logits as the text model does.
    #[serde(default = "yes")]
    pub wrapper_caps_logits: bool,
    /// Width of a head where the configuration has none and it is not hidden size / heads.
    pub head_dim: Option<usize>,
    /// Matrices that are stored as one.
    #[serde(default)]
    pub fused: Fused,
    /// Biases.
    #[serde(default)]
    pub bias: Biases,
    /// Position encoding.
    #[serde(default)]
    pub rope: FamilyRope,
    /// Sliding windows.
    pub window: Option<FamilyWindow>,
    /// Mixture of experts.
    pub experts: Option<FamilyExperts>,
    /// Gated short convolutions.
    pub short_conv: Option<FamilyShortConv>,
    /// Attention scales that GGUF metadata leave out.
    #[serde(default)]
    pub gguf_query_scalar: Vec<GgufQueryScalar>,
    /// Tensor names that differ from `models/families/README.md`'s table.
    #[serde(default)]
    pub names: BTreeMap<String, NameOverride>,
}

/// Where norms stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockStyle {
    /// Before mixer and feed-forward.
    #[default]
    PreNorm,
    /// Before and after each.
    Sandwich,
    /// After each, before the residual sum.
    PostNorm,
}

/// Matrices that are stored as one.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fused {
    /// Queries, keys, values.
    pub qkv: bool,
    /// Gate, up.
    pub gate_up: bool,
}

/// A fact that is fixed for a family, or that a key of `config.json` decides (absent: false).
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Flag {
    /// Fixed.
    Fixed(bool),
    /// Decided by a key; in a GGUF file by the tensor's presence.
    Key(String),
}

impl Default for Flag {
    fn default() -> Self {
        Self::Fixed(false)
    }
}

/// Biases.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Biases {
    /// On the projections to queries, keys and values.
    pub qkv: Flag,
    /// On the output projection.
    pub output: Flag,
    /// On the feed-forward.
    pub mlp: Flag,
}

/// Position encoding.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FamilyRope {
    /// Base frequency where the configuration has none.
    pub theta: f64,
    /// GGUF files of this family hold queries and keys permuted, so that element `2i` pairs with
    /// `2i + 1` (everywhere else: `i` with `i + n/2`).
    pub gguf_interleaved: bool,
    /// Windowed layers have their own base frequency, under this key of older configurations.
    pub sliding_theta_key: Option<String>,
    /// Base frequency of windowed layers where nothing says it; absent: the same as elsewhere.
    pub sliding_theta: Option<f64>,
    /// Scaling applies to layers without a window only.
    pub sliding_unscaled: bool,
    /// A list with 0 for layers without position encoding.
    pub skip_list_key: Option<String>,
    /// Every n-th layer has none where that list is absent; the key that says n.
    pub skip_every_key: Option<String>,
    /// n, where nothing says it.
    pub skip_every: Option<usize>,
}

impl Default for FamilyRope {
    fn default() -> Self {
        Self {
            theta: 10_000.0,
            gguf_interleaved: false,
            sliding_theta_key: None,
            sliding_theta: None,
            sliding_unscaled: false,
            skip_list_key: None,
            skip_every_key: None,
            skip_every: None,
        }
    }
}

/// Sliding windows, where neither `layer_types` nor GGUF's pattern says which layers have one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FamilyWindow {
    /// A key that must be true for any layer to have one.
    pub enabled_by: Option<String>,
    /// Which layers.
    pub layers: WindowLayers,
}

/// Which layers have a window.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowLayers {
    /// All.
    All,
    /// All but every n-th; the key that says n, and n where nothing says it.
    AllBut {
        /// Keys.
        keys: Vec<String>,
        /// Default.
        every: usize,
    },
    /// From the layer that this key names on.
    From(String),
}

/// Mixture of experts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FamilyExperts {
    /// Whether the chosen weights are divided by their sum: a key of `config.json`.
    pub normalize_key: String,
    /// The same where the key is absent and in GGUF files.
    pub normalize: bool,
}

/// Gated short convolutions.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FamilyShortConv {
    /// Key of the filter's length.
    pub kernel_key: String,
    /// Key of the bias flag.
    pub bias_key: String,
    /// Values of `layer_types` that mean such a layer.
    pub layer_type: String,
}

/// GGUF metadata of some sizes of a family do not say the scale of the scores.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GgufQueryScalar {
    /// The size, by its number of layers.
    pub n_layers: usize,
    /// The scale is this to the power of -1/2.
    pub query_scalar: f32,
}

impl Family {
    /// All family files of this build.
    pub fn all() -> Result<&'static [Family], SpecError> {
        static ALL: OnceLock<Vec<Family>> = OnceLock::new();
        if let Some(all) = ALL.get() {
            return Ok(all);
        }
        let parsed = ponder_models::FAMILIES
            .iter()
            .map(|&(name, text)| Self::parse(name, text))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(ALL.get_or_init(|| parsed))
    }

    /// Parses one family file.
    pub fn parse(name: &'static str, text: &str) -> Result<Self, SpecError> {
        let mut family: Self = toml::from_str(text).map_err(|error| SpecError::FamilyFile {
            name,
            message: error.to_string(),
        })?;
        if let Some(unknown) = family.names.keys().find(|key| !TensorNames::is_role(key)) {
            let message = format!("names.{unknown} is no tensor of any architecture");
            return Err(SpecError::FamilyFile { name, message });
        }
        family.name = name.to_owned();
        Ok(family)
    }

    /// The family of a `model_type`.
    pub fn by_model_type(model_type: &str) -> Result<&'static Self, SpecError> {
        Self::find(model_type, |family| &family.model_types)
    }

    /// The family of a GGUF architecture.
    pub fn by_gguf_arch(arch: &str) -> Result<&'static Self, SpecError> {
        Self::find(arch, |family| &family.gguf_archs)
    }

    /// The `general.architecture` that files of the family are written with, if there is a
    /// convention.
    pub fn gguf_written_as(&self) -> Option<&str> {
        self.gguf_as
            .as_ref()
            .or(self.gguf_archs.first())
            .map(String::as_str)
    }

    fn find(
        wanted: &str,
        names: impl Fn(&Family) -> &Vec<String>,
    ) -> Result<&'static Self, SpecError> {
        let all = Self::all()?;
        all.iter()
            .find(|family| names(family).iter().any(|name| name == wanted))
            .ok_or_else(|| SpecError::UnknownFamily {
                found: wanted.chars().take(64).collect(),
                known: all
                    .iter()
                    .flat_map(|family| names(family).iter().map(String::as_str))
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }
}

fn default_activation() -> Activation {
    Activation::Silu
}

fn default_qk_norm() -> QkNorm {
    QkNorm::None
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_file_parses_and_no_two_claim_a_name() {
        let all = Family::all().expect("family files");
        for names in [
            |family: &Family| family.model_types.clone(),
            |family: &Family| family.gguf_archs.clone(),
        ] {
            let mut claimed: Vec<String> = all.iter().flat_map(names).collect();
            claimed.sort();
            let n = claimed.len();
            claimed.dedup();
            assert_eq!(claimed.len(), n, "{claimed:?}");
        }
    }

    #[test]
    fn mistakes_in_a_family_file_are_named() {
        let message = |text| Family::parse("x", text).unwrap_err().to_string();
        assert!(
            message(
                "model_types = []
norm = 1"
            )
            .contains("unknown field `norm`")
        );
        assert!(
            message(
                "model_types = []
names.wings.gguf = \"x\""
            )
            .contains("names.wings")
        );
    }
}
