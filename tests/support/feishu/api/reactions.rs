//! Reactions.

use serde_json::json;

use super::super::state::Reaction;
use super::super::{APP_ID, BOT, Knowledge as _, State, emoji};
use super::messages::existing;
use super::{Answer, Args, Done, Refusal};

pub(super) fn create(state: &mut State, args: &Args) -> Answer {
    let name = args.get("reaction_type");
    let name = name.and_then(|it| it["emoji_type"].as_str());
    let name = name.unwrap_or_default().to_owned();
    if !emoji::exists(&name) {
        state.violation(format!("there is no reaction {name:?}"));
        return Err(Refusal::new(231_001, "reaction type is invalid."));
    }
    let message = existing(state, args.id(0)).map_err(|_| gone())?;
    if message.kind == "system" {
        return Err(Refusal::new(231_017, "not for this type of message"));
    }
    let mut reactions = message.reactions.iter();
    let same = reactions.find(|it| it.by == BOT && it.emoji == name);
    let id = match same.map(|it| it.id.clone()) {
        Some(id) => id,
        None => {
            let id = state.name("ZCaCIjUBVVWSrm5L-");
            let reaction = Reaction {
                id: id.clone(),
                emoji: name.clone(),
                by: BOT.to_owned(),
            };
            let message = state.messages.get_mut(args.id(0)).expect("looked up");
            message.reactions.push(reaction);
            id
        }
    };
    let at = state.tick().to_string();
    Ok(Done::Data(json!({
        "reaction_id": id, "action_time": at,
        "operator": {"operator_id": APP_ID, "operator_type": "app"},
        "reaction_type": {"emoji_type": name},
    })))
}

pub(super) fn delete(state: &mut State, args: &Args) -> Answer {
    existing(state, args.id(0)).map_err(|_| gone())?;
    let message = state.messages.get_mut(args.id(0)).expect("looked up");
    let at = message.reactions.iter().position(|it| it.id == args.id(1));
    match at.map(|at| (at, &message.reactions[at].by)) {
        None => Err(Refusal::new(231_011, "reaction_id is invalid")),
        Some((_, by)) if by != BOT => Err(Refusal::new(231_007, "not the bot's own")),
        Some((at, _)) => {
            let reaction = message.reactions.remove(at);
            Ok(Done::Data(json!({
                "reaction_id": reaction.id,
                "reaction_type": {"emoji_type": reaction.emoji},
            })))
        }
    }
}

pub(super) fn list(state: &mut State, args: &Args) -> Answer {
    let message = existing(state, args.id(0)).map_err(|_| gone())?;
    let wanted = args.parameter("reaction_type");
    let reactions = message.reactions.iter();
    let items: Vec<_> = reactions
        .filter(|it| wanted.is_none_or(|wanted| it.emoji == wanted))
        .map(|it| {
            let (id, kind) = if it.by == BOT {
                (APP_ID, "app")
            } else {
                (it.by.as_str(), "user")
            };
            json!({
                "reaction_id": it.id, "reaction_type": {"emoji_type": it.emoji},
                "operator": {"operator_id": id, "operator_type": kind},
            })
        })
        .collect();
    Ok(Done::Data(
        json!({"items": items, "has_more": false, "page_token": ""}),
    ))
}

fn gone() -> Refusal {
    Refusal::new(231_003, "The message is not found, maybe deleted")
}
