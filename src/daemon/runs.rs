//! What one-off runs need.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Directories, settings};
use crate::codex::Spawner;
use crate::config::Config;
use crate::dispatcher::Handle;
use crate::events::Events;
use crate::id::DispatcherId;
use crate::ledger::Ledger;
use crate::runs::{CodexExec, Desk, News, Runs, Settings, Worker};

/// Makes a desk and a worker for each dispatcher.
pub(super) fn of_dispatchers(
    config: &Config,
    directories: &Directories,
    spawner: &Spawner,
    ledger: &Ledger,
    events: &Events,
    handles: &BTreeMap<DispatcherId, Handle>,
) -> anyhow::Result<(Runs, Vec<Worker>)> {
    let news = News::new();
    let (mut desks, mut workers) = (BTreeMap::new(), Vec::new());
    for (id, dispatcher) in &config.dispatchers {
        let executor = CodexExec {
            launch: settings::launch(id, dispatcher, directories, config)?,
            spawner: spawner.clone(),
            model: dispatcher.model.clone(),
            effort: dispatcher.effort.clone(),
            profile: dispatcher.profile.clone(),
            schemas: directories.runs.clone(),
        };
        let settings = Settings {
            dispatcher: id.clone(),
            workspace: dispatcher.workspace.clone(),
            sandbox: dispatcher.sandbox,
            parallel: dispatcher.runs.parallel,
        };
        let handle = handles.get(id).cloned();
        let wake = move |lane| {
            if let Some(handle) = &handle {
                handle.wake(lane);
            }
        };
        let executor = Arc::new(executor);
        let (desk, worker) = Desk::open(
            settings,
            ledger.clone(),
            executor,
            news.clone(),
            events,
            wake,
        );
        desks.insert(id.clone(), desk);
        workers.push(worker);
    }
    Ok((Runs::new(ledger.clone(), desks, news), workers))
}
