//! Our idea of the protocol, held against what the real Codex says it is.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;

use jsonschema::Validator;
use pretty_assertions::assert_eq;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use tieline::codex::protocol::{
    AgentPhase, ApprovalPolicy, ClientInfo, CollaborationMode, CollaborationModeKind,
    CollaborationSettings, Empty, InitializeCapabilities, InitializeParams, InjectItemsParams,
    InjectedItem, Item, ItemStatus, Notification, NotificationBody, Personality, ReasoningSummary,
    Role, SandboxMode, SandboxPolicy, ServerRequest, ServerRequestKind, SkillsExtraRootsSetParams,
    SkillsListParams, SortDirection, ThreadInfo, ThreadItemsListParams, ThreadNameSetParams,
    ThreadReadParams, ThreadRef, ThreadSettings, ThreadStatus, ThreadTurnsListParams, ToolAnswer,
    TurnInfo, TurnInterruptParams, TurnItemsView, TurnOverrides, TurnStartParams, TurnStatus,
    TurnSteerParams, UserInput, method_names,
};
use tieline::id::{ThreadId, TurnId};

use crate::support::codex::codex_bin;

struct Schema {
    dir: TempDir,
    /// All types of the present protocol by name.
    definitions: Value,
    /// What was asked for already: to read one and to make its validator takes half a second.
    files: RefCell<BTreeMap<String, Rc<File>>>,
}

struct File {
    schema: Value,
    validator: Validator,
}

impl Schema {
    fn generate() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let output = Command::new(codex_bin())
            .args(["app-server", "generate-json-schema", "--experimental"])
            .arg("--out")
            .arg(dir.path())
            .env("CODEX_HOME", dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let mut schema = Self {
            dir,
            definitions: Value::Null,
            files: RefCell::default(),
        };
        schema.definitions =
            schema.read("codex_app_server_protocol.v2.schemas")["definitions"].take();
        schema
    }

    fn file(&self, name: &str) -> Rc<File> {
        let mut files = self.files.borrow_mut();
        let file = files.entry(name.to_owned()).or_insert_with(|| {
            let schema = self.read(name);
            let validator = jsonschema::validator_for(&schema).unwrap();
            Rc::new(File { schema, validator })
        });
        Rc::clone(file)
    }

    fn read(&self, name: &str) -> Value {
        let path = self.dir.path().join(format!("{name}.json"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
            panic!("{}: {error}", path.display());
        });
        serde_json::from_str(&text).unwrap()
    }

    /// Returns the methods of a file that lists them.
    fn methods(&self, file: &str) -> BTreeSet<String> {
        self.read(file)["oneOf"]
            .as_array()
            .unwrap()
            .iter()
            .map(|variant| variant["properties"]["method"]["enum"][0].as_str().unwrap())
            .map(str::to_owned)
            .collect()
    }

    /// Returns the values of an enum.
    fn values(&self, name: &str) -> Vec<Value> {
        let definition = &self.definitions[name];
        if let Some(values) = definition["enum"].as_array() {
            return values.clone();
        }
        let variants = definition["oneOf"].as_array().unwrap();
        variants
            .iter()
            .flat_map(|variant| variant["enum"].as_array().unwrap().clone())
            .collect()
    }

    /// A request is as its method wants it, and has no field that the method does not know: the
    /// server would pass over a misspelt one without a word.
    fn check_request(&self, method: &str, params: &impl Serialize) {
        let params = serde_json::to_value(params).unwrap();
        let request = json!({ "id": 1, "method": method, "params": params });
        let file = self.file("ClientRequest");
        file.assert_valid(&request);
        let requests = &file.schema;
        let variants = requests["oneOf"].as_array().unwrap();
        let variant = variants
            .iter()
            .find(|variant| variant["properties"]["method"]["enum"][0] == method)
            .unwrap();
        let name = variant["properties"]["params"]["$ref"].as_str().unwrap();
        let name = name.rsplit('/').next().unwrap();
        let known = &requests["definitions"][name]["properties"];
        for field in params.as_object().unwrap().keys() {
            assert!(known.get(field).is_some(), "{method} has no field {field}");
        }
    }

    /// Something codex may send is read by us without loss of its kind.
    fn check_notification(&self, method: &str, params: Value) -> NotificationBody {
        let notification = json!({ "method": method, "params": params });
        self.file("ServerNotification").assert_valid(&notification);
        let parsed = Notification::parse(method.to_owned(), params).unwrap();
        assert!(
            !matches!(
                parsed.body,
                NotificationBody::Unknown | NotificationBody::Activity
            ),
            "{method}"
        );
        parsed.body
    }

    /// Every value codex may use is one that we know.
    fn check_values<T>(&self, name: &str, other: &T)
    where
        T: DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        for value in self.values(name) {
            let parsed: T = serde_json::from_value(value.clone()).unwrap();
            assert_ne!(&parsed, other, "{name} has {value}");
        }
    }

    /// Every value we may use is one that codex knows.
    fn check_ours(&self, name: &str, ours: &[impl Serialize]) {
        let schema = json!({ "$ref": format!("#/definitions/{name}"),
                             "definitions": self.definitions });
        let validator = jsonschema::validator_for(&schema).unwrap();
        for value in ours {
            assert_valid(&validator, &serde_json::to_value(value).unwrap());
        }
    }
}

impl File {
    fn assert_valid(&self, instance: &Value) {
        assert_valid(&self.validator, instance);
    }
}

fn assert_valid(validator: &Validator, instance: &Value) {
    let errors: Vec<_> = validator
        .iter_errors(instance)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{instance:#}: {errors:#?}");
}

fn thread_id() -> ThreadId {
    ThreadId::new("T")
}

fn settings() -> ThreadSettings {
    ThreadSettings {
        cwd: Some("/w".into()),
        model: Some("m".into()),
        model_provider: Some("p".into()),
        sandbox: Some(SandboxMode::WorkspaceWrite),
        approval_policy: Some(ApprovalPolicy::OnRequest),
        base_instructions: Some("b".into()),
        developer_instructions: Some("d".into()),
        config: json!({ "mcp_servers": {} }).as_object().unwrap().clone(),
        service_tier: Some("flex".into()),
        personality: Some(Personality::Pragmatic),
        ephemeral: Some(true),
        dynamic_tools: vec![
            json!({ "type": "function", "name": "n", "description": "d", "inputSchema": {} }),
        ],
        thread_source: Some("tieline".into()),
    }
}

fn inputs() -> Vec<UserInput> {
    vec![
        UserInput::text("t"),
        UserInput::Image {
            url: "data:image/png;base64,".into(),
        },
        UserInput::LocalImage {
            path: "/i.png".into(),
        },
        UserInput::Skill {
            name: "s".into(),
            path: "/s/SKILL.md".into(),
        },
        UserInput::Mention {
            name: "m".into(),
            path: "app://m".into(),
        },
    ]
}

#[test]
fn every_method_we_use_exists() {
    let schema = Schema::generate();
    let requests = schema.methods("ClientRequest");
    for method in method_names() {
        assert!(requests.contains(*method), "{method}");
    }
    let notifications = schema.methods("ServerNotification");
    for method in Notification::METHODS.iter().chain(Notification::OPT_OUT) {
        assert!(notifications.contains(*method), "{method}");
    }
    assert_eq!(
        schema.methods("ClientNotification"),
        BTreeSet::from(["initialized".to_owned()])
    );
}

#[test]
fn what_we_send_is_as_codex_wants_it() {
    let schema = Schema::generate();
    let client_info = ClientInfo {
        name: "n",
        title: "t",
        version: "v",
    };
    let capabilities = InitializeCapabilities {
        experimental_api: true,
        opt_out_notification_methods: Notification::OPT_OUT,
    };
    schema.check_request(
        "initialize",
        &InitializeParams {
            client_info,
            capabilities,
        },
    );
    schema.check_request("thread/start", &settings().to_start());
    schema.check_request("thread/resume", &settings().to_resume(&thread_id()));
    schema.check_request(
        "thread/read",
        &ThreadReadParams {
            thread_id: thread_id(),
            include_turns: true,
        },
    );
    schema.check_request(
        "thread/turns/list",
        &ThreadTurnsListParams {
            thread_id: thread_id(),
            limit: 1,
            cursor: Some("c".into()),
            items_view: TurnItemsView::NotLoaded,
        },
    );
    schema.check_request(
        "thread/items/list",
        &ThreadItemsListParams {
            thread_id: thread_id(),
            turn_id: Some(TurnId::new("1")),
            limit: 1,
            cursor: Some("c".into()),
            sort_direction: SortDirection::Desc,
        },
    );
    schema.check_request(
        "thread/name/set",
        &ThreadNameSetParams {
            thread_id: thread_id(),
            name: "n".into(),
        },
    );
    for method in ["thread/unsubscribe", "thread/compact/start"] {
        let thread_id = thread_id();
        schema.check_request(method, &ThreadRef { thread_id });
    }
    schema.check_request(
        "thread/inject_items",
        &InjectItemsParams {
            thread_id: thread_id(),
            items: vec![InjectedItem::message(Role::Developer, "x")],
        },
    );
    schema.check_request(
        "turn/start",
        &TurnStartParams {
            thread_id: thread_id(),
            input: inputs(),
            client_user_message_id: Some("k".into()),
            overrides: TurnOverrides {
                model: Some("m".into()),
                effort: Some("high".into()),
                cwd: Some("/w".into()),
                approval_policy: Some(ApprovalPolicy::Never),
                sandbox_policy: Some(SandboxPolicy::WorkspaceWrite {
                    writable_roots: vec!["/w".into()],
                    network_access: false,
                    exclude_tmpdir_env_var: true,
                    exclude_slash_tmp: true,
                }),
                service_tier: Some(None),
                personality: Some(Personality::Friendly),
                summary: Some(ReasoningSummary::Detailed),
                collaboration_mode: Some(CollaborationMode {
                    mode: CollaborationModeKind::Plan,
                    settings: CollaborationSettings {
                        model: "m".into(),
                        reasoning_effort: None,
                        developer_instructions: Some(String::new()),
                    },
                }),
                output_schema: Some(json!({})),
            },
        },
    );
    schema.check_request(
        "turn/steer",
        &TurnSteerParams {
            thread_id: thread_id(),
            expected_turn_id: TurnId::new("1"),
            input: inputs(),
            client_user_message_id: Some("k".into()),
        },
    );
    schema.check_request(
        "turn/interrupt",
        &TurnInterruptParams {
            thread_id: thread_id(),
            turn_id: TurnId::new("1"),
        },
    );
    schema.check_request(
        "skills/extraRoots/set",
        &SkillsExtraRootsSetParams {
            extra_roots: vec![PathBuf::from("/s")],
        },
    );
    schema.check_request(
        "skills/list",
        &SkillsListParams {
            cwds: vec![PathBuf::from("/w")],
            force_reload: true,
        },
    );
    schema.check_request("server/diagnostics", &Empty {});
    schema.check_ours(
        "SandboxMode",
        &[
            SandboxMode::ReadOnly,
            SandboxMode::WorkspaceWrite,
            SandboxMode::DangerFullAccess,
        ],
    );
    schema.check_ours(
        "AskForApproval",
        &[
            ApprovalPolicy::Untrusted,
            ApprovalPolicy::OnRequest,
            ApprovalPolicy::Never,
        ],
    );
    schema.check_ours(
        "Personality",
        &[
            Personality::None,
            Personality::Friendly,
            Personality::Pragmatic,
        ],
    );
    schema.check_ours(
        "TurnItemsView",
        &[
            TurnItemsView::NotLoaded,
            TurnItemsView::Summary,
            TurnItemsView::Full,
        ],
    );
    schema.check_ours("SortDirection", &[SortDirection::Asc, SortDirection::Desc]);
}

#[test]
fn what_is_not_set_is_left_out() {
    let start = serde_json::to_value(ThreadSettings::default().to_start()).unwrap();
    assert_eq!(start, json!({}));
    let resume = serde_json::to_value(ThreadSettings::default().to_resume(&thread_id())).unwrap();
    assert_eq!(resume, json!({ "threadId": "T", "excludeTurns": true }));
}

#[test]
fn start_and_resume_carry_the_same_settings() {
    let start = serde_json::to_value(settings().to_start()).unwrap();
    let resume = serde_json::to_value(settings().to_resume(&thread_id())).unwrap();
    let mut missing: Vec<_> = start
        .as_object()
        .unwrap()
        .keys()
        .filter(|key| resume.get(key.as_str()).is_none())
        .map(String::as_str)
        .collect();
    missing.sort_unstable();
    // What codex stores with the thread.
    assert_eq!(missing, ["dynamicTools", "ephemeral", "threadSource"]);
}

#[test]
fn what_codex_may_send_is_understood() {
    let schema = Schema::generate();
    schema.check_values("TurnStatus", &TurnStatus::Other);
    schema.check_values("MessagePhase", &AgentPhase::Other);
    for name in [
        "CommandExecutionStatus",
        "PatchApplyStatus",
        "McpToolCallStatus",
        "DynamicToolCallStatus",
    ] {
        schema.check_values(name, &ItemStatus::Other);
    }
    for variant in schema.definitions["ThreadStatus"]["oneOf"]
        .as_array()
        .unwrap()
    {
        let name = &variant["properties"]["type"]["enum"][0];
        let status = json!({ "type": name, "activeFlags": [] });
        let status: ThreadStatus = serde_json::from_value(status).unwrap();
        assert_ne!(status, ThreadStatus::Other, "{name}");
    }

    let items = [
        json!({ "type": "userMessage", "id": "i", "clientId": "k", "content": [] }),
        json!({ "type": "agentMessage", "id": "i", "text": "t", "phase": "final_answer" }),
        json!({ "type": "commandExecution", "id": "i", "command": "c", "commandActions": [],
                "cwd": "/", "status": "declined", "exitCode": 1 }),
        json!({ "type": "fileChange", "id": "i", "changes": [], "status": "completed" }),
        json!({ "type": "mcpToolCall", "id": "i", "server": "s", "tool": "t", "arguments": {},
                "status": "failed" }),
        json!({ "type": "dynamicToolCall", "id": "i", "tool": "t", "arguments": {},
                "status": "inProgress" }),
        json!({ "type": "webSearch", "id": "i", "query": "q" }),
        json!({ "type": "contextCompaction", "id": "i" }),
        json!({ "type": "reasoning", "id": "i", "content": ["x"], "summary": ["x"] }),
    ];
    for item in &items {
        let params = json!({ "threadId": "T", "turnId": "1", "item": item,
                             "startedAtMs": 1, "completedAtMs": 1 });
        for method in ["item/started", "item/completed"] {
            let body = schema.check_notification(method, params.clone());
            let (NotificationBody::ItemStarted(read) | NotificationBody::ItemCompleted(read)) =
                body
            else {
                panic!("{body:?}");
            };
            assert_ne!(read, Item::Other, "{item}");
            assert_eq!(read.id(), Some("i"));
        }
    }

    let error = json!({ "message": "m", "additionalDetails": "a",
        "codexErrorInfo": { "httpConnectionFailed": { "httpStatusCode": 503 } } });
    let turn = json!({ "id": "1", "status": "failed", "items": items, "itemsView": "summary",
                       "error": error, "startedAt": 1, "completedAt": 2, "durationMs": 3 });
    for method in ["turn/started", "turn/completed"] {
        let body = schema.check_notification(method, json!({ "threadId": "T", "turn": turn }));
        let (NotificationBody::TurnStarted(turn) | NotificationBody::TurnCompleted(turn)) = body
        else {
            panic!("{body:?}");
        };
        let info = turn.error.unwrap().codex_error_info.unwrap();
        assert_eq!(info.name, "httpConnectionFailed");
        assert_eq!(info.http_status, Some(503));
        assert_eq!(turn.items.len(), items.len());
    }
    let of_turn = |mut more: Value| {
        more["threadId"] = json!("T");
        more["turnId"] = json!("1");
        more
    };
    for (method, params) in [
        (
            "item/agentMessage/delta",
            of_turn(json!({ "itemId": "i", "delta": "d" })),
        ),
        (
            "item/commandExecution/outputDelta",
            of_turn(json!({ "itemId": "i", "delta": "d" })),
        ),
        (
            "item/plan/delta",
            of_turn(json!({ "itemId": "i", "delta": "d" })),
        ),
        (
            "turn/plan/updated",
            of_turn(json!({ "plan": [{ "step": "s", "status": "inProgress" }] })),
        ),
        ("turn/diff/updated", of_turn(json!({ "diff": "d" }))),
        (
            "error",
            of_turn(json!({ "willRetry": true, "error": error })),
        ),
        (
            "thread/status/changed",
            json!({ "threadId": "T", "status": { "type": "active", "activeFlags": [] } }),
        ),
        ("thread/closed", json!({ "threadId": "T" })),
        (
            "thread/name/updated",
            json!({ "threadId": "T", "threadName": "n" }),
        ),
        ("configWarning", json!({ "summary": "s", "details": "d" })),
        ("warning", json!({ "message": "m" })),
        ("deprecationNotice", json!({ "summary": "s" })),
    ] {
        schema.check_notification(method, params);
    }
    let minimal = schema.definitions["Turn"]["required"].clone();
    let minimal: Vec<String> = serde_json::from_value(minimal).unwrap();
    assert!(minimal.contains(&"status".to_owned()));
    let turn = json!({ "id": "1", "status": "inProgress", "items": [] });
    serde_json::from_value::<TurnInfo>(turn).unwrap();
    let required = schema.definitions["Thread"]["required"].to_string();
    for field in ["id", "status"] {
        assert!(required.contains(field));
    }
    let thread = json!({ "id": "T", "status": { "type": "idle" }, "path": null });
    serde_json::from_value::<ThreadInfo>(thread).unwrap();
}

#[test]
fn every_request_of_codex_is_known_and_declined_as_it_wants() {
    let schema = Schema::generate();
    let answers = [
        (
            "item/commandExecution/requestApproval",
            Some("CommandExecutionRequestApprovalResponse"),
        ),
        (
            "item/fileChange/requestApproval",
            Some("FileChangeRequestApprovalResponse"),
        ),
        (
            "item/permissions/requestApproval",
            Some("PermissionsRequestApprovalResponse"),
        ),
        (
            "item/tool/requestUserInput",
            Some("ToolRequestUserInputResponse"),
        ),
        (
            "mcpServer/elicitation/request",
            Some("McpServerElicitationRequestResponse"),
        ),
        ("item/tool/call", Some("DynamicToolCallResponse")),
        ("applyPatchApproval", Some("ApplyPatchApprovalResponse")),
        ("execCommandApproval", Some("ExecCommandApprovalResponse")),
        ("currentTime/read", Some("CurrentTimeReadResponse")),
        // These need a login of ours, which we do not have.
        ("account/chatgptAuthTokens/refresh", None),
        ("attestation/generate", None),
    ];
    let known: BTreeSet<String> = answers
        .iter()
        .map(|(method, _)| (*method).to_owned())
        .collect();
    assert_eq!(schema.methods("ServerRequest"), known);
    for (method, response) in answers {
        let request =
            ServerRequest::parse(&json!(0), method.to_owned(), &json!({ "threadId": "T" }));
        match (response, request.decline()) {
            (Some(response), Ok(answer)) => schema.file(response).assert_valid(&answer),
            (None, Err(error)) => assert_eq!(error.code, -32601),
            (_, answer) => panic!("{method}: {answer:?}"),
        }
        let is_unknown = matches!(request.kind, ServerRequestKind::Unknown);
        assert_eq!(is_unknown, response.is_none(), "{method}");
    }
    let worked = ToolAnswer {
        text: "done".into(),
        success: true,
    };
    let file = schema.file("DynamicToolCallResponse");
    file.assert_valid(&worked.to_value());
}
