//! The bot, its scopes, chats, people.

use serde_json::{Value, json};

use super::super::world::ChatMode;
use super::super::{BOT, State};
use super::{Answer, Args, Done, Refusal};

pub(super) fn bot_info(state: &mut State, _args: &Args) -> Answer {
    let bot = json!({
        "activate_status": 2, "app_name": state.people[BOT].name, "avatar_url": "",
        "ip_white_list": [], "open_id": BOT,
    });
    Ok(Done::Body(json!({ "bot": bot })))
}

pub(super) fn scopes(state: &mut State, _args: &Args) -> Answer {
    let granted = state.options.scopes.iter();
    let mut scopes: Vec<Value> = granted
        .map(|it| json!({"scope_name": it, "grant_status": 1, "scope_type": "tenant"}))
        .collect();
    if !state.may(&["cardkit:card:write"]) {
        let asked =
            json!({"scope_name": "cardkit:card:write", "grant_status": 2, "scope_type": "tenant"});
        scopes.push(asked);
    }
    Ok(Done::Data(json!({ "scopes": scopes })))
}

pub(super) fn get(state: &mut State, args: &Args) -> Answer {
    let chat = state.chats.get(args.id(0));
    let chat = chat.ok_or_else(|| Refusal::new(232_006, "Your chat_id is invalid."))?;
    if !chat.members.contains(BOT) {
        return Err(Refusal::new(
            232_011,
            "Operator can NOT be out of the chat.",
        ));
    }
    let people = chat.members.iter().filter(|id| !state.people[*id].is_bot);
    Ok(Done::Data(json!({
        "name": chat.name,
        "chat_mode": match chat.mode {
            ChatMode::P2p => "p2p",
            ChatMode::Group => "group",
            ChatMode::Topic => "topic",
        },
        "group_message_type": match chat.mode {
            ChatMode::Topic => "thread",
            ChatMode::P2p | ChatMode::Group => "chat",
        },
        "chat_type": "private", "external": chat.is_external,
        "user_count": people.count().to_string(), "bot_count": "1",
    })))
}

pub(super) fn members(state: &mut State, args: &Args) -> Answer {
    let chat = state.chats.get(args.id(0));
    let chat = chat.ok_or_else(|| Refusal::new(232_006, "Your chat_id is invalid."))?;
    if !chat.members.contains(BOT) {
        return Err(Refusal::new(
            232_011,
            "Operator can NOT be out of the chat.",
        ));
    }
    let people = chat.members.iter().map(|id| &state.people[id]);
    let items: Vec<Value> = people
        .filter(|person| !person.is_bot)
        .map(|person| {
            json!({
                "member_id_type": "open_id", "member_id": person.id, "name": person.name,
                "tenant_key": person.tenant,
            })
        })
        .collect();
    Ok(Done::Data(json!({
        "member_total": items.len(), "items": items, "has_more": false, "page_token": "",
    })))
}

pub(super) fn user(state: &mut State, args: &Args) -> Answer {
    let person = state.people.get(args.id(0));
    let person = person.ok_or_else(|| Refusal::new(99_992_351, "The open_id is not found."))?;
    let tenant = &state.people[BOT].tenant;
    if person.tenant != *tenant || person.is_bot {
        return Err(Refusal::new(41_050, "no user authority error"));
    }
    let mut user = json!({
        "open_id": person.id, "union_id": super::super::events::union_id(&person.id),
    });
    let needed = [
        "contact:contact.base:readonly",
        "contact:user.base:readonly",
    ];
    if needed.iter().all(|it| state.may(&[*it])) {
        user["name"] = json!(person.name);
    }
    Ok(Done::Data(json!({ "user": user })))
}
