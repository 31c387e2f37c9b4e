//! Many people who ask a chat service in many places, the daemon that answers, and what became of
//! each question: answered once, in its own place, in order.

use std::time::Duration;

use tieline::demo::model::{Script, ScriptedModel};

use super::daemon::{Choices, World};
use super::mock::{Asked, EventId, Mock};
use super::model::{Echo, told};
use super::service::Service;

/// How long an acknowledgement may take before a service delivers again.
const ACK_DEADLINE: Duration = Duration::from_secs(3);

/// Many people who ask, and the daemon that answers by a model that says what `M` has it say.
pub(crate) struct Crowd<S: Service, M = Echo> {
    pub(crate) service: Mock<S>,
    pub(crate) script: M,
    pub(crate) world: World,
    pub(crate) asked: Vec<Asked>,
    mei: String,
    sessions: Sessions,
    /// How many questions there were when the daemon was killed last. What was still to be shown
    /// of them may be shown no more.
    n_before_kill: usize,
}

/// What the daemon has sessions for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sessions {
    Thread,
    Chat,
    Shared,
}

/// Where questions are asked.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In the thread of a chat that begins with a message.
    Thread { chat: String, root: String },
    /// In direct messages with somebody, in no thread.
    Direct(String),
}

impl<S: Service> Crowd<S> {
    /// Starts a daemon with a session for each thread.
    pub(crate) async fn start(options: S::Options) -> Self {
        Self::start_with(options, Sessions::Thread).await
    }

    pub(crate) async fn start_with(options: S::Options, sessions: Sessions) -> Self {
        Self::start_under(options, sessions, Echo::new()).await
    }
}

impl<S: Service, M: Script + Clone> Crowd<S, M> {
    /// Starts a daemon with a model that says what `script` has it say.
    pub(crate) async fn start_under(options: S::Options, sessions: Sessions, script: M) -> Self {
        let service = S::start(options).await;
        let name = match sessions {
            Sessions::Thread => "thread",
            Sessions::Chat => "chat",
            Sessions::Shared => "shared",
        };
        let choices = Choices {
            dispatcher: format!(
                "sessions = {name:?}\nrestart = {{ base = \"20ms\", max = \"100ms\" }}\n"
            ),
            ..Choices::standard()
        };
        let choices = S::join(&service, choices);
        let model = ScriptedModel::start(script.clone()).await;
        let mut world = World::new(model.expect("a free port on loopback"), &choices);
        world.start();
        world.ready(0).await;
        service.wait_for_connections(1).await;
        Self {
            mei: S::person(&service, "Mei"),
            service,
            script,
            world,
            asked: Vec::new(),
            sessions,
            n_before_kill: 0,
        }
    }

    /// Asks the first question of a thread, in a group of its own.
    pub(crate) fn open(&mut self) -> Place {
        let number = self.asked.len();
        let group = S::group(&self.service, &format!("group-{number}"));
        self.open_in(&group)
    }

    /// Asks the first question of a thread.
    pub(crate) fn open_in(&mut self, group: &str) -> Place {
        let asked = S::ask(&self.service, &self.mei, group, &self.next_marker());
        self.asked.push(asked);
        self.last_thread()
    }

    /// Asks the first question in the direct messages of somebody new.
    pub(crate) fn open_direct(&mut self) -> Place {
        let person = S::person(&self.service, "Somebody");
        let place = Place::Direct(person);
        self.ask(&place);
        if !S::THREADS_DIRECT || self.sessions != Sessions::Thread {
            return place;
        }
        if let Some(asked) = self.asked.last_mut() {
            asked.thread = Some(asked.message.clone());
        }
        self.last_thread()
    }

    /// Asks first questions in so many threads and direct messages.
    pub(crate) fn open_all(&mut self, threads: usize, direct: usize) -> Vec<Place> {
        let mut places: Vec<_> = (0..threads).map(|_| self.open()).collect();
        places.extend((0..direct).map(|_| self.open_direct()));
        places
    }

    fn last_thread(&self) -> Place {
        let asked = self.asked.last().expect("it was asked just now");
        Place::Thread {
            chat: asked.chat.clone(),
            root: asked.message.clone(),
        }
    }

    /// Asks in a place.
    pub(crate) fn ask(&mut self, place: &Place) {
        let marker = self.next_marker();
        let asked = match place {
            Place::Thread { chat, root } => {
                S::ask_below(&self.service, &self.mei, chat, root, &marker)
            }
            Place::Direct(person) => S::ask_directly(&self.service, person, &marker),
        };
        self.asked.push(asked);
    }

    /// Asks in each of these places.
    pub(crate) fn ask_all(&mut self, places: &[Place]) {
        places.iter().for_each(|place| self.ask(place));
    }

    /// Returns what only the next question says.
    pub(crate) fn next_marker(&self) -> String {
        marker(self.asked.len())
    }

    /// Returns what is delivered of all questions.
    pub(crate) fn events(&self) -> Vec<EventId> {
        let asked = self.asked.iter();
        asked.flat_map(|it| self.service.events(it)).collect()
    }

    /// Kills the daemon as a power cut would, nearly.
    pub(crate) async fn kill_daemon(&mut self) {
        self.world.kill_daemon().await;
        self.n_before_kill = self.asked.len();
    }

    /// Waits until everything that was asked is answered.
    pub(crate) async fn answered(&self) {
        // In parts: the patience is for each.
        for asked in self.asked.chunks(250) {
            self.service.all_answered(asked).await;
        }
    }

    /// Waits until the questions show how they ended, and nothing else, but for those of which a
    /// killed daemon may have forgotten it. There may be more questions than can be waited for.
    pub(crate) async fn marked(&self) {
        if self.asked.len() <= S::MARKED_SOON {
            let asked = &self.asked[self.n_before_kill..];
            self.service.all_marked(asked).await;
        }
    }

    /// Fails unless all acknowledgements came in time.
    pub(crate) fn assert_prompt(&self) {
        let acks = self.service.acks();
        let slow: Vec<_> = acks.iter().filter(|it| it.after > ACK_DEADLINE).collect();
        assert!(slow.is_empty(), "{slow:#?}");
    }

    /// Fails unless the model was told each question once.
    fn assert_told_once(&self) {
        let texts: Vec<String> = told(&self.world.model).into_values().flatten().collect();
        for asked in &self.asked {
            let times: usize = texts
                .iter()
                .map(|it| it.matches(&asked.marker).count())
                .sum();
            assert_eq!(times, 1, "{asked:?}\n{}", self.world.log());
        }
    }

    /// Fails unless everything was answered once and honestly, and everybody behaved.
    pub(crate) async fn finish(self) {
        // What would be said twice has been said by then.
        self.world.at_rest().await;
        self.service.tally(&self.asked).assert_exactly_once();
        self.assert_told_once();
        self.service
            .wait_for("no sign of work", |state| {
                (state.at_work() == 0).then_some(())
            })
            .await;
        self.world.assert_keeps(S::SECRETS);
        self.world.finish().await;
        self.service.finish();
    }
}

/// Returns what only this question says, and no other contains.
pub(crate) fn marker(number: usize) -> String {
    format!("question {number} over")
}
