//! The tools by which a model hands out work, and looks at those who do it.

use super::argument::{Kind, Parameter};
use super::{Call, Tool};
use crate::config::Sandbox;
use crate::teammates::{
    MAX_INSTRUCTIONS, MAX_MODEL, MAX_NAME, MAX_READ, MAX_TASK, SpawnRequest, Wish, WorkspaceRequest,
};

/// How many tasks are read when nobody says how many: what one is at, and what it did before.
const READ: usize = 2;

/// The words for what commands may do.
const SANDBOXES: &[&str] = &[
    Sandbox::ReadOnly.as_str(),
    Sandbox::WorkspaceWrite.as_str(),
    Sandbox::DangerFullAccess.as_str(),
];

/// What a model asks about teammates. Nothing changes by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TeamQuestion {
    /// Who there is, and what they are at.
    List,
    /// What one is at, and what came of its last tasks.
    Read {
        /// Its name.
        name: String,
        /// Of how many tasks.
        count: usize,
    },
}

/// The name of one that is there.
const WHOM: Parameter = Parameter {
    name: "name",
    about: "The teammate's name.",
    kind: Kind::Text { max: MAX_NAME },
    required: true,
};

/// What one is to do.
const TASK: Parameter = Parameter {
    name: "task",
    about: "What it is to do, as Markdown, with all that it needs to know: it sees nothing of this \
            conversation.",
    kind: Kind::Text { max: MAX_TASK },
    required: true,
};

/// The tools of a lane that hands out work.
pub(super) const TOOLS: &[Tool] = &[
    Tool {
        name: "spawn_teammate",
        description: include_str!("../../prompts/tools/spawn_teammate.md"),
        parameters: &[
            Parameter {
                name: "name",
                about: "What it is called, after its work: up to 40 lower-case letters, digits and \
                        hyphens, beginning with a letter, such as `fix-login`. No two have the same.",
                ..WHOM
            },
            TASK,
            Parameter {
                name: "workspace",
                about: "Where it works: \"shared\" (your workspace; so when left out), \"worktree\" (a \
                        git worktree of its own), or a directory that is there, relative to your \
                        workspace.",
                kind: Kind::Text {
                    max: super::MAX_PATH,
                },
                required: false,
            },
            Parameter {
                name: "instructions",
                about: "What holds for all of its tasks: a role, rules, what it must not touch.",
                kind: Kind::Text {
                    max: MAX_INSTRUCTIONS,
                },
                required: false,
            },
            Parameter {
                name: "model",
                about: "Another model than yours. Leave it out unless a person asks for one.",
                kind: Kind::Text { max: MAX_MODEL },
                required: false,
            },
            Parameter {
                name: "sandbox",
                about: "What its commands may do, if less than yours: \"read-only\" for one that only \
                        looks.",
                kind: Kind::Choice(SANDBOXES),
                required: false,
            },
        ],
        read: |mut arguments| {
            let workspace = arguments.optional_text("workspace").unwrap_or_default();
            let sandbox = arguments.optional_text("sandbox");
            Call::Order(Wish::Spawn(SpawnRequest {
                name: arguments.text("name"),
                task: arguments.text("task"),
                workspace: WorkspaceRequest::of(&workspace),
                instructions: arguments.optional_text("instructions"),
                model: arguments.optional_text("model"),
                sandbox: sandbox.as_deref().and_then(Sandbox::named),
            }))
        },
    },
    Tool {
        name: "send_to_teammate",
        description: include_str!("../../prompts/tools/send_to_teammate.md"),
        parameters: &[WHOM, TASK],
        read: |mut arguments| {
            Call::Order(Wish::Assign {
                name: arguments.text("name"),
                task: arguments.text("task"),
            })
        },
    },
    Tool {
        name: "list_teammates",
        description: include_str!("../../prompts/tools/list_teammates.md"),
        parameters: &[],
        read: |_| Call::Look(TeamQuestion::List),
    },
    Tool {
        name: "read_teammate",
        description: include_str!("../../prompts/tools/read_teammate.md"),
        parameters: &[
            WHOM,
            Parameter {
                name: "count",
                about: "Of how many of its last tasks; 2 when left out.",
                kind: Kind::Count {
                    least: 1,
                    most: MAX_READ,
                },
                required: false,
            },
        ],
        read: |mut arguments| {
            Call::Look(TeamQuestion::Read {
                name: arguments.text("name"),
                count: arguments.optional_count("count").unwrap_or(READ),
            })
        },
    },
    Tool {
        name: "stop_teammate",
        description: include_str!("../../prompts/tools/stop_teammate.md"),
        parameters: &[WHOM],
        read: |mut arguments| {
            Call::Order(Wish::Stop {
                name: arguments.text("name"),
            })
        },
    },
    Tool {
        name: "close_teammate",
        description: include_str!("../../prompts/tools/close_teammate.md"),
        parameters: &[
            WHOM,
            Parameter {
                name: "discard",
                about: "Throw away what is not committed in its worktree, and remove the worktree in \
                        any case. Its branch and commits stay.",
                kind: Kind::Flag,
                required: false,
            },
        ],
        read: |mut arguments| {
            Call::Order(Wish::Close {
                name: arguments.text("name"),
                discard: arguments.flag("discard"),
            })
        },
    },
];
