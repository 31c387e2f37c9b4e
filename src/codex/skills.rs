//! The directories of skills: told at each connection, for codex keeps them in memory only.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tieline_channel::WithCauses;

use super::call::{CallError, Refusal};
use super::client::Client;
use super::launch::LaunchConfig;
use super::protocol::{
    SkillsExtraRootsSet, SkillsExtraRootsSetParams, SkillsList, SkillsListParams,
};

/// How long codex may look through the skills for mistakes: nobody should wait for that.
const LIST_WITHIN: Duration = Duration::from_secs(2);

/// How many warnings are kept; what is behind further ones is found once these are mended.
const MAX_WARNINGS: usize = 20;

/// What is wrong with the skills that codex was given. It works all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub enum SkillsWarning {
    /// This codex takes no directories of skills.
    #[error(
        "this codex does not know skills/extraRoots/set, so the model has no skills but those that \
         codex finds by itself: update codex"
    )]
    Unsupported,
    /// A skill cannot be used.
    #[error("the skill {} is left out: {message}; mend the file", path.display())]
    Broken {
        /// Its file.
        path: PathBuf,
        /// What codex says of it.
        message: String,
    },
    /// Codex does not say how the skills are.
    #[error("codex does not tell whether the skills are in order: {0}")]
    Untold(String),
}

/// Gives codex the directories of skills, if there are any, and asks what is wrong with them.
pub(super) async fn give(
    config: &LaunchConfig,
    client: &Client,
) -> Result<Vec<SkillsWarning>, CallError> {
    if config.skills.is_empty() {
        return Ok(Vec::new());
    }
    let params = SkillsExtraRootsSetParams {
        extra_roots: config.skills.clone(),
    };
    match client.call::<SkillsExtraRootsSet>(&params).await {
        Ok(_) => Ok(faults(config, client).await),
        Err(error) if error.refusal() == Some(Refusal::UnknownMethod) => {
            Ok(vec![SkillsWarning::Unsupported])
        }
        Err(error) => Err(error),
    }
}

async fn faults(config: &LaunchConfig, client: &Client) -> Vec<SkillsWarning> {
    let params = SkillsListParams {
        cwds: vec![config.cwd.clone()],
        force_reload: true,
    };
    let listed = client.call_within::<SkillsList>(&params, LIST_WITHIN).await;
    match listed {
        Ok(response) => response
            .data
            .into_iter()
            .flat_map(|entry| entry.errors)
            .filter(|error| is_below(&error.path, &config.skills))
            .take(MAX_WARNINGS)
            .map(|error| SkillsWarning::Broken {
                path: error.path,
                message: error.message,
            })
            .collect(),
        Err(error) => vec![SkillsWarning::Untold(WithCauses(&error).to_string())],
    }
}

/// Returns whether a path is below one of the roots, by its own name or, as codex has it, by that
/// of what it leads to.
fn is_below(path: &Path, roots: &[PathBuf]) -> bool {
    roots.iter().any(|root| {
        path.starts_with(root) || root.canonicalize().is_ok_and(|root| path.starts_with(root))
    })
}
