//! What is known about people and chats while something is read.

/// What is known about people and chats right now. Never waits.
pub(crate) trait Directory: Sync {
    /// Returns what is known about somebody.
    fn person(&self, id: &str) -> Option<Person>;

    /// Returns a chat's name.
    fn chat_name(&self, id: &str) -> Option<String>;
}

/// What is known about somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Person {
    /// The name people see.
    pub(crate) name: Option<String>,
    /// The workspace they belong to.
    pub(crate) team: Option<String>,
}

#[cfg(test)]
pub(crate) mod testing {
    use std::collections::HashMap;

    use super::{Directory, Person};

    /// A directory that knows what a test tells it.
    #[derive(Default)]
    pub(crate) struct Known {
        pub(crate) people: HashMap<&'static str, Person>,
        pub(crate) chats: HashMap<&'static str, &'static str>,
    }

    impl Known {
        /// U1 is Ann, U2 is Bob, C1 is #ops.
        pub(crate) fn few() -> Self {
            let person = |name: &str| Person {
                name: Some(name.to_owned()),
                team: Some("T1".to_owned()),
            };
            Self {
                people: HashMap::from([("U1", person("Ann")), ("U2", person("Bob"))]),
                chats: HashMap::from([("C1", "ops")]),
            }
        }
    }

    impl Directory for Known {
        fn person(&self, id: &str) -> Option<Person> {
            self.people.get(id).cloned()
        }

        fn chat_name(&self, id: &str) -> Option<String> {
            self.chats.get(id).map(|name| (*name).to_owned())
        }
    }
}
